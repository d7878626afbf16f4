"""From frames to the socket: encodes, writes RTP headers, sends."""

import secrets
from collections.abc import Mapping

import numpy as np

from media.engine import g711, rtp
from media.engine.arrays import FRAME, TICKS, Ints, Mask, Pcm
from media.engine.codecs.base import Coder
from media.engine.events import EVENT_SIZE
from media.engine.keys import Sending
from media.engine.sockets import Batch
from media.engine.stats import Counter, Counters
from media.engine.stream import FORMATS, Codec, Peer

PAYLOAD = 640
"""Most bytes of a payload sent: 20 ms of anything that we send."""


class Transmitter:
    """One packet of 20 ms per sending slot and tick.

    Row n of the batch is the packet of slot n, kept from tick to tick: address, SSRC and type stand
    there. While a slot is on hold its timestamp runs on and its sequence number stands; the first packet
    of the call and the first after a hold carry the marker bit (RFC 3551 section 4.1). Slots with a coder
    have it encode; the others are G.711.
    """

    def __init__(self, capacity: int, counters: Counters, coders: Mapping[int, Coder]) -> None:
        self._counters, self._coders = counters, coders
        self._batch = Batch(capacity, rtp.HEADER + PAYLOAD)
        self._alaw = np.full(capacity, fill_value=False)
        self._takes_events = np.full(capacity, fill_value=False)
        self.sends: Mask = np.full(capacity, fill_value=False)
        self._connected = np.full(capacity, fill_value=False)
        self._event_word = np.full(capacity, 0, np.int64)
        self._word, self._sequence, self._timestamp = (np.full(capacity, 0, np.int64) for _ in range(3))
        self._marker, self._step = (np.full(capacity, 0, np.int64) for _ in range(2))
        self.packets, self.octets = (np.full(capacity, 0, np.int64) for _ in range(2))
        """Packets, and bytes of payload, sent under the present SSRC, per slot (RFC 3550 section 6.4.1)."""
        self._code = np.full((capacity, FRAME), 0, np.uint8)
        self._running = np.flatnonzero(self._connected)
        self.slots: Ints = np.flatnonzero(self.sends)
        """The slots that send, ascending."""

    def connect(self, slot: int, peer: Peer) -> None:
        """Send to `peer` from now on; the numbering goes on when the slot was connected before."""
        if not self._connected[slot]:
            self._connected[slot] = True
            self.renew(slot)
        if peer.sends and not self.sends[slot]:
            self._marker[slot] = rtp.MARKER
        self._batch.port[slot], self._batch.address[slot] = peer.port, peer.address
        self._batch.length[slot] = rtp.HEADER + FRAME
        self._word[slot] = rtp.first_word(peer.payload_type)
        self._takes_events[slot] = peer.event_payload_type >= 0
        self._event_word[slot] = rtp.first_word(max(peer.event_payload_type, 0))
        self._step[slot] = FORMATS[peer.codec].clock // TICKS
        self._alaw[slot], self.sends[slot] = peer.codec is Codec.PCMA, peer.sends
        self._select()

    def renew(self, slot: int) -> None:
        """Begin a new stream: another SSRC, sequence number and timestamp, by chance (RFC 3550 section 5.1)."""
        self._batch.words[slot, 2] = secrets.randbits(32)
        self._sequence[slot], self._timestamp[slot] = secrets.randbits(16), secrets.randbits(32)
        self._marker[slot] = rtp.MARKER
        self.packets[slot] = self.octets[slot] = 0

    def disconnect(self, slot: int) -> None:
        """Send no more."""
        self._connected[slot] = self.sends[slot] = self._takes_events[slot] = False
        self._select()

    def takes_events(self, slot: int) -> bool:
        """Whether telephone events were negotiated for `slot`."""
        return bool(self._takes_events[slot])

    @property
    def timestamp(self) -> Ints:
        """RTP timestamp of the next packet, per slot."""
        return self._timestamp

    def ssrc(self, slot: int) -> int:
        """The SSRC of the packets that `slot` sends."""
        return int(self._batch.words[slot, 2])

    def _select(self) -> None:
        self._running = np.flatnonzero(self._connected)
        self.slots = np.flatnonzero(self.sends)
        self._batch.select(self.slots)

    def encode(self, slots: Ints, pcm: Pcm, coded: Mask) -> None:
        """Write the payloads of `slots`, some of those that send: int16 (n, samples of a frame).

        `coded` (capacity,) tells which slots have coders.
        """
        each = coded[slots]
        if each.any():
            self._encode_each(slots[each], pcm[each])
            if each.all():
                return
            slots, pcm = slots[~each], pcm[~each]
            if not len(slots):
                return
        code = g711.encode(pcm, self._alaw[slots], self._code[: len(slots)])
        self._batch.data[slots, rtp.HEADER : rtp.HEADER + FRAME] = code

    def _encode_each(self, slots: Ints, pcm: Pcm) -> None:
        for slot, frame in zip(slots.tolist(), pcm, strict=True):
            payload = self._coders[slot].encode(frame)
            end = rtp.HEADER + len(payload)
            self._batch.data[slot, rtp.HEADER : end] = np.frombuffer(payload, np.uint8)
            self._batch.length[slot] = end

    def send(self, descriptor: int, keys: Sending) -> None:
        """Send a packet for each of `slots`: the payloads that were written, or the telephone events in `keys`."""
        slots, words = self.slots, self._batch.words
        words[slots, 0] = self._word[slots] | self._marker[slots] | self._sequence[slots]
        words[slots, 1] = self._timestamp[slots]
        if len(keys.rows):
            self._write_events(slots[keys.rows], keys)
        self._marker[slots] = 0
        self._sequence[slots] = self._sequence[slots] + 1 & 0xFFFF
        running = self._running
        self._timestamp[running] = self._timestamp[running] + self._step[running] & 0xFFFFFFFF
        unsent = self._batch.send(descriptor)
        self._count(slots, 1)
        if unsent:
            self._count(slots[unsent], -1)
            self._counters.add(Counter.UNSENT, slots[unsent])
        if len(keys.rows):
            self._batch.length[slots[keys.rows]] = rtp.HEADER + FRAME

    def _count(self, slots: Ints, sign: int) -> None:
        """Packets of `slots` were sent, or (-1) were not."""
        self._counters.add(Counter.SENT, slots, sign)
        self.packets[slots] += sign
        self.octets[slots] += sign * (self._batch.length[slots].astype(np.int64) - rtp.HEADER)

    def _write_events(self, slots: Ints, keys: Sending) -> None:
        """The packets of telephone events stand in the numbering of the audio (RFC 4733 section 2.1)."""
        batch = self._batch
        marker = np.where(keys.marker, rtp.MARKER, 0)
        batch.words[slots, 0] = self._event_word[slots] | marker | self._sequence[slots]
        batch.words[slots, 1] = keys.timestamp
        batch.data[slots, rtp.HEADER : rtp.HEADER + EVENT_SIZE] = keys.payload
        batch.length[slots] = rtp.HEADER + EVENT_SIZE
