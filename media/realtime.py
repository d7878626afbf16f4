"""What keeps a worker in time: its priority, and garbage collection only where no tick waits for it."""

import gc
import logging
import os
import sys
import time
from typing import Literal

from control.errors import SetupError
from control.process import REAL_TIME_PRIORITY

log = logging.getLogger(__name__)

SWITCH = 0.0005
"""Seconds that a thread may keep the interpreter when the media clock's waits for it (5 ms by default)."""
YOUNG = 700
"""New objects after which the youngest generation is looked at: the interpreter's own threshold."""
MIDDLE_EVERY, OLD_EVERY = 10, 20
"""Collections of a generation after which the next older one is due."""
SPARE = 2_000_000
"""Nanoseconds that must be left of a tick for a collection of the young generations."""


def prioritise(wish: Literal["auto", "on", "off"]) -> bool:
    """Give this process real-time priority (SCHED_FIFO) if it is wished and permitted; whether it has it.

    Children and threads started later do not inherit it, see `assist`. Raises SetupError when it must be and is not
    permitted.
    """
    sys.setswitchinterval(SWITCH)
    if wish == "off":
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(REAL_TIME_PRIORITY))
    except OSError as error:
        if wish == "on":
            raise SetupError(
                f"media.realtime is on, but real-time priority is refused: {error.strerror}; "
                f"grant CAP_SYS_NICE (systemd: LimitRTPRIO={REAL_TIME_PRIORITY}), or set it to auto"
            ) from error
        log.info("no real-time priority (%s): on a busy machine ticks may be late", error.strerror)
        return False
    return True


def assist() -> None:
    """Give this thread a priority right below that of the media clock, if that has one.

    A thread that keeps the interpreter while other processes have the processor would make the clock wait for them.
    """
    if os.sched_getscheduler(os.getpid()) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO:
        os.sched_setscheduler(
            0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(REAL_TIME_PRIORITY - 1)
        )


class SafePoint:
    """The only place where garbage is collected: after a beat, when time is left before the next one.

    Objects that survive a full collection are set aside (gc.freeze), so that the next one need not walk through
    them: its time follows what was made meanwhile, not the number of calls. `idle`, when there is no call, takes
    them all in again.
    """

    def __init__(self) -> None:
        self._young = self._middle = 0
        self._old_takes = 0

    def start(self) -> None:
        """No collection from now on but ours."""
        gc.disable()
        gc.collect()
        gc.freeze()

    def stop(self) -> None:
        """Back to the interpreter's way."""
        gc.unfreeze()
        gc.enable()

    def rest(self, left: int) -> None:
        """`left` ns are left before the next beat."""
        if gc.get_count()[0] < YOUNG or left < SPARE:
            return
        generation = self._due(left)
        start = time.monotonic_ns()
        gc.collect(generation)
        if generation == 2:
            gc.freeze()
            self._old_takes = time.monotonic_ns() - start

    def _due(self, left: int) -> int:
        """The generation to look at; the oldest waits for a tick in which it will fit."""
        self._young += 1
        if self._young < MIDDLE_EVERY:
            return 0
        if self._middle >= OLD_EVERY and 2 * self._old_takes < left:
            self._young = self._middle = 0
            return 2
        self._young = 0
        self._middle += 1
        return 1

    def idle(self) -> None:
        """There is no call: look at everything, also at what was set aside."""
        gc.unfreeze()
        gc.collect()
        gc.freeze()
