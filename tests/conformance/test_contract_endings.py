"""A session that ends in any way leaves nothing behind: slots, legs, rtpengine's calls, sockets, files, tasks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.support import ports, sipwire, wav
from tests.support.bot import PATIENCE, Bot
from tests.support.browseroffers import OFFERS
from tests.support.lab import Lab
from tests.support.phone import Dialog, Phone, phone
from tests.support.poll import until
from tests.support.system import System, running_system

pytestmark = pytest.mark.daemons

OPTION = {"recorder": {}, "vad": {}, "denoise": True, "subscribe": True, "inactivityTimeout": 60}
"""Everything that could be left behind."""
BACK_WITHIN = 20.0


@dataclass(slots=True)
class Call:
    """A call that stands, in which something plays."""

    lab: Lab
    bot: Bot
    caller: Phone | None = None
    dialog: Dialog | None = None

    @property
    def session(self) -> str:
        return str(next(event["trackId"] for event in self.bot.events if event["event"] == "answer"))

    async def far_end_is_told(self) -> None:
        """The caller gets our BYE."""
        if self.caller is not None:
            self.caller.reply(await self.caller.request("BYE"), 200)


async def plays(bot: Bot) -> None:
    """Something long begins to play."""
    for _ in range(bot.names.count("trackStart")):
        await bot.event("trackStart")
    await bot.send("play", url="long.wav")
    await bot.event("trackStart")


@asynccontextmanager
async def by_socket(lab: Lab) -> AsyncIterator[Call]:
    async with lab.system.bot("/call") as bot:
        await bot.send("invite", option=OPTION)
        await bot.event("answer")
        await plays(bot)
        yield Call(lab, bot)


@asynccontextmanager
async def by_browser(lab: Lab) -> AsyncIterator[Call]:
    async with lab.system.bot("/call/webrtc") as bot:
        await bot.send("invite", option=OPTION | {"offer": OFFERS["chrome"]})
        await bot.event("answer")
        await bot.send("play", url="long.wav")
        yield Call(lab, bot)


@asynccontextmanager
async def by_sip(lab: Lab) -> AsyncIterator[Call]:
    async with lab.system.waiting_bot() as bot, phone(lab.caller(), lab.system.sip) as caller:
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000))
        await bot.event("incoming")
        await bot.send("accept", option=OPTION)
        await call.response(200)
        call.ack()
        await bot.event("answer")
        await plays(bot)
        yield Call(lab, bot, caller, call)


@asynccontextmanager
async def with_target(lab: Lab) -> AsyncIterator[Call]:
    """The caller by socket, who hears music while somebody rings."""
    async with by_socket(lab) as call, phone(lab.callee(), lab.system.sip) as callee:
        options = {"moh": "long.wav"}
        await call.bot.send("refer", caller="", callee=f"sip:c@{callee.address}", options=options)
        invite = await callee.request("INVITE")
        callee.reply(invite, 180, tag="t")
        await call.bot.event("ringing")
        yield call
        callee.reply(await callee.request("CANCEL"), 200, tag="t")
        callee.reply(invite, 487, tag="t")
        await callee.request("ACK")


async def bot_hangs_up(call: Call) -> None:
    await call.bot.send("hangup")
    await call.bot.ended()
    await call.far_end_is_told()


async def bot_closes(call: Call) -> None:
    await call.bot.socket.close()
    await call.far_end_is_told()


async def bot_is_lost(call: Call) -> None:
    call.bot.cut()
    await call.far_end_is_told()


async def operator_kills(call: Call) -> None:
    url = f"http://{call.lab.system.api}/call/kill/{call.session}"
    async with (
        aiohttp.ClientSession(headers=call.lab.system.authorization) as http,
        http.post(url) as answer,
    ):
        assert answer.status == 200
    assert (await call.bot.ended())["reason"] == "killed"
    await call.far_end_is_told()


async def play_ends_it(call: Call) -> None:
    await call.bot.send("tts", text="Bye", autoHangup=True)
    assert (await call.bot.ended())["reason"] == "autohangup"
    await call.far_end_is_told()


async def caller_hangs_up(call: Call) -> None:
    assert call.dialog is not None
    await call.dialog.bye()
    assert (await call.bot.ended())["initiator"] == "caller"


Kind = Callable[[Lab], AbstractAsyncContextManager[Call]]
End = Callable[[Call], Awaitable[None]]
BY_US: tuple[End, ...] = (bot_hangs_up, bot_closes, bot_is_lost, operator_kills)
CASES: list[tuple[Kind, End]] = [
    *((by_socket, end) for end in (*BY_US, play_ends_it)),
    *((by_browser, end) for end in BY_US),
    *((by_sip, end) for end in (*BY_US, play_ends_it, caller_hangs_up)),
    *((with_target, end) for end in BY_US),
]


async def let_go(system: System, before: dict[str, float]) -> None:
    """Wait until nothing is held that was not held before."""
    await system.idle()
    held: dict[str, float] = {}

    async def released() -> bool:
        held.update(await system.held())
        return all(held[name] <= before[name] for name in before)

    try:
        await until(released, within=PATIENCE)
    except TimeoutError:
        raise AssertionError(f"held {held}, before {before}") from None


@pytest.mark.parametrize(
    ("kind", "end"), CASES, ids=[f"{kind.__name__}: {end.__name__}" for kind, end in CASES]
)
async def test_nothing_is_left(lab: Lab, kind: Kind, end: End) -> None:
    if not (lab.sounds / "long.wav").exists():
        wav.write(lab.sounds / "long.wav", wav.tone(440, 30))
    await lab.system.idle()
    before = await lab.system.held()
    async with kind(lab) as call:
        assert (await lab.system.held())["sidecall_sessions"] > before["sidecall_sessions"]
        await end(call)
    await let_go(lab.system, before)


async def test_worker_that_stops_and_control_that_dies(tmp_path: Path) -> None:
    """Control takes the calls with SIP with it, a call over the bot's socket goes on; the worker ends that one."""
    async with AsyncExitStack() as stack:
        life = running_system(tmp_path)
        system = await life.__aenter__()
        try:
            bots = [await stack.enter_async_context(system.bot("/call")) for _ in range(2)]
            await bots[0].send("invite", option=OPTION)
            await bots[0].event("answer")
            called = await stack.enter_async_context(system.waiting_bot())
            caller = await stack.enter_async_context(phone(ports.peer(12), system.sip))
            call = caller.call(system.uri("bot"))
            call.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000))
            await called.event("incoming")
            await called.send("accept", option=OPTION)
            await call.response(200)
            call.ack()
            await called.event("answer")

            control_of(system).kill()
            assert (await called.ended())["reason"] == "control was restarted"
            # rtpengine forgets the call by itself, when no media has come for its timeout.
            await system.idle({"sidecall_slots_used": 1, "rtpengine_calls": 1}, within=BACK_WITHIN)
            await bots[0].send("tts", text="Still here")
            for _ in range(2):
                await bots[0].event("trackStart")
            assert (await bots[0].event("trackEnd"))["trackId"] == "server-side-track"
        finally:
            await life.__aexit__(None, None, None)
        for bot in bots:
            assert await bot.closed() == 1012
            assert (bot.names[-1], bot.names.count("hangup")) == ("hangup", 1)
        assert bots[0].names[-2] == "trackEnd"


def control_of(system: System) -> psutil.Process:
    """The process of control."""
    lines = {process: process.cmdline() for process in system.processes()}
    return next(process for process, line in lines.items() if "-m control" in " ".join(line))
