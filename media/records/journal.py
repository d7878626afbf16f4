"""What one session hands over to be written down; nothing of it waits for a disk."""

from collections import deque
from dataclasses import dataclass
from time import time_ns

from media.api.options import Model
from media.records.cdr import CallFacts
from media.records.dump import Content, Unparsed

BACKLOG = 16 << 20
"""Characters of all sessions of a worker that may wait for the disk; what comes beyond is dropped."""
SHARE = 4 << 20
"""Of it, those of one session."""
OVERHEAD = 200
"""What a line takes beside its text, in characters."""

Line = tuple[int, int, Content]
"""Size in characters; ms since the epoch; content."""


@dataclass(slots=True)
class Backlog:
    """What waits for the disk, counted without a lock: each number is changed by one thread only."""

    taken: int = 0
    """By the thread of the sessions, as `dropped`."""
    given_back: int = 0
    """By the writer."""
    dropped: int = 0
    """Lines that found no room."""


class Journal:
    """One session's. `take` is the writer's, all else belongs to the thread of the sessions."""

    def __init__(self, session: str, backlog: Backlog, *, dump: bool) -> None:
        self.session = session
        self.dump = dump
        """Whether commands and events are kept."""
        self.closed = False
        self.facts: CallFacts | None = None
        self._lines: deque[Line] = deque()
        self._backlog = backlog
        self._taken = self._given_back = 0

    def event(self, text: str) -> None:
        """An event was sent: its JSON text."""
        if self.dump:
            self._add(len(text) + OVERHEAD, text)

    def command(self, command: Model, size: int) -> None:
        """A command came in, as text of `size` characters. Its secrets are masked when it is written."""
        if self.dump:
            self._add(size + OVERHEAD, command)

    def unparsed(self, length: int, reason: str) -> None:
        """Text of `length` came in that is no command, for `reason`."""
        if self.dump:
            self._add(len(reason) + OVERHEAD, Unparsed(length, reason))

    def close(self, facts: CallFacts | None = None) -> None:
        """The session is over; with `facts` there was a call, which gets a record. They change no more."""
        self.facts = facts
        self.closed = True

    def _add(self, size: int, content: Content) -> None:
        backlog = self._backlog
        if (
            backlog.taken - backlog.given_back > BACKLOG
            or self._taken - self._given_back > SHARE
            or self.closed
        ):
            backlog.dropped += 1
            return
        backlog.taken += size
        self._taken += size
        self._lines.append((size, time_ns() // 1_000_000, content))

    def __len__(self) -> int:
        """Lines that wait."""
        return len(self._lines)

    def take(self) -> Line:
        """The oldest line that waits; its room is free again."""
        line = self._lines.popleft()
        self._given_back += line[0]
        self._backlog.given_back += line[0]
        return line
