"""Bytes in, frames out: sizes, bounds, and the difference between a fast sender and a late one."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.engine.arrays import Pcm
from media.engine.intake import CELLS, WINDOW, Intake
from media.engine.reports import Event, MediaStarted
from media.engine.stats import Counters

RATE, FRAME = 8000, 160
MOST_MS = 10_000


def linear(data: bytes) -> Pcm:
    return np.frombuffer(data, "<i2")


def twofold(data: bytes) -> Pcm:
    """A byte that stands for two samples."""
    return np.repeat(np.frombuffer(data, np.uint8), 2).astype(np.int16)


@dataclass
class Bench:
    """An intake and what came out of it."""

    capacity: int = 3
    counters: Counters = field(init=False)
    events: list[Event] = field(default_factory=list)
    heard: dict[int, list[Pcm]] = field(default_factory=dict)
    counts: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.counters = Counters(self.capacity)
        self.intake = Intake(self.capacity, RATE, self.counters)
        self._frames = np.zeros((self.capacity, 2, FRAME), np.int16)
        self._fresh = np.zeros(self.capacity, np.uint8)

    def open(
        self,
        slot: int,
        most: int = MOST_MS,
        decode: Callable[[bytes], Pcm] = linear,
        unit: int = 2,
        samples: int = 1,
    ) -> None:
        self.intake.open(slot, decode, unit, samples, most)
        self.heard[slot], self.counts[slot] = [], []

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.intake.run(self._frames, self._fresh, self.events)
            for slot in self.heard:
                number = int(self._fresh[slot])
                self.counts[slot].append(number)
                self.heard[slot].append(self._frames[slot, :number].reshape(-1).copy())

    def sound(self, slot: int) -> Pcm:
        return np.concatenate(self.heard[slot])


def ramp(samples: int, start: int = 0) -> bytes:
    return (np.arange(start, start + samples) % 30000).astype("<i2").tobytes()


def test_a_frame_a_tick_and_only_whole_ones() -> None:
    bench = Bench()
    bench.open(1)
    bench.tick()
    assert bench.intake.feed(1, ramp(2 * FRAME + 100)) == 0
    bench.tick(4)
    assert bench.counts[1] == [0, 1, 1, 0, 0]
    bench.intake.feed(1, ramp(60, 2 * FRAME + 100))
    bench.tick()
    assert bench.sound(1).tolist() == list(range(3 * FRAME))
    assert bench.events == [MediaStarted(1)]
    assert bench.counters.of(1).received == 3


def test_samples_may_be_torn_apart() -> None:
    bench, data = Bench(), ramp(FRAME)
    bench.open(0)
    for byte in data[:-1]:
        assert bench.intake.feed(0, bytes([byte])) == 0
    bench.tick()
    assert bench.counts[0] == [0]
    bench.intake.feed(0, b"")
    bench.intake.feed(0, data[-1:])
    bench.tick()
    assert bench.sound(0).tolist() == list(range(FRAME))


@pytest.mark.parametrize("pieces", [1, 7, 160])
def test_a_file_sent_at_once_is_heard_at_its_own_pace(pieces: int) -> None:
    bench, data = Bench(), ramp(250 * FRAME)
    bench.open(2)
    size = len(data) // pieces + 1
    for at in range(0, len(data), size):
        assert bench.intake.feed(2, data[at : at + size]) == 0
    bench.tick(255)
    assert bench.counts[2] == [1] * 250 + [0] * 5
    assert bench.sound(2).tobytes() == data


def test_a_sound_in_large_pieces_is_heard_at_its_own_pace() -> None:
    bench, data = Bench(), ramp(300 * FRAME)
    bench.open(0)
    for second in range(3):
        bench.intake.feed(0, data[second * 32000 : (second + 1) * 32000])
        bench.tick(100)
    assert bench.counts[0] == [1] * 300
    assert bench.sound(0).tobytes() == data


def test_what_was_late_once_is_not_late_for_good() -> None:
    bench = Bench()
    bench.open(0)
    sent = 0

    def steadily(ticks: int) -> None:
        nonlocal sent
        for _ in range(ticks):
            bench.intake.feed(0, ramp(FRAME, sent))
            sent += FRAME
            bench.tick()

    steadily(60)
    bench.tick(15)
    bench.intake.feed(0, ramp(15 * FRAME, sent))
    sent += 15 * FRAME
    bench.counts[0].clear()
    steadily(2 * WINDOW + 40)
    assert bench.counts[0].count(2) == 15
    assert bench.counts[0].count(0) == 0
    assert bench.counts[0][-10:] == [1] * 10
    bench.counts[0].clear()
    steadily(3 * WINDOW)  # and no more is caught up
    assert set(bench.counts[0]) == {1}
    assert bench.sound(0).tobytes() == ramp(sent)


def test_a_clock_that_is_fast_is_followed() -> None:
    bench = Bench()
    bench.open(0)
    for tick in range(40 * WINDOW):
        bench.intake.feed(0, ramp(FRAME + (tick % 2)))
        bench.tick()
    fed = sum(FRAME + tick % 2 for tick in range(40 * WINDOW))
    assert fed - len(bench.sound(0)) <= 3 * FRAME


def test_too_much_is_dropped_and_said() -> None:
    bench = Bench()
    bench.open(0, most=1000)
    assert bench.intake.feed(0, ramp(7900)) == 0
    assert bench.intake.feed(0, ramp(300, 7900) + b"\x01") == 400
    assert bench.intake.feed(0, b"\x00") == 2
    bench.tick()
    assert bench.intake.feed(0, ramp(FRAME, 8000)) == 0
    bench.tick(60)
    assert bench.sound(0).tolist() == list(range(8000 + FRAME))


def test_a_short_bound() -> None:
    bench = Bench()
    bench.open(0, most=40)
    assert bench.intake.feed(0, ramp(1000)) == 2 * (1000 - 2 * FRAME)
    bench.tick(4)
    assert bench.counts[0] == [1, 1, 0, 0]


def test_a_byte_may_stand_for_two_samples() -> None:
    bench, data = Bench(), bytes(range(256)) * 40
    bench.open(0, decode=twofold, unit=1, samples=2)
    assert bench.intake.feed(0, data) == 0
    bench.tick(2 * len(data) // FRAME)
    assert bench.sound(0).tolist() == twofold(data).tolist()


def test_the_next_stream_of_a_slot_starts_clean() -> None:
    bench = Bench()
    bench.open(0)
    bench.intake.feed(0, ramp(2 * CELLS * FRAME) + b"\x07")
    bench.tick(3)
    bench.intake.close(0)
    bench.intake.close(0)
    bench.tick(20)
    bench.open(0)
    bench.events.clear()
    bench.tick(20)
    assert set(bench.counts[0]) == {0}
    bench.intake.feed(0, ramp(FRAME))
    bench.tick()
    assert bench.sound(0).tobytes() == ramp(FRAME)
    assert bench.events == [MediaStarted(0)]


Step = tuple[int, int]
"""A slot and bytes to feed; slot -1: a tick."""
STEPS = st.lists(
    st.tuples(st.integers(-1, 2), st.sampled_from([0, 1, 2, 3, 319, 320, 321, 5000, 30_000])),
    max_size=WINDOW - 13,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(0, 12))
def test_like_a_queue_for_each_slot(steps: list[Step], ticks: int) -> None:
    most = 2000
    bench = Bench()
    models = {slot: _Model(most * RATE // 1000 * 2) for slot in range(3)}
    for slot in models:
        bench.open(slot, most)
    for slot, size in [*steps, *[(-1, 0)] * ticks]:
        if slot < 0:
            bench.tick()
            for number, model in models.items():
                assert bench.counts[number][-1] == model.tick()
        else:
            data = models[slot].next(size)
            assert bench.intake.feed(slot, data) == models[slot].feed(data)
    for slot, model in models.items():
        heard = bench.sound(slot).astype("<i2").tobytes() if bench.heard[slot] else b""
        assert heard == bytes(model.heard)


class _Model:
    """One slot, bytes only; runs too short for anything to be caught up."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waits, self._broken, self.heard, self._next = bytearray(), b"", bytearray(), 0

    def next(self, size: int) -> bytes:
        data = bytes((self._next + at) * 7 % 251 for at in range(size))
        self._next += size
        return data

    def feed(self, data: bytes) -> int:
        data = self._broken + data
        whole = len(data) // 2 * 2
        data, self._broken = data[:whole], data[whole:]
        taken = data[: self._most - len(self._waits)]
        self._waits += taken
        return len(data) - len(taken)

    def tick(self) -> int:
        if len(self._waits) < 2 * FRAME:
            return 0
        self.heard += self._waits[: 2 * FRAME]
        del self._waits[: 2 * FRAME]
        return 1
