"""How well the streams arrive: reception statistics of all slots (RFC 3550 appendix A)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from media.engine.arrays import Ints, Mask
from media.engine.jitter import MAX_DROPOUT, MAX_MISORDER
from media.engine.rtp import sequence_ahead, timestamp_ahead

Floats = npt.NDArray[np.float64]

STEP = 1_000_000_000
"""Nanoseconds. A transit time that differs by more from the last is a step of one of the clocks, not jitter."""
_GAIN = 1 / 16
"""Of the jitter's filter (RFC 3550 section 6.4.1)."""
_SECOND = 1_000_000_000
_MILLISECOND = 1_000_000
_NOBODY = -1
_LONG_AGO = -(1 << 62)
"""More than a step before any packet: the first of a source has none to be compared with."""
_MOST_LOST, _LEAST_LOST = 0x7FFFFF, -0x800000


@dataclass(frozen=True, slots=True)
class Quality:
    """How one call sounds, from its beginning to now."""

    jitter_ms: float
    """Interarrival jitter of late (RFC 3550 section 6.4.1)."""
    max_jitter_ms: float
    loss_fraction: float
    """Share of the peer's packets that could not be played: lost, or too late; 0..1."""
    rtt_ms: float | None
    """To the peer and back, from its last report; None while there is none."""
    mos: float | None
    """Estimate of the conversational quality, 1..4.5 (see `mos`); None when nothing was received."""
    peer_loss_fraction: float | None
    """Share of our packets that the peer missed, from its last report, 0..1; None while there is none."""


class Blocks(NamedTuple):
    """What reports say of the streams received, each an int64 array (n,)."""

    ssrc: Ints
    fraction: Ints
    """Packets lost since the last report, in 256ths of those expected."""
    lost: Ints
    """Packets lost in all, 24 bits with a sign: duplicates count as received."""
    highest: Ints
    """Extended highest sequence number."""
    jitter: Ints
    """In units of the stream's clock."""


class Reception:
    """Sequence numbers and transit times of the packets that each slot received.

    Statistics of a source begin anew when the SSRC changes or the numbering jumps. ``ssrc`` int64
    (capacity,) of the source, -1 for none; ``first`` and ``last`` int64 (capacity,) times of arrival in
    nanoseconds since the epoch, of all sources of the slot, 0 for none.
    """

    def __init__(self, capacity: int) -> None:
        self.ssrc = np.full(capacity, _NOBODY, np.int64)
        self.first, self.last = (np.full(capacity, 0, np.int64) for _ in range(2))
        self._base, self._high, self._received = (np.full(capacity, 0, np.int64) for _ in range(3))
        self._expected_prior, self._received_prior = (np.full(capacity, 0, np.int64) for _ in range(2))
        self._timestamp, self._arrival = (np.full(capacity, 0, np.int64) for _ in range(2))
        self._unit = np.full(capacity, _SECOND / 8000, np.float64)
        self._jitter, self._max_jitter = (np.full(capacity, 0.0) for _ in range(2))

    def connect(self, slot: int, clock_rate: int) -> None:
        """Timestamps of `slot` count at `clock_rate` (Hz) from now on."""
        self._unit[slot] = _SECOND / clock_rate
        self._arrival[slot] = _LONG_AGO

    def reset(self, slot: int) -> None:
        """Forget what `slot` received."""
        self.ssrc[slot] = _NOBODY
        self.first[slot] = self.last[slot] = 0
        self._jitter[slot] = self._max_jitter[slot] = 0.0

    def update(
        self, slots: Ints, ssrc: Ints, sequence: Ints, timestamp: Ints, arrival: Ints, audio: Mask
    ) -> None:
        """Take one packet for each of `slots` (all different) that belongs to the stream of its slot.

        `arrival` in nanoseconds since the epoch. Where not `audio` the packet is a telephone event, whose
        timestamp is that of the event's beginning: it has a part in the numbering, none in the jitter.
        """
        high = self._high[slots]
        ahead = sequence_ahead(sequence, high)
        follows = (self.ssrc[slots] == ssrc) & (ahead > -MAX_MISORDER) & (ahead < MAX_DROPOUT)
        if not follows.all():
            new = ~follows
            self._begin(slots[new], ssrc[new], sequence[new], arrival[new])
            high[new] = sequence[new]
            ahead[new] = 0
        self._high[slots] = high + np.maximum(ahead, 0)
        self._received[slots] += 1
        self.last[slots] = arrival
        if not audio.all():
            slots, timestamp, arrival = slots[audio], timestamp[audio], arrival[audio]
        self._time(slots, timestamp, arrival)

    def _begin(self, slots: Ints, ssrc: Ints, sequence: Ints, arrival: Ints) -> None:
        """Follow a new source, or one that numbers anew (RFC 3550 appendix A.1, init_seq)."""
        self.ssrc[slots] = ssrc
        self._base[slots] = sequence
        self._received[slots] = self._expected_prior[slots] = self._received_prior[slots] = 0
        self._jitter[slots] = 0.0
        self._arrival[slots] = _LONG_AGO
        self.first[slots] = np.where(self.first[slots] == 0, arrival, self.first[slots])

    def _time(self, slots: Ints, timestamp: Ints, arrival: Ints) -> None:
        """Jitter (RFC 3550 appendix A.8), kept in nanoseconds."""
        jitter = self._jitter[slots]
        sent = timestamp_ahead(timestamp, self._timestamp[slots]) * self._unit[slots]
        change = np.abs(arrival - self._arrival[slots] - sent)
        jitter += (np.where(change < STEP, change, jitter) - jitter) * _GAIN
        self._jitter[slots] = jitter
        self._max_jitter[slots] = np.maximum(self._max_jitter[slots], jitter)
        self._timestamp[slots] = timestamp
        self._arrival[slots] = arrival

    def heard(self, slots: Ints) -> Mask:
        """Which slots received something since their last report."""
        answer: Mask = (self.ssrc[slots] != _NOBODY) & (self._received[slots] != self._received_prior[slots])
        return answer

    def report(self, slots: Ints) -> Blocks:
        """What is to be reported of `slots` (all different, all `heard`); begins the next interval."""
        expected, received = self._high[slots] - self._base[slots] + 1, self._received[slots]
        due = expected - self._expected_prior[slots]
        missed = due - (received - self._received_prior[slots])
        self._expected_prior[slots], self._received_prior[slots] = expected, received
        return Blocks(
            ssrc=self.ssrc[slots],
            fraction=np.clip((missed << 8) // np.maximum(due, 1), 0, 255),
            lost=np.clip(expected - received, _LEAST_LOST, _MOST_LOST),
            highest=self._high[slots] & 0xFFFFFFFF,
            jitter=(self._jitter[slots] / self._unit[slots]).astype(np.int64),
        )

    def jitter_ms(self, slot: int) -> tuple[float, float]:
        """Milliseconds: the jitter now, and the most there was since the slot was reset."""
        return self._jitter[slot].item() / _MILLISECOND, self._max_jitter[slot].item() / _MILLISECOND
