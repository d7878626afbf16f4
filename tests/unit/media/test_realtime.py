"""Priority and garbage collection of a worker."""

import gc
import os
import time
from collections.abc import Iterator

import pytest

from control.errors import SetupError
from control.process import REAL_TIME_PRIORITY
from media import realtime
from media.realtime import MIDDLE_EVERY, OLD_EVERY, SPARE, YOUNG, SafePoint, prioritise


def refuse(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_priority_is_taken_where_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *wish: asked.append(wish))
    assert prioritise("auto")
    ((process, policy, parameter),) = asked
    assert (process, policy) == (0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK)
    assert parameter == os.sched_param(REAL_TIME_PRIORITY)
    assert not prioritise("off")
    assert len(asked) == 1


def test_without_permission_it_goes_on_or_says_what_to_grant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not prioritise("auto")
    with pytest.raises(SetupError, match="CAP_SYS_NICE"):
        prioritise("on")


def test_assistants_come_right_behind_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    monkeypatch.setattr(os, "sched_setscheduler", lambda *wish: asked.append(wish))
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: policy)
    realtime.assist()
    assert asked == [(0, policy, os.sched_param(REAL_TIME_PRIORITY - 1))]
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_OTHER)
    realtime.assist()
    assert len(asked) == 1


class Collector:
    """The functions of gc that are used, noted down."""

    def __init__(self) -> None:
        self.young = 0
        self.done: list[str] = []

    def get_count(self) -> tuple[int, int, int]:
        return self.young, 0, 0

    def collect(self, generation: int = 2) -> int:
        self.done.append(f"collect {generation}")
        return 0

    def __getattr__(self, name: str) -> object:
        return lambda: self.done.append(name)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Collector:
    collector = Collector()
    monkeypatch.setattr(realtime, "gc", collector)
    return collector


def test_only_when_there_is_something_to_do_and_time_for_it(collector: Collector) -> None:
    point = SafePoint()
    point.rest(10 * SPARE)
    collector.young = YOUNG
    point.rest(SPARE - 1)
    assert collector.done == []
    point.rest(SPARE)
    assert collector.done == ["collect 0"]


def test_older_generations_come_in_turn_and_survivors_are_set_aside(collector: Collector) -> None:
    point = SafePoint()
    collector.young = YOUNG
    rounds = MIDDLE_EVERY * (OLD_EVERY + 1)
    for _ in range(rounds):
        point.rest(10 * SPARE)
    assert collector.done.count("collect 1") == OLD_EVERY
    assert collector.done[-2:] == ["collect 2", "freeze"]


def test_the_oldest_waits_until_it_fits(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    point = SafePoint()
    collector.young = YOUNG
    ticks = iter(range(0, 10**12, 5 * SPARE))
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(ticks))
    for _ in range(2 * MIDDLE_EVERY * (OLD_EVERY + 1)):
        point.rest(9 * SPARE)
    assert collector.done.count("collect 2") == 1
    point.rest(11 * SPARE)
    for _ in range(MIDDLE_EVERY):
        point.rest(11 * SPARE)
    assert collector.done.count("collect 2") == 2


def test_when_idle_all_is_looked_at(collector: Collector) -> None:
    SafePoint().idle()
    assert collector.done == ["unfreeze", "collect 2", "freeze"]


@pytest.fixture
def automatic() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("automatic")
def test_between_start_and_stop_nothing_is_collected_by_itself() -> None:
    point = SafePoint()
    point.start()
    assert not gc.isenabled()
    point.stop()
    assert gc.isenabled()
