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
MAX_CALLS = 60
"""Bots reach either worker by chance."""
ABNORMAL = 1006
"""RFC 6455 7.1.5: closed without a Close frame."""


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


@pytest.mark.parametrize("what", ["kamailio", "rtpengine", "control", "media", "media.speech.hub"])
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
        talks: dict[int, list[tuple[Bot, Dialog]]] = {}
        while len(talks) < WORKERS:
            assert sum(map(len, talks.values())) < MAX_CALLS, (
                f"all bots reached the same worker: {list(talks)}"
            )
            bot = await stack.enter_async_context(system.waiting_bot())
            dialog = caller.call(system.uri("bot"))
            dialog.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000))
            await bot.event("incoming")
            await bot.send("accept", option={})
            await dialog.response(200)
            dialog.ack()
            await bot.event("answer")
            talks.setdefault(worker_of(system, bot), []).append((bot, dialog))
        victim, spared = talks
        psutil.Process(victim).kill()
        for bot, _ in talks[victim]:
            assert await bot.closed() == ABNORMAL
            caller.reply(await caller.request("BYE", within=15), 200)
        for bot, dialog in talks[spared]:
            await bot.send("history", speaker="bot", text="still here?")
            await bot.event("addHistory")
            await dialog.bye()
            await bot.ended()
        await system.idle()


def worker_of(system: System, bot: Bot) -> int:
    """Process id of the media worker that holds the socket of `bot`."""
    peer = bot.local
    return next(
        process.pid
        for process in processes(system, "media")
        if any(connection.raddr == peer for connection in process.net_connections("tcp"))
    )
