"""Fades, pauses, gain and mute as the caller hears them: no click, no lost sample."""

from itertools import pairwise

import numpy as np
import pytest

from control.errors import MediaError
from media.engine.playout import Playout, Stopped
from media.engine.reports import Event, SegmentEnded, SegmentStarted
from media.engine.rings import RING
from media.engine.segment import Segment

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
