"""The even flow: against a model of one slot, and what it does to audio that comes late, in bursts or not at all."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.engine.arrays import Pcm
from media.engine.smooth import (
    CELLS,
    EARLY,
    HOLD,
    LEAST,
    MOST,
    PATIENCE,
    QUIET,
    SETTLE,
    SLACK,
    WINDOW,
    Smoother,
)

CAPACITY = 4
RATE = 8000
FRAME = 160
SILENCE = 0
LOUD = 5 * QUIET


@dataclass
class Model:
    """One slot, frame by frame; a frame is its number, and those in `quiet` are quiet."""

    quiet: frozenset[int]
    waiting: deque[int] = field(default_factory=deque)
    last: int = 0
    playing: bool = False
    lacking: bool = False
    age: int = 0
    debt: int = 0
    calm: int = 0
    peak: int = LEAST * HOLD
    high: int = 0
    over: int = 0

    @property
    def target(self) -> int:
        return -(-self.peak // HOLD)

    def push(self, frames: list[int]) -> None:
        self.peak = max(self.peak - 1, LEAST * HOLD)
        late = 0
        if len(frames) == 0:
            self.calm, self.debt = 0, min(self.debt + 1, MOST + 1)
        elif len(frames) == 1:
            self.calm += 1
            if self.calm >= SETTLE:
                self.debt = 0
        else:
            self.calm = 0
            late = self.debt if self.debt <= MOST else 0
            self.debt = self.debt - 1 if late else 0
        self.peak = max(self.peak, late * HOLD)
        if not self.playing:
            self.age = max(self.age, late)
        self.waiting.extend(frames)
        while len(self.waiting) > CELLS:
            self.waiting.popleft()

    def pull(self, tick: int) -> int:
        if self.playing and not self.waiting:
            self.playing, self.lacking, self.over, self.age = False, False, 0, 0
        elif not self.playing and self.waiting:
            if self.age >= self.target or len(self.waiting) > self.target:
                self.playing, self.high = True, self.target
            self.age += 1
        out = SILENCE
        if self.playing:
            out = self.last = self.waiting.popleft()
        self.high = max(self.high, len(self.waiting))
        self._leave_out()
        self._repeat(tick)
        return out

    def _leave_out(self) -> None:
        excess = len(self.waiting) - self.target
        if not self.playing or excess <= 0:
            self.over = 0
            return
        self.over += 1
        patient = self.over < PATIENCE and excess <= SLACK
        if patient and not (self.over >= EARLY and self.waiting[0] in self.quiet):
            return
        self.last = self.waiting.popleft()
        self.over = 0

    def _repeat(self, tick: int) -> None:
        if tick % WINDOW == WINDOW - 1:
            self.lacking = self.playing and self.high < self.target
            self.high = 0
        if self.lacking and self.last in self.quiet:
            self.waiting.appendleft(self.last)
            self.lacking = False


def sound(number: int, quiet: bool) -> Pcm:
    """A frame that tells its number."""
    frame: Pcm = np.full(FRAME, 0 if quiet else LOUD, np.int16)
    frame[0] = number
    return frame


class Line:
    """A smoother whose slots get frames of ascending numbers."""

    def __init__(self, slots: list[int], quiet: frozenset[int] = frozenset()) -> None:
        self.smoother = Smoother(CAPACITY, RATE)
        self.quiet = quiet
        self.next = dict.fromkeys(slots, 1)
        for slot in slots:
            self.smoother.enable(slot)

    def tick(self, counts: dict[int, int]) -> tuple[dict[int, list[int]], dict[int, int]]:
        """Bring so many frames to each slot; what came in and what came out."""
        frames: Pcm = np.full((CAPACITY, 2, FRAME), -1, np.int16)
        fresh = np.full(CAPACITY, 2, np.uint8)
        came: dict[int, list[int]] = {}
        for slot in self.next:
            came[slot] = list(range(self.next[slot], self.next[slot] + counts[slot]))
            self.next[slot] += counts[slot]
            fresh[slot] = counts[slot]
            for place, number in enumerate(came[slot]):
                frames[slot, place] = sound(number, number in self.quiet)
        self.smoother.push(frames, fresh)
        out = self.smoother.pull()
        assert out.shape == (len(self.next), FRAME)
        return came, {
            slot: int(frame[0]) for slot, frame in zip(self.smoother.slots.tolist(), out, strict=True)
        }


def one(counts: list[int], quiet: frozenset[int] = frozenset()) -> list[int]:
    """What comes out of one slot."""
    line = Line([1], quiet)
    return [line.tick({1: count})[1][1] for count in counts]


PATTERN = st.lists(
    st.one_of(
        st.lists(st.sampled_from([0, 1, 1, 1, 2]), max_size=30),
        st.integers(1, 60).map(lambda ticks: [1] * ticks),
        st.integers(1, 14).map(lambda gap: [0] * gap + [2] * gap),
        st.integers(1, 30).map(lambda gap: [0] * gap),
        st.integers(1, 12).map(lambda ticks: [2] * ticks),
    ),
    max_size=8,
).map(lambda parts: sum(parts, []))


@settings(max_examples=150)
@given(st.lists(PATTERN, min_size=1, max_size=3), st.frozensets(st.integers(1, 300), max_size=200))
def test_each_slot_does_as_the_model_of_one(patterns: list[list[int]], quiet: frozenset[int]) -> None:
    slots = [3, 0, 2][: len(patterns)]
    line = Line(slots, quiet)
    models = {slot: Model(quiet) for slot in slots}
    plans = dict(zip(slots, patterns, strict=True))
    for tick in range(max(map(len, patterns), default=0) + 3 * CELLS):
        came, out = line.tick({s: plans[s][tick] if tick < len(plans[s]) else 0 for s in slots})
        for slot, model in models.items():
            model.push(came[slot])
            assert out[slot] == model.pull(tick)
            assert line.smoother.target(slot) == model.target


def test_a_clean_line_is_one_frame_late() -> None:
    assert one([1] * 200) == [0, *range(1, 200)]


@pytest.mark.parametrize("rate", [8000, 16000])
def test_whole_frames_of_either_rate_pass(rate: int) -> None:
    smoother = Smoother(2, rate)
    smoother.enable(1)
    rng = np.random.default_rng(1)
    came = rng.integers(-32768, 32768, (9, 2, 2, rate // 50)).astype(np.int16)
    out = []
    for frames in came:
        smoother.push(frames, np.array([1, 1], np.uint8))
        out.append(smoother.pull()[0].copy())
    assert not out[0].any()
    np.testing.assert_array_equal(out[1:], came[:-1, 1, 0])


def test_frames_a_tick_early_and_late_lose_nothing() -> None:
    counts = [1, 1, 0, 2] * 50
    out = one(counts)
    assert out[5:] == list(range(out[5], out[5] + len(out) - 5))


def test_a_late_line_is_learnt_and_forgotten() -> None:
    line = Line([1])
    for count in [1] * 10 + [0, 0, 0, 0, 2, 2, 2, 2]:
        line.tick({1: count})
    assert line.smoother.target(1) == 4
    for _ in range(3 * HOLD):
        line.tick({1: 1})
    assert line.smoother.target(1) == LEAST


def test_no_more_than_the_most_is_waited_for() -> None:
    line = Line([1])
    for count in [1] * 10 + [0] * MOST + [2] * MOST:
        line.tick({1: count})
    assert line.smoother.target(1) == MOST


def test_once_learnt_delays_are_bridged_without_a_gap() -> None:
    late = [0, 0, 0, 2, 2, 2, *[1] * 20]
    out = one([1] * 20 + late * 8)
    settled = out[20 + 2 * len(late) :]
    assert SILENCE not in settled
    assert settled == list(range(settled[0], settled[0] + len(settled)))


@pytest.mark.parametrize("pause", [MOST + 1, 25, 400])
def test_a_pause_comes_out_as_long_as_it_was(pause: int) -> None:
    out = one([1] * 30 + [0] * pause + [1] * 30)
    assert out == [0, *range(1, 31), *[SILENCE] * pause, *range(31, 60)]


def test_pauses_keep_their_length_behind_a_long_wait() -> None:
    late = [0, 0, 0, 2, 2, 2]
    pause = [0] * 20
    counts = [1] * 10 + late + [1] * 30 + pause + [1] * 30
    out = one(counts)
    first = sum(counts[: 10 + len(late) + 30 + len(pause)]) + 1
    assert out.index(first) - out.index(first - 1) == len(pause) + 1


def test_a_lone_frame_in_a_pause_is_heard_at_its_time() -> None:
    assert one([1] * 10 + [0] * 20 + [1] + [0] * 20 + [1] * 5)[10:] == [
        *(10, *[SILENCE] * 20, 11, *[SILENCE] * 20, *range(12, 16)),
    ]


def test_a_fast_sender_loses_quiet_frames_only() -> None:
    quiet = frozenset(range(0, 2000, 10))
    counts = [2 if tick % 50 == 49 else 1 for tick in range(1500)]
    out = one(counts, quiet)
    missing = set(range(1, max(out))) - set(out)
    assert missing
    assert missing <= quiet
    assert len(missing) >= 1500 // 50 - 3
    assert SILENCE not in out[1:]


def test_a_fast_sender_who_is_never_quiet_loses_frames_as_well() -> None:
    out = one([2 if tick % 100 == 99 else 1 for tick in range(1500)])
    assert 10 <= max(out) - len(set(out[1:])) <= 15
    assert sorted(out) == out


def test_a_slow_sender_has_quiet_frames_repeated() -> None:
    quiet = frozenset(range(0, 2000, 10))
    late = [0, 0, 0, 2, 2, 2]
    slow = [0 if tick % 100 == 99 else 1 for tick in range(450)]
    out = one([1] * 10 + late + [1] * 40 + slow, quiet)[30:]
    repeated = {a for a, b in zip(out, out[1:], strict=False) if a == b}
    assert repeated
    assert repeated - {SILENCE} <= quiet
    assert out.count(SILENCE) <= 1


def test_a_burst_beyond_all_bounds_is_cut_to_its_newest() -> None:
    line = Line([1])
    frames: Pcm = np.zeros((CAPACITY, 2, FRAME), np.int16)
    fresh = np.full(CAPACITY, 2, np.uint8)
    for number in range(20):
        frames[1, :, 0] = 2 * number + 1, 2 * number + 2
        line.smoother.push(frames, fresh)
    assert line.smoother.pull()[0, 0] == 41 - CELLS


def test_a_slot_begins_anew_when_enabled_again_and_only_then() -> None:
    line = Line([1])
    for count in [1, 1, 1, 0, 0, 2, 2, 2]:
        line.tick({1: count})
    line.smoother.enable(1)
    assert line.tick({1: 1})[1][1] != SILENCE
    assert line.smoother.target(1) == 2
    line.smoother.disable(1)
    line.smoother.disable(1)
    assert len(line.smoother.slots) == 0
    line.smoother.enable(1)
    assert line.smoother.target(1) == LEAST
    assert line.tick({1: 1})[1][1] == SILENCE
    assert line.tick({1: 1})[1][1] == line.next[1] - 2


def test_nothing_enabled_gives_nothing() -> None:
    smoother = Smoother(CAPACITY, RATE)
    smoother.push(np.zeros((CAPACITY, 2, FRAME), np.int16), np.full(CAPACITY, 1, np.uint8))
    assert smoother.pull().shape == (0, FRAME)


def test_jittered_speech_keeps_its_time() -> None:
    """Every packet is 0 to 60 ms late, in order; after it has been learnt, the output is the input, shifted."""
    rng = np.random.default_rng(7)
    ticks = 1500
    arrival = np.maximum.accumulate(np.arange(ticks) + rng.integers(0, 4, ticks))
    counts, waiting = [], 0
    for tick in range(ticks):
        waiting += int((arrival == tick).sum())
        counts.append(min(waiting, 2))
        waiting -= counts[-1]
    out = one(counts)
    steady = np.array(out[-800:])
    delay = np.arange(ticks - 800, ticks) - (steady - 1)
    assert (steady == SILENCE).mean() < 0.01
    heard = delay[steady != SILENCE]
    assert (heard == np.median(heard)).mean() > 0.97
    assert np.median(heard) <= 5
