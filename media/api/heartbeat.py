"""When to ping whom, sans-I/O: one wheel for all connections of a worker, turned once a second."""

from typing import Protocol


class Pinged(Protocol):
    """What the wheel carries."""

    def beat(self) -> bool:
        """Ping the far end, or give it up; whether it lives."""


class Heartbeats:
    """Beats each connection every so many turns."""

    def __init__(self) -> None:
        self._turn = 0
        self._due: dict[int, dict[Pinged, int]] = {}
        """Connections and their periods, by the turn of the next beat."""
        self._turns: dict[Pinged, int] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def add(self, pinged: Pinged, every: int) -> None:
        """Beat `pinged` first in `every` to `every` + 1 turns, then each `every` turns (at least 1)."""
        # The present turn is partly over: one more makes the first period a whole one.
        self._schedule(pinged, every, self._turn + every + 1)

    def remove(self, pinged: Pinged) -> None:
        """Beat `pinged` no more; one that is not there does nothing."""
        turn = self._turns.pop(pinged, None)
        if turn is not None:
            due = self._due[turn]
            del due[pinged]
            if not due:
                del self._due[turn]

    def turn(self) -> None:
        """A second is over."""
        self._turn += 1
        for pinged, every in list(self._due.get(self._turn, {}).items()):
            if self._turns.get(pinged) != self._turn:
                # The beat of another has removed it.
                continue
            self.remove(pinged)
            if pinged.beat():
                self._schedule(pinged, every, self._turn + every)

    def _schedule(self, pinged: Pinged, every: int, turn: int) -> None:
        self._turns[pinged] = turn
        self._due.setdefault(turn, {})[pinged] = every
