"""Runs programs side by side: readiness, restart with back-off, one log, an end that leaves nothing.

Every program is the leader of its own session and process group. When its main process ends, whatever
is left of the group is killed. When this process is killed itself, the kernel kills the main processes
(PR_SET_PDEATHSIG) and `control.guard` kills the groups.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from signal import strsignal

from control.children import Child, Guard, spawn
from control.console import Console, LineSplitter
from control.errors import SetupError

FIRST_DELAY = 0.5
LONGEST_DELAY = 10.0
STEADY_AFTER = 30.0
"""Seconds up after which a program counts as steady: its next restart waits FIRST_DELAY again."""
TRIES = 3
"""Starts of a required program that was never ready."""

POLL = 0.02
STAGE_SECONDS = 3.0
KILL_SECONDS = 4.0
DRAIN_SECONDS = 0.5
SLOW_SECONDS = 10.0

Probe = Callable[[], Awaitable[bool]]
"""Whether the program can do its work now; bounded in time and never raises."""


async def until(ready: Probe) -> None:
    """Ask `ready` again and again until it says yes."""
    while True:
        if await ready():
            return
        await asyncio.sleep(POLL)


class Restarts:
    """When to start a program again. Times are seconds of any one clock."""

    def __init__(self, required: bool = True) -> None:
        self._required = required
        self._was_ready = False
        self._started = 0.0
        self._deaths = 0

    def started(self, now: float) -> None:
        """The program was started."""
        self._started = now

    def ready(self) -> None:
        """The program got ready."""
        self._was_ready = True

    def died(self, now: float) -> float | None:
        """Seconds to wait before the next start; None: a required program that will not start, give up."""
        if now - self._started >= STEADY_AFTER:
            self._deaths = 0
        self._deaths += 1
        if self._required and not self._was_ready and self._deaths >= TRIES:
            return None
        return min(FIRST_DELAY * 2.0 ** min(self._deaths - 1, 16), LONGEST_DELAY)


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running."""

    name: str
    argv: tuple[str, ...]
    ready: Probe
    after: tuple[str, ...] = ()
    """Names of the programs that must be ready before this one starts."""
    stage: int = 0
    """Programs of a lower stage are asked to end first."""
    forks: bool = False
    """Whether it has processes of its own that may have to be asked to end."""
    required: bool = True
    """Whether the whole start fails when this program never gets ready."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Added to our own environment."""


class State(Enum):
    """Life of a program under the supervisor."""

    WAITING = "waits for others"
    STARTING = "starting"
    READY = "ready"
    DOWN = "down"


class _Member:
    """A program, its process and its state."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.restarts = Restarts(program.required)
        self.child: Child | None = None
        self.state = State.WAITING
        self.started = 0.0
        self.first_ready = asyncio.Event()

    def enter(self, state: State, now: float) -> None:
        """The one place where the state changes."""
        self.state = state
        match state:
            case State.STARTING:
                self.started = now
                self.restarts.started(now)
            case State.READY:
                self.restarts.ready()
                self.first_ready.set()


class Supervisor:
    """Runs `programs` until `stop`; `run` returns when all of them are gone."""

    def __init__(
        self,
        programs: Sequence[Program],
        console: Console,
        *,
        stage_seconds: float = STAGE_SECONDS,
        kill_seconds: float = KILL_SECONDS,
    ) -> None:
        self._members = {program.name: _Member(program) for program in programs}
        self._console = console
        self._stage_seconds = stage_seconds
        self._kill_seconds = kill_seconds
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask all programs to end, stage by stage; a second call kills them."""
        if self._stopping.is_set():
            self._kill_all()
        self._stopping.set()

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Start everything, call `on_ready` once when all is ready, and keep it running.

        Raises SetupError, after all has ended, when a required program could not be started.
        """
        async with Guard() as guard:
            keepers = {
                name: asyncio.create_task(self._keep(member, guard)) for name, member in self._members.items()
            }
            announcer = asyncio.create_task(self._announce(on_ready))
            stop = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait({stop, *keepers.values()}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._stopping.set()
                announcer.cancel()
                await self._shut_down(keepers)
                results = await asyncio.gather(announcer, stop, *keepers.values(), return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        while late := [member for member in self._members.values() if not member.first_ready.is_set()]:
            try:
                async with asyncio.timeout(SLOW_SECONDS):
                    for member in late:
                        await member.first_ready.wait()
            except TimeoutError:
                words = ", ".join(f"{member.program.name} ({member.state.value})" for member in late)
                self._say(f"not ready yet: {words}")
        on_ready()

    async def _keep(self, member: _Member, guard: Guard) -> None:
        """Start the program and restart it whenever it dies, until the stop."""
        clock = asyncio.get_running_loop().time
        for name in member.program.after:
            await self._members[name].first_ready.wait()
        while True:
            member.enter(State.STARTING, clock())
            end = await self._run_once(member, guard)
            member.enter(State.DOWN, clock())
            if self._stopping.is_set():
                return
            delay = member.restarts.died(clock())
            if delay is None:
                raise SetupError(
                    f"{member.program.name} {end} before it was ready, {TRIES} times: its lines above say why"
                )
            self._say(f"{member.program.name} {end}; it is started again in {delay:g} s")
            await asyncio.sleep(delay)

    async def _run_once(self, member: _Member, guard: Guard) -> str:
        """Run the program to its end; returns how it ended, in words."""
        try:
            child = await spawn(member.program.argv, member.program.environ)
        except OSError as error:
            return f"cannot be started ({error.strerror})"
        guard.add(child.pid)
        member.child = child
        async with asyncio.TaskGroup() as group:
            copier = group.create_task(self._copy_lines(member.program.name, child))
            prober = group.create_task(self._await_ready(member))
            try:
                status = await child.wait()
            finally:
                child.kill()
                member.child = None
                guard.remove(child.pid)
                prober.cancel()
                # A process that left the group may hold the pipe open.
                asyncio.get_running_loop().call_later(DRAIN_SECONDS, copier.cancel)
        return (
            f"was ended by signal {-status} ({strsignal(-status)})"
            if status < 0
            else f"ended with status {status}"
        )

    async def _await_ready(self, member: _Member) -> None:
        await until(member.program.ready)
        now = asyncio.get_running_loop().time()
        member.enter(State.READY, now)
        self._say(f"{member.program.name} is ready after {now - member.started:.2f} s")

    async def _copy_lines(self, name: str, child: Child) -> None:
        splitter = LineSplitter()
        try:
            while data := await child.output.read(65536):
                for line in splitter.feed(data):
                    self._console.line(name, line)
                if self._console.closed:
                    self._stopping.set()
        finally:
            child.close()
            for line in splitter.close():
                self._console.line(name, line)

    async def _shut_down(self, keepers: Mapping[str, asyncio.Task[None]]) -> None:
        """End stage after stage; kill what is left after `kill_seconds`."""
        killer = asyncio.get_running_loop().call_later(self._kill_seconds, self._kill_all)
        for name, member in self._members.items():
            if member.child is None:
                keepers[name].cancel()
        endings = set()
        for stage in sorted({member.program.stage for member in self._members.values()}):
            asked = {
                asyncio.create_task(member.child.end(forks=member.program.forks))
                for member in self._members.values()
                if member.program.stage == stage and member.child is not None
            }
            endings |= asked
            if asked:
                await asyncio.wait(asked, timeout=self._stage_seconds)
        await asyncio.gather(*endings)
        await asyncio.wait(keepers.values())
        killer.cancel()

    def _kill_all(self) -> None:
        left = [member for member in self._members.values() if member.child is not None]
        if left:
            self._say(f"killing {', '.join(member.program.name for member in left)}")
        for child in filter(None, (member.child for member in left)):
            child.kill()

    def _say(self, text: str) -> None:
        self._console.line("sidecall", text)
