"""The beat: the schedule by virtual time, the clock by real ticks."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from control.errors import SetupError
from media.engine import clock as clock_module
from media.engine.clock import CATCH_UP, PERIOD, Schedule, TickClock
from media.engine.reports import Event, MediaStarted

START = 10**12
MS = 1_000_000


def test_nothing_is_due_before_its_time() -> None:
    schedule = Schedule(START)
    assert schedule.advance(START - 1) == 0
    assert (schedule.ticks, schedule.histogram.sum()) == (0, 0)


def test_delays_do_not_move_the_ticks_that_follow() -> None:
    schedule = Schedule(START)
    for number in range(1000):
        due = START + number * PERIOD
        assert schedule.advance(due - 1) == 0
        assert schedule.advance(due + number % 20 * MS) == 1
    assert (schedule.ticks, schedule.late, schedule.skipped) == (1000, 0, 0)


@pytest.mark.parametrize(
    ("delay", "done", "late", "skipped"),
    [
        (PERIOD - 1, 1, 0, 0),
        (PERIOD, 2, 1, 0),
        (2 * PERIOD + 5, 1 + CATCH_UP, 2, 0),
        (3 * PERIOD, 1 + CATCH_UP, 3, 1),
        (50 * PERIOD + 7, 1 + CATCH_UP, 50, 48),
    ],
)
def test_what_was_missed_is_caught_up_or_skipped_and_counted(
    delay: int, done: int, late: int, skipped: int
) -> None:
    schedule = Schedule(START)
    assert schedule.advance(START + delay) == done
    assert (schedule.ticks, schedule.late, schedule.skipped) == (done, late, skipped)
    # The next one is on the old grid.
    following = START + (delay // PERIOD + 1) * PERIOD
    assert schedule.advance(following - 1) == 0
    assert schedule.advance(following) == 1


def test_lateness_is_counted_in_classes() -> None:
    schedule = Schedule(START)
    for number, late in enumerate([0, 249_999, 250_000, 3 * MS, 19 * MS]):
        schedule.advance(START + number * PERIOD + late)
    schedule.advance(START + 5 * PERIOD + 60 * MS)
    assert schedule.histogram.tolist() == [2, 1, 0, 0, 1, 0, 1, 0, 1]


class Engine:
    """Counts its ticks and reports one event in each."""

    def __init__(self, *errors: Exception) -> None:
        self.ticks = 0
        self.errors = list(errors)

    def tick(self) -> list[Event]:
        self.ticks += 1
        if self.errors:
            raise self.errors.pop()
        return [MediaStarted(self.ticks)]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[None]], None]:
    runner: Callable[[Awaitable[None]], None] = request.param
    return runner


Runner = Callable[[Any], None]


def test_events_of_each_tick_are_handed_on(run: Runner) -> None:
    async def main() -> None:
        engine, seen = Engine(), asyncio.Queue[list[Event]]()
        clock = TickClock(engine, seen.put_nowait)
        clock.start()
        clock.start()
        assert [await seen.get() for _ in range(4)] == [[MediaStarted(number)] for number in range(1, 5)]
        clock.stop()
        clock.stop()
        assert engine.ticks == clock.schedule.ticks >= 4

    run(main())


def test_after_each_beat_it_says_what_was_done_and_what_is_left(run: Runner) -> None:
    async def main() -> None:
        rests = asyncio.Queue[tuple[int, int]]()
        clock = TickClock(Engine(), lambda _: None, lambda busy, left: rests.put_nowait((busy, left)))
        clock.start()
        for _ in range(3):
            busy, left = await rests.get()
            assert busy > 0
            assert left < PERIOD
        clock.stop()

    run(main())


def test_a_stopped_clock_starts_again(run: Runner) -> None:
    async def main() -> None:
        engine, seen = Engine(), asyncio.Queue[list[Event]]()
        clock = TickClock(engine, seen.put_nowait)
        for _ in range(2):
            clock.start()
            await seen.get()
            clock.stop()

    run(main())


def test_an_error_goes_to_the_loop_and_the_beat_goes_on(run: Runner) -> None:
    async def main() -> None:
        seen, raised = asyncio.Queue[list[Event]](), []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        clock = TickClock(Engine(ZeroDivisionError("tick")), seen.put_nowait)
        clock.start()
        assert await seen.get() == [MediaStarted(2)]
        clock.stop()
        assert [str(context["exception"]) for context in raised] == ["tick"]

    run(main())


def test_stopping_from_an_event_ends_the_catching_up(run: Runner) -> None:
    async def main() -> None:
        engine, stopped = Engine(), asyncio.Event()

        def stop(_: list[Event]) -> None:
            clock.stop()
            stopped.set()

        clock = TickClock(engine, stop)
        clock.start()
        clock.schedule = Schedule(0)  # behind by all the time since boot: several ticks are due at once
        await stopped.wait()
        assert engine.ticks == 1

    run(main())


def test_a_system_without_timers_is_a_setup_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        @staticmethod
        def timerfd_create(*_: int) -> int:
            return -1

    monkeypatch.setattr(clock_module, "_libc", Libc)
    with pytest.raises(SetupError, match="timerfd"):
        TickClock(Engine(), lambda _: None).start()


def test_stopping_closes_the_timer() -> None:
    async def main() -> None:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        clock = TickClock(Engine(), lambda _: None)
        clock.start()
        assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208
        clock.stop()
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208

    asyncio.run(main())


def test_a_busy_loop_keeps_the_beat(run: Runner, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        engine = Engine(ZeroDivisionError("tick"))
        seen: list[Event] = []
        rests: list[tuple[int, int]] = []
        clock = TickClock(engine, seen.extend, lambda busy, left: rests.append((busy, left)))
        clock.keep()
        clock.start()
        clock.keep()  # nothing is due yet
        assert engine.ticks == 0
        while engine.ticks < 4:  # the loop never gets to its timer
            clock.keep()
        assert "ZeroDivisionError: tick" in caplog.text
        assert seen == [MediaStarted(number) for number in range(2, 5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert engine.ticks == clock.schedule.ticks == 4  # the timer finds nothing to do
        assert len(rests) == 3
        clock.stop()
        clock.keep()

    run(main())
