"""A process that dies is started again, and the next call works; a worker that dies costs only its own calls."""

from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.support import ports, sipwire
from tests.support.bot import Bot
from tests.support.phone import Dialog, phone
from tests.support.poll import until
from tests.support.system import System, running_system

pytestmark = pytest.mark.daemons

BACK_WITHIN = 20.0
WORKERS = 2
CALLS = 10
"""Bots reach either worker by chance: all of them the same one once in 2**9 runs."""


def processes(system: System, what: str) -> list[psutil.Process]:
    """Processes whose command line ends in (a Python module) or begins with `what`, parents first."""
    found = []
    for process in system.processes():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if line and (Path(line[0]).name == what or ("-m" in line and line[line.index("-m") + 1] == what)):
            found.append(process)
    return sorted(found, key=lambda process: process.create_time())


async def call(system: System) -> bool:
    """Whether a waiting bot can take a call now."""
    try:
        async with system.bot(route="default") as bot, phone(ports.peer(12), system.sip) as caller:
            dialog = caller.call(system.uri("bot"))
            dialog.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000))
            await bot.event("incoming", within=2)
            await bot.send("accept", option={})
            await dialog.response(200)
            dialog.ack()
            await bot.event("answer")
            await dialog.bye()
            await bot.ended()
    except (AssertionError, aiohttp.ClientError):
        return False
    return True


@pytest.mark.parametrize("what", ["kamailio", "rtpengine", "control", "media", "media.speech"])
async def test_whatever_dies_comes_back(tmp_path: Path, what: str) -> None:
    async with running_system(tmp_path) as system:
        assert await call(system)
        old = processes(system, what)
        old[0].kill()

        async def replaced() -> bool:
            return bool(
                {process.pid for process in processes(system, what)} - {process.pid for process in old}
            )

        await until(replaced, within=BACK_WITHIN, every=0.1)
        await until(lambda: call(system), within=BACK_WITHIN, every=0.2)
        await system.idle()


async def test_a_worker_that_dies_costs_only_its_own_calls(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(running_system(tmp_path, media={"workers": WORKERS}))
        caller = await stack.enter_async_context(phone(ports.peer(12), system.sip))
        talks: list[tuple[Bot, Dialog]] = []
        for _ in range(CALLS):
            bot = await stack.enter_async_context(system.waiting_bot())
            dialog = caller.call(system.uri("bot"))
            dialog.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000))
            await bot.event("incoming")
            await bot.send("accept", option={})
            await dialog.response(200)
            dialog.ack()
            await bot.event("answer")
            talks.append((bot, dialog))
        processes(system, "media")[0].kill()
        lost = [dialog for bot, dialog in talks if not await talks_on(bot, dialog)]
        assert 0 < len(lost) < CALLS
        for _ in lost:
            caller.reply(await caller.request("BYE", within=15), 200)
        await system.idle()


async def talks_on(bot: Bot, dialog: Dialog) -> bool:
    """Whether the bot still has its call; if so, end it."""
    try:
        await bot.send("history", speaker="bot", text="still here?")
        await bot.event("addHistory")
    except (AssertionError, ConnectionError):
        return False
    await dialog.bye()
    await bot.ended()
    return True
