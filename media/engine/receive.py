"""From the socket to jitter buffers and key presses."""

from collections.abc import Iterator

import numpy as np

from media.engine import rtp
from media.engine.arrays import BLOCK, FRAME, Bytes, Ints, Mask
from media.engine.events import DIGITS, EVENT_SIZE, KeyPresses
from media.engine.jitter import CELLS, PAYLOAD, Jitter
from media.engine.quality import Reception
from media.engine.reports import DigitPressed, Event, MediaStarted
from media.engine.sockets import Batch
from media.engine.stats import Counter, Counters
from media.engine.stream import FORMATS, Peer

STRIDE = 640
"""Bytes kept of a datagram; with a full payload that leaves 160 for header, CSRCs and extension."""
WAVES = CELLS
"""Packets of one slot that one tick takes; more come only from a broken sender."""
COMFORT_NOISE = 13
"""Payload type of comfort noise (RFC 3389): in the numbering of the audio, but none."""
_NOBODY = -1


class Receiver:
    """Finds the slot of each packet by its source port (and checks the address), sorts audio and events."""

    def __init__(self, capacity: int, jitter: Jitter, counters: Counters, reception: Reception) -> None:
        self._jitter, self._counters, self._reception = jitter, counters, reception
        self._presses = KeyPresses(capacity)
        self._batch = Batch(max(2 * capacity, 256), STRIDE, stamped=True)
        self._slot_of_port = np.full(65536, _NOBODY, np.int64)
        self._address = np.full(capacity, 0, np.uint32)
        self._port = np.full(capacity, 0, np.int64)
        self._payload_type, self._event_type = (np.full(capacity, -1, np.int64) for _ in range(2))
        self._granule = np.full(capacity, BLOCK, np.int64)
        self._listening, self._heard = (np.full(capacity, fill_value=False) for _ in range(2))
        self._first = np.full(capacity, 0, np.int64)
        self._rows = np.full((capacity, STRIDE), 0, np.uint8)
        # Every PAYLOAD bytes of the batch as one item: a payload behind any header is one index.
        data = self._batch.data
        self._anywhere = np.ndarray((data.size - PAYLOAD + 1,), f"V{PAYLOAD}", data.data, strides=(1,))
        self.strangers = 0
        """Packets from sources that belong to no slot."""

    def owner(self, port: int) -> int | None:
        """The slot that listens to source port `port`."""
        slot = int(self._slot_of_port[port])
        return None if slot == _NOBODY else slot

    def connect(self, slot: int, peer: Peer) -> None:
        """Listen to `peer` on `slot`, and to nobody else."""
        self._unmap(slot)
        self._slot_of_port[peer.source_port] = slot
        self._port[slot], self._address[slot] = peer.source_port, peer.source_address
        self._payload_type[slot], self._event_type[slot] = peer.payload_type, peer.event_payload_type
        self._granule[slot] = FORMATS[peer.codec].granule
        self._listening[slot] = peer.receives

    def disconnect(self, slot: int) -> None:
        """Listen no more; packets still under way are strangers from now on."""
        self._unmap(slot)
        self._listening[slot] = self._heard[slot] = False
        self._presses.reset(slot)

    def _unmap(self, slot: int) -> None:
        if self._port[slot]:
            self._slot_of_port[self._port[slot]] = _NOBODY
            self._port[slot] = 0

    def run(self, descriptor: int, events: list[Event]) -> None:
        """Take in what waits in the socket (at most the batch); append first media and digits to `events`."""
        count = self._batch.receive(descriptor)
        if not count:
            return
        batch = self._batch
        arrival = batch.arrival(count)
        slots = self._slot_of_port[batch.port[:count]]
        known = (slots != _NOBODY) & (batch.address[:count] == self._address[slots])
        header = rtp.parse(batch.words[:count], batch.data[:count], batch.size[:count])
        rows = np.arange(count)
        if not known.all():
            rows = np.flatnonzero(known)
            self.strangers += count - len(rows)
            slots = slots[rows]
            header = header.select(rows)
        is_event = (header.payload_type == self._event_type[slots]) & (header.size >= EVENT_SIZE)
        is_noise = (header.payload_type == COMFORT_NOISE) & (self._payload_type[slots] != COMFORT_NOISE)
        good = self._sort_out(slots, header, rows, is_event | is_noise)
        if not good.all():
            slots, rows, is_event, is_noise = slots[good], rows[good], is_event[good], is_noise[good]
            header = header.select(good)
        if is_noise.any():
            header = header._replace(size=np.where(is_noise, 0, header.size))
        for wave in self._waves(slots):
            row = rows[wave]
            self._take(slots[wave], header.select(wave), row, arrival[row], is_event[wave], events)

    def _sort_out(self, slots: Ints, header: rtp.Headers, rows: Ints, is_other: Mask) -> Mask:
        """Count what cannot or should not be used; return the rest."""
        size = header.size
        audio = (header.payload_type == self._payload_type[slots]) & (size % self._granule[slots] == 0)
        audio &= (size > 0) & (size <= PAYLOAD)
        whole = (self._batch.flags[rows] == 0) & (header.offset <= STRIDE - PAYLOAD)
        sound = header.valid & whole & (audio | is_other)
        good: Mask = sound & ~header.rtcp & self._listening[slots]
        if not good.all():
            ignored = header.rtcp | sound & ~self._listening[slots]
            self._counters.add_repeated(Counter.IGNORED, slots[ignored])
            self._counters.add_repeated(Counter.BAD, slots[~good & ~ignored])
        return good

    def _waves(self, slots: Ints) -> Iterator[Ints]:
        """Split packets, in order of arrival, into groups in which each slot occurs once."""
        rest = np.arange(len(slots))
        for _ in range(WAVES):
            if not len(rest):
                return
            here = slots[rest]
            self._first[here[::-1]] = rest[::-1]
            is_first = self._first[here] == rest
            yield rest[is_first]
            rest = rest[~is_first]
        self._counters.add_repeated(Counter.BAD, slots[rest])

    def _take(
        self,
        slots: Ints,
        header: rtp.Headers,
        rows: Ints,
        arrival: Ints,
        is_event: Mask,
        events: list[Event],
    ) -> None:
        """Take one packet for each of `slots`; `arrival` in ns."""
        unheard = ~self._heard[slots]
        if unheard.any():
            self._heard[slots] = True
            events.extend(MediaStarted(slot) for slot in slots[unheard].tolist())
        size, payload = header.size, self._payload(rows, header)
        if is_event.any():
            self._press(slots[is_event], header, is_event, payload[is_event], events)
            # Events have a part in the numbering of the audio, unless they are a source of their own.
            size = np.where(is_event, 0, size)
            keep = ~(is_event & self._jitter.foreign(slots, header.ssrc))
            slots, size, payload = slots[keep], size[keep], payload[keep]
            header, arrival = header.select(keep), arrival[keep]
        ours = self._jitter.insert(slots, header.sequence, header.ssrc, size, payload)
        audio = size > 0
        if not ours.all():
            slots, arrival, audio, header = slots[ours], arrival[ours], audio[ours], header.select(ours)
        self._reception.update(slots, header.ssrc, header.sequence, header.timestamp, arrival, audio)

    def _payload(self, rows: Ints, header: rtp.Headers) -> Bytes:
        """Copy payloads together: uint8 (n, FRAME or PAYLOAD)."""
        copy = np.take(self._batch.data, rows, axis=0, out=self._rows[: len(rows)], mode="clip")
        width = FRAME if (header.size <= FRAME).all() else PAYLOAD
        payload = copy[:, rtp.HEADER : rtp.HEADER + width]
        moved = header.offset != rtp.HEADER
        if moved.any():
            items = self._anywhere[rows[moved] * STRIDE + header.offset[moved]]
            payload[moved] = items.view(np.uint8).reshape(-1, PAYLOAD)[:, :width]
        return payload

    def _press(
        self, slots: Ints, header: rtp.Headers, which: Mask, payload: Bytes, events: list[Event]
    ) -> None:
        """Report the keys that these event packets begin."""
        code = payload[:, 0].astype(np.int64)
        pressed = self._presses.receive(
            slots,
            header.ssrc[which],
            header.sequence[which],
            header.timestamp[which],
            code,
            payload[:, 1].astype(np.int64),
        )
        for slot, key in zip(slots[pressed].tolist(), code[pressed].tolist(), strict=True):
            events.append(DigitPressed(slot, DIGITS[key]))
