"""What was counted, per slot and for the whole engine."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from media.engine.arrays import Ints


class Counter(IntEnum):
    """Rows of the table of counters; the names are the fields of `Stats`."""

    RECEIVED = 0
    SENT = 1
    LOST = 2
    LATE = 3
    SKIPPED = 4
    DUPLICATES = 5
    BAD = 6
    IGNORED = 7
    UNSENT = 8


@dataclass(frozen=True, slots=True)
class Stats:
    """RTP packets of one slot since it was allocated, or of all calls since the engine started.

    What arrives counts once, as received, late, a duplicate, bad or ignored.
    """

    received: int
    """Taken into the jitter buffer: audio and telephone events, each once."""
    sent: int
    lost: int
    """Declared lost: later packets were here and this one was not."""
    late: int
    """Came after they were declared lost."""
    skipped: int
    """Received, but not heard: the stream jumped on after an outage, changed its source or codec, or ended."""
    duplicates: int
    bad: int
    """Malformed, of another payload type or duration, too many in one tick, or a lone packet of another
    source."""
    ignored: int
    """RTCP, and packets of a stream whose direction is not to receive."""
    unsent: int
    """Refused by the kernel: socket buffer full, no route."""


class Counters:
    """All counters of all slots: int64 (counters, slots)."""

    def __init__(self, capacity: int) -> None:
        self._table = np.full((len(Counter), capacity), 0, np.int64)
        self._past = np.full(len(Counter), 0, np.int64)

    def add(self, counter: Counter, slots: Ints, amount: Ints | int = 1) -> None:
        """Count for slots that each occur once in `slots`."""
        self._table[counter, slots] += amount

    def add_repeated(self, counter: Counter, slots: Ints) -> None:
        """Count one for each entry of `slots`, which may occur more than once."""
        if len(slots):
            np.add.at(self._table[counter], slots, 1)

    def retire(self, slot: int) -> None:
        """Keep what was counted for `slot` in the totals and start it again at zero."""
        self._past += self._table[:, slot]
        self._table[:, slot] = 0

    def of(self, slot: int) -> Stats:
        """Counters of one slot."""
        return Stats(*self._table[:, slot].tolist())

    def totals(self) -> Stats:
        """Counters of all slots, past calls included."""
        return Stats(*(self._table.sum(axis=1) + self._past).tolist())
