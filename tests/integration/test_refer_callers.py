"""``refer`` of callers who come by a WebSocket and by WebRTC, to a telephone: who hears whom, by pitch."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from media.engine.stream import Codec
from tests.support import ports, wav
from tests.support.bot import PATIENCE, Bot
from tests.support.lab import Lab
from tests.support.phone import Dialog
from tests.support.rawend import RawEnd, raw_end
from tests.support.socketvoice import socket_voice
from tests.support.talker import Talker
from tests.support.webpeer import web_peer

pytestmark = pytest.mark.daemons

CALLER, TARGET, MUSIC, AGAIN = 440, 700, 1000, 1500
"""Hz of the two, of what plays meanwhile, and of what the bot plays to a caller who is back."""


@dataclass(slots=True)
class Scene:
    """A caller who talks to a bot, and a target."""

    bot: Bot
    hears: Callable[[float], Awaitable[None]]
    """Whether the caller hears that tone, in time."""
    target: RawEnd

    async def connect(self, **options: object) -> Dialog:
        """The caller is transferred: music, then each hears the other."""
        await self.bot.send("refer", caller="", callee=self.target.uri, options={"moh": "moh.wav", **options})
        invite = await self.target.rings()
        await self.bot.event("ringing")
        await self.hears(MUSIC)
        call = self.target.answer(invite)
        await self.target.acknowledged()
        assert (await self.bot.event("answer"))["refer"] is True
        await self.hears(TARGET)
        talker = self.target.talker
        await talker.hears(Talker(talker.peer, talker.codec, talker.payload_type, CALLER))
        return call

    async def play_again(self) -> None:
        """The bot is heard."""
        await self.bot.send("play", url="again.wav")
        await self.hears(AGAIN)

    @property
    def story(self) -> list[tuple[str, ...]]:
        """All events: name, whose track, and `refer` where it is set."""
        names = {"server-side-track": "server"}
        return [
            (
                event["event"],
                *([names.get(event["trackId"], "caller")] if "trackId" in event else []),
                *(["refer"] if event.get("refer") else []),
            )
            for event in self.bot.events
            if event["event"] != "metrics"
        ]


@asynccontextmanager
async def by_socket(lab: Lab) -> AsyncIterator[tuple[Bot, Callable[[float], Awaitable[None]]]]:
    async with lab.system.bot("/call") as bot, socket_voice(bot, CALLER) as voice:
        await bot.send("invite", option={})
        await bot.event("answer")
        yield bot, voice.hears


@asynccontextmanager
async def by_browser(lab: Lab) -> AsyncIterator[tuple[Bot, Callable[[float], Awaitable[None]]]]:
    async with lab.system.bot("/call/webrtc") as bot, web_peer(ports.host(11), CALLER) as browser:
        await bot.send("invite", option={"offer": await browser.offer()})
        await browser.accept((await bot.event("answer"))["sdp"])

        async def hears(frequency: float) -> None:
            async with asyncio.timeout(PATIENCE):
                await browser.hears(frequency)

        yield bot, hears


@pytest.fixture(params=[by_socket, by_browser])
async def scene(lab: Lab, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    wav.write(lab.sounds / "moh.wav", wav.tone(MUSIC, 1))
    wav.write(lab.sounds / "again.wav", wav.tone(AGAIN, 5))
    async with (
        request.param(lab) as (bot, hears),
        raw_end(lab.callee(), lab.system.sip, TARGET, Codec.PCMA, 8) as target,
    ):
        await bot.send("play", url="again.wav")
        await hears(AGAIN)
        yield Scene(bot, hears, target)


BEFORE = [("trackStart", "caller"), ("answer", "caller"), ("trackStart", "server")]
CUT = [("interruption", "server"), ("trackEnd", "server"), ("ringing", "server", "refer")]
STANDS = [("trackStart", "server"), ("answer", "server", "refer")]
TARGET_ENDS = [("trackEnd", "server"), ("hangup", "server", "refer")]
PLAYS = [("trackStart", "server")]
ENDS = [("trackEnd", "caller"), ("hangup", "caller")]


async def test_the_target_hangs_up_and_the_caller_is_back(scene: Scene) -> None:
    call = await scene.connect(autoHangup=False)
    await scene.target.press("7")
    pressed = await scene.bot.event("dtmf")
    assert (pressed["digit"], pressed["refer"]) == ("7", True)
    await call.bye()
    await scene.bot.event("hangup")
    await scene.play_again()
    await scene.bot.send("hangup")
    await scene.bot.ended()
    key = ("dtmf", "server", "refer")
    cut = [("interruption", "server"), ("trackEnd", "server")]
    assert scene.story == [*BEFORE, *CUT, *STANDS, key, *TARGET_ENDS, *PLAYS, *cut, *ENDS]


async def test_the_target_hangs_up_and_so_does_the_caller(scene: Scene) -> None:
    call = await scene.connect()
    await call.bye()
    assert (await scene.bot.ended())["reason"] == "refer"
    assert scene.story == [*BEFORE, *CUT, *STANDS, *TARGET_ENDS, *ENDS]


async def test_the_bot_takes_the_caller_back_and_transfers_again(scene: Scene) -> None:
    for _ in range(2):
        await scene.connect()
        await scene.bot.send("hangup", refer=True)
        await scene.target.hung_up()
        await scene.bot.event("hangup")
        await scene.play_again()
    await scene.bot.send("hangup")
    await scene.bot.ended()


async def test_a_busy_target(scene: Scene) -> None:
    await scene.bot.send("refer", caller="", callee=scene.target.uri, options={"moh": "moh.wav"})
    invite = await scene.target.rings()
    await scene.hears(MUSIC)
    scene.target.phone.reply(invite, 486, "Busy Here", tag="far")
    await scene.target.acknowledged()
    reject = await scene.bot.event("reject")
    assert (reject["code"], reject["refer"]) == (486, True)
    await scene.play_again()
    await scene.bot.send("hangup")
    await scene.bot.ended()


async def test_the_bot_goes_and_so_does_the_target(scene: Scene) -> None:
    await scene.connect()
    await scene.bot.socket.close()
    await scene.target.hung_up()
