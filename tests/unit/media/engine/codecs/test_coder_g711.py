"""G.711 as a coder of one call: by the tables at equal rates, by the half-band filter between them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.engine import g711, halfband
from media.engine.arrays import Pcm
from media.engine.codecs.base import MAX_MS
from media.engine.codecs.g711 import G711
from tests.support.voicelike import likeness, voice

RATES = (8000, 16000)
ENCODE = {False: g711.ULAW_ENCODE, True: g711.ALAW_ENCODE}
DECODE = {False: g711.ULAW_DECODE, True: g711.ALAW_DECODE}


def noise(samples: int, seed: int = 1) -> Pcm:
    return np.random.default_rng(seed).integers(-32768, 32768, samples).astype(np.int16)


def play(coder: G711, payload: bytes, size: int) -> Pcm:
    return np.concatenate([coder.decode(payload[at : at + size]) for at in range(0, len(payload), size)])


@pytest.mark.parametrize("alaw", [False, True])
@pytest.mark.parametrize("rate", RATES)
def test_at_equal_rates_it_is_the_tables(rate: int, alaw: bool) -> None:
    coder = G711(rate, rate, alaw=alaw)
    payload = bytes(range(256))
    assert coder.decode(payload).tolist() == DECODE[alaw].tolist()
    pcm = noise(rate // 50)
    assert coder.encode(pcm) == ENCODE[alaw][pcm.view(np.uint16)].tobytes()
    assert coder.errors == 0


@pytest.mark.parametrize("alaw", [False, True])
@pytest.mark.parametrize(("rate", "clock"), [(16000, 8000), (8000, 16000)])
@pytest.mark.parametrize("ms", [10, 20, 30, 40, 60])
def test_between_rates_it_is_the_half_band_filter(rate: int, clock: int, ms: int, alaw: bool) -> None:
    """Packet by packet, without a seam: as the filter does the whole at once."""
    payload = np.random.default_rng(ms).bytes(clock * 24 // 25)
    heard = play(G711(rate, clock, alaw=alaw), payload, clock * ms // 1000)
    decoded = DECODE[alaw][np.frombuffer(payload, np.uint8)]
    line = np.pad(decoded, (halfband.HISTORY[clock], 0))
    assert (heard == halfband.convert(line[None], clock)[0]).all()


@pytest.mark.parametrize("alaw", [False, True])
@pytest.mark.parametrize(("rate", "clock"), [(16000, 8000), (8000, 16000)])
def test_what_is_sent_is_filtered_the_same_way(rate: int, clock: int, alaw: bool) -> None:
    coder, pcm = G711(rate, clock, alaw=alaw), noise(rate)
    frames = [coder.encode(frame) for frame in pcm.reshape(50, -1)]
    assert {len(frame) for frame in frames} == {clock // 50}
    line = np.pad(pcm, (halfband.HISTORY[rate], 0))
    converted = halfband.convert(line[None], rate)[0]
    assert b"".join(frames) == ENCODE[alaw][converted.view(np.uint16)].tobytes()


@pytest.mark.parametrize("alaw", [False, True])
@pytest.mark.parametrize("clock", RATES)
@pytest.mark.parametrize("rate", RATES)
def test_round_trip(rate: int, clock: int, alaw: bool) -> None:
    coder = G711(rate, clock, alaw=alaw)
    frames = voice(rate, 1).reshape(50, -1)
    heard = np.concatenate([coder.decode(coder.encode(frame)) for frame in frames])
    assert heard.dtype == np.int16
    assert likeness(heard, voice(rate, 1), 80) > 0.995


def test_durations_may_change_from_packet_to_packet() -> None:
    payload = np.random.default_rng(3).bytes(4800)
    heard, at = [], 0
    coder = G711(16000, 8000, alaw=False)
    for ms in (10, 60, 20, 10, 120, 30, 40, 10, 300):
        heard.append(coder.decode(payload[at : at + 8 * min(ms, 120)]))
        at += 8 * min(ms, 120)
    whole = play(G711(16000, 8000, alaw=False), payload[:at], 80)
    assert (np.concatenate(heard) == whole).all()


@pytest.mark.parametrize("clock", RATES)
@pytest.mark.parametrize("rate", RATES)
def test_losses_repeat_the_last_20_ms_and_fade(rate: int, clock: int) -> None:
    coder = G711(rate, clock, alaw=False)
    frame = rate // 50
    heard = play(coder, np.random.default_rng(1).bytes(clock // 10), clock // 100)
    last = heard[-frame:].astype(int)
    for factor in (2, 4, 8):
        concealed = coder.conceal(frame, b"next")
        assert concealed.dtype == np.int16
        assert np.abs(concealed * factor - last).max() < 2 * factor
    for samples in (frame // 2, 3 * frame, 6 * frame):
        assert len(coder.conceal(samples)) == samples
    for _ in range(12):
        concealed = coder.conceal(frame)
    assert not concealed.any()
    again = coder.decode(bytes([3]) * (clock // 50))
    assert np.abs(coder.conceal(frame) * 2.0 - again).max() <= 2


@pytest.mark.parametrize("clock", RATES)
@pytest.mark.parametrize("rate", RATES)
def test_a_bad_packet_is_concealed_and_counted(rate: int, clock: int) -> None:
    coder, twin = G711(rate, clock, alaw=True), G711(rate, clock, alaw=True)
    payload = np.random.default_rng(1).bytes(clock // 50)
    for number, bad in enumerate((b"", bytes(MAX_MS * clock // 1000 + 1)), 1):
        coder.decode(payload)
        twin.decode(payload)
        assert coder.samples(bad) == 0
        assert (coder.decode(bad) == twin.conceal(rate // 50)).all()
        assert coder.errors == number


@given(st.binary(max_size=2000), st.sampled_from(RATES), st.sampled_from(RATES))
def test_duration(payload: bytes, rate: int, clock: int) -> None:
    coder = G711(rate, clock, alaw=False)
    samples = coder.samples(payload)
    fits = 0 < len(payload) <= MAX_MS * clock // 1000
    assert samples == (len(payload) * rate // clock if fits else 0)
    assert len(coder.decode(payload)) == (samples or rate // 50)


def test_what_is_too_loud_is_cut_off_and_does_not_wrap() -> None:
    square = np.where(np.arange(16000) // 40 % 2, 32767, -32768).astype(np.int16)
    coder = G711(16000, 8000, alaw=False)
    codes = b"".join(coder.encode(frame) for frame in square.reshape(50, -1))
    sent = g711.ULAW_DECODE[np.frombuffer(codes, np.uint8)].astype(int)
    late = halfband.DELAY[16000] // 2
    assert (np.sign(sent[late:]) == np.sign(square[::2][: len(sent) - late])).mean() > 0.9
    assert np.abs(sent).max() > 32000
