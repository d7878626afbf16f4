"""Single steady tones in audio: where they begin and end, their frequency and level.

The audio is looked at through Hann windows of 32 ms, one every 10 ms. A window holds a tone when almost all of its
energy lies around one peak of the spectrum and nothing else there comes near that peak. Windows in a row with the same
frequency are one tone.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from media.engine.arrays import Pcm
from media.engine.tones import MILLIWATT

Floats = npt.NDArray[np.float32]

WINDOW_MS, HOP_MS = 32, 10
BAND = (330.0, 2250.0)
"""Hz in which tones are looked for."""
QUIET = -45.0
"""dBm0 below which nothing is looked for."""
SHARE = 0.65
"""Part of a window's energy that the tone must have; with noise 5 dB below it, it has 0.76."""
SECOND = -12.0
"""dB that the next peak must stay below: the weaker tone of a key, a vowel's harmonics."""
STEADY = 0.015
"""Relative deviation of a tone's frequency from one window to its mean."""
BREAK_MS = 50
"""Windows without a tone for so long do not end it: noise, the phase reversals of ANS (ITU-T V.25), a lost packet."""
EDGE = 6.0
"""dB by which a window that a tone fills half is below it."""
_LOBE = 2
"""Bins on either side of its peak that a tone takes of the spectrum under a Hann window."""
_EDGES = 4
"""Windows that the beginning or the end of a tone may fill in part."""
_NONE = -200.0
"""dBm0 of silence."""


@dataclass(frozen=True, slots=True)
class Sine:
    """A tone; times in ms of the audio."""

    start: int
    end: int
    frequency: float
    """Hz."""
    level: float
    """dBm0, where it is loudest."""
    average: float
    """dBm0, on the average of its windows."""

    @property
    def duration(self) -> int:
        """ms."""
        return self.end - self.start


class Hop(NamedTuple):
    """What one window holds."""

    time: int
    """Its middle, ms of the audio."""
    level: float
    """All of its energy, dBm0."""
    frequency: float
    """Hz of the tone, 0 without one."""


class Meter:
    """Looks at audio of one `rate`, 8000 or 16000, in pieces of any length."""

    def __init__(self, rate: int) -> None:
        self._size, self._hop = rate * WINDOW_MS // 1000, rate * HOP_MS // 1000
        self._bin = rate / self._size
        self._window: Floats = np.hanning(self._size + 1)[:-1].astype(np.float32)
        self._places = np.arange(self._size)
        self._first, self._last = int(BAND[0] / self._bin), int(BAND[1] / self._bin) + 2
        # The energy under the window of a sine of 0 dBm0.
        self._milliwatt = float(MILLIWATT**2 / 2 * np.square(self._window, dtype=np.float64).sum())
        self._rest: Pcm = np.zeros(0, np.int16)
        self._time = WINDOW_MS // 2

    def feed(self, samples: Pcm) -> list[Hop]:
        """The windows that `samples` complete."""
        audio = np.concatenate((self._rest, samples))
        count = max(0, (len(audio) - self._size) // self._hop + 1)
        self._rest = audio[count * self._hop :]
        if not count:
            return []
        starts = np.arange(count) * self._hop
        weighted = audio[starts[:, None] + self._places] * self._window
        energy = np.einsum("ij,ij->i", weighted, weighted)
        levels = 10 * np.log10(energy / self._milliwatt + 10 ** (_NONE / 10))
        frequencies = np.zeros(count)
        loud = levels > QUIET
        if loud.any():
            frequencies[loud] = self._frequencies(weighted[loud])
        first, self._time = self._time, self._time + count * HOP_MS
        times = range(first, self._time, HOP_MS)
        return list(map(Hop, times, levels.tolist(), frequencies.tolist()))

    def _frequencies(self, weighted: Floats) -> npt.NDArray[np.float64]:
        """Hz of the tone in each window of float32 (n, samples), 0 without one: (n,)."""
        spectrum = np.fft.rfft(weighted)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        rows = np.arange(len(power))
        peak = power[:, self._first : self._last].argmax(axis=1) + self._first
        around = peak[:, None] + np.arange(-_LOBE, _LOBE + 1)
        lobe = power[rows[:, None], around]
        # Below 80 Hz there is hum, and no voice over a telephone.
        power[:, : int(80 / self._bin) + 1] = 0
        whole = power.sum(axis=1)
        power[rows[:, None], around] = 0
        before, at, after = (np.log(lobe[:, _LOBE + side] + 1e-9) for side in (-1, 0, 1))
        bend = before - 2 * at + after
        offset = np.where(bend < 0, (before - after) / (2 * np.where(bend < 0, bend, -1.0)), 0)
        tone = lobe.sum(axis=1) > SHARE * whole
        tone &= power.max(axis=1) < lobe[:, _LOBE] * 10 ** (SECOND / 10)
        tone &= np.abs(offset) < 1
        return np.where(tone, (peak + offset) * self._bin, 0)


class Sines:
    """Joins windows to tones: feed it one `Hop` after the other."""

    def __init__(self) -> None:
        self._head: list[Hop] = []
        """The first windows of the tone that lasts; empty without one."""
        self._tail: deque[Hop] = deque(maxlen=_EDGES)
        self._sum, self._levels, self._count, self._loudest = 0.0, 0.0, 0, _NONE

    def feed(self, hop: Hop) -> Sine | None:
        """The tone that has ended with this window: it was interrupted for too long, or another one began."""
        if hop.frequency and self._continues(hop):
            self._add(hop)
            return None
        if not hop.frequency and (not self._head or hop.time - self._tail[-1].time <= BREAK_MS):
            return None
        ended = self.lasting
        self._head.clear()
        self._sum, self._levels, self._count, self._loudest = 0.0, 0.0, 0, _NONE
        if hop.frequency:
            self._add(hop)
        return ended

    @property
    def lasting(self) -> Sine | None:
        """The tone that has not ended, so far."""
        if not self._head:
            return None
        edge, half = self._loudest - EDGE, HOP_MS // 2
        start = next((hop.time for hop in self._head if hop.level > edge), self._head[-1].time)
        end = next((hop.time for hop in reversed(self._tail) if hop.level > edge), self._tail[0].time)
        frequency, average = self._sum / self._count, self._levels / self._count
        return Sine(start - half, max(start, end) + half, frequency, self._loudest, average)

    def _continues(self, hop: Hop) -> bool:
        mean = self._sum / self._count if self._count else 0.0
        return abs(hop.frequency - mean) < STEADY * mean

    def _add(self, hop: Hop) -> None:
        if len(self._head) < _EDGES:
            self._head.append(hop)
        self._tail.append(hop)
        self._sum += hop.frequency
        self._levels += hop.level
        self._count += 1
        self._loudest = max(self._loudest, hop.level)
