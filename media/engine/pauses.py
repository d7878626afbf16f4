"""Pauses: a slot that is paused looks like one that has nothing to play."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from media.engine.arrays import Ints, Pcm
from media.engine.ramp import falling, rising, scaled
from media.engine.rings import Rings


class _Due(Enum):
    """What becomes of the next frame of a slot."""

    FALL = "fall"
    """It falls silent, then the slot is frozen."""
    RISE = "rise"
    """It rises from silence."""


@dataclass(frozen=True, slots=True)
class _Frozen:
    """What a ring held when it was frozen."""

    tail: int
    final: int


class Pauses:
    """Which slots are paused, on their way into a pause, or out of it.

    Only slots with a frame to change are looked at in a tick; those that stand still cost nothing.
    """

    def __init__(self, rings: Rings) -> None:
        self._rings = rings
        self._frozen: dict[int, _Frozen] = {}
        self.due: dict[int, _Due] = {}
        """Slots of which the next frame is the last before a pause, or the first after it."""
        self._falling, self._rising = falling(rings.frame), rising(rings.frame)

    def frozen(self, slot: int) -> bool:
        """Whether nothing of `slot` is sent."""
        return slot in self._frozen

    def silent(self, slot: int) -> bool:
        """Whether the last frame of `slot` was silence because of a pause."""
        return slot in self._frozen or self.due.get(slot) is _Due.RISE

    def pause(self, slot: int) -> None:
        """Freeze `slot` after its next frame."""
        if slot not in self._frozen:
            self.due[slot] = _Due.FALL

    def resume(self, slot: int) -> bool:
        """End the pause; whether the slot was frozen."""
        frozen = self._frozen.pop(slot, None)
        if frozen is None:
            if self.due.get(slot) is _Due.FALL:
                del self.due[slot]
            return False
        self._rings.tail[slot], self._rings.final[slot] = frozen.tail, frozen.final
        self.due[slot] = _Due.RISE
        return True

    def forget(self, slot: int) -> None:
        """Not paused any more; what the ring held is dropped by the caller."""
        self._frozen.pop(slot, None)
        self.due.pop(slot, None)

    def cut(self, slot: int, position: int) -> None:
        """`Rings.cut`, also for what a frozen ring holds."""
        if slot in self._frozen:
            self._frozen[slot] = _Frozen(position, position)
        else:
            self._rings.cut(slot, position)

    def run(self, slots: Ints, pcm: Pcm) -> list[int]:
        """Change the frames that are due in int16 (n, frame), those of `slots`; gives the slots frozen now."""
        frozen = []
        for slot, due in list(self.due.items()):
            row = int(np.searchsorted(slots, slot))
            if row == len(slots) or slots[row] != slot:
                continue  # it sends nothing now: its next frame is still to come
            del self.due[slot]
            pcm[row] = scaled(pcm[row], self._falling if due is _Due.FALL else self._rising)
            if due is _Due.FALL:
                self._freeze(slot)
                frozen.append(slot)
        return frozen

    def _freeze(self, slot: int) -> None:
        rings = self._rings
        self._frozen[slot] = _Frozen(int(rings.tail[slot]), int(rings.final[slot]))
        rings.cut(slot, int(rings.head[slot]))
