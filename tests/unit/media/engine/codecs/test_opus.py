"""Opus against libopus itself: other senders, losses, and what is no Opus at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import MediaError
from media.engine.arrays import Pcm
from media.engine.codecs.base import MAX_PACKET
from media.engine.codecs.opus import Opus, OpusOptions
from tests.support import libopus
from tests.support.voicelike import likeness, voice

RATES = (8000, 16000)
BAD = b"\xff"
"""Frame count code 3 without the byte that holds the count."""


def frames(pcm: Pcm, rate: int) -> Pcm:
    size = rate // 50
    return pcm[: len(pcm) // size * size].reshape(-1, size)


def play(coder: Opus, packets: list[bytes]) -> Pcm:
    return np.concatenate([coder.decode(packet).copy() for packet in packets])


def encode(coder: Opus, seconds: float, rate: int) -> list[bytes]:
    return [coder.encode(frame) for frame in frames(voice(rate, seconds), rate)]


def sender(rate: int, channels: int, ms: int) -> list[bytes]:
    """Packets of another sender with 2 s of voice."""
    pcm = voice(rate, 2)
    sound = pcm if channels == 1 else np.stack([pcm, pcm], axis=1)
    # Only packets of one configuration can be joined to those durations.
    fixed = {"application": libopus.LOW_DELAY, "bandwidth": libopus.WIDEBAND} if ms in {30, 50} else {}
    return libopus.Encoder(rate, channels, bitrate=32000 * channels, **fixed).stream(sound, ms)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("ms", [10, 20, 30, 40, 50, 60])
@pytest.mark.parametrize(("theirs", "channels"), [(8000, 1), (16000, 1), (48000, 1), (48000, 2)])
def test_what_others_send_is_heard(rate: int, ms: int, theirs: int, channels: int) -> None:
    coder = Opus(rate)
    packets = sender(theirs, channels, ms)
    assert {coder.samples(packet) for packet in packets} == {rate * ms // 1000}
    heard = play(coder, packets)
    assert heard.dtype == np.int16
    assert len(heard) == len(packets) * rate * ms // 1000
    assert likeness(heard, voice(rate, 2), rate // 100) > 0.9
    assert coder.errors == 0


def test_channels_are_mixed() -> None:
    left = voice(48000, 1)
    packets = libopus.Encoder(48000, 2, bitrate=64000).stream(np.stack([left, -left], axis=1), 20)
    one_side = libopus.Encoder(48000, 2, bitrate=64000).stream(np.stack([left, 0 * left], axis=1), 20)
    difference, half = play(Opus(16000), packets), play(Opus(16000), one_side)
    level = np.abs(voice(16000, 1)).mean()
    assert np.abs(difference).mean() < 0.1 * level
    assert np.abs(half).mean() == pytest.approx(level / 2, rel=0.2)


@pytest.mark.parametrize("rate", RATES)
def test_round_trip(rate: int) -> None:
    coder, peer = Opus(rate), Opus(rate)
    packets = encode(coder, 3, rate)
    assert max(map(len, packets)) <= MAX_PACKET
    assert 12_000 < sum(map(len, packets)) * 8 / 3 < 28_000
    assert len(set(map(len, packets))) > 5
    assert likeness(play(peer, packets), voice(rate, 3), rate // 100) > 0.95
    assert {libopus.samples(packet, rate) for packet in packets} == {rate // 50}


def test_options_are_followed() -> None:
    constant = encode(Opus(16000, OpusOptions(variable=False, bitrate=32000)), 1, 16000)
    assert set(map(len, constant)) == {32000 // 50 // 8}
    simple, thorough = (encode(Opus(16000, OpusOptions(complexity=level)), 1, 16000) for level in (0, 10))
    assert simple != thorough
    most = Opus(16000, OpusOptions(bitrate=500_000, variable=False))
    noise = np.random.default_rng(1).integers(-30000, 30000, 320).astype(np.int16)
    assert len(most.encode(noise)) == MAX_PACKET


@pytest.mark.parametrize("options", [OpusOptions(complexity=11), OpusOptions(bitrate=0)])
def test_bad_options_are_refused(options: OpusOptions) -> None:
    with pytest.raises(MediaError, match="libopus refuses (complexity 11|bitrate 0)"):
        Opus(16000, options)


def test_other_rates_are_refused() -> None:
    with pytest.raises(MediaError, match="no coder at 11025 Hz"):
        Opus(11025)


def lossy(packets: list[bytes], rate: int, *, following: bool) -> tuple[Pcm, Pcm]:
    """What stands in for every fifth packet, with or without the help of the next, and what was lost."""
    reference, coder = Opus(rate), Opus(rate)
    heard: list[Pcm] = []
    lost: list[Pcm] = []
    for number, packet in enumerate(packets[:-1]):
        original = reference.decode(packet).copy()
        if number % 5 == 4:
            heard.append(coder.conceal(len(original), packets[number + 1] if following else None).copy())
            lost.append(original)
        else:
            coder.decode(packet)
    assert coder.errors == 0
    return np.concatenate(heard).astype(np.int16), np.concatenate(lost)


def error(heard: Pcm, lost: Pcm) -> float:
    """Energy of the difference over that of the original."""
    difference = heard.astype(float) - lost
    return float((difference**2).sum() / (lost.astype(float) ** 2).sum())


@pytest.mark.parametrize("rate", RATES)
def test_the_next_packet_repeats_the_lost_one(rate: int) -> None:
    coder = Opus(rate)
    coder.expect_loss(20)
    packets = encode(coder, 3, rate)
    repaired = error(*lossy(packets, rate, following=True))
    guessed = error(*lossy(packets, rate, following=False))
    assert repaired < 0.25
    assert repaired < guessed / 2


@pytest.mark.parametrize("ms", [40, 60])
def test_long_packets_are_repeated_too(ms: int) -> None:
    packets = libopus.Encoder(16000, fec=1, loss=20).stream(voice(16000, 4), ms)
    repaired = error(*lossy(packets, 16000, following=True))
    assert repaired < error(*lossy(packets, 16000, following=False)) / 2


@pytest.mark.parametrize("options", [OpusOptions(), OpusOptions(fec=False)])
def test_a_packet_that_repeats_nothing_leaves_the_guess(options: OpusOptions) -> None:
    coder = Opus(16000, options)
    coder.expect_loss(0 if options.fec else 20)
    packets = encode(coder, 2, 16000)
    with_next, _ = lossy(packets, 16000, following=True)
    alone, _ = lossy(packets, 16000, following=False)
    assert np.abs(alone).max() > 1000
    assert error(with_next, alone) < 0.05


@pytest.mark.parametrize("following", [b"", BAD, b"\xff\x00"])
def test_a_bad_packet_does_not_help(following: bytes) -> None:
    first, second = Opus(16000), Opus(16000)
    for packet in encode(Opus(16000), 0.5, 16000):
        first.decode(packet)
        second.decode(packet)
    assert (first.conceal(320, following) == second.conceal(320)).all()
    assert first.errors == 0


def test_concealment_fades_out() -> None:
    coder = Opus(16000)
    assert not coder.conceal(160).any()
    play(coder, encode(Opus(16000), 0.6, 16000))
    levels = [int(np.abs(coder.conceal(960)).max()) for _ in range(20)]
    assert levels[0] > 1000
    assert levels[-1] < levels[0] / 10


def test_what_cannot_be_concealed_is_silence() -> None:
    coder = Opus(16000)
    play(coder, encode(Opus(16000), 0.6, 16000))
    assert coder.conceal(7).tolist() == [0] * 7
    assert len(coder.conceal(1 << 20)) == 1920


def test_discontinuous_transmission() -> None:
    encoder = libopus.Encoder(16000, dtx=1)
    sound = np.concatenate([voice(16000, 1), np.zeros(16000, np.int16)])
    packets = encoder.stream(sound, 20)
    tiny = [packet for packet in packets if len(packet) <= 3]
    assert len(tiny) > 10
    coder = Opus(16000)
    heard = play(coder, packets)
    assert len(heard) == len(sound)
    assert np.abs(heard[-8000:]).max() < 50
    assert {coder.samples(packet) for packet in tiny} == {320}
    assert coder.errors == 0


@pytest.mark.parametrize("rate", RATES)
def test_a_bad_packet_is_concealed_and_counted(rate: int) -> None:
    coder, twin = Opus(rate), Opus(rate)
    packets = encode(Opus(rate), 0.5, rate)
    play(coder, packets)
    play(twin, packets)
    for count, bad in enumerate((BAD, b"", b"\x4b\xc2"), 1):
        # The last one tells its duration, 2 frames of 20 ms, but not where they begin.
        samples = coder.samples(bad)
        assert samples == (rate // 25 if len(bad) == 2 else 0)
        assert (coder.decode(bad) == twin.conceal(samples or rate // 50)).all()
        assert coder.errors == count
    assert (play(coder, packets) == play(twin, packets)).all()


@given(st.lists(st.binary(max_size=MAX_PACKET), max_size=20), st.sampled_from(RATES))
def test_nothing_raises(payloads: list[bytes], rate: int) -> None:
    coder = Opus(rate)
    for payload in payloads:
        samples = coder.samples(payload) or rate // 50
        before = coder.errors
        assert len(coder.decode(payload)) == samples
        assert coder.errors - before in {0, 1}
        assert len(coder.conceal(rate // 50, payload)) == rate // 50


@given(st.binary(max_size=4), st.sampled_from(RATES))
def test_duration_is_that_of_libopus(payload: bytes, rate: int) -> None:
    expected = max(0, libopus.samples(payload, rate)) if payload else 0
    assert Opus(rate).samples(payload) == expected


def test_every_first_byte() -> None:
    for rate in RATES:
        coder = Opus(rate)
        for first in range(256):
            for second in (0, 1, 6, 48, 63, 0xC1):
                packet = bytes((first, second))
                assert coder.samples(packet) == max(0, libopus.samples(packet, rate))


def test_payloads_of_any_kind() -> None:
    packets = encode(Opus(16000), 0.2, 16000)
    expected = play(Opus(16000), packets)
    for kind in (bytearray, memoryview, lambda packet: np.frombuffer(packet, np.uint8)):
        coder = Opus(16000)
        heard = np.concatenate([coder.decode(kind(packet)).copy() for packet in packets])
        assert (heard == expected).all()
        payload = kind(packets[0])
        assert coder.samples(payload) == 320
        assert len(coder.conceal(320, payload)) == 320


def test_a_frame_that_cannot_be_encoded_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    coder = Opus(16000)
    monkeypatch.setattr(coder, "_encode", lambda *_: -3)
    assert coder.encode(np.zeros(320, np.int16)) == b""
    assert coder.errors == 1
