"""Fades, pauses, gain and mute: for several slots against a slow model, byte for byte."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.errors import MediaError
from media.engine.arrays import Pcm
from media.engine.playout import Playout, Stopped
from media.engine.reports import Event, SegmentEnded, SegmentStarted
from media.engine.rings import RING
from media.engine.segment import Segment, State

SLOTS = (0, 2, 3)
RATES = [8000, 16000]
RNG = np.random.default_rng(5)
SOUND = RNG.integers(-32768, 32767, 1 << 16, np.int16, endpoint=True)


def times(sample: int, factor: Any) -> int:
    return max(-32768, min(32767, int(np.rint(np.float32(sample) * np.float32(factor)))))


def cosine(length: int) -> list[float]:
    return [float((1 + np.cos((k + 1) * (np.pi / length))) / 2) for k in range(length)]


@dataclass
class Level:
    now: Any = np.float32(1)
    goal: Any = np.float32(1)

    def apply(self, frame: list[int]) -> list[int]:
        if self.now == self.goal == 1:
            return frame
        steps = [np.float32(k + 1) / np.float32(len(frame)) for k in range(len(frame))]
        moved = [times(x, self.now + (self.goal - self.now) * s) for x, s in zip(frame, steps, strict=True)]
        self.now = self.goal
        return moved


@dataclass
class Model:
    """One slot, sample by sample."""

    slot: int
    frame: int
    ring: int
    queue: list[Segment] = field(default_factory=list)
    rest: dict[int, list[int]] = field(default_factory=dict)
    fading: list[int] = field(default_factory=list)
    started: set[int] = field(default_factory=set)
    pause: str = ""
    gain: Level = field(default_factory=Level)
    switch: Level = field(default_factory=Level)

    def left(self, segment: Segment) -> list[int]:
        return self.rest[id(segment)]

    def ready(self) -> int:
        available = closed = len(self.fading)
        for each in self.queue:
            available += len(self.left(each))
            if not each.closed:
                break
            closed = available
        return min(available, self.ring) if available >= self.frame else closed

    def current(self) -> Segment | None:
        return self.queue[0] if self.queue and id(self.queue[0]) in self.started else None

    def stop(self, fade: int) -> Stopped | None:
        current, silent = self.current(), self.pause in ("frozen", "rise")
        if fade == 0 or silent:
            self.fading = []
        elif current is not None:
            samples = self.left(current)
            fade = min(fade, self.ready(), len(samples))
            self.fading = [times(x, f) for x, f in zip(samples, cosine(fade), strict=False)]
        stopped = None
        if self.queue:
            dropped = tuple(self.queue[1:] if current else self.queue)
            heard = current.total - len(self.left(current)) if current else 0
            stopped = Stopped(current, heard, dropped)
        self.queue, self.pause = [], ""
        return stopped

    def finish(self) -> Stopped | None:
        current = self.current()
        if current is None:
            return None
        dropped, self.queue = tuple(self.queue[1:]), [current]
        return Stopped(current, current.total - len(self.left(current)), dropped)

    def do_pause(self) -> None:
        if self.pause != "frozen":
            self.pause = "fall"

    def do_resume(self) -> None:
        self.pause = {"frozen": "rise", "fall": ""}.get(self.pause, self.pause)

    def tick(self, events: list[Event]) -> list[int]:
        frame = [] if self.pause == "frozen" else self.take(events)
        frame += [0] * (self.frame - len(frame))
        ramp = cosine(self.frame)
        if self.pause == "fall":
            frame, self.pause = [times(x, f) for x, f in zip(frame, ramp, strict=True)], "frozen"
        elif self.pause == "rise":
            frame, self.pause = [times(x, f) for x, f in zip(frame, ramp[::-1], strict=True)], ""
        return self.switch.apply(self.gain.apply(frame))

    def take(self, events: list[Event]) -> list[int]:
        count = min(self.ready(), self.frame)
        frame, self.fading = self.fading[:count], self.fading[count:]
        while self.queue and not self.fading:
            first = self.queue[0]
            samples = self.left(first)
            taken = samples[: count - len(frame)]
            del samples[: len(taken)]
            frame += taken
            over = first.closed and not samples
            if id(first) not in self.started and (taken or over):
                self.started.add(id(first))
                events.append(SegmentStarted(self.slot, first))
            if not over:
                break
            events.append(SegmentEnded(self.slot, self.queue.pop(0)))
        return frame


LENGTHS = st.one_of(st.integers(0, 700), st.sampled_from([RING, 2 * RING + 5]))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(SLOTS),
        st.one_of(
            st.tuples(st.just("enqueue"), LENGTHS),
            st.tuples(st.just("enqueue whole"), LENGTHS),
            st.tuples(st.just("append"), LENGTHS),
            st.tuples(st.just("close"), st.integers(0, 5)),
            st.tuples(st.just("stop"), st.sampled_from([0, 1, 100, 160, 400, 2000, 40000])),
            st.tuples(st.just("finish"), st.just(0)),
            st.tuples(st.just("pause"), st.just(0)),
            st.tuples(st.just("resume"), st.just(0)),
            st.tuples(st.just("gain"), st.sampled_from([0, 0.5, 1, 3])),
            st.tuples(st.just("mute"), st.integers(0, 1)),
            st.tuples(st.just("run"), st.integers(1, 4)),
            st.tuples(st.just("run some"), st.integers(1, 3)),
            st.tuples(st.just("run long"), st.just(60)),
        ),
    ),
    max_size=40,
)


class Pair:
    """A playout and what it should do."""

    def __init__(self, rate: int) -> None:
        self.playout = Playout(5, rate)
        self.rate = rate
        self.models = {slot: Model(slot, rate // 50, RING * rate // 8000) for slot in SLOTS}
        self.made: dict[int, list[Segment]] = {slot: [] for slot in SLOTS}
        self.position = 0

    def sound(self, length: int) -> Pcm:
        start = self.position % (len(SOUND) - 2 * RING - 10)
        self.position += length
        return SOUND[start : start + length]

    def append(self, slot: int, segment: Segment, length: int) -> None:
        samples = self.sound(length)
        segment.append(samples)
        self.models[slot].rest.setdefault(id(segment), []).extend(samples.tolist())

    def do(self, slot: int, what: str, value: Any) -> None:
        model = self.models[slot]
        growing = [each for each in self.made[slot] if not each.closed and each.state is not State.STOPPED]
        match what:
            case "enqueue" | "enqueue whole":
                segment = Segment(rate=self.rate)
                self.append(slot, segment, value)
                self.made[slot].append(segment)
                model.queue.append(segment)
                self.playout.enqueue(slot, segment)
                if what == "enqueue whole":
                    segment.close()
            case "append" if growing:
                self.append(slot, growing[-1], value)
            case "close" if growing:
                growing[value % len(growing)].close()
            case "stop":
                expected = model.stop(value)
                assert self.playout.stop(slot, value) == expected
            case "finish":
                expected = model.finish()
                assert self.playout.finish(slot) == expected
            case "pause":
                self.playout.pause(slot)
                model.do_pause()
            case "resume":
                self.playout.resume(slot)
                model.do_resume()
            case "gain":
                self.playout.gain(slot, value)
                model.gain.goal = np.float32(value)
            case "mute":
                self.playout.mute(slot, muted=bool(value))
                model.switch.goal = np.float32(not value)
            case "run" | "run long":
                self.run(value, SLOTS)
            case "run some":
                self.run(value, tuple(each for each in SLOTS if each != slot))

    def run(self, ticks: int, slots: tuple[int, ...]) -> None:
        for _ in range(ticks):
            events: list[Event] = []
            out = self.playout.run(np.array(slots), events)
            expected: list[Event] = []
            for row, slot in enumerate(slots):
                assert out[row].tolist() == self.models[slot].tick(expected)
            assert events == expected
        for slot in slots:
            for each in self.made[slot]:
                if each.state is not State.STOPPED:
                    assert each.played == each.total - len(self.models[slot].left(each))


@pytest.mark.parametrize("rate", RATES)
@settings(deadline=None, max_examples=120)
@given(steps=STEPS)
def test_whatever_is_done_each_slot_is_as_its_model_says(
    rate: int, steps: list[tuple[int, tuple[str, Any]]]
) -> None:
    pair = Pair(rate)
    for slot, (what, value) in steps:
        pair.do(slot, what, value)
    for slot in SLOTS:
        for index in range(3):
            pair.do(slot, "close", index)
        pair.do(slot, "resume", 0)
    pair.run(5, SLOTS)


# What the model takes for granted, at the level of the ear.

TONE = (20000 * np.sin(2 * np.pi * 300 * np.arange(40000) / 8000)).astype(np.int16)
STEP = int(np.abs(np.diff(TONE.astype(int))).max())
"""Between two samples of the tone."""


class Line:
    """One slot that plays a tone."""

    def __init__(self) -> None:
        self.playout = Playout(1)
        self.segment = Segment()
        self.segment.append(TONE)
        self.segment.close()
        self.playout.enqueue(0, self.segment)
        self.heard: list[int] = []
        self.events: list[Event] = []
        self.run(5)

    def run(self, ticks: int) -> list[int]:
        start = len(self.heard)
        for _ in range(ticks):
            self.heard += self.playout.run(np.zeros(1, np.int64), self.events)[0].tolist()
        return self.heard[start:]

    def largest_step(self) -> int:
        return max(abs(b - a) for a, b in pairwise(self.heard))


@pytest.fixture
def line() -> Line:
    return Line()


def test_a_fade_ends_without_a_click_and_what_follows_begins_behind_it(line: Line) -> None:
    assert line.playout.stop(0, 400) == Stopped(line.segment, 800, ())
    follower = Segment()
    follower.append(np.full(160, 7, np.int16))
    follower.close()
    line.playout.enqueue(0, follower)
    out = line.run(5)
    assert out[400:560] == [7] * 160
    assert 7 not in out[500:][60:]
    assert abs(out[399]) <= 1
    assert line.largest_step() <= STEP + 160
    assert line.segment.played == 800
    assert [type(event) for event in line.events] == [SegmentStarted, SegmentStarted, SegmentEnded]


def test_a_fade_is_no_longer_than_what_is_there(line: Line) -> None:
    line.playout.stop(0, 1 << 30)
    out = np.array(line.run(70))
    assert len(np.flatnonzero(out)) > 0.9 * RING
    assert not out[RING:].any()


def test_a_fade_goes_on_when_something_else_is_stopped_gently_and_ends_when_at_once(line: Line) -> None:
    line.playout.stop(0, 800)
    line.run(1)
    waiting = Segment()
    waiting.append(TONE)
    line.playout.enqueue(0, waiting)
    line.run(1)
    assert line.playout.stop(0, 320) == Stopped(None, 0, (waiting,))
    out = line.run(4)
    assert any(out[:480])
    assert not any(out[480:])
    assert line.playout.stop(0) is None
    assert not any(line.run(1))


def test_a_fade_does_not_reach_into_the_next_segment(line: Line) -> None:
    line.playout.stop(0)
    first, second = Segment(), Segment()
    for segment in (first, second):
        segment.append(np.full(400, 9999, np.int16))
        segment.close()
        line.playout.enqueue(0, segment)
    line.run(1)
    assert line.playout.stop(0, 600) == Stopped(first, 160, (second,))
    assert len(np.flatnonzero(line.run(4))) in (238, 239, 240)


def test_nothing_of_what_was_never_heard_is_faded() -> None:
    playout = Playout(1)
    segment = Segment()
    segment.append(TONE)
    playout.enqueue(0, segment)
    assert playout.stop(0, 800) == Stopped(None, 0, (segment,))
    assert not playout.run(np.zeros(1, np.int64), []).any()


def test_a_pause_keeps_the_position_to_the_sample_and_makes_no_click(line: Line) -> None:
    line.playout.pause(0)
    line.playout.pause(0)
    out = line.run(10)
    assert not any(out[160:])
    assert line.segment.played == 6 * 160
    line.playout.resume(0)
    line.playout.resume(0)
    out = line.run(3)
    assert out[160:] == TONE[7 * 160 : 9 * 160].tolist()
    assert line.largest_step() <= STEP + 400
    assert [type(event) for event in line.events] == [SegmentStarted]


def test_a_pause_that_is_taken_back_in_time_is_none(line: Line) -> None:
    line.playout.pause(0)
    line.playout.resume(0)
    assert line.run(3) == TONE[800 : 800 + 480].tolist()


def test_while_paused_no_end_is_reported_but_the_queue_may_grow(line: Line) -> None:
    line.playout.stop(0)
    growing = Segment()
    growing.append(TONE[:160])
    line.playout.enqueue(0, growing)
    line.playout.pause(0)
    line.events.clear()
    line.run(2)
    growing.close()
    empty = Segment()
    empty.close()
    line.playout.enqueue(0, empty)
    line.run(3)
    assert line.events == [SegmentStarted(0, growing)]
    line.playout.resume(0)
    line.run(1)
    assert line.events[1:] == [
        SegmentEnded(0, growing),
        SegmentStarted(0, empty),
        SegmentEnded(0, empty),
    ]


def test_stopping_ends_a_pause(line: Line) -> None:
    line.playout.pause(0)
    line.run(2)
    assert line.playout.stop(0, 500) == Stopped(line.segment, 960, ())
    following = Segment()
    following.append(TONE[:160])
    line.playout.enqueue(0, following)
    assert line.run(1) == TONE[:160].tolist()


def test_after_a_pause_ends_are_reported_as_before(line: Line) -> None:
    line.playout.stop(0)
    short = Segment()
    short.append(TONE[:800])
    short.close()
    line.playout.enqueue(0, short)
    line.run(1)
    line.playout.pause(0)
    line.run(3)
    line.playout.resume(0)
    line.events.clear()
    line.run(3)
    assert line.events == [SegmentEnded(0, short)]


def test_a_stop_just_after_a_pause_has_nothing_to_fade(line: Line) -> None:
    line.playout.pause(0)
    line.run(2)
    line.playout.resume(0)
    line.playout.stop(0, 800)
    assert not any(line.run(2))


def test_a_paused_segment_is_finished_after_the_pause(line: Line) -> None:
    line.playout.stop(0)
    first, second = Segment(), Segment()
    for segment in (first, second):
        segment.append(np.full(800, 9999, np.int16))
        segment.close()
        line.playout.enqueue(0, segment)
    line.run(1)
    line.playout.pause(0)
    line.run(2)
    assert line.playout.finish(0) == Stopped(first, 320, (second,))
    assert not any(line.run(2))
    line.playout.resume(0)
    out = line.run(6)
    assert not any(out[480:])
    assert line.events[-1] == SegmentEnded(0, first)


def test_a_pause_waits_for_a_slot_that_does_not_send(line: Line) -> None:
    line.playout.pause(0)
    line.playout.run(np.array([], np.int64), [])
    assert any(line.run(1))
    assert not any(line.run(1))


def test_only_the_segment_that_is_heard_is_finished(line: Line) -> None:
    later = Segment()
    later.append(TONE)
    later.close()
    line.playout.enqueue(0, later)
    assert line.playout.finish(0) == Stopped(line.segment, 800, (later,))
    line.run(300)
    assert np.flatnonzero(line.heard)[-1] < len(TONE)
    assert line.events[1:] == [SegmentEnded(0, line.segment)]
    assert line.playout.finish(0) is None


def test_muting_lets_time_go_on_and_makes_no_click(line: Line) -> None:
    line.playout.mute(0, muted=True)
    assert not any(line.run(4)[160:])
    assert line.segment.played == 9 * 160
    line.playout.mute(0, muted=False)
    assert line.run(2)[160:] == TONE[10 * 160 : 11 * 160].tolist()
    assert line.largest_step() <= STEP + 200


def test_gain_saturates_and_makes_no_click(line: Line) -> None:
    line.playout.gain(0, 4)
    out = line.run(3)
    assert (max(out), min(out)) == (32767, -32768)
    assert line.largest_step() <= 4 * STEP + 600
    line.playout.gain(0, 1)
    assert line.run(2)[160:] == TONE[9 * 160 : 10 * 160].tolist()


@pytest.mark.parametrize("factor", [-0.1, 16.1, float("nan"), float("inf")])
def test_a_gain_beyond_reason_is_refused(line: Line, factor: float) -> None:
    with pytest.raises(MediaError, match="a gain must be 0 to 16"):
        line.playout.gain(0, factor)


def test_a_slot_that_is_reset_is_as_new(line: Line) -> None:
    line.playout.mute(0, muted=True)
    line.playout.gain(0, 3)
    line.playout.pause(0)
    line.run(3)
    line.playout.reset(0)
    new = Segment()
    new.append(TONE[:320])
    line.playout.enqueue(0, new)
    assert line.run(2) == TONE[:320].tolist()
