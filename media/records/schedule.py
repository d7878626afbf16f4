"""When messages are tried, and tried again: a clock is handed in, nothing here waits."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST, LONGEST = 5.0, 3600.0
"""Seconds from a failed try to the next: the first pause, doubled each time up to the longest."""
GIVE_UP = 86_400.0
"""Seconds after which a message is not tried again."""


@dataclass(slots=True, order=True)
class Ticket:
    """One message on its way."""

    due: float
    name: str = field(compare=True)
    give_up_at: float = field(compare=False)
    failures: int = field(default=0, compare=False)


class Schedule:
    """Messages by the time of their next try. All times are in seconds of one monotonic clock.

    A message is waiting, or taken (`take`) until `done` or `failed`. `random` gives numbers in 0..1: pauses
    are cut by up to half, so that messages that failed together do not come back together.
    """

    def __init__(self, random: Callable[[], float], give_up: float = GIVE_UP) -> None:
        self._random, self._give_up = random, give_up
        self._waiting: list[Ticket] = []
        self._names: set[str] = set()

    def __len__(self) -> int:
        """Messages waiting and taken."""
        return len(self._names)

    def add(self, name: str, now: float, age: float = 0.0) -> None:
        """Let `name`, which is `age` seconds old, be tried at once. One that is known already is left alone.

        However old, it is tried once.
        """
        if name not in self._names:
            self._names.add(name)
            heapq.heappush(self._waiting, Ticket(now, name, now - age + self._give_up))

    def next_due(self) -> float | None:
        """When the next one is due, or None when nothing waits."""
        return self._waiting[0].due if self._waiting else None

    def take(self, now: float) -> Ticket | None:
        """The message that has been due for longest, or None when none is due."""
        if self._waiting and self._waiting[0].due <= now:
            return heapq.heappop(self._waiting)
        return None

    def done(self, ticket: Ticket) -> None:
        """A message that was taken is of no concern any more."""
        self._names.discard(ticket.name)

    def failed(self, ticket: Ticket, now: float, after: float | None = None) -> bool:
        """A try failed; whether there is another.

        It comes `after` seconds or later, if the receiver asks for that, but LONGEST is heeded at most.
        """
        ticket.failures += 1
        pause = min(LONGEST, FIRST * 2.0 ** min(ticket.failures - 1, 20)) * (1 - self._random() / 2)
        ticket.due = now + max(pause, min(after or 0.0, LONGEST))
        if ticket.due > ticket.give_up_at:
            self.done(ticket)
            return False
        heapq.heappush(self._waiting, ticket)
        return True
