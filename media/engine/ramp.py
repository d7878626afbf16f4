"""Levels that change without a click: ramps, and samples times a level."""

import numpy as np
import numpy.typing as npt

from media.engine.arrays import Pcm

Levels = npt.NDArray[np.float32]


def falling(length: int) -> Levels:
    """Half a cosine from just below 1 to 0: float32 (length,)."""
    phase = np.arange(1, length + 1) * (np.pi / max(length, 1))
    levels: Levels = ((1 + np.cos(phase)) / 2).astype(np.float32)
    return levels


def rising(length: int) -> Levels:
    """`falling` backwards."""
    return falling(length)[::-1]


def between(start: Levels, end: Levels, length: int) -> Levels:
    """Straight lines from just after `start` to `end`, both (n,): float32 (n, length), or (n, 1) if all rest."""
    if (start == end).all():
        return end[:, None]
    share = np.arange(1, length + 1, dtype=np.float32) / np.float32(length)
    line: Levels = start[:, None] + (end - start)[:, None] * share
    return line


def saturated(values: Levels) -> Pcm:
    """The nearest int16; what is beyond their range becomes its end. Overwrites `values`."""
    np.rint(values, out=values)
    np.clip(values, -32768, 32767, out=values)
    return values.astype(np.int16)


def scaled(samples: Pcm, levels: Levels) -> Pcm:
    """`samples` times `levels`, which may be of any shape that broadcasts to theirs."""
    return saturated(samples * levels)
