"""Supervision of real small processes: readiness, restarts, the order of the end, and nothing left."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control import children, supervisor
from control.console import Console
from control.errors import SetupError
from control.supervisor import Program, Restarts, Supervisor
from tests.support.children import PATIENCE, Screen, alive, gone, python

WAITS = "say('up', os.getpid())\nsignal.pause()"
STUBBORN = "signal.signal(15, lambda *_: say('no'))\nsay('up', os.getpid())\nwhile True: signal.pause()"
FORKS = (
    "child = os.fork()\n"
    "if child == 0:\n"
    "    say('forked', os.getpid())\n"
    "    while True: signal.pause()\n"
    "say('up', os.getpid())\n"
    "signal.pause()"
)


async def at_once() -> bool:
    return True


async def never() -> bool:
    return False


def when(event: asyncio.Event) -> supervisor.Probe:
    async def ready() -> bool:
        return event.is_set()

    return ready


def program(name: str, code: str, ready: supervisor.Probe = at_once, **options: object) -> Program:
    return Program(name, python(code), ready, **options)  # type: ignore[arg-type]


def supervise(screen: Screen, *programs: Program, **limits: float) -> Supervisor:
    return Supervisor(programs, Console(screen, ["sidecall", *(each.name for each in programs)]), **limits)


@asynccontextmanager
async def running(
    watched: Supervisor, on_ready: Callable[[], None] = lambda: None
) -> AsyncIterator[asyncio.Task[None]]:
    """Runs `watched`, stops it at the end of the block and waits for the end."""
    task = asyncio.create_task(watched.run(on_ready))
    try:
        yield task
    finally:
        watched.stop()
        async with asyncio.timeout(PATIENCE):
            await task


class TestRestarts:
    def test_delay_doubles_up_to_its_limit(self) -> None:
        restarts = Restarts(required=False)
        delays = []
        for now in range(8):
            restarts.started(now)
            delays.append(restarts.died(now + 0.1))
        assert delays == [0.5, 1, 2, 4, 8, 10, 10, 10]

    def test_delay_starts_again_after_steady_work(self) -> None:
        restarts = Restarts(required=False)
        for _ in range(4):
            restarts.started(0.0)
            restarts.died(29.9)
        restarts.started(100.0)
        assert restarts.died(130.0) == 0.5
        restarts.started(131.0)
        assert restarts.died(132.0) == 1.0

    def test_a_required_program_is_given_up_when_it_never_gets_ready(self) -> None:
        restarts = Restarts()
        assert [restarts.died(0.0) for _ in range(3)] == [0.5, 1.0, None]

    def test_a_program_that_was_ready_once_is_never_given_up(self) -> None:
        restarts = Restarts()
        restarts.ready()
        assert None not in [restarts.died(0.0) for _ in range(50)]

    @given(st.lists(st.integers(0, 100), max_size=30), st.booleans())
    def test_delays_stay_between_the_first_and_the_longest(self, lives: list[int], ready: bool) -> None:
        restarts = Restarts(required=False)
        if ready:
            restarts.ready()
        now = 0.0
        for life in lives:
            restarts.started(now)
            now += life
            delay = restarts.died(now)
            assert delay is not None
            assert 0.5 <= delay <= 10
            assert life < 30 or delay == 0.5
            now += delay


async def test_a_program_starts_when_those_before_it_are_ready() -> None:
    screen, gate, announced = Screen(), asyncio.Event(), asyncio.Event()
    watched = supervise(
        screen,
        program("first", "say('first up')\nsignal.pause()", when(gate)),
        program("second", "say('second up')\nsignal.pause()", after=("first",)),
    )
    async with running(watched, announced.set):
        await screen.line("first up")
        assert not announced.is_set()
        gate.set()
        await screen.line("second up")
        async with asyncio.timeout(PATIENCE):
            await announced.wait()
    order = [line for line in screen.lines() if "second up" in line or "first is ready" in line]
    assert "first is ready" in order[0]


async def test_all_ready_is_announced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    screen = Screen()
    announced = []
    async with running(supervise(screen, program("a", WAITS)), lambda: announced.append(1)):
        os.kill(await screen.number("| up"), signal.SIGKILL)
        await screen.line("a is ready", 2)
    assert announced == [1]


async def test_what_is_late_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SLOW_SECONDS", 0.01)
    screen = Screen()
    watched = supervise(screen, program("a", WAITS, never), program("b", WAITS, after=("a",)))
    async with running(watched):
        await screen.line("not ready yet: a (starting), b (waits for others)")


async def test_a_program_that_dies_is_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    screen = Screen()
    async with running(supervise(screen, program("a", WAITS))):
        first = await screen.number("| up")
        await screen.line("a is ready")
        os.kill(first, signal.SIGKILL)
        await screen.line("a was ended by signal 9 (Killed); it is started again in 0.01 s")
        second = await screen.number("| up", 2)
        assert second != first
        os.kill(second, signal.SIGKILL)
        await screen.line("a was ended by signal 9 (Killed); it is started again in 0.02 s")


async def test_a_restart_finds_nothing_of_the_last_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    screen = Screen()
    async with running(supervise(screen, program("a", FORKS))):
        forked = await screen.number("| forked")
        await screen.line("a is ready")
        os.kill(await screen.number("| up"), signal.SIGKILL)
        await gone(forked)
        await screen.line("| up", 2)


async def test_a_required_program_that_will_not_start_ends_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    screen = Screen()
    watched = supervise(screen, program("a", "sys.exit('bad key')", never), program("b", WAITS))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(SetupError, match="a ended with status 1 before it was ready, 3 times"):
            await watched.run()
    assert sum("bad key" in line for line in screen.lines()) == 3
    assert not alive(await screen.number("| up"))


async def test_a_program_that_is_not_required_is_tried_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.001)
    screen = Screen()
    bot = program("bot", "sys.exit('typo')", never, required=False)
    async with running(supervise(screen, bot)):
        await screen.line("typo", 5)


async def test_a_program_that_cannot_be_started_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(supervisor, "spawn", refuse)
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.001)
    with pytest.raises(SetupError, match=r"a cannot be started \(Permission denied\) before it was ready"):
        await supervise(Screen(), program("a", WAITS)).run()


async def test_stages_end_one_after_the_other(tmp_path: object) -> None:
    gate = f"{tmp_path}/gate"
    os.mkfifo(gate)
    lingers = (
        "def leave(*_):\n"
        "    say('first asked')\n"
        f"    open({gate!r}).read()\n"
        "    sys.exit()\n"
        "signal.signal(15, leave)\nsay('first up')\nwhile True: signal.pause()"
    )
    answers = "signal.signal(15, lambda *_: sys.exit('last asked'))\nsay('last up')\nsignal.pause()"
    screen = Screen()
    watched = supervise(
        screen, program("last", answers, stage=1), program("first", lingers), kill_seconds=PATIENCE
    )
    async with running(watched):
        await screen.line("last up")
        await screen.line("first up")
        watched.stop()
        await screen.line("first asked")
        assert not any("last asked" in line for line in screen.lines())
        # Opening waits for the reader: `first` ends no sooner than this.
        await asyncio.to_thread(lambda: open(gate, "w").close())  # noqa: PTH123
        await screen.line("last asked")
        # The block's own stop() is the second one; by now nothing is left to kill.


async def test_a_stage_that_lingers_does_not_hold_the_next() -> None:
    screen = Screen()
    answers = "signal.signal(15, lambda *_: sys.exit('last asked'))\nsay('up last')\nsignal.pause()"
    watched = supervise(
        screen,
        program("first", STUBBORN),
        program("last", answers, stage=1),
        stage_seconds=0.01,
        kill_seconds=PATIENCE,
    )
    async with running(watched):
        await screen.line("| up")
        await screen.line("up last")
        watched.stop()
        await screen.line("last asked")


async def test_stragglers_are_killed() -> None:
    screen = Screen()
    watched = supervise(screen, program("a", STUBBORN), stage_seconds=0.01, kill_seconds=0.1)
    async with running(watched) as task:
        pid = await screen.number("| up")
        watched.stop()
        await screen.line("| no")
        await screen.line("killing a")
        async with asyncio.timeout(PATIENCE):
            await task
        assert not alive(pid)


async def test_the_second_stop_kills_at_once() -> None:
    screen = Screen()
    watched = supervise(screen, program("a", STUBBORN), kill_seconds=10 * PATIENCE)
    async with running(watched) as task:
        await screen.line("| up")
        watched.stop()
        await screen.line("| no")
        watched.stop()
        async with asyncio.timeout(PATIENCE):
            await task


async def test_forks_end_with_their_program() -> None:
    screen = Screen()
    async with running(supervise(screen, program("a", FORKS))):
        forked = await screen.number("| forked")
        await screen.line("| up")
    await gone(forked)


async def test_a_fork_that_missed_the_signal_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "AGAIN_SECONDS", 0.01)
    screen = Screen()
    waits = (
        "signal.signal(15, lambda *_: say('asked'))\n"
        "if os.fork() == 0:\n"
        "    signal.signal(15, lambda *_: sys.exit('fork asked'))\n"
        "    say('forked', os.getpid())\n"
        "    while True: signal.pause()\n"
        "os.wait()\n"
    )
    watched = supervise(screen, program("a", waits, forks=True), kill_seconds=PATIENCE)
    async with running(watched):
        await screen.line("| forked")
        watched.stop()
        await screen.line("fork asked")


async def test_a_fork_that_left_its_group_does_not_hold_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "DRAIN_SECONDS", 0.01)
    screen = Screen()
    leaves = (
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    say('left', os.getpid())\n"
        "    while True: signal.pause()\n"
        "signal.pause()"
    )
    left = 0
    try:
        async with running(supervise(screen, program("a", leaves))):
            left = await screen.number("| left")
    finally:
        os.kill(left, signal.SIGKILL)


async def test_a_cancelled_run_leaves_nothing() -> None:
    screen = Screen()
    task = asyncio.create_task(supervise(screen, program("a", WAITS)).run())
    pid = await screen.number("| up")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(pid)


async def test_stop_ends_programs_that_wait_to_start_again() -> None:
    screen = Screen()
    watched = supervise(screen, program("a", "sys.exit(3)", never, required=False))
    async with running(watched) as task:
        await screen.line("a ended with status 3; it is started again in 0.5 s")
        watched.stop()
        async with asyncio.timeout(PATIENCE):
            await task


async def test_a_log_nobody_reads_ends_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Screen):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    async with asyncio.timeout(PATIENCE):
        await supervise(Gone(), program("a", WAITS)).run()


async def test_output_and_errors_are_one_stream() -> None:
    screen = Screen()
    chatter = "say('one')\nos.write(2, b'two\\n')\nos.write(1, b'three')\nsys.exit()"
    async with running(supervise(screen, program("a", chatter, required=False))):
        await screen.line("| three")
    said = [line for line in screen.lines() if line.startswith("a ")]
    assert said[:3] == ["a        | one", "a        | two", "a        | three"]


async def test_nothing_survives_when_the_supervisor_is_killed() -> None:
    code = (
        "import asyncio, sys\n"
        "from control.console import Console\n"
        "from control.supervisor import Program, Supervisor\n"
        "async def yes(): return True\n"
        f"program = Program('a', {python(FORKS)!r}, yes)\n"
        "asyncio.run(Supervisor([program], Console(sys.stdout, ['a'])).run())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    pids: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while len(pids) < 2:
            line = (await process.stdout.readline()).decode()
            if "| up" in line or "| forked" in line:
                pids.append(int(line.split()[-1]))
    assert all(map(alive, pids))
    process.kill()
    await process.wait()
    for pid in pids:
        await gone(pid)
