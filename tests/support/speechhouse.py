"""A node that speaks and listens through faked clouds, many calls beside each other, and what it holds meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soxr
from yarl import URL

from tests.support import speech, wav
from tests.support.bot import Bot
from tests.support.clouds.base import LOUD
from tests.support.poll import until
from tests.support.system import System, running_system

RATE = 16_000
AT_ONCE = 60
"""Calls beside each other."""
PATIENCE = 30.0
SAID = "I would like to talk about my last bill, it is too high."
SHORT = "Yes, please."
SILENCE = 0.6
"""Seconds behind what is said."""
AHEAD = 4.0

Case = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class House:
    """The node."""

    system: System
    hub: psutil.Process
    """The speech process."""
    before: dict[str, float] = field(default_factory=dict)
    """What it holds while there is no call."""

    async def held(self) -> dict[str, float]:
        """Sessions, tasks and open files of the worker, open files of the speech process."""
        return {**await self.system.held(), "open files of the speech process": self.hub.num_fds()}

    async def idle(self) -> None:
        """Wait until it holds no more than before. Raises AssertionError with what it does hold."""

        async def is_idle() -> bool:
            return all(value <= self.before[name] for name, value in (await self.held()).items())

        try:
            await until(is_idle, PATIENCE, every=0.2)
        except TimeoutError:
            raise AssertionError(f"held: {await self.held()}, before: {self.before}") from None

    async def side_by_side(self, cases: Mapping[str, Case]) -> None:
        """Run all `cases`, each a call. Raises AssertionError with the names of those that failed."""
        room = asyncio.Semaphore(AT_ONCE)

        async def run(case: Case) -> None:
            async with room, asyncio.timeout(3 * PATIENCE):
                await case()

        results = await asyncio.gather(*map(run, cases.values()), return_exceptions=True)
        faults = [
            f"{name}: {type(error).__name__}: {error}"
            for name, error in zip(cases, results, strict=True)
            if error is not None
        ]
        assert not faults, "\n".join(faults)


@asynccontextmanager
async def speech_house(folder: Path, stall_seconds: float) -> AsyncIterator[House]:
    """Run one while the block runs; nothing is spoken from the cache: a fake may get the port of an earlier one."""
    # Rendered before anything waits: a cloud that shares the loop would stall meanwhile.
    for text in (SAID, SHORT):
        said(text)
    async with running_system(
        folder, telephony=False, speech={"stall_seconds": stall_seconds}, media={"cache_bytes": 0}
    ) as system:
        hub = next(each for each in system.processes() if "media.speech.hub" in each.cmdline())
        yield House(system, hub)


@cache
def said(text: str) -> bytes:
    """A voice that says `text`, and SILENCE behind it: s16le at RATE."""
    sound = np.concatenate((np.zeros(wav.RATE // 4), speech.render(text), np.zeros(int(wav.RATE * SILENCE))))
    wide = np.asarray(soxr.resample(sound, wav.RATE, RATE))
    pcm: bytes = (np.clip(wide, -1, 1) * 32767).astype("<i2").tobytes()
    return pcm


def trimmed(pcm: bytes) -> bytes:
    """From the first loud sample to the last."""
    samples = np.frombuffer(pcm, "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
    return samples[loud[0] : loud[-1] + 1].tobytes()


def overlap(before: bytes, behind: bytes) -> int:
    """How many bytes at the end of `before` are those at the beginning of `behind`."""
    most = min(len(before), len(behind))
    return next((size for size in range(most, 0, -2) if before.endswith(behind[:size])), 0)


async def say(bot: Bot, pcm: bytes) -> None:
    """Send `pcm`, at most AHEAD seconds before it is heard: it is heard at its own pace."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for at in range(0, len(pcm), RATE // 10):
        await asyncio.sleep(at / (2 * RATE) - AHEAD - (loop.time() - began))
        await bot.socket.send_bytes(pcm[at : at + RATE // 10])


class Gate:
    """A way to `url` by TCP that can be cut; open it by `gate`."""

    def __init__(self, url: str) -> None:
        self._far = URL(url)
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes, both ways."""
        far_reader, far_writer = await asyncio.open_connection(self._far.host, self._far.port)
        self._writers |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._writers -= {writer, far_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def gate(url: str) -> AsyncIterator[Gate]:
    """One in front of `url`."""
    opened = Gate(url)
    server = await asyncio.start_server(opened.accept, "127.0.0.1", 0)
    opened.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield opened
    finally:
        opened.cut()
        server.close()
        await server.wait_closed()


def errors(bot: Bot) -> list[dict[str, Any]]:
    """All errors that the bot was told of."""
    return [event for event in bot.events if event["event"] == "error"]


def told(bot: Bot, sender: str, provider: str, codes: set[int]) -> None:
    """The bot was told of one error, and well."""
    found = errors(bot)
    assert [error["sender"] for error in found] == [sender], f"{found}"
    (error,) = found
    assert error["code"] in codes, f"{error}"
    assert error["error"].startswith(f"{provider}: "), f"{error}"
    assert ";" in error["error"], f"it does not say what becomes of it: {error}"
