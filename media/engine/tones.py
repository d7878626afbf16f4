"""Tones as PCM: key presses for peers that take no telephone events (ITU-T Q.23), and any other mixture."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from control.errors import MediaError
from media.engine.arrays import Pcm

LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
"""The two groups of frequencies in Hz (ITU-T Q.23 section 6)."""
KEYPAD = "123A456B789C*0#D"
"""Key of each pair, row by row: ``KEYPAD[4 * low + high]``."""
MILLIWATT = 32768 * 10 ** (-3.14 / 20)
"""Peak of a sine of 0 dBm0, in 16-bit samples: full scale is +3.14 dBm0 (ITU-T G.711)."""
LOW_LEVEL, HIGH_LEVEL = -8.0, -6.0
"""Levels of a key's tones in dBm0: the high one is louder, for lines attenuate it more."""
_EDGE_MS = 2


def tone(levels: Mapping[float, float], rate: int, duration_ms: int) -> Pcm:
    """A mixture of sines with edges of 2 ms: int16 (`rate` * `duration_ms` / 1000,).

    `levels` maps frequencies (Hz) to dBm0. Raises MediaError for a frequency that `rate` cannot carry, a
    negative duration, and levels that together exceed full scale.
    """
    if not all(0 < frequency < rate / 2 for frequency in levels):
        raise MediaError(f"frequencies {list(levels)} Hz: at {rate} Hz they lie between 0 and {rate // 2}")
    if duration_ms < 0:
        raise MediaError(f"duration {duration_ms} ms of a tone is negative: give 0 or more")
    peaks = {frequency: MILLIWATT * 10 ** (level / 20) for frequency, level in levels.items()}
    if sum(peaks.values()) > np.iinfo(np.int16).max:
        raise MediaError(f"levels {list(levels.values())} dBm0 exceed full scale together: lower them")
    time = np.arange(rate * duration_ms // 1000) / rate
    wave = np.zeros(len(time))
    for frequency, peak in peaks.items():
        wave += peak * np.sin(2 * np.pi * frequency * time)
    return np.rint(wave * _envelope(len(time), rate * _EDGE_MS // 1000)).astype(np.int16)


def dtmf(digits: str, rate: int, duration_ms: int = 100, gap_ms: int = 100) -> Pcm:
    """The keys `digits` as tones, each followed by a pause: int16 (samples,).

    Raises MediaError for a character that is no key, and a negative duration or pause.
    """
    if gap_ms < 0:
        raise MediaError(f"pause {gap_ms} ms after a key is negative: give 0 or more")
    pause = np.zeros(rate * gap_ms // 1000, np.int16)
    parts = [part for digit in digits for part in (tone(_levels(digit), rate, duration_ms), pause)]
    return np.concatenate([pause[:0], *parts])


def _levels(digit: str) -> dict[float, float]:
    key = KEYPAD.find(digit)
    if key < 0:
        raise MediaError(f"{digit!r} is no key: they are 0 to 9, *, # and A to D")
    return {LOW[key // 4]: LOW_LEVEL, HIGH[key % 4]: HIGH_LEVEL}


def _envelope(size: int, edge: int) -> npt.NDArray[np.float64]:
    """1 with raised-cosine edges: without them each edge is a click."""
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) + 1
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(distance / (edge + 1), 1))
