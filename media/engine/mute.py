"""Muting of what is received."""

import numpy as np

from media.engine.arrays import Pcm


class Mute:
    """Silence instead of the audio of chosen slots, for all that comes after decoding.

    It begins and ends with a frame, without a ramp: nothing of what is said while muted gets through.
    """

    def __init__(self, capacity: int) -> None:
        self._muted = np.full(capacity, fill_value=False)
        self._slots = np.flatnonzero(self._muted)

    def set(self, slot: int, *, muted: bool) -> None:
        """Mute `slot` or not, from the next frame on."""
        self._muted[slot] = muted
        self._slots = np.flatnonzero(self._muted)

    def run(self, frames: Pcm) -> None:
        """Silence the muted slots in int16 (capacity, ...), decoded audio of all slots."""
        if len(self._slots):
            frames[self._slots] = 0
