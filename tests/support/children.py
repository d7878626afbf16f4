"""For tests of supervised processes: small programs, a screen to wait on, and the proof that one is gone."""

import asyncio
import io
import os
import select
import sys

PATIENCE = 20.0
"""Seconds after which a wait counts as failed; no test takes that long."""

_SAY = """import os, signal, sys
def say(*words):
    os.write(1, (' '.join(map(str, words)) + '\\n').encode())
"""


class Screen(io.StringIO):
    """Where a console writes; lines can be awaited."""

    def __init__(self) -> None:
        super().__init__()
        self._written = asyncio.Event()

    def write(self, text: str) -> int:
        self._written.set()
        return super().write(text)

    def lines(self) -> list[str]:
        """What stands there now."""
        return self.getvalue().splitlines()

    async def line(self, words: str, count: int = 1) -> str:
        """The `count`-th line that holds `words`, as soon as it is there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [line for line in self.lines() if words in line]
                if len(found) >= count:
                    return found[count - 1]
                self._written.clear()
                await self._written.wait()

    async def number(self, words: str, count: int = 1) -> int:
        """The number at the end of such a line."""
        return int((await self.line(words, count)).split()[-1])


def python(code: str, *arguments: str) -> tuple[str, ...]:
    """Command line of a small Python program that has `signal`, `os`, `sys` and `say` (one line at once)."""
    return (sys.executable, "-I", "-S", "-c", f"{_SAY}{code}", *arguments)


async def gone(pid: int) -> None:
    """Wait until the process `pid` has ended (a zombie has)."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def alive(pid: int) -> bool:
    """Whether the process `pid` runs now."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not select.select([handle], [], [], 0)[0]
    finally:
        os.close(handle)
