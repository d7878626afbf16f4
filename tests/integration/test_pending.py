"""``interrupt`` and ``hangup`` while the callee rings and never answers."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.support import wav
from tests.support.bot import Bot
from tests.support.lab import Lab
from tests.support.rawend import RawEnd, raw_end
from tests.support.rtpcap import PCMU, RtpPacket
from tests.support.sipwire import Message
from tests.support.talker import Talker

pytestmark = pytest.mark.daemons

CALLER, TARGET, MUSIC, WORDS = 440, 700, 1000, 1500
"""Hz."""


@pytest_asyncio.fixture
async def target(lab: Lab) -> AsyncIterator[RawEnd]:
    """Somebody who rings only."""
    async with raw_end(lab.callee(), lab.system.sip, TARGET) as end:
        yield end


@pytest_asyncio.fixture
async def caller(lab: Lab) -> AsyncIterator[RawEnd]:
    async with raw_end(lab.caller(), lab.system.sip, CALLER) as end:
        yield end


@pytest_asyncio.fixture
async def bot(lab: Lab, caller: RawEnd) -> AsyncIterator[Bot]:
    """It talks to the caller."""
    wav.write(lab.sounds / "moh.wav", wav.tone(MUSIC, 1))
    wav.write(lab.sounds / "words.wav", wav.tone(WORDS, 10))
    async with lab.system.waiting_bot() as made:
        call = caller.dial(lab.system.uri("bot"))
        await made.event("incoming")
        await made.send("accept", option={})
        await caller.established(call)
        await made.event("answer")
        yield made


async def rings(bot: Bot, caller: RawEnd, target: RawEnd) -> Message:
    """Transfer the caller, who hears music: the INVITE."""
    await bot.send("refer", caller="", callee=target.uri, options={"moh": "moh.wav"})
    invite = await target.rings()
    assert (await bot.event("ringing"))["refer"] is True
    await caller.talker.hears(tone(caller, MUSIC))
    return invite


def tone(end: RawEnd, hertz: int) -> Talker:
    """Something of that pitch, as `end` would hear it."""
    return Talker(end.rtp, end.talker.codec, end.talker.payload_type, hertz)


def silent(frames: int) -> Callable[[RtpPacket], bool]:
    """True with the last of so many packets on end that have no sound."""
    found = 0

    def last(packet: RtpPacket) -> bool:
        nonlocal found
        found = found + 1 if packet.payload_type == PCMU and packet.loudness < 1e-3 else 0
        return found == frames

    return last


async def test_hangup_while_a_call_is_dialled(lab: Lab, target: RawEnd) -> None:
    async with lab.system.bot() as bot:
        await bot.send("invite", option={"callee": target.uri})
        invite = await target.rings()
        await bot.event("ringing")
        await bot.send("hangup", reason="changed my mind")
        hangup = await bot.ended()
        await target.cancelled(invite)
    assert (hangup["reason"], bot.names) == ("changed my mind", ["ringing", "hangup"])


async def test_hangup_before_the_target_of_a_transfer_has_answered(
    bot: Bot, caller: RawEnd, target: RawEnd
) -> None:
    invite = await rings(bot, caller, target)
    await bot.send("hangup")
    await bot.ended()
    await target.cancelled(invite)
    await caller.hung_up()


async def test_interrupt_while_a_transfer_is_pending(bot: Bot, caller: RawEnd, target: RawEnd) -> None:
    invite = await rings(bot, caller, target)
    await bot.send("interrupt")
    await caller.rtp.packet(silent(10), after=len(caller.rtp.packets))
    await bot.send("play", url="words.wav")
    await caller.talker.hears(tone(caller, WORDS))
    await bot.send("interrupt")
    await bot.event("interruption")
    await caller.rtp.packet(silent(10), after=len(caller.rtp.packets))
    await bot.send("hangup", refer=True)
    await target.cancelled(invite)
    assert (await bot.event("reject"))["code"] == 487
    await bot.send("play", url="words.wav")
    await caller.talker.hears(tone(caller, WORDS))
    await bot.send("hangup")
    await caller.hung_up()
    await bot.ended()


async def test_the_target_answers_while_it_is_cancelled(bot: Bot, caller: RawEnd, target: RawEnd) -> None:
    """Its 200 crosses our CANCEL: the caller stays with the bot, and the target is hung up."""
    invite = await rings(bot, caller, target)
    await bot.send("hangup", refer=True)
    cancel = await target.phone.request("CANCEL")
    target.phone.reply(cancel, 200, "OK", tag="far")
    target.answer(invite)
    await target.acknowledged()
    await target.hung_up()
    assert (await bot.event("reject"))["code"] == 487
    await bot.send("play", url="words.wav")
    await caller.talker.hears(tone(caller, WORDS))
    await bot.send("hangup")
    await caller.hung_up()
    await bot.ended()
    assert [name for name in bot.names if name == "answer"] == ["answer"]
