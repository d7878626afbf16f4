"""Segments of another rate than the playout's: nothing is lost, and positions stay in their own samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.engine.arrays import Pcm
from media.engine.playout import Playout
from media.engine.reports import Event, SegmentEnded
from media.engine.segment import Segment, State
from media.resampler import Resampler

PAIRS = [(16000, 8000), (8000, 16000), (24000, 8000), (22050, 16000), (48000, 16000), (44100, 8000)]
SLOT = np.zeros(1, np.int64)


def tone(length: int, rate: int) -> Pcm:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(length) / rate)).astype(np.int16)


def converted(pcm: Pcm, source: int, target: int) -> list[int]:
    """`pcm` in one piece."""
    values: list[int] = Resampler(source, target).push(pcm, last=True).tolist()
    return values


def run(playout: Playout, events: list[Event] | None = None) -> list[int]:
    frame: list[int] = playout.run(SLOT, [] if events is None else events)[0].tolist()
    return frame


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_it_is_played_whole_and_in_time(source: int, target: int) -> None:
    playout, segment = Playout(1, target), Segment(rate=source)
    pcm = tone(source * 3 + 7, source)
    for start in range(0, len(pcm), 1111):
        segment.append(pcm[start : start + 1111])
    segment.close()
    playout.enqueue(0, segment)
    out, events = list[int](), list[Event]()
    for tick in range(1, 152):
        out += run(playout, events)
        assert abs(segment.played - min(tick * source / 50, len(pcm))) <= source / 1000
    assert events[-1] == SegmentEnded(0, segment)
    assert segment.played == segment.total == len(pcm)
    expected = converted(pcm, source, target)
    # The filter's blocks are cut differently, so that sums of floats may round to a neighbour.
    assert np.abs(np.array(out[: len(expected)]) - expected).max() <= 1
    assert not any(out[len(expected) :])


@settings(deadline=None, max_examples=80)
@given(
    pair=st.sampled_from(PAIRS),
    chunks=st.lists(st.integers(0, 3000), max_size=8),
    ticks=st.lists(st.integers(0, 6), min_size=8, max_size=8),
)
def test_however_it_grows_every_sample_is_played_once(
    pair: tuple[int, int], chunks: list[int], ticks: list[int]
) -> None:
    source, target = pair
    playout, segment = Playout(1, target), Segment(rate=source)
    playout.enqueue(0, segment)
    follower = Segment(rate=target)
    follower.append(np.full(target // 50, 32000, np.int16))
    follower.close()
    playout.enqueue(0, follower)
    out, last = list[int](), 0
    for length, count in zip(chunks, ticks, strict=False):
        segment.append(np.full(length, 1000, np.int16))
        for _ in range(count):
            out += run(playout)
            assert last <= segment.played <= segment.total
            last = segment.played
    segment.close()
    while follower.state is not State.ENDED:
        out += run(playout)
    assert segment.played == segment.total
    heard = [sample for sample in out if 0 < sample < 30000]
    assert abs(len(heard) - segment.total * target / source) <= 20  # a filter rings at both ends
    assert out.count(32000) == target // 50


def test_what_is_left_unheard_is_known_to_the_millisecond() -> None:
    playout, segment = Playout(1, 8000), Segment(rate=24000)
    segment.append(tone(48000, 24000))
    playout.enqueue(0, segment)
    for _ in range(7):
        run(playout)
    stopped = playout.stop(0)
    assert stopped is not None
    assert stopped.played == segment.played == 7 * 480
    assert segment.state is State.STOPPED


def test_no_tick_converts_more_than_half_a_second() -> None:
    playout, segment = Playout(1, 8000), Segment(rate=16000)
    segment.append(tone(160000, 16000))
    playout.enqueue(0, segment)
    run(playout)
    assert playout._rings.room(0) >= playout._rings.size - 4000


def test_an_empty_segment_of_another_rate_ends() -> None:
    playout, segment, events = Playout(1, 16000), Segment(rate=8000), list[Event]()
    segment.close()
    playout.enqueue(0, segment)
    run(playout, events)
    assert events[-1] == SegmentEnded(0, segment)
