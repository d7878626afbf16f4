"""The beat of the engine: one tick every 20 ms on an absolute schedule."""

import asyncio
import ctypes
import logging
import os
import struct
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from control.errors import SetupError
from media.engine.reports import Event

log = logging.getLogger(__name__)

PERIOD = 20_000_000
"""Nanoseconds from tick to tick."""
CATCH_UP = 2
"""Ticks done at once, beside the one due, after a delay; what is missing beyond that is skipped."""
LATENESS = (250_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000)
"""Upper bounds (ns) of the classes of the histogram; the last class has none."""

_CLOCK_MONOTONIC, _TFD_TIMER_ABSTIME = 1, 1
_SECOND = 1_000_000_000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.timerfd_settime.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]


class Schedule:
    """Which ticks are due: tick n at `start` + n periods, whatever the delays before it.

    Counts ``ticks`` done, ``skipped`` (never done), ``late`` (done or skipped a period or more after
    their time) and the ``histogram`` of the lateness of each wake-up, int64 (len(LATENESS) + 1,).
    """

    def __init__(self, start: int, period: int = PERIOD) -> None:
        self.due = start
        """When the next tick is due, in ns."""
        self._period = period
        self.ticks = self.skipped = self.late = 0
        self.histogram = np.full(len(LATENESS) + 1, 0, np.int64)

    def advance(self, now: int) -> int:
        """How many ticks are to be done at `now` (ns), 0 to 1 + CATCH_UP; the others due are skipped."""
        lateness = now - self.due
        if lateness < 0:
            return 0
        self.histogram[np.searchsorted(LATENESS, lateness, side="right")] += 1
        missed = lateness // self._period
        todo = 1 + min(missed, CATCH_UP)
        self.late += missed
        self.skipped += 1 + missed - todo
        self.ticks += todo
        self.due += (1 + missed) * self._period
        return todo


class Ticking(Protocol):
    """What the clock drives."""

    def tick(self) -> list[Event]:
        """One step of 20 ms."""


class TickClock:
    """Calls ``engine.tick()`` and then `on_events` with its events (also when there are none).

    Runs in the event loop on a timerfd: a loop's own timers have a resolution of 1 ms, this one is as
    exact as the kernel. What `tick` or `on_events` raises goes to the loop's exception handler; the
    beat goes on. After each beat `on_rest` is told how long its work took and how long it is to the next (ns; it may be
    less than nothing).
    """

    def __init__(
        self,
        engine: Ticking,
        on_events: Callable[[list[Event]], None],
        on_rest: Callable[[int, int], None] = lambda _busy, _left: None,
    ) -> None:
        self._engine, self._on_events, self._on_rest = engine, on_events, on_rest
        self._timer = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self.schedule = Schedule(time.monotonic_ns())

    def start(self) -> None:
        """Begin in one period, in the running loop; raises SetupError when the system gives no timer."""
        if self._loop is not None:
            return
        timer = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if timer < 0:
            reason = os.strerror(ctypes.get_errno())
            raise SetupError(f"the media clock gets no timerfd: {reason}; raise the limit of open files")
        first = time.monotonic_ns() + PERIOD
        self.schedule = Schedule(first)
        setting = struct.pack("@4q", 0, PERIOD, first // _SECOND, first % _SECOND)
        _libc.timerfd_settime(timer, _TFD_TIMER_ABSTIME, setting, None)
        self._timer, self._loop = timer, asyncio.get_running_loop()
        self._loop.add_reader(timer, self._beat)

    def stop(self) -> None:
        """End; stopping twice does nothing."""
        if self._loop is not None:
            self._loop.remove_reader(self._timer)
            os.close(self._timer)
            self._loop = None

    def keep(self) -> None:
        """Do what is due already: for whoever may have the loop for long, between two things that it does.

        An error in a tick is logged: it concerns none of those.
        """
        if self._loop is None or time.monotonic_ns() < self.schedule.due:
            return
        try:
            self._work()
        except Exception:
            # The caller is in the middle of something else, which a fault of the engine must not cost.
            log.exception("a tick failed")

    def _beat(self) -> None:
        os.read(self._timer, 8)
        self._work()

    def _work(self) -> None:
        began = time.monotonic_ns()
        todo = self.schedule.advance(began)
        if not todo:  # `keep` was quicker than the timer
            return
        for _ in range(todo):
            self._on_events(self._engine.tick())
            if self._loop is None:  # stopped by on_events
                return
        ended = time.monotonic_ns()
        self._on_rest(ended - began, self.schedule.due - ended)
