"""Which slots of an engine are taken."""

from collections import deque

import numpy as np

from control.errors import EngineFullError, MediaError


class Slots:
    """`capacity` slots; one that was given back is taken again after all others that are free."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.accepting = True
        """Whether `allocate` gives slots."""
        self._free = deque(range(capacity))
        self._taken = np.full(capacity, fill_value=False)

    @property
    def free(self) -> int:
        """Slots that `allocate` can still give."""
        return len(self._free)

    @property
    def used(self) -> int:
        """Slots allocated."""
        return self.capacity - len(self._free)

    def allocate(self) -> int:
        """Take a slot; raises EngineFullError when none is free, or no call is accepted."""
        if not self.accepting:
            raise EngineFullError(
                f"this worker has no time for more than its {self.used} calls: add a worker or a host"
            )
        if not self._free:
            raise EngineFullError(f"all {self.capacity} slots of this worker are taken: raise media.slots")
        slot = self._free.popleft()
        self._taken[slot] = True
        return slot

    def _give_back(self, slot: int) -> None:
        self._taken[slot] = False
        self._free.append(slot)

    def _check(self, slot: int) -> None:
        """Raise MediaError unless `slot` is allocated."""
        if not 0 <= slot < self.capacity or not self._taken[slot]:
            raise MediaError(f"slot {slot} is not allocated: call allocate() first")
