import numpy as np
import pytest

from media.speech.asr.sphinx import sound
from media.speech.asr.sphinx.sound import Line


def tone(level: float, count: int = 1600) -> sound.Samples:
    samples: sound.Samples = (level * np.sqrt(2) * np.sin(np.arange(count) * 0.5)).astype(np.int16)
    return samples


def test_levels_are_of_whole_frames_and_without_the_constant_part() -> None:
    levels = sound.levels(tone(1000, 1650) + np.int16(500))
    assert levels.shape == (10,)
    assert levels == pytest.approx(1000, rel=0.02)


def test_the_level_of_speech_is_that_of_its_loud_frames() -> None:
    levels = np.array([10.0, 10, 2000, 2000, 300, 10, 2000])
    assert sound.speech_level(levels, noise=200) == pytest.approx(2000)
    assert sound.speech_level(np.array([5.0, 7.0]), noise=10) == 7
    assert sound.speech_level(np.array([]), noise=10) == 1


def test_gain_brings_speech_to_the_level_within_limits() -> None:
    assert sound.gain(sound.LEVEL / 2) == pytest.approx(2)
    assert sound.gain(0) == sound.gain(1) == 30
    assert sound.gain(1e9) == pytest.approx(1 / 30)


def test_the_mean_moves_with_noise_between_its_ends() -> None:
    low, high = sound.usual_mean(1000, 1000), sound.usual_mean(1000, 1)
    assert low[0] > high[0]
    middle = sound.usual_mean(1000, 1000 / 10 ** (17.5 / 20))
    assert middle == pytest.approx((low + high) / 2)
    assert np.array_equal(sound.usual_mean(0, 0), low)


def test_a_line_keeps_its_difference() -> None:
    line = Line()
    usual = sound.usual_mean(1000, 100)
    assert np.array_equal(line.mean(usual), usual)
    line.learn(usual, usual + 2)
    assert line.mean(usual) == pytest.approx(usual + 2)


def test_widened_audio_has_twice_the_samples_and_a_little_noise() -> None:
    rng = np.random.default_rng(1)
    wide = np.frombuffer(sound.widened(np.full(800, 10_000, np.int16), 2.0, rng), "<i2")
    assert wide.shape == (1600,)
    assert wide.mean() == pytest.approx(20_000, rel=0.01)
    assert 50 < wide.std() < 200
    loud = np.frombuffer(sound.widened(np.full(800, -30_000, np.int16), 3.0, rng), "<i2")
    assert loud.min() == loud.max() == -32768
