"""Child processes that end when we end, however we end."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

AGAIN_SECONDS = 0.3
"""Between two requests to end."""


class Guard:
    """The process that kills our groups when we are killed; an async context manager."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        script = Path(__file__).with_name("guard.py")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(script),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pipe.close()
        await self._process.wait()

    @property
    def _pipe(self) -> asyncio.StreamWriter:
        assert self._process.stdin is not None  # noqa: S101 - made with a pipe above
        return self._process.stdin

    def add(self, group: int) -> None:
        """Kill `group` when we are killed."""
        self._pipe.write(b"+%d\n" % group)

    def remove(self, group: int) -> None:
        """Forget `group`: all its processes are gone."""
        self._pipe.write(b"-%d\n" % group)


class Child:
    """A started program: the leader of its own session and process group."""

    def __init__(
        self, process: asyncio.subprocess.Process, output: asyncio.StreamReader, pipe: asyncio.ReadTransport
    ) -> None:
        self.output = output
        """Its standard output and error, in one stream."""
        self.pid = process.pid
        self._process = process
        self._pipe = pipe

    @property
    def status(self) -> int | None:
        """Exit status; minus the signal that ended it; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for the end of the program, though not of what it forked; returns `status`."""
        return await self._process.wait()

    async def end(self, *, forks: bool) -> None:
        """SIGTERM to the program, which is to end its forks itself, and wait for its end.

        With `forks` the whole group is asked again and again: a fork that has just begun can miss the
        signal that its parent passes on.
        """
        if self.status is None:
            self._process.terminate()
        while forks and self.status is None:
            try:
                async with asyncio.timeout(AGAIN_SECONDS):
                    await self.wait()
            except TimeoutError:
                signal_group(self.pid, signal.SIGTERM)
        await self.wait()

    def kill(self) -> None:
        """SIGKILL to whatever is left of its group."""
        signal_group(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Read no more of its output."""
        self._pipe.close()


async def spawn(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Child:
    """Start `argv`; the kernel kills it when we die. Raises OSError."""
    # A pipe of our own: asyncio's Process.wait() also waits until every fork has closed asyncio's.
    reading, writing = os.pipe()
    output = asyncio.StreamReader()
    try:
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(reading, "rb", 0)
        )
        try:
            process = await asyncio.create_subprocess_exec(
                *_leashed(argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
            )
        except BaseException:
            # Also when it is cancelled: nobody else knows of the pipe yet.
            pipe.close()
            raise
    finally:
        os.close(writing)
    return Child(process, output, pipe)


def _leashed(argv: Sequence[str]) -> tuple[str, ...]:
    """`argv` behind setpriv(1), which sets PR_SET_PDEATHSIG and becomes the program."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL", *argv) if setpriv else tuple(argv)


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to every process of `group`, if any is left."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
