"""Fades, pauses, gain and mute: for several slots against a slow model, byte for byte."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
