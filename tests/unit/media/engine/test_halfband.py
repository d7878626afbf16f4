"""The half-band filter: what it lets through, how late, and that blocks join without a seam."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.engine.arrays import Pcm
from media.engine.halfband import BLOCK, DELAY, HISTORY, NARROW, WIDE, convert


def tone(frequency: float, rate: int, samples: int) -> Pcm:
    wave = 10000 * np.sin(2 * np.pi * frequency * np.arange(samples) / rate)
    return np.asarray(np.rint(wave), np.int16)


def whole(pcm: Pcm, rate: int) -> Pcm:
    """All of `pcm` (samples,) at once, after silence."""
    out: Pcm = convert(np.pad(pcm, (HISTORY[rate], 0))[None], rate)[0]
    return out


def level(pcm: Pcm) -> float:
    """dB against the tones."""
    return float(20 * np.log10(max(pcm[200:].astype(float).std(), 1e-3) / (10000 / np.sqrt(2))))


@pytest.mark.parametrize("frequency", [100, 300, 1000, 2000, 3000, 3400])
@pytest.mark.parametrize("rate", [NARROW, WIDE])
def test_speech_passes_as_it_is_but_late(frequency: int, rate: int) -> None:
    other = NARROW + WIDE - rate
    samples = BLOCK * rate // 8000 * 50
    out = whole(tone(frequency, rate, samples), rate)
    late = DELAY[rate] * other // rate
    expected = tone(frequency, other, len(out) - late)
    assert len(out) == samples * other // rate
    assert np.abs(out[late + 100 :].astype(int) - expected[100:]).max() < 20


def test_half_the_rate_has_nothing_of_above_it() -> None:
    for frequency in (4600, 5000, 6000, 7500):
        assert level(whole(tone(frequency, WIDE, 64 * 50), WIDE)) < -60


def test_twice_the_rate_has_no_image() -> None:
    out = whole(tone(3000, NARROW, 1600), NARROW)[400:].astype(float)
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out))))
    frequency = np.fft.rfftfreq(len(out), 1 / WIDE)
    assert 20 * np.log10(spectrum[frequency > 4600].max() / spectrum.max()) < -60


@pytest.mark.parametrize("rate", [NARROW, WIDE])
def test_what_is_too_loud_is_clipped(rate: int) -> None:
    square = np.where(np.arange(BLOCK * 40) // 20 % 2, 32767, -32768).astype(np.int16)
    out = whole(square, rate)
    assert (out.max(), out.min()) == (32767, -32768)


@given(
    st.sampled_from([NARROW, WIDE]), st.lists(st.integers(1, 8), min_size=2, max_size=5), st.integers(0, 99)
)
def test_blocks_of_several_calls_join_without_a_seam(rate: int, blocks: list[int], seed: int) -> None:
    unit = BLOCK * rate // 8000
    noise = np.random.default_rng(seed).integers(-32768, 32768, (3, sum(blocks) * unit)).astype(np.int16)
    padded = np.pad(noise, ((0, 0), (HISTORY[rate], 0)))
    ends = np.cumsum(blocks) * unit
    starts = [0, *ends[:-1]]
    parts = [
        convert(padded[:, start : end + HISTORY[rate]], rate) for start, end in zip(starts, ends, strict=True)
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), [whole(row, rate) for row in noise])
