"""From 8 to 16 kHz and back, for all slots at once.

Both directions use one half-band filter of linear phase: every second of its coefficients is zero but the middle
one, so half of the samples are only delayed. The others are matrix products: a block of input samples times a band
matrix that holds the coefficients once per column. Delay: 27 samples at 16 kHz, 1.7 ms.
"""

import numpy as np
import numpy.typing as npt

from media.engine.arrays import Ints, Pcm

Floats = npt.NDArray[np.float32]

TAPS = 55
"""Coefficients of the filter; 4 n + 3, so that those at its ends are not zero."""
_BETA = 6.4
"""Shape of the Kaiser window; of all shapes this one damps most from 4.6 kHz on: 64 dB."""
NARROW, WIDE = 160, 320
"""Samples of a frame at 8 and at 16 kHz."""
ROWS = 512
"""Rows computed at once: their intermediate results stay in the processor's cache."""
_BLOCK = 32
"""Samples per matrix product; larger blocks multiply more zeros."""
_MIDDLE = TAPS // 2
_HISTORY = _MIDDLE
"""Samples at 8 kHz that one output needs besides the newest."""


def half_band() -> npt.NDArray[np.float64]:
    """The filter, (TAPS,): cuts at a quarter of the sampling rate; its gain at 0 Hz is 1."""
    distance = np.arange(TAPS) - _MIDDLE
    filter_ = np.sinc(distance / 2) / 2 * np.kaiser(TAPS, _BETA)
    filter_[1::2] = 0
    filter_[::2] *= 0.5 / filter_[::2].sum()
    filter_[_MIDDLE] = 0.5
    return filter_


def _band_matrix(gain: float) -> Floats:
    """(_BLOCK + _HISTORY, _BLOCK): column m holds the outer coefficients, newest sample in row m + _HISTORY."""
    matrix = np.zeros((_BLOCK + _HISTORY, _BLOCK), np.float32)
    outer = half_band()[::2] * gain  # symmetric: no need to turn it around
    for column in range(_BLOCK):
        matrix[column : column + len(outer), column] = outer
    return matrix


class _Filter:
    """The matrix products, and memory for ROWS rows: ``line`` holds history and frame, ``sums`` the results."""

    def __init__(self, gain: float) -> None:
        self._matrix = _band_matrix(gain)
        self.line: Floats = np.zeros((ROWS, _HISTORY + NARROW), np.float32)
        self.sums: Floats = np.zeros((ROWS, NARROW), np.float32)

    def run(self, rows: int) -> Floats:
        """Filter the first `rows` of ``line`` into ``sums``."""
        line, sums = self.line[:rows], self.sums[:rows]
        for at in range(0, NARROW, _BLOCK):
            end = at + _BLOCK
            np.matmul(line[:, at : end + _HISTORY], self._matrix, out=sums[:, at:end])
        return sums


def _saturate(sums: Floats) -> Floats:
    """Round in place to what int16 can hold."""
    np.rint(sums, out=sums)
    return np.clip(sums, -32768, 32767, out=sums)


class Upsampler:
    """8 to 16 kHz; every slot begins in silence."""

    def __init__(self, capacity: int) -> None:
        self._before: Pcm = np.zeros((capacity, _HISTORY), np.int16)
        self._out: Pcm = np.zeros((capacity, WIDE), np.int16)
        self._filter = _Filter(gain=2)

    def reset(self, slot: int) -> None:
        """Forget what `slot` has heard."""
        self._before[slot] = 0

    def run(self, slots: Ints, frames: Pcm) -> Pcm:
        """int16 (n, WIDE) of int16 (n, NARROW), row n for ``slots[n]``, all different; valid until the next run."""
        out = self._out[: len(slots)]
        for at in range(0, len(slots), ROWS):
            rows = slice(at, at + ROWS)
            self._convert(slots[rows], frames[rows], out[rows])
        return out

    def _convert(self, slots: Ints, frames: Pcm, out: Pcm) -> None:
        before = self._before[slots]
        line = self._filter.line[: len(slots)]
        line[:, :_HISTORY], line[:, _HISTORY:] = before, frames
        out[:, ::2] = _saturate(self._filter.run(len(slots)))
        # The middle coefficient: samples as they came, half of _MIDDLE ago.
        delay = _MIDDLE // 2
        out[:, 1 : 2 * delay : 2], out[:, 2 * delay + 1 :: 2] = before[:, -delay:], frames[:, :-delay]
        self._before[slots] = frames[:, -_HISTORY:]


class Downsampler:
    """16 to 8 kHz; every slot begins in silence."""

    def __init__(self, capacity: int) -> None:
        self._before: Pcm = np.zeros((capacity, 2 * _HISTORY), np.int16)
        self._out: Pcm = np.zeros((capacity, NARROW), np.int16)
        self._middle: Floats = np.zeros((ROWS, NARROW), np.float32)
        self._filter = _Filter(gain=1)

    def reset(self, slot: int) -> None:
        """Forget what `slot` has heard."""
        self._before[slot] = 0

    def run(self, slots: Ints, frames: Pcm) -> Pcm:
        """int16 (n, NARROW) of int16 (n, WIDE), row n for ``slots[n]``, all different; valid until the next run."""
        out = self._out[: len(slots)]
        for at in range(0, len(slots), ROWS):
            rows = slice(at, at + ROWS)
            self._convert(slots[rows], frames[rows], out[rows])
        return out

    def _convert(self, slots: Ints, frames: Pcm, out: Pcm) -> None:
        before = self._before[slots]
        line, middle = self._filter.line[: len(slots)], self._middle[: len(slots)]
        line[:, :_HISTORY], line[:, _HISTORY:] = before[:, ::2], frames[:, ::2]
        delay = _MIDDLE // 2 + 1
        middle[:, :delay], middle[:, delay:] = before[:, 1 - 2 * delay :: 2], frames[:, 1 : -2 * delay : 2]
        middle *= 0.5
        sums = self._filter.run(len(slots))
        sums += middle
        out[:] = _saturate(sums)
        self._before[slots] = frames[:, -2 * _HISTORY :]
