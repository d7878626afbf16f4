"""Between 8 and 16 kHz: a linear-phase half-band filter over blocks of many calls at once.

Half of its coefficients are zero and the one in the middle is a delay, so each direction computes 28 products for
every sample at 8 kHz, as one matrix product over blocks of BLOCK samples (a banded Toeplitz matrix). Pass band to
3.4 kHz (within 0.01 dB), stop band from 4.6 kHz (64 dB). Nothing is kept between calls: who calls gives the
samples before the block as well.
"""

import numpy as np
import numpy.typing as npt

from media.engine.arrays import Pcm

NARROW, WIDE = 8000, 16000
BLOCK = 32
"""Blocks are multiples of this many samples at 8 kHz."""
_HALF = 14
_TAPS = 2 * _HALF
_KAISER = 6.4
DELAY = {NARROW: _HALF, WIDE: 2 * (_HALF - 1)}
"""Samples at the rate of the input by which the output is late."""
HISTORY = {NARROW: _TAPS - 1, WIDE: 2 * (_TAPS - 1)}
"""Samples at the rate of the input that must stand before a block."""

Floats = npt.NDArray[np.float32]


def outer() -> npt.NDArray[np.float64]:
    """The coefficients but the middle one, (28,): a windowed sinc at ±0.5, ±1.5 ... samples, unity at 0 Hz."""
    distance = np.arange(_TAPS) - _HALF + 0.5
    taps = np.sinc(distance) * np.kaiser(_TAPS, _KAISER)
    unity: npt.NDArray[np.float64] = taps / taps.sum()
    return unity


def _toeplitz() -> Floats:
    """(BLOCK + _TAPS - 1, BLOCK): the coefficients in each column."""
    taps = outer()
    matrix = np.full((BLOCK + _TAPS - 1, BLOCK), 0, np.float32)
    for column in range(BLOCK):
        matrix[column : column + _TAPS, column] = taps
    return matrix


_MATRIX = _toeplitz()


def convert(pcm: Pcm, rate: int) -> Pcm:
    """One block of each call at the other rate than `rate`.

    `pcm` int16 (n, HISTORY[rate] + samples), the samples a multiple of BLOCK at 8 kHz; returns int16
    (n, twice or half the samples).
    """
    return _double(pcm) if rate == NARROW else _halve(pcm)


def _double(pcm: Pcm) -> Pcm:
    samples = pcm.shape[1] - HISTORY[NARROW]
    out = np.empty((len(pcm), samples, 2), np.int16)
    out[:, :, 0] = pcm[:, _HALF - 1 : _HALF - 1 + samples]
    out[:, :, 1] = _rounded(_filter(pcm))
    return out.reshape(len(pcm), 2 * samples)


def _halve(pcm: Pcm) -> Pcm:
    even, odd = pcm[:, 0::2], np.ascontiguousarray(pcm[:, 1::2])
    filtered = _filter(odd)
    filtered += even[:, _HALF : _HALF + filtered.shape[1]]
    filtered *= np.float32(0.5)
    return _rounded(filtered).astype(np.int16)


def _filter(pcm: Pcm) -> Floats:
    """(n, _TAPS - 1 + samples) → (n, samples); rows of `pcm` have no gaps between samples."""
    count, samples = len(pcm), pcm.shape[1] - _TAPS + 1
    windows = np.ndarray(
        (count, samples // BLOCK, BLOCK + _TAPS - 1),
        np.int16,
        np.ascontiguousarray(pcm).data,
        strides=(2 * pcm.shape[1], 2 * BLOCK, 2),
    )
    product: Floats = windows.astype(np.float32).reshape(-1, BLOCK + _TAPS - 1) @ _MATRIX
    return product.reshape(count, samples)


def _rounded(values: Floats) -> Floats:
    np.rint(values, out=values)
    np.clip(values, -32768, 32767, out=values)
    return values
