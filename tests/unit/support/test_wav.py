from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import wav


def test_correlation_finds_a_quiet_late_copy_in_noise() -> None:
    reference = wav.babble(seed=1, seconds=1)
    recording = 0.002 * np.random.default_rng(3).normal(size=4 * wav.RATE)
    recording[11_000 : 11_000 + reference.size] += 0.3 * reference
    match, position = wav.best_match(recording, reference)
    assert match > 0.95
    assert position == 11_000


def test_correlation_of_unrelated_sounds_is_low() -> None:
    assert wav.correlation(wav.babble(seed=2, seconds=4), wav.babble(seed=1, seconds=1)) < 0.2


def test_correlation_falls_with_a_missing_frame() -> None:
    reference = wav.babble(seed=1, seconds=1)
    recording = np.delete(np.concatenate((np.zeros(500), reference)), slice(4000, 4160))
    assert wav.correlation(recording, reference) < 0.8


def test_correlation_with_silence_is_zero() -> None:
    assert wav.correlation(np.zeros(100), wav.tone(440, 1)) == 0


@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_correlation_does_not_care_for_a_constant(offset: float) -> None:
    reference = wav.tone(440, 0.5)
    assert wav.correlation(np.concatenate((np.zeros(800), reference)) + offset, reference) > 0.99


def spoken(seed: int, phase: int) -> wav.Sound:
    """Return sounds of 100 ms each; `seed` gives their pitch, `phase` where their waves begin."""
    pitches = np.random.default_rng(seed).uniform(300, 3000, 12)
    offsets = np.random.default_rng(phase).uniform(0, 2 * np.pi, 12)
    time = np.arange(800) / wav.RATE
    return 0.3 * np.concatenate(
        [np.sin(2 * np.pi * pitch * time + offset) for pitch, offset in zip(pitches, offsets, strict=True)]
    )


def test_likeness_does_not_care_for_phase() -> None:
    recording = np.concatenate((np.zeros(5_000), spoken(seed=1, phase=2), np.zeros(3_000)))
    assert wav.correlation(recording, spoken(seed=1, phase=3)) < 0.6
    assert wav.likeness(recording, spoken(seed=1, phase=3)) > 0.9


def test_likeness_of_other_words_is_low() -> None:
    recording = np.concatenate((np.zeros(5_000), spoken(seed=1, phase=2), np.zeros(3_000)))
    assert wav.likeness(recording, spoken(seed=2, phase=2)) < 0.7
    assert wav.likeness(np.zeros(20_000), spoken(seed=2, phase=2)) == 0
    assert wav.likeness(recording[:4_000], spoken(seed=1, phase=2)) == 0


@given(st.lists(st.floats(-0.99, 0.99), min_size=1, max_size=400))
def test_pcmu_keeps_samples_within_its_step(samples: list[float]) -> None:
    sound = np.array(samples)
    error = np.abs(wav.decode_pcmu(wav.encode_pcmu(sound)) - sound)
    assert np.all(error <= np.abs(sound) / 16 + 0.001)


def test_pcmu_of_all_codes_is_its_own_inverse() -> None:
    codes = bytes(code for code in range(256) if code != 0x7F)
    assert wav.encode_pcmu(wav.decode_pcmu(codes)) == codes


def test_files_keep_the_sound(tmp_path: Path) -> None:
    sound = wav.babble(seed=1, seconds=0.1)
    read, rate = wav.read(wav.write(tmp_path / "x.wav", sound))
    assert rate == wav.RATE
    assert np.allclose(read, sound, atol=1 / 32768)


def test_trimmed_is_what_is_loud() -> None:
    sound = np.concatenate((np.zeros(100), wav.tone(440, 0.1), np.zeros(50)))
    assert wav.trimmed(sound).size in range(790, 801)
    assert wav.trimmed(np.zeros(10)).size == 0


def test_a_law_and_back() -> None:
    sound = wav.tone(440, 0.1)
    assert wav.correlation(wav.decode_pcma(wav.encode_pcma(sound)), sound) > 0.999
    assert np.abs(wav.decode_pcma(wav.encode_pcma(sound)) - sound).max() < 0.01
