import numpy as np
import pytest

from media.resampler import Resampler

SOURCE = 22050


@pytest.mark.parametrize("target", [8000, 16000])
def test_a_tone_keeps_its_pitch_level_and_length(target: int) -> None:
    wave = np.sin(2 * np.pi * 440 * np.arange(2 * SOURCE) / SOURCE)
    tone = np.rint(10000 * wave).astype(np.int16)
    resampler = Resampler(SOURCE, target)
    parts = [resampler.push(tone[at : at + 1000]) for at in range(0, tone.size, 1000)]
    whole = np.concatenate([*parts, resampler.push(np.zeros(0, np.int16), last=True)])
    assert whole.size == 2 * target
    expected = 10000 * np.sin(2 * np.pi * 440 * np.arange(whole.size) / target)
    middle = slice(target // 10, -target // 10)
    assert np.abs(whole[middle] - expected[middle]).max() < 20


def test_silence_stays_silence_and_full_scale_is_cut() -> None:
    assert not Resampler(SOURCE, 8000).push(np.zeros(SOURCE, np.int16), last=True).any()
    square = np.where(np.arange(SOURCE) // 100 % 2, 32767, -32768).astype(np.int16)
    cut = Resampler(SOURCE, 8000).push(square, last=True)
    assert cut.max() == 32767
    assert cut.min() == -32768
