"""From frames to the socket: encodes, writes RTP headers, sends."""

import secrets

import numpy as np

from media.engine import g711, rtp
from media.engine.arrays import FRAME, Ints, Pcm
from media.engine.sockets import Batch
from media.engine.stats import Counter, Counters
from media.engine.stream import Peer

_PACKET = rtp.HEADER + FRAME


class Transmitter:
    """One packet of 20 ms per sending slot and tick.

    Row n of the batch is the packet of slot n, kept from tick to tick: address, SSRC and type stand
    there. While a slot is on hold its timestamp runs on and its sequence number stands; the first packet
    of the call and the first after a hold carry the marker bit (RFC 3551 section 4.1).
    """

    def __init__(self, capacity: int, counters: Counters) -> None:
        self._counters = counters
        self._batch = Batch(capacity, _PACKET)
        self._batch.length[:] = _PACKET
        self._alaw = np.full(capacity, fill_value=False)
        self._sends = np.full(capacity, fill_value=False)
        self._connected = np.full(capacity, fill_value=False)
        self._word, self._sequence, self._timestamp = (np.full(capacity, 0, np.int64) for _ in range(3))
        self._marker = np.full(capacity, 0, np.int64)
        self._code = np.full((capacity, FRAME), 0, np.uint8)
        self._running = np.flatnonzero(self._connected)
        self.slots: Ints = np.flatnonzero(self._sends)
        """The slots that send, ascending."""

    def connect(self, slot: int, peer: Peer) -> None:
        """Send to `peer` from now on; the numbering goes on when the slot was connected before."""
        if not self._connected[slot]:
            self._batch.words[slot, 2] = secrets.randbits(32)
            self._sequence[slot], self._timestamp[slot] = secrets.randbits(16), secrets.randbits(32)
            self._connected[slot] = True
        if peer.sends and not self._sends[slot]:
            self._marker[slot] = rtp.MARKER
        self._batch.port[slot], self._batch.address[slot] = peer.port, peer.address
        self._word[slot] = rtp.first_word(peer.payload_type)
        self._alaw[slot], self._sends[slot] = peer.alaw, peer.sends
        self._select()

    def disconnect(self, slot: int) -> None:
        """Send no more."""
        self._connected[slot] = self._sends[slot] = False
        self._select()

    def ssrc(self, slot: int) -> int:
        """The SSRC of the packets that `slot` sends."""
        return int(self._batch.words[slot, 2])

    def _select(self) -> None:
        self._running = np.flatnonzero(self._connected)
        self.slots = np.flatnonzero(self._sends)
        self._batch.select(self.slots)

    def run(self, descriptor: int, pcm: Pcm) -> None:
        """Send int16 (n, FRAME), the frames of `slots` in order."""
        slots = self.slots
        code = g711.encode(pcm, self._alaw[slots], self._code[: len(slots)])
        data, words = self._batch.data, self._batch.words
        data[slots, rtp.HEADER :] = code
        words[slots, 0] = self._word[slots] | self._marker[slots] | self._sequence[slots]
        words[slots, 1] = self._timestamp[slots]
        self._marker[slots] = 0
        self._sequence[slots] = self._sequence[slots] + 1 & 0xFFFF
        self._timestamp[self._running] = self._timestamp[self._running] + FRAME & 0xFFFFFFFF
        unsent = self._batch.send(descriptor)
        self._counters.add(Counter.SENT, slots)
        if unsent:
            self._counters.add(Counter.SENT, slots[unsent], -1)
            self._counters.add(Counter.UNSENT, slots[unsent])
