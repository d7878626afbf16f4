"""A sound like a voice, the same at any sampling rate, and how much of it came through."""

import numpy as np

from media.engine.arrays import Pcm

_FORMANTS = ((500, 120, 1.0), (1500, 200, 0.5), (2500, 300, 0.25))
"""Hz, width in Hz, level."""
_HIGHEST = 3400


def voice(rate: int, seconds: float) -> Pcm:
    """Harmonics of a gliding pitch below 3.4 kHz, three syllables a second."""
    time = np.arange(round(rate * seconds)) / rate
    pitch = 130 + 20 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * (130 * time - 20 / (2 * np.pi * 0.7) * (np.cos(2 * np.pi * 0.7 * time) - 1))
    sound = np.zeros(len(time))
    for number in range(1, _HIGHEST // 110):
        frequency = number * pitch
        level = sum(gain * np.exp(-(((frequency - at) / width) ** 2)) for at, width, gain in _FORMANTS)
        sound += np.where(frequency < _HIGHEST, level, 0) * np.sin(number * phase)
    sound *= 0.55 - 0.45 * np.cos(2 * np.pi * 3 * time)
    pcm: Pcm = (sound / np.abs(sound).max() * 16000).astype(np.int16)
    return pcm


def likeness(heard: Pcm, said: Pcm, most_delay: int) -> float:
    """Greatest normalised correlation of `heard` with `said` delayed by up to `most_delay` samples."""
    count = min(len(heard), len(said))
    left, right = heard[:count].astype(float), said[:count].astype(float)
    return max(_correlation(left[delay:], right[: count - delay]) for delay in range(most_delay))


def _correlation(
    left: np.ndarray[tuple[int], np.dtype[np.float64]], right: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> float:
    return float(left @ right / np.sqrt(left @ left * (right @ right) + 1))
