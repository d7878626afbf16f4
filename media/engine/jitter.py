"""The jitter buffers of all slots: packets in by sequence number, out in order.

One ring of CELLS packets per slot. The buffer waits only for what is missing: a packet in order leaves at
once, so the delay is what the network's reordering needs and no more. Readers that need an even flow of
samples must bring their own clock.
"""

from typing import NamedTuple

import numpy as np

from media.engine.arrays import FRAME, Bytes, Ints, Mask
from media.engine.rtp import sequence_ahead
from media.engine.stats import Counter, Counters

CELLS = 32
"""Packets that fit in the ring of a slot; a power of two."""
PAYLOAD = 480
"""Bytes of a cell: 60 ms of G.711."""
MAX_DROPOUT, MAX_MISORDER = 3000, 100
"""Steps of the sequence number that are still the same stream (RFC 3550 appendix A.1)."""
REORDER = 2
"""A missing packet is lost when the stream is this many packets past it."""
PATIENCE = 3
"""... or when it was waited for during this many ticks while a later one was here."""
_RING = CELLS - 1
_NEVER = 1 << 62
_NO_CANDIDATE = -1


class Taken(NamedTuple):
    """The next packet of each slot that had one, n in all."""

    slots: Ints
    lost: Mask
    """Where nothing arrived: the payload is meaningless, the size is that of the packet before."""
    size: Ints
    """Bytes of payload."""
    payload: Bytes
    """(n, PAYLOAD), valid until the next `take`."""


class Jitter:
    """Reorders, finds duplicates and losses, follows jumps and changes of the source.

    A packet of another SSRC, or far off in sequence, is put on probation: the stream goes on from the
    next packet if that one continues it (RFC 3550 appendix A.1), so strays do no harm. While the old
    source still sends, it keeps the slot.
    """

    def __init__(self, capacity: int, counters: Counters) -> None:
        self._counters = counters
        self._started = np.full(capacity, fill_value=False)
        self._ssrc = np.full(capacity, 0, np.int64)
        self._next = np.full(capacity, 0, np.int64)
        self._high = np.full(capacity, -1, np.int64)
        self._candidate = np.full(capacity, _NO_CANDIDATE, np.int64)
        self._since = np.full(capacity, _NEVER, np.int64)
        self._last_size = np.full(capacity, FRAME, np.int64)
        self._tag = np.full((capacity, CELLS), -1, np.int64)
        self._size = np.full(capacity * CELLS, 0, np.int64)
        self._cells = np.full((capacity * CELLS, PAYLOAD), 0, np.uint8)
        self._out = np.full((capacity, PAYLOAD), 0, np.uint8)

    def reset(self, slot: int) -> None:
        """Forget the source and all packets of `slot`; those that wait are skipped, those before them lost."""
        here = np.array([slot])
        skipped = self._waiting(here)
        self._counters.add(Counter.SKIPPED, here, skipped)
        self._counters.add(Counter.LOST, here, self._high[here] + 1 - self._next[here] - skipped)
        self._started[slot] = False
        self._next[slot], self._high[slot] = 0, -1
        self._tag[slot] = -1
        self._candidate[slot] = _NO_CANDIDATE
        self._since[slot], self._last_size[slot] = _NEVER, FRAME

    def foreign(self, slots: Ints, ssrc: Ints) -> Mask:
        """Which packets come from another source than the one that the slot follows now."""
        answer: Mask = self._started[slots] & (self._ssrc[slots] != ssrc)
        return answer

    def insert(self, slots: Ints, sequence: Ints, ssrc: Ints, size: Ints, payload: Bytes) -> Mask:
        """Take in one packet for each of `slots`, which are all different; return which belong to the streams.

        `payload` uint8 (n, width <= PAYLOAD) holds `size` bytes each; a size of 0 marks a packet that
        takes part in the numbering but carries no audio (a telephone event).
        """
        ahead = sequence_ahead(sequence, self._next[slots])
        fits: Mask = self._started[slots] & (self._ssrc[slots] == ssrc)
        fits &= (ahead > -MAX_MISORDER) & (ahead < MAX_DROPOUT)
        keep = fits
        if not fits.all():
            keep = self._judge(slots, sequence, ssrc, fits)
            slots, sequence, size, payload = slots[keep], sequence[keep], size[keep], payload[keep]
            ahead = sequence_ahead(sequence, self._next[slots])
        self._candidate[slots] = _NO_CANDIDATE
        extended = self._next[slots] + ahead
        cell = slots * CELLS + (extended & _RING)
        duplicate = self._tag.reshape(-1)[cell] == extended
        good = (ahead >= 0) & ~duplicate
        if not good.all():
            self._counters.add(Counter.DUPLICATES, slots[duplicate])
            self._counters.add(Counter.LATE, slots[~good & ~duplicate])
            slots, size, payload = slots[good], size[good], payload[good]
            extended, cell, ahead = extended[good], cell[good], ahead[good]
        far = ahead >= CELLS
        if far.any():
            self._jump(slots[far], extended[far])
        self._tag.reshape(-1)[cell] = extended
        self._size[cell] = size
        self._cells[cell, : payload.shape[1]] = payload
        self._high[slots] = np.maximum(self._high[slots], extended)
        self._counters.add(Counter.RECEIVED, slots)
        return keep

    def _judge(self, slots: Ints, sequence: Ints, ssrc: Ints, fits: Mask) -> Mask:
        """Start streams that are new or were on probation; return which packets belong to a stream."""
        confirmed = ~fits & (self._candidate[slots] == (ssrc << 16 | sequence))
        begins = confirmed | ~self._started[slots]
        strange = ~(fits | begins)
        self._candidate[slots[strange]] = (ssrc << 16 | sequence + 1 & 0xFFFF)[strange]
        self._counters.add(Counter.BAD, slots[strange])
        self._counters.add(Counter.SKIPPED, slots[confirmed], self._waiting(slots[confirmed]))
        begun = slots[begins]
        self._started[begun] = True
        self._ssrc[begun] = ssrc[begins]
        self._next[begun] = sequence[begins] + 0x10000
        self._high[begun] = self._next[begun] - 1
        self._tag[begun] = -1
        self._since[begun] = _NEVER
        keep: Mask = fits | begins
        return keep

    def _jump(self, slots: Ints, extended: Ints) -> None:
        """Go on at `extended`, beyond the ring: an outage is over, filling it up would only add delay."""
        skipped = self._waiting(slots)
        self._counters.add(Counter.SKIPPED, slots, skipped)
        self._counters.add(Counter.LOST, slots, extended - self._next[slots] - skipped)
        self._next[slots] = extended
        self._since[slots] = _NEVER

    def _waiting(self, slots: Ints) -> Ints:
        """Number of packets in the ring that were not taken yet."""
        waiting: Ints = np.count_nonzero(self._tag[slots] >= self._next[slots, None], axis=1)
        return waiting

    def take(self, slots: Ints, now: int) -> Taken:
        """Take the next packet, or the loss of it, from each of `slots` (all different) that has one.

        `now` is the number of the tick.
        """
        while True:
            expected = self._next[slots]
            cell = slots * CELLS + (expected & _RING)
            here = self._tag.reshape(-1)[cell] == expected
            size = self._size[cell]
            silent = here & (size == 0)
            if not silent.any():
                break
            self._next[slots[silent]] += 1
        lost = ~here
        if not here.all():
            lost = self._give_up(slots, expected, here, now)
            found = here | lost
            slots, cell, lost, size = slots[found], cell[found], lost[found], size[found]
            size = np.where(lost, self._last_size[slots], size)
            self._counters.add(Counter.LOST, slots[lost])
        self._since[slots] = _NEVER
        self._last_size[slots] = size
        self._next[slots] += 1
        payload = np.take(self._cells, cell, axis=0, out=self._out[: len(slots)], mode="clip")
        return Taken(slots, lost, size, payload)

    def following(self, slot: int) -> Bytes | None:
        """Payload of the packet that `take` would give next for `slot`; None when it is not here."""
        expected = self._next[slot]
        cell = slot * CELLS + (expected & _RING)
        size = self._size[cell] if self._tag.reshape(-1)[cell] == expected else 0
        return self._cells[cell, :size] if size else None

    def _give_up(self, slots: Ints, expected: Ints, here: Mask, now: int) -> Mask:
        """Which missing packets are lost."""
        behind = self._high[slots] - expected
        missing = ~here & (behind >= 1)
        since = np.where(missing, np.minimum(self._since[slots], now), _NEVER)
        self._since[slots] = since
        return missing & ((behind >= REORDER) | (now - since >= PATIENCE))

    def backlog(self, slots: Ints) -> Mask:
        """Which slots hold packets still: two came in one tick, or something is missing before them."""
        return self._high[slots] >= self._next[slots]
