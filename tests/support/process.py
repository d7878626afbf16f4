"""Child processes of tests: output goes to a file, and none outlives its block."""

import asyncio
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO


def tail(log: Path, lines: int = 60) -> str:
    """Return the last lines of a log file; empty when there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])


async def start(
    *command: str | Path, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Process:
    """Start `command` with its output in `log` and without an input."""
    sink = _sink(log)
    try:
        return await asyncio.create_subprocess_exec(
            *map(str, command),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
        )
    finally:
        sink.close()


def _sink(log: Path) -> BinaryIO:
    return log.open("wb")


async def stop(process: Process, grace: float) -> int:
    """Ask `process` to end and return its exit code.

    Kills it and raises TimeoutError when it still runs after `grace` seconds.
    """
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(grace):
            return await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise


@asynccontextmanager
async def running(
    *command: str | Path, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> AsyncIterator[Process]:
    """Run `command` while the block runs; what still runs afterwards is ended."""
    process = await start(*command, log=log, env=env, cwd=cwd)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
