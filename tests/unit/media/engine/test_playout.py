"""Playing segments: every sample once, in order, in full frames; against a model in plain Python."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.errors import MediaError
from media.engine.arrays import FRAME, Pcm
from media.engine.playout import Playout, Stopped
from media.engine.reports import Event, SegmentEnded, SegmentStarted
from media.engine.rings import RING
from media.engine.segment import Segment, State

SLOT = 1
SLOTS = np.array([SLOT])


def sound(length: int, start: int = 1) -> Pcm:
    """Samples that are never zero and tell where they belong."""
    return (np.arange(start, start + length) % 30000 + 1).astype(np.int16)


def segment(length: int = 0, start: int = 1, *, closed: bool = True) -> Segment:
    made = Segment()
    made.append(sound(length, start))
    if closed:
        made.close()
    return made


class Bench:
    """A playout of which one slot is run."""

    def __init__(self) -> None:
        self.playout = Playout(3)
        self.events: list[Event] = []

    def enqueue(self, *segments: Segment) -> None:
        for each in segments:
            self.playout.enqueue(SLOT, each)

    def tick(self) -> list[int]:
        self.events = []
        frame: list[int] = self.playout.run(SLOTS, self.events)[0].tolist()
        return frame

    def ticks(self, count: int) -> list[int]:
        return [sample for _ in range(count) for sample in self.tick()]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_silence_when_nothing_plays(bench: Bench) -> None:
    assert bench.tick() == [0] * FRAME
    assert bench.events == []


def test_a_segment_leaves_frame_by_frame_and_reports_its_ends(bench: Bench) -> None:
    played = segment(3 * FRAME)
    bench.enqueue(played)
    log = []
    out = []
    for _ in range(4):
        out += bench.tick()
        log.append((played.played, list(bench.events)))
    assert out == [*sound(3 * FRAME).tolist(), *[0] * FRAME]
    assert log == [
        (FRAME, [SegmentStarted(SLOT, played)]),
        (2 * FRAME, []),
        (3 * FRAME, [SegmentEnded(SLOT, played)]),
        (3 * FRAME, []),
    ]
    assert played.state is State.ENDED


def test_the_last_frame_is_padded_and_its_tick_ends_the_segment(bench: Bench) -> None:
    played = segment(FRAME + 1)
    bench.enqueue(played)
    assert bench.ticks(2) == [*sound(FRAME + 1).tolist(), *[0] * (FRAME - 1)]
    assert bench.events == [SegmentEnded(SLOT, played)]
    assert played.played == FRAME + 1


def test_segments_follow_each_other_without_a_gap(bench: Bench) -> None:
    first, second, third = segment(250), segment(10, 1000), segment(300, 2000)
    bench.enqueue(first, second, third)
    out = bench.ticks(4)
    samples = [*sound(250).tolist(), *sound(10, 1000).tolist(), *sound(300, 2000).tolist()]
    assert out == [*samples, *[0] * (4 * FRAME - 560)]


def test_a_short_segment_starts_and_ends_in_one_tick(bench: Bench) -> None:
    first, second = segment(10), segment(20)
    bench.enqueue(first, second)
    bench.tick()
    assert bench.events == [
        SegmentStarted(SLOT, first),
        SegmentEnded(SLOT, first),
        SegmentStarted(SLOT, second),
        SegmentEnded(SLOT, second),
    ]


def test_an_empty_segment_has_its_turn(bench: Bench) -> None:
    first, empty = segment(FRAME), segment(0)
    bench.enqueue(first, empty)
    bench.tick()
    assert bench.events[1:] == [
        SegmentEnded(SLOT, first),
        SegmentStarted(SLOT, empty),
        SegmentEnded(SLOT, empty),
    ]
    bench.enqueue(alone := segment(0))
    assert bench.tick() == [0] * FRAME
    assert bench.events == [SegmentStarted(SLOT, alone), SegmentEnded(SLOT, alone)]


def test_a_starving_segment_is_silent_and_stands_still_until_a_frame_is_full(bench: Bench) -> None:
    growing = segment(FRAME + 100, closed=False)
    bench.enqueue(growing)
    bench.tick()
    assert bench.tick() == [0] * FRAME
    assert (growing.played, growing.total, bench.events) == (FRAME, FRAME + 100, [])
    growing.append(sound(59, FRAME + 101))
    assert bench.tick() == [0] * FRAME
    growing.append(sound(1, FRAME + 160))
    assert bench.tick() == sound(FRAME, FRAME + 1).tolist()
    assert bench.events == []


def test_closing_a_starving_segment_sends_its_rest(bench: Bench) -> None:
    growing = segment(100, closed=False)
    bench.enqueue(growing)
    assert bench.tick() == [0] * FRAME
    assert bench.events == []
    growing.close()
    assert bench.tick() == [*sound(100).tolist(), *[0] * 60]
    assert bench.events == [SegmentStarted(SLOT, growing), SegmentEnded(SLOT, growing)]


def test_closing_a_segment_that_was_sent_ends_it_in_the_next_tick(bench: Bench) -> None:
    growing = segment(FRAME, closed=False)
    bench.enqueue(growing)
    bench.ticks(2)
    growing.close()
    assert bench.tick() == [0] * FRAME
    assert bench.events == [SegmentEnded(SLOT, growing)]


def test_the_rest_of_a_closed_segment_does_not_wait_for_the_next_to_grow(bench: Bench) -> None:
    first, second = segment(100), segment(30, 1000, closed=False)
    bench.enqueue(first, second)
    assert bench.tick() == [*sound(100).tolist(), *[0] * 60]
    assert bench.events[-1] == SegmentEnded(SLOT, first)
    second.append(sound(130, 1030))
    assert bench.tick() == sound(FRAME, 1000).tolist()


@pytest.mark.parametrize("length", [RING - 1, RING, RING + 1, 3 * RING + 77])
@pytest.mark.parametrize("chunk", [97, FRAME, 5000, 10**6])
def test_long_segments_go_round_the_ring(bench: Bench, length: int, chunk: int) -> None:
    long = Segment()
    for start in range(0, length, chunk):
        long.append(sound(min(chunk, length - start), start + 1))
    long.close()
    bench.enqueue(segment(33), long)
    count = -(-(length + 33) // FRAME)
    out = bench.ticks(count)
    assert bench.events == [SegmentEnded(SLOT, long)]
    assert out[: length + 33] == [*sound(33).tolist(), *sound(length).tolist()]
    assert not any(out[length + 33 :])


def test_stop_silences_the_next_tick_and_tells_what_was_heard(bench: Bench) -> None:
    first, second, third = segment(1000), segment(1000), segment(10 * RING)
    bench.enqueue(first, second, third)
    bench.ticks(2)
    stopped = bench.playout.stop(SLOT)
    assert stopped == Stopped(first, 2 * FRAME, (second, third))
    assert [each.state for each in (first, second, third)] == [State.STOPPED] * 3
    assert [each.played for each in (first, second, third)] == [2 * FRAME, 0, 0]
    assert bench.tick() == [0] * FRAME
    assert bench.events == []
    assert bench.playout.stop(SLOT) is None


def test_stop_before_the_first_tick_has_no_current_segment(bench: Bench) -> None:
    waiting = segment(1000)
    bench.enqueue(waiting)
    assert bench.playout.stop(SLOT) == Stopped(None, 0, (waiting,))


def test_stop_in_the_middle_of_two_joined_segments(bench: Bench) -> None:
    first, second = segment(200), segment(1000, 5000)
    bench.enqueue(first, second)
    bench.ticks(2)
    assert bench.playout.stop(SLOT) == Stopped(second, 2 * FRAME - 200, ())
    bench.enqueue(following := segment(FRAME, 9000))
    assert bench.tick() == sound(FRAME, 9000).tolist()
    assert bench.events == [SegmentStarted(SLOT, following), SegmentEnded(SLOT, following)]


def test_a_stopped_segment_takes_nothing_more_and_plays_no_more(bench: Bench) -> None:
    growing = segment(FRAME, closed=False)
    bench.enqueue(growing)
    bench.tick()
    bench.playout.stop(SLOT)
    growing.append(sound(FRAME))
    growing.close()
    assert growing.total == FRAME
    assert bench.tick() == [0] * FRAME
    with pytest.raises(MediaError, match="played once and this one is stopped"):
        bench.enqueue(growing)


def test_calls_that_began_together_are_not_refilled_together() -> None:
    playout = Playout(64)
    slots = np.arange(64)
    for slot in slots.tolist():
        playout.enqueue(slot, segment(6 * RING))
    refills: list[int] = []
    refill = playout._refill

    def counted(slot: int) -> None:
        refills[-1] += 1
        refill(slot)

    playout._refill = counted  # type: ignore[method-assign]
    for number in range(3 * RING // FRAME):
        refills.append(0)
        out = playout.run(slots, [])
        assert (out == sound(FRAME, 1 + number * FRAME)).all()
    assert refills[0] == 64
    assert max(refills[1:]) <= 64 // 8 + 1


def test_ends_are_reported_in_time_however_many_calls_end_together() -> None:
    playout = Playout(64)
    slots = np.arange(64)
    growing = [segment(2 * FRAME, closed=False) for _ in range(64)]
    for slot, each in enumerate(growing):
        playout.enqueue(slot, each)
    playout.run(slots, [])
    for each in growing:
        each.close()
    events: list[Event] = []
    playout.run(slots, events)
    assert events == [SegmentEnded(slot, each) for slot, each in enumerate(growing)]


@dataclass
class Model:
    """What should happen, sample by sample."""

    queue: list[Segment] = field(default_factory=list)
    rest: dict[int, list[int]] = field(default_factory=dict)
    started: set[int] = field(default_factory=set)

    def tick(self) -> tuple[list[int], list[Event]]:
        available, closed = 0, 0
        for each in self.queue:
            available += len(self.rest[id(each)])
            if not each.closed:
                break
            closed = available
        count = FRAME if available >= FRAME else closed
        frame: list[int] = []
        events: list[Event] = []
        while self.queue:
            first = self.queue[0]
            samples = self.rest[id(first)]
            taken = samples[: count - len(frame)]
            del samples[: len(taken)]
            frame += taken
            over = first.closed and not samples
            if id(first) not in self.started and (taken or over):
                self.started.add(id(first))
                events.append(SegmentStarted(SLOT, first))
            if not over:
                break
            events.append(SegmentEnded(SLOT, self.queue.pop(0)))
        return [*frame, *[0] * (FRAME - len(frame))], events


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enqueue"), st.integers(0, 400)),
        st.tuples(st.just("append"), st.one_of(st.integers(0, 500), st.integers(0, 2 * RING))),
        st.tuples(st.just("close"), st.integers(0, 5)),
        st.tuples(st.just("tick"), st.integers(1, 60)),
        st.tuples(st.just("stop"), st.just(0)),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(STEPS)
def test_whatever_is_done_the_wire_is_as_the_model_says(steps: list[tuple[str, int]]) -> None:
    bench, model = Bench(), Model()
    made: list[Segment] = []
    position = 1
    for what, value in [*steps, ("close", 0), ("close", 1), ("tick", 5)]:
        growing = [each for each in made if not each.closed]
        if what == "enqueue":
            new = segment(value, position, closed=False)
            made.append(new)
            model.queue.append(new)
            model.rest[id(new)] = sound(value, position).tolist()
            position += value
            bench.enqueue(new)
        elif what == "append" and growing:
            chunk = sound(value, position)
            position += value
            growing[-1].append(chunk)
            model.rest[id(growing[-1])] += chunk.tolist()
        elif what == "close" and growing:
            growing[value % len(growing)].close()
        elif what == "tick":
            for _ in range(value):
                frame, events = model.tick()
                assert bench.tick() == frame
                assert bench.events == events
        elif what == "stop":
            stopped = bench.playout.stop(SLOT)
            left = model.queue
            current = left[0] if left and id(left[0]) in model.started else None
            assert (stopped is None) is (not left)
            if stopped is not None:
                assert stopped.segment is current
                assert stopped.dropped == tuple(left[1:] if current else left)
            model.queue = []
        for each in made:
            if each.state is not State.STOPPED:
                assert each.played == each.total - len(model.rest[id(each)])
