"""G.722: what goes through it, against FFmpeg's, and over losses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import SetupError
from media.engine.arrays import Pcm
from media.engine.codecs import g722
from media.engine.codecs.base import Payload
from media.engine.codecs.g722 import G722
from tests.support.libavcodec import G722Decoder
from tests.support.voicelike import likeness, voice

RATES = (8000, 16000)
# fmt: off
KNOWN = [
    0, 0, -1, 0, 0, -1, 0, 0, -1, -2, 1, -1, -5, -38, -50, -69, -60, -76, -48, -74, -26, -55, -15, -64,
    37, 70, 238, 235, 335, 205, 262, 102, 212, 34, 152, -118, 117, -63, -96, -574, -789, -1138, -1160,
    -1286, -1101, -1067, -691, -501, -433, -496, 407, 1730, 2668, 2597, 2472, 2315, 2161, 1689, 1440,
    1071, 604, -25, -161, -366,
]
# fmt: on


def encode(pcm: Pcm, rate: int) -> list[bytes]:
    coder = G722(rate)
    size = rate // 50
    return [coder.encode(frame) for frame in pcm[: len(pcm) // size * size].reshape(-1, size)]


def play(packets: list[bytes], rate: int) -> Pcm:
    coder = G722(rate)
    heard = np.concatenate([coder.decode(packet) for packet in packets])
    assert coder.errors == 0
    return heard


def tone(frequency: float, rate: int, level: float = 8000) -> Pcm:
    pcm: Pcm = (level * np.sin(2 * np.pi * frequency * np.arange(rate) / rate)).astype(np.int16)
    return pcm


def level_db(pcm: Pcm, frequency: float, rate: int) -> float:
    """Level of a sine of `frequency` in the second half of `pcm`, in dB over amplitude 8000."""
    part = pcm[len(pcm) // 2 :].astype(float) * np.hanning(len(pcm) - len(pcm) // 2)
    turn = np.exp(-2j * np.pi * frequency * np.arange(len(part)) / rate)
    return float(20 * np.log10(abs(part @ turn) / (8000 * len(part) / 4) + 1e-9))


def noise_db(pcm: Pcm, frequency: float, rate: int) -> float:
    """All that is not within 100 Hz of `frequency`, in dB below the whole."""
    part = pcm[len(pcm) // 2 :].astype(float)
    power = np.abs(np.fft.rfft(part * np.hanning(len(part)))) ** 2
    away = np.abs(np.fft.rfftfreq(len(part), 1 / rate) - frequency) > 100
    return float(10 * np.log10(power[away].sum() / power.sum()))


@pytest.mark.parametrize("rate", RATES)
def test_round_trip(rate: int) -> None:
    packets = encode(voice(rate, 2), rate)
    assert {len(packet) for packet in packets} == {160}
    heard = play(packets, rate)
    assert heard.dtype == np.int16
    assert likeness(heard, voice(rate, 2), 40) > 0.99


@pytest.mark.parametrize("frequency", [200, 1000, 3000, 5000, 6500, 6900])
def test_the_band_reaches_7_khz(frequency: int) -> None:
    heard = play(encode(tone(frequency, 16000), 16000), 16000)
    assert level_db(heard, frequency, 16000) == pytest.approx(0, abs=1)
    assert noise_db(heard, frequency, 16000) < -12


@pytest.mark.parametrize("frequency", [200, 1000, 3000])
@pytest.mark.parametrize("ours", RATES)
@pytest.mark.parametrize("theirs", RATES)
def test_both_rates_understand_each_other(frequency: int, ours: int, theirs: int) -> None:
    heard = play(encode(tone(frequency, theirs), theirs), ours)
    assert level_db(heard, frequency, ours) == pytest.approx(0, abs=1)
    assert noise_db(heard, frequency, ours) < -20


@pytest.mark.parametrize("frequency", [5500, 6000, 7000])
def test_the_upper_band_does_not_fold_into_narrow_audio(frequency: int) -> None:
    heard = play(encode(tone(frequency, 16000), 16000), 8000)
    assert level_db(heard, 8000 - frequency, 8000) < -30


@pytest.mark.daemons
def test_decodes_as_ffmpeg_does() -> None:
    rng = np.random.default_rng(1)
    reference = G722Decoder()
    coder = G722(16000)
    noise = [rng.integers(0, 256, size, np.uint8).tobytes() for size in (80, 160, 240, 480) * 25]
    too_loud = np.sign(tone(300, 16000)) * np.int16(32767)
    packets = noise + encode(voice(16000, 2), 16000) + encode(too_loud, 16000)
    try:
        for packet in packets:
            assert (coder.decode(packet) == reference.decode(packet)).all()
    finally:
        reference.close()


def test_known_answer() -> None:
    """What FFmpeg's decoder makes of 0, 5, 10, ... 155, from the beginning of a stream."""
    assert G722(16000).decode(bytes(range(0, 160, 5))).tolist() == KNOWN


def test_too_loud_is_cut_off_and_does_not_wrap() -> None:
    square = np.sign(np.sin(2 * np.pi * 300 * np.arange(16000) / 16000 + 0.1)) * 32767
    heard = play(encode(square.astype(np.int16), 16000), 16000).astype(float)
    delay = 22
    assert np.abs(heard).max() == 32768
    assert (np.sign(heard[delay:]) == np.sign(square[:-delay])).mean() > 0.95


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("ms", [10, 20, 30, 40, 50, 60])
def test_packets_of_any_duration(rate: int, ms: int) -> None:
    stream = b"".join(encode(voice(rate, 1.2), rate))
    packets = [stream[at : at + 8 * ms] for at in range(0, len(stream), 8 * ms)]
    coder = G722(rate)
    assert {coder.samples(packet) for packet in packets} == {rate * ms // 1000}
    assert (
        play(packets, rate) == play([stream[at : at + 160] for at in range(0, len(stream), 160)], rate)
    ).all()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("ms", [10, 20, 60])
def test_losses_repeat_the_last_20_ms_and_fade(rate: int, ms: int) -> None:
    coder = G722(rate)
    frame = rate // 50
    stream = b"".join(encode(voice(rate, 0.36), rate))
    heard = np.concatenate([coder.decode(stream[at : at + 8 * ms]) for at in range(0, len(stream), 8 * ms)])
    concealed = np.concatenate([coder.conceal(rate // 100) for _ in range(4)] + [coder.conceal(2 * frame)])
    expected = np.tile(heard[-frame:], 4) * 0.5 ** (np.arange(4 * frame) / frame)
    assert np.abs(heard[-frame:]).max() > 1000
    assert concealed.dtype == np.int16
    assert np.abs(concealed - expected).max() <= 1
    for _ in range(20):
        concealed = coder.conceal(frame, b"next")
    assert not concealed.any()
    # The next packet is heard, and is what is repeated from then on.
    again = coder.decode(stream[:160])
    assert np.abs(coder.conceal(frame) - again * 0.5 ** (np.arange(frame) / frame)).max() <= 1


def test_a_loss_does_not_last() -> None:
    packets = encode(voice(16000, 2), 16000)
    coder = G722(16000)
    for number, packet in enumerate(packets):
        heard = coder.conceal(320) if number == 40 else coder.decode(packet)
        if number == 60:
            break
    reference = G722(16000)
    for packet in packets[:61]:
        expected = reference.decode(packet)
    assert likeness(heard, expected, 1) > 0.99


@pytest.mark.parametrize("payload", [b"", bytes(961)])
def test_a_bad_packet_is_concealed_and_counted(payload: bytes) -> None:
    coder, twin = G722(16000), G722(16000)
    for packet in encode(voice(16000, 0.4), 16000):
        coder.decode(packet)
        twin.decode(packet)
    assert coder.samples(payload) == 0
    assert (coder.decode(payload) == twin.conceal(320)).all()
    assert coder.errors == 1


@given(st.binary(max_size=1000), st.sampled_from(RATES))
def test_duration(payload: bytes, rate: int) -> None:
    coder = G722(rate)
    samples = coder.samples(payload)
    assert samples == (len(payload) * rate // 8000 if len(payload) <= 960 else 0)
    assert len(coder.decode(payload)) == (samples or rate // 50)


def test_payloads_of_any_kind() -> None:
    packet = encode(voice(16000, 0.1), 16000)[4]
    kinds: list[Payload] = [packet, bytearray(packet), memoryview(packet), np.frombuffer(packet, np.uint8)]
    for payload in kinds:
        assert (G722(16000).decode(payload) == G722(16000).decode(packet)).all()


def test_a_frame_may_lie_anywhere() -> None:
    pcm = voice(16000, 0.1)
    spread = np.stack([pcm, pcm], axis=1)[:, 0]
    assert encode(spread, 16000) == encode(pcm, 16000)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    g722.library.cache_clear()
    monkeypatch.setattr(g722, "import_module", missing)
    with pytest.raises(SetupError, match="package G722 .*make setup"):
        G722(16000)
