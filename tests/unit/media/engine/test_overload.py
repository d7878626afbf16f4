"""Levels of load, and how they are entered and left."""

from hypothesis import given
from hypothesis import strategies as st

from media.engine.overload import CALM, LATE, MEMORY, Level, Overload

TICK = 1000


def loaded(overload: Overload, share: float, ticks: int) -> Level:
    for _ in range(ticks):
        overload.observe(round(share * TICK), 0)
    return overload.level


def test_a_worker_with_time_to_spare_is_at_ease() -> None:
    assert loaded(Overload(TICK), 0.5, 1000) is Level.EASY


def test_one_long_tick_changes_nothing() -> None:
    overload = Overload(TICK)
    assert overload.observe(5 * TICK, 4) is Level.EASY
    assert loaded(overload, 0.3, CALM) is Level.EASY


def test_work_is_saved_first_and_then_calls_are_refused() -> None:
    overload = Overload(TICK)
    assert loaded(overload, 0.8, 10 * MEMORY) is Level.SAVING
    assert loaded(overload, 0.95, 10 * MEMORY) is Level.FULL


def test_levels_are_left_one_after_the_other_once_it_is_calm() -> None:
    overload = Overload(TICK)
    loaded(overload, 1.0, 10 * MEMORY)
    levels = [overload.observe(0, 0) for _ in range(3 * CALM)]
    changes = [level for level, before in zip(levels[1:], levels, strict=False) if level is not before]
    assert changes == [Level.SAVING, Level.EASY]
    assert levels.index(Level.SAVING) >= CALM


def test_a_share_between_entering_and_leaving_holds_the_level() -> None:
    overload = Overload(TICK)
    loaded(overload, 0.78, 10 * MEMORY)
    assert loaded(overload, 0.65, 10 * CALM) is Level.SAVING


def test_late_ticks_in_a_row_are_pressure_whatever_the_share() -> None:
    overload = Overload(TICK)
    for _ in range(LATE):
        overload.observe(0, 1)
    assert overload.level is Level.SAVING
    assert loaded(overload, 0.0, 2 * CALM + 1) is Level.EASY


@given(st.lists(st.tuples(st.integers(0, 3 * TICK), st.integers(0, 3)), max_size=400))
def test_the_share_is_bounded_and_levels_fall_by_one(beats: list[tuple[int, int]]) -> None:
    overload = Overload(TICK)
    before = overload.level
    for busy, missed in beats:
        level = overload.observe(busy, missed)
        assert 0 <= overload.share <= 2
        assert level >= before - 1
        before = level
