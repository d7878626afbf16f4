"""Gain per slot, moved over one frame so that it makes no click."""

import math

import numpy as np

from control.errors import MediaError
from media.engine.arrays import Ints, Pcm
from media.engine.ramp import between, scaled

MAX_FACTOR = 16.0
"""24 dB: more than any recording needs, and far below what would break the arithmetic."""


class Gain:
    """A factor for each slot; those with factor 1 cost nothing."""

    def __init__(self, capacity: int, rate: int) -> None:
        self._frame = rate // 50
        self._level = np.full(capacity, 1, np.float32)
        self._goal = np.full(capacity, 1, np.float32)
        self._used = np.full(capacity, fill_value=False)
        self.idle = True
        """Whether `run` has nothing to do for any slot."""

    def set(self, slot: int, factor: float) -> None:
        """Reach `factor` (0 to MAX_FACTOR) with the end of the next frame; raises MediaError for others."""
        check_factor("a gain", factor)
        self._goal[slot] = factor
        self._use(slot, used=bool(self._goal[slot] != 1 or self._level[slot] != 1))

    def reset(self, slot: int) -> None:
        """Factor 1, at once."""
        self._level[slot] = self._goal[slot] = 1
        self._use(slot, used=False)

    def run(self, slots: Ints, pcm: Pcm) -> None:
        """Change int16 (n, frame), the frames of `slots` in order; saturates."""
        rows = np.flatnonzero(self._used[slots])
        if not len(rows):
            return
        used = slots[rows]
        goal = self._goal[used]
        pcm[rows] = scaled(pcm[rows], between(self._level[used], goal, self._frame))
        self._level[used] = goal
        settled = used[goal == 1]
        if len(settled):
            self._use(settled, used=False)

    def _use(self, slots: int | Ints, *, used: bool) -> None:
        self._used[slots] = used
        self.idle = not self._used.any()


def check_factor(what: str, factor: float) -> None:
    """Raise MediaError unless `factor` is 0 to MAX_FACTOR."""
    if not math.isfinite(factor) or not 0 <= factor <= MAX_FACTOR:
        raise MediaError(f"{what} must be 0 to {MAX_FACTOR:g}, got {factor}")
