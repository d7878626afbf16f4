"""When a worker is at its limit: the lever that is pulled before anybody hears a gap.

What counts is the share of each tick that the work of all calls takes, and ticks that came late for any reason.
"""

from enum import IntEnum

from media.engine.clock import PERIOD

MEMORY = 25
"""Ticks over which the share is averaged: half a second."""
CALM = 250
"""Ticks in a row (5 s) without pressure before a level is left."""
LATE = 3
"""Late ticks within CALM ticks that are no accident."""


class Level(IntEnum):
    """How much a worker has to do."""

    EASY = 0
    SAVING = 1
    """Work that may be left out is left out; calls are taken still."""
    FULL = 2
    """No new call is taken."""


ENTER = {Level.SAVING: 0.75, Level.FULL: 0.90}
"""Share of a tick from which a level holds."""
LEAVE = {Level.SAVING: 0.60, Level.FULL: 0.80}
"""Share below which it is left."""


class Overload:
    """Follows the load; `observe` after every beat of the clock."""

    def __init__(self, period: int = PERIOD) -> None:
        self.level = Level.EASY
        self.share = 0.0
        """Part of a tick that the work takes, averaged."""
        self._period = period
        self._late: list[int] = []
        self._now = self._calm_since = 0

    def observe(self, busy: int, missed: int) -> Level:
        """The work of a beat took `busy` ns, and `missed` beats before it did not come in time; the level now."""
        self._now += 1
        self.share += (min(busy / self._period, 2.0) - self.share) / MEMORY
        self._late = [tick for tick in self._late if tick > self._now - CALM]
        if missed:
            self._late.append(self._now)
        self._step()
        return self.level

    def _step(self) -> None:
        """The only place where the level changes; one step at a time downwards."""
        wanted = Level.SAVING if len(self._late) >= LATE else Level.EASY
        for level, share in ENTER.items():
            if self.share >= share:
                wanted = max(wanted, level)
        if wanted > self.level:
            self.level = wanted
            self._calm_since = self._now
        elif self.level and (self.share >= LEAVE[self.level] or (self._late and self.level is Level.SAVING)):
            self._calm_since = self._now
        elif self.level and self._now - self._calm_since >= CALM:
            self.level = Level(self.level - 1)
            self._calm_since = self._now
