"""What the peers' reports say: the round trip, and how our streams arrive there."""

from collections.abc import Iterable

import numpy as np

from media.engine.arrays import Ints
from media.engine.rtcp import Block, Echo, Packet, ReceiverReport, SenderReport, compact, ntp_time

UNIT = 65536
"""Times in reports are counted in 65536ths of a second."""
MAX_RTT = 30 * UNIT
"""A longer round trip is an error of the peer's."""
SLACK = UNIT // 100
"""As much less than nothing may a round trip be by rounding and uneven clocks: 10 ms."""
_NONE = -1


class Feedback:
    """The last reports from the peer of every slot.

    ``loss`` float64 (capacity,): share of our packets that the peer missed between its last two reports,
    0..1, NaN for none yet. ``rtt`` int64 (capacity,): round trip in 65536ths of a second, -1 for none yet.
    """

    def __init__(self, capacity: int) -> None:
        self.loss = np.full(capacity, np.nan)
        self.rtt = np.full(capacity, _NONE, np.int64)
        self._source, self._last_sr, self._arrival = (np.full(capacity, _NONE, np.int64) for _ in range(3))

    def reset(self, slot: int) -> None:
        """Forget the peer of `slot`."""
        self.loss[slot], self.rtt[slot], self._source[slot] = np.nan, _NONE, _NONE

    def take(self, slot: int, packets: Iterable[Packet], ours: int, arrival: int) -> None:
        """Take the packets of one datagram; `ours` is our SSRC, `arrival` nanoseconds since the epoch."""
        for packet in packets:
            if isinstance(packet, SenderReport):
                self._source[slot], self._last_sr[slot] = packet.ssrc, compact(packet.ntp)
                self._arrival[slot] = arrival
            if isinstance(packet, SenderReport | ReceiverReport):
                for block in packet.blocks:
                    if block.ssrc == ours:
                        self._judge(slot, block, arrival)

    def _judge(self, slot: int, block: Block, arrival: int) -> None:
        self.loss[slot] = block.fraction / 256
        if not block.last_sr:
            return
        trip = compact(ntp_time(arrival)) - block.last_sr - block.delay
        trip = (trip + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        if -SLACK <= trip <= MAX_RTT:
            self.rtt[slot] = max(trip, 0)

    def echo(self, slots: Ints, sources: Ints, now: int) -> Echo:
        """When the last SR of `sources` (n,), which `slots` report on, was made and how long it is here.

        Both 0 where there was none; `now` is in nanoseconds since the epoch.
        """
        known = self._source[slots] == sources
        here = np.maximum(now - self._arrival[slots], 0)
        delay = np.minimum(here // 1000 * UNIT // 1_000_000, 0xFFFFFFFF)
        return Echo(np.where(known, self._last_sr[slots], 0), np.where(known, delay, 0))
