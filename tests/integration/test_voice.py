"""A caller's speech reaches the bot as events, through Kamailio, rtpengine and the engine, and can interrupt it."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from tests.support import ports, sipwire, speech, wav
from tests.support.bot import Bot
from tests.support.lab import Lab
from tests.support.phone import phone
from tests.support.ports import Address
from tests.support.rtpcap import PCMU, RtpPacket, RtpPeer, rtp_peer

pytestmark = pytest.mark.daemons

LOUD = 0.05
VAD = {"speechPadding": 60, "silencePadding": 200}
TEXT = "Good morning, I would like to speak to somebody."
MOST_PACKETS = 25
"""Of the tone, from the caller's first sound: what half a second holds."""
PAUSE = np.zeros(wav.RATE)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A call in which a tone is heard."""

    bot: Bot
    rtp: RtpPeer


def loud(packet: RtpPacket) -> bool:
    """Whether the tone is in it."""
    return packet.payload_type == PCMU and packet.loudness > LOUD


@asynccontextmanager
async def announcement(lab: Lab, vad: Mapping[str, object]) -> AsyncIterator[Announcement]:
    """Set up a call in which the bot plays a tone of 30 s, and end it."""
    wav.write(lab.sounds / "long.wav", wav.tone(440, 30))
    async with (
        lab.system.waiting_bot() as bot,
        phone(lab.caller(), lab.system.sip) as caller,
        rtp_peer(Address(caller.address.host, ports.even_port(caller.address.host))) as rtp,
    ):
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(*rtp.address))
        await bot.event("incoming")
        await bot.send("accept", option={"vad": vad})
        answer = await call.response(200)
        rtp.remote = Address(*sipwire.media_address(answer.body))
        call.ack()
        await bot.event("answer")
        await bot.send("play", url="long.wav")
        await rtp.packet(loud)
        yield Announcement(bot, rtp)
        await call.bye()
        await bot.ended()


async def test_a_bot_stops_when_the_caller_speaks(lab: Lab) -> None:
    words = speech.render(TEXT)
    async with announcement(lab, VAD) as scene:
        bot, rtp = scene.bot, scene.rtp
        talking = asyncio.create_task(rtp.speak(np.concatenate((PAUSE, words, PAUSE))))
        speaking = await bot.event("speaking")
        await bot.send("interrupt")
        end = await bot.event("trackEnd")
        silence = await bot.event("silence")
        await talking
    assert end["playId"] == "long.wav"
    assert speaking["startTime"] <= speaking["timestamp"] <= end["timestamp"]
    assert silence["speechStart"] == speaking["startTime"]
    assert silence["startTime"] == silence["speechStart"] + silence["speechDuration"]
    later = [packet for packet in rtp.packets if packet.arrival > (end["timestamp"] + 21) / 1000]
    assert later
    assert not any(map(loud, later))


async def test_the_callers_voice_interrupts_without_the_bot(lab: Lab) -> None:
    words = speech.render(TEXT)
    vad = VAD | {"interrupt": True, "interruptAfter": 60, "speechPadding": 400}
    async with announcement(lab, vad) as scene:
        bot, rtp = scene.bot, scene.rtp
        await rtp.speak(PAUSE)
        began, names = time.time(), bot.names.copy()
        await rtp.speak(np.concatenate((words, PAUSE)))
        cut = await bot.event("interruption")
        end = await bot.event("trackEnd")
        speaking = await bot.event("speaking")
    assert "interruption" not in names
    assert cut["playId"] == end["playId"] == "long.wav"
    assert cut["timestamp"] < speaking["timestamp"]
    after = [packet for packet in rtp.packets if packet.arrival > began]
    assert 2 < sum(map(loud, after)) <= MOST_PACKETS
    assert cut["current"] == end["duration"]
    assert not any(map(loud, after[MOST_PACKETS:]))


async def test_without_the_option_the_callers_voice_interrupts_nothing(lab: Lab) -> None:
    async with announcement(lab, VAD) as scene:
        await scene.rtp.speak(np.concatenate((PAUSE, speech.render(TEXT))))
        await scene.bot.event("speaking")
        assert "interruption" not in scene.bot.names
