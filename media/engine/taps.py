"""What goes on in calls, for those who listen in: speech recognition, recordings, subscribers.

The samples of each side of a slot stand in a ring of a second (half a second at 16 kHz) that the tick writes whole
frames into, waiting for nobody. Each reader has a cursor and a turn every few ticks, at which it gets what came since,
at 8 or 16 kHz. The turns of the slots differ, so each tick has as much to deliver as any other; all that is due in a
tick is gathered and converted together.
"""

import logging
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import numpy as np

from control.errors import MediaError
from media.engine import halfband
from media.engine.arrays import Bytes, Ints, Mask, Pcm

log = logging.getLogger(__name__)

RING = 8000
"""Samples of a ring: whole frames of either rate. The oldest frame is never delivered: filters need it."""
RATES = (halfband.NARROW, halfband.WIDE)


class Side(IntEnum):
    """What of a call is heard."""

    HEARD = 0
    """The caller, as soon as possible: in order, without the pauses in which nothing came."""
    EVEN = 1
    """The caller, one frame a tick."""
    SENT = 2
    """What the caller is sent, one frame a tick: sample by sample in step with EVEN."""


STEREO = (Side.EVEN, Side.SENT)


class Sink(Protocol):
    """Who takes the samples, in the thread of the engine: it returns at once."""

    def __call__(self, pcm: Pcm, lost: int) -> None:
        """`pcm` int16 (samples,), or (samples, 2) of two sides, after `lost` samples that are gone.

        It is a part of a larger array: who keeps it for long copies it.
        """


@dataclass(frozen=True, slots=True)
class Kind:
    """What readers have in common whose samples are gathered together."""

    sides: tuple[Side, ...]
    source: int
    rate: int


@dataclass(slots=True, eq=False)
class Reader:
    """One subscription; a handle to end it. The fields are the taps' own."""

    slot: int
    kind: Kind
    every: int
    sink: Sink
    cursor: int
    """Frames, as counted by the ring."""
    begun: bool = False
    """Whether anything was delivered."""
    open: bool = True


@dataclass(slots=True, eq=False)
class _Batch:
    """Readers of one kind that have their turn in the same tick."""

    kind: Kind
    readers: tuple[Reader, ...] = ()
    slots: Ints = field(default_factory=lambda: np.full(0, 0, np.int64))


class Taps:
    """The rings and the readers of `capacity` slots of either band.

    In each tick first `hear` and `step` for each band, then `deliver`; the rest between ticks or in a sink.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # Lazily paged: calls that nobody listens to need none of it.
        self._rings: Pcm = np.zeros((len(Side), capacity, RING), np.int16)
        self._frames = {rate: self._rings.reshape(-1).view(f"V{rate // 25}") for rate in RATES}
        self._rate = np.full(capacity, 0, np.int64)
        self._written = np.full((2, capacity), 0, np.int64)  # frames heard, steps
        self._readers: list[list[Reader]] = [[] for _ in range(capacity)]
        self._listeners = np.full((2, capacity), 0, np.int64)
        self._tapped: list[dict[int, Ints]] = []
        self._select()
        self._turns: dict[int, list[dict[Kind, _Batch]]] = {}
        self._failed: list[int] = []
        self._tick = 0

    def begin(self, slot: int, rate: int) -> None:
        """`slot` has `rate` Hz (8000 or 16000) until it is released."""
        self._rate[slot] = rate

    def release(self, slot: int) -> None:
        """Deliver what is left to the readers of `slot`, and end them."""
        for reader in list(self._readers[slot]):
            self.unsubscribe(reader)
        self._rate[slot] = 0

    def subscribe(self, slot: int, sides: tuple[Side, ...], *, every: int, rate: int, sink: Sink) -> Reader:
        """Hand what comes from now on to `sink`, at `rate` Hz, every so many ticks.

        Two sides come interleaved and are in step: EVEN and SENT. Raises MediaError for any other two, for
        other rates than 8000 and 16000, and for a slot without a stream.
        """
        source = int(self._rate[slot])
        if source not in RATES:
            raise MediaError(f"slot {slot} cannot be tapped: connect it first")
        if rate not in RATES or every < 1:
            raise MediaError(f"a tap at {rate} Hz every {every} ticks: 8000 or 16000 Hz, every 1 or more")
        if not sides or len(sides) > 1 and Side.HEARD in sides:
            raise MediaError("a tap has one side, or EVEN and SENT: HEARD is in step with no other")
        flow = _flow(sides)
        if not self._listeners[flow, slot]:
            self._clear(flow, slot)
        self._listeners[flow, slot] += 1
        reader = Reader(slot, Kind(sides, source, rate), every, sink, int(self._written[flow, slot]))
        self._readers[slot].append(reader)
        turns = self._turns.setdefault(every, [{} for _ in range(every)])
        batch = turns[slot % every].setdefault(reader.kind, _Batch(reader.kind))
        self._enlist(batch, (*batch.readers, reader))
        self._select()
        return reader

    def unsubscribe(self, reader: Reader) -> None:
        """Deliver what is left, and no more after that; nothing when `reader` was ended before."""
        if not reader.open:
            return
        self._end(reader)
        self._rest(reader)

    def stepped(self, slot: int) -> bool:
        """Whether anybody reads EVEN or SENT of `slot`."""
        return bool(self._listeners[1, slot])

    def _end(self, reader: Reader) -> None:
        reader.open = False
        self._readers[reader.slot].remove(reader)
        self._listeners[_flow(reader.kind.sides), reader.slot] -= 1
        batches = self._turns[reader.every][reader.slot % reader.every]
        batch = batches[reader.kind]
        self._enlist(batch, tuple(other for other in batch.readers if other is not reader))
        if not batch.readers:
            del batches[reader.kind]
            if not any(self._turns[reader.every]):
                del self._turns[reader.every]
        self._select()

    def _enlist(self, batch: _Batch, readers: tuple[Reader, ...]) -> None:
        batch.readers = readers
        batch.slots = np.array([reader.slot for reader in readers], np.int64)

    def _select(self) -> None:
        """Find out which slots are tapped."""
        self._tapped = [
            {rate: np.flatnonzero(listeners * (self._rate == rate)) for rate in RATES}
            for listeners in self._listeners
        ]

    def _clear(self, flow: int, slot: int) -> None:
        """Forget what an earlier reader, or an earlier call, left in the rings."""
        for side in STEREO if flow else (Side.HEARD,):
            self._rings[side, slot] = 0
        self._written[flow, slot] = 0

    # From the tick

    def hear(self, rate: int, frames: Pcm, fresh: Bytes) -> None:
        """Take what the decoder brought: int16 (capacity, 2, frame), of which the first ``fresh[slot]`` are new."""
        slots = self._tapped[0][rate]
        for number in range(frames.shape[1]):
            slots = slots[fresh[slots] > number]
            if not len(slots):
                return
            self._write(Side.HEARD, rate, slots, frames[slots, number])
            self._written[0, slots] += 1

    def step(self, rate: int, even_slots: Ints, even: Pcm, sent_slots: Ints, sent: Pcm) -> None:
        """Take the frames of EVEN and SENT, int16 (n, frame), of ascending slots; silence where there is none."""
        slots = self._tapped[1][rate]
        if not len(slots):
            return
        self._write(Side.EVEN, rate, slots, _of(slots, even_slots, even))
        self._write(Side.SENT, rate, slots, _of(slots, sent_slots, sent))
        self._written[1, slots] += 1

    def _write(self, side: Side, rate: int, slots: Ints, frames: Pcm) -> None:
        cells = RING * 50 // rate
        at = self._written[_flow((side,)), slots] % cells + (slots + side * self._capacity) * cells
        self._frames[rate][at] = frames.view(f"V{rate // 25}")[:, 0]

    def deliver(self) -> list[int]:
        """Give the readers whose turn it is what came since their last one; the slots of those that failed."""
        self._failed = []
        for every, turns in list(self._turns.items()):
            for batch in list(turns[self._tick % every].values()):
                self._serve(batch)
        self._tick += 1
        return self._failed

    def _serve(self, batch: _Batch) -> None:
        readers, slots, kind = batch.readers, batch.slots, batch.kind
        cursor = np.fromiter((reader.cursor for reader in readers), np.int64, len(readers))
        lost, count = self._waiting(kind, slots, cursor)
        cursor += lost
        for size in set(count.tolist()) - {0}:
            which = np.flatnonzero(count == size)
            pcm = self._gather(kind, slots[which], cursor[which], size)
            for number, row in zip(which.tolist(), pcm, strict=True):
                if readers[number].open:
                    readers[number].cursor = int(cursor[number]) + size
                    self._hand(readers[number], row, int(lost[number]))

    def _waiting(self, kind: Kind, slots: Ints, cursor: Ints) -> tuple[Ints, Ints]:
        """Frames that came since `cursor`: those that are gone, those that are here."""
        waiting = self._written[_flow(kind.sides), slots] - cursor
        here = np.minimum(waiting, RING * 50 // kind.source - 1)
        return waiting - here, here

    def _gather(self, kind: Kind, slots: Ints, start: Ints, count: int, tail: int = 0) -> Pcm:
        """`count` frames of each of `slots` from `start` on, int16 (n, samples) or (n, samples, sides).

        `tail` samples of silence follow at the rate of the source.
        """
        cells, frame = RING * 50 // kind.source, kind.source // 50
        converts = kind.rate != kind.source
        numbers = (start[:, None] + np.arange(-converts, count)) % cells
        skip = frame - halfband.HISTORY[kind.source] if converts else 0
        sides = []
        for side in kind.sides:
            at = numbers + ((slots + side * self._capacity) * cells)[:, None]
            pcm = self._frames[kind.source][at].view(np.int16).reshape(len(slots), -1)[:, skip:]
            if tail:
                pcm = np.pad(pcm, ((0, 0), (0, tail)))
            sides.append(halfband.convert(pcm, kind.source) if converts else pcm)
        return sides[0] if len(sides) == 1 else np.stack(sides, axis=-1)

    def _rest(self, reader: Reader) -> None:
        """Deliver what is left, and what a filter still holds back."""
        kind, slots = reader.kind, np.array([reader.slot])
        lost, count = self._waiting(kind, slots, np.array([reader.cursor]))
        size = int(count[0])
        tail = halfband.BLOCK * kind.source // halfband.NARROW if kind.rate != kind.source else 0
        if size or reader.begun and tail:
            row = self._gather(kind, slots, reader.cursor + lost, size, tail)[0]
            self._hand(reader, row, int(lost[0]))

    def _hand(self, reader: Reader, pcm: Pcm, lost: int) -> None:
        """Give `pcm` after `lost` frames that are gone; a sink that fails gets no more."""
        reader.begun = True
        try:
            reader.sink(pcm, lost * (reader.kind.rate // 50))
        except Exception:
            # A fault in one reader must cost neither the tick nor other readers anything.
            log.exception("slot %d: a tap failed and is closed", reader.slot)
            if reader.open:
                self._end(reader)
                self._failed.append(reader.slot)


def _flow(sides: tuple[Side, ...]) -> int:
    """0: frames as they come; 1: one a tick."""
    return int(sides[0] is not Side.HEARD)


def _of(slots: Ints, source: Ints, frames: Pcm) -> Pcm:
    """The rows of `slots` in `frames`, whose rows belong to `source`; silence where there is none."""
    if len(slots) == len(source) and (slots == source).all():
        return frames
    place = np.searchsorted(source, slots)
    there: Mask = place < len(source)
    there[there] = source[place[there]] == slots[there]
    found = np.zeros((len(slots), frames.shape[1]), np.int16)
    found[there] = frames[place[there]]
    return found
