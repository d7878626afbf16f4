"""A node that speaks and listens through faked clouds, many calls beside each other, and what it holds meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soxr

from tests.support import speech, wav
from tests.support.bot import Bot
from tests.support.poll import until
from tests.support.system import System, running_system

RATE = 16_000
AT_ONCE = 32
"""Calls beside each other."""
PATIENCE = 30.0
SAID = "I would like to talk about my last bill, it is too high."
SHORT = "Yes, please."
SILENCE = 0.6
"""Seconds behind what is said."""

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
async def speech_house(folder: Path, **sections: Mapping[str, Any]) -> AsyncIterator[House]:
    """Run one while the block runs; `sections` are those of sidecall.toml."""
    # Rendered before anything waits: a cloud that shares the loop would stall meanwhile.
    for text in (SAID, SHORT):
        said(text)
    async with running_system(folder, telephony=False, **sections) as system:
        hub = next(each for each in system.processes() if "media.speech.hub" in each.cmdline())
        yield House(system, hub)


@cache
def said(text: str) -> bytes:
    """A voice that says `text`, and SILENCE behind it: s16le at RATE."""
    sound = np.concatenate((np.zeros(wav.RATE // 4), speech.render(text), np.zeros(int(wav.RATE * SILENCE))))
    wide = np.asarray(soxr.resample(sound, wav.RATE, RATE))
    return (np.clip(wide, -1, 1) * 32767).astype("<i2").tobytes()


async def say(bot: Bot, pcm: bytes) -> None:
    """Send `pcm` as fast as it goes; it is heard at its own pace."""
    for at in range(0, len(pcm), RATE // 10):
        await bot.socket.send_bytes(pcm[at : at + RATE // 10])


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
