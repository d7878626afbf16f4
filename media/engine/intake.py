"""Received audio of slots that get it as a stream of bytes: any sizes in, frames of 20 ms out.

What comes is decoded into a ring of 640 ms, and a tick takes one frame of each slot that has a whole one. What does
not fit into the ring waits undecoded, so that one long message costs no tick more than its share.

Audio may come faster than it is heard: a file sent at once is heard at its own pace. Audio that comes at its own pace
should be heard at once, though, and what was late once would be late for good. The rule: where for one second as much
came as was heard (give or take 200 ms), and all that time at least n frames were left waiting, those n are nothing
but delay, and the next ticks take two frames until n more were taken.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from media.engine.arrays import TICKS, Bytes, Ints, Mask, Pcm
from media.engine.reports import Event, MediaStarted
from media.engine.stats import Counter, Counters

CELLS = 32
"""Frames of a ring."""
WINDOW = TICKS
"""Ticks over which delay is told from speed."""
UNEVEN = 10
"""Frames by which arrival and hearing may differ in a window."""
_TURNS = 10
"""Rings are filled up from what waits every so many ticks: they last three times as long at one frame a tick."""
_FULL = 1 << 62

Decode = Callable[[bytes], Pcm]
"""Any number of whole units as int16 samples."""


@dataclass(slots=True)
class _Line:
    """The stream of one slot. `unit` bytes stand for `samples` samples; at most `most` samples wait.

    Without `decode` the bytes are the samples.
    """

    decode: Decode | None
    unit: int
    samples: int
    most: int
    ring: Pcm
    frame: int
    """Samples."""
    received: int = 0
    """Samples, heard, waiting, or still to be decoded."""
    tail: int = 0
    """Samples decoded."""
    broken: bytes = b""
    """The beginning of a unit whose end has not come yet."""
    rest: bytearray = field(default_factory=bytearray)
    """Whole units that the ring has no room for."""
    raw: memoryview = field(init=False)
    """The bytes of the ring."""
    whole: int = field(init=False)
    """Bytes of a frame."""
    spare: int = field(init=False)
    """Samples that may wait where one more frame is to find room."""

    def __post_init__(self) -> None:
        self.raw = self.ring.data.cast("B")
        self.whole = self.frame // self.samples * self.unit
        self.spare = min(len(self.ring), self.most) - self.frame

    def put(self, data: bytes, size: int) -> None:
        """Decode `data`, `size` samples, to the tail of the ring; they do not go beyond its end."""
        at = self.tail % len(self.ring)
        if self.decode is None:
            self.raw[2 * at : 2 * (at + size)] = data
        else:
            self.ring[at : at + size] = self.decode(data)
        self.tail += size


class Intake:
    """The streams of the slots of one band, `rate` samples per second."""

    def __init__(self, capacity: int, rate: int, counters: Counters) -> None:
        self.rate, self._frame = rate, rate // TICKS
        self._counters = counters
        self._lines: dict[int, _Line] = {}
        self._waiting: list[dict[int, _Line]] = [{} for _ in range(_TURNS)]
        """Lines with a rest, by the turn in which their rings are filled up."""
        self.slots: Ints = np.full(0, 0, np.int64)
        """Those that have a stream, ascending."""
        # Lazily paged: other calls need none of it.
        self._rings: Pcm = np.zeros((capacity, CELLS * self._frame), np.int16)
        self._rows: Pcm = self._rings.reshape(-1, self._frame)
        self._head, self._tail = (np.full(capacity, 0, np.int64) for _ in range(2))
        # Samples heard and decoded.
        self._heard = np.full(capacity, fill_value=False)
        self._least, self._before, self._late = (np.full(capacity, 0, np.int64) for _ in range(3))
        # Of the present window: the fewest frames left waiting, samples received before it; frames to catch up.
        self._catching = False
        """Whether some slot has something to catch up."""
        self._tick = 0

    def open(self, slot: int, decode: Decode | None, unit: int, samples: int, most: int) -> None:
        """Begin a stream whose `unit` bytes stand for `samples` samples; at most `most` ms of it wait."""
        line = _Line(decode, unit, samples, most * self.rate // 1000, self._rings[slot], self._frame)
        self._lines[slot] = line
        self._head[slot] = self._tail[slot] = self._before[slot] = self._late[slot] = 0
        self._least[slot] = 0
        self._heard[slot] = False
        self._select()

    def close(self, slot: int) -> None:
        """End the stream of `slot`; nothing when it has none."""
        if self._lines.pop(slot, None) is not None:
            self._waiting[slot % _TURNS].pop(slot, None)
            self._select()

    def _select(self) -> None:
        self.slots = np.array(sorted(self._lines), np.int64)

    def feed(self, slot: int, data: bytes) -> int:
        """Take what came for `slot`, which has a stream; the bytes at its end that there was no room for."""
        line = self._lines[slot]
        even = len(data) == line.whole and not line.broken and not line.rest and not line.tail % line.frame
        if even and line.tail - int(self._head[slot]) <= line.spare:
            # A frame, as audio mostly comes: nothing has to be cut.
            line.received += line.frame
            line.put(data, line.frame)
            self._tail[slot] = line.tail
            return 0
        if line.broken:
            data = line.broken + data
            line.broken = b""
        if line.unit > 1 and len(data) % line.unit:
            whole = len(data) // line.unit * line.unit
            data, line.broken = data[:whole], data[whole:]
        waits = line.tail - int(self._head[slot])
        units = len(data) // line.unit
        room = (line.most - waits) // line.samples - len(line.rest) // line.unit
        dropped = max(0, units - max(0, room)) * line.unit
        if dropped:
            data = data[: len(data) - dropped]
            units -= dropped // line.unit
        samples = units * line.samples
        line.received += samples
        if not line.rest and samples <= len(line.ring) - waits:
            self._write(slot, line, data)
        else:
            line.rest += data
            self._fill(slot, line)
        return dropped

    def _fill(self, slot: int, line: _Line) -> None:
        """Decode as much of the rest as there is room for."""
        room = len(line.ring) - line.tail + int(self._head[slot])
        size = room // line.samples * line.unit
        self._write(slot, line, bytes(line.rest[:size]))
        del line.rest[:size]
        waiting = self._waiting[slot % _TURNS]
        if line.rest:
            waiting[slot] = line
        else:
            waiting.pop(slot, None)

    def _write(self, slot: int, line: _Line, data: bytes) -> None:
        """Decode `data`, for which there is room."""
        size = len(data) // line.unit * line.samples
        first = min(size, len(line.ring) - line.tail % len(line.ring)) // line.samples * line.samples
        border = first // line.samples * line.unit
        if first:
            line.put(data[:border], first)
        if first < size:
            line.put(data[border:], size - first)
        self._tail[slot] = line.tail

    def run(self, frames: Pcm, fresh: Bytes, events: list[Event]) -> None:
        """Bring the frames of this tick: int16 (capacity, 2, frame), of which ``fresh[slot]`` are new."""
        slots = self.slots
        if not len(slots):
            return
        waiting = list(self._waiting[self._tick % _TURNS].items())
        for slot, line in waiting:
            self._fill(slot, line)
        ready = self._tail[slots] - self._head[slots] >= self._frame
        fresh[slots] = ready
        self._take(slots if ready.all() else slots[ready], frames[:, 0], events)
        if self._catching:
            self._catch_up(slots, frames[:, 1], fresh, events)
        left = (self._tail[slots] - self._head[slots]) // self._frame
        self._least[slots] = np.minimum(self._least[slots], left)
        self._tick += 1
        if not self._tick % WINDOW:
            self._judge(slots)

    def _take(self, slots: Ints, frames: Pcm, events: list[Event]) -> None:
        """One frame of each of `slots`, which all have one, to its row of `frames`."""
        head = self._head[slots]
        frames[slots] = self._rows[slots * CELLS + head // self._frame % CELLS]
        self._head[slots] = head + self._frame
        self._counters.add(Counter.RECEIVED, slots)
        unheard = ~self._heard[slots]
        if unheard.any():
            self._heard[slots] = True
            events.extend(MediaStarted(slot) for slot in slots[unheard].tolist())

    def _catch_up(self, slots: Ints, frames: Pcm, fresh: Bytes, events: list[Event]) -> None:
        """A second frame for those that are late."""
        late: Mask = (self._late[slots] > 0) & (self._tail[slots] - self._head[slots] >= self._frame)
        some = slots[late]
        self._take(some, frames, events)
        fresh[some] += 1
        self._late[some] -= 1
        self._catching = bool(self._late[slots].any())

    def _judge(self, slots: Ints) -> None:
        """Find out, at the end of a window, what is delay; begin the next."""
        lines = self._lines
        received = np.fromiter((lines[slot].received for slot in slots.tolist()), np.int64, len(slots))
        came = received - self._before[slots]
        even = np.abs(came - WINDOW * self._frame) <= UNEVEN * self._frame
        self._late[slots] = np.where(even, self._least[slots], 0)
        self._catching = bool(self._late[slots].any())
        self._before[slots] = received
        self._least[slots] = _FULL
