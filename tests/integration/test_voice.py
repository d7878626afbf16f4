"""A caller's speech reaches the bot as events, through Kamailio, rtpengine and the engine; a bot can barge in by it."""

import asyncio

import numpy as np
import pytest

from tests.support import ports, sipwire, speech, wav
from tests.support.lab import Lab
from tests.support.phone import phone
from tests.support.ports import Address
from tests.support.rtpcap import PCMU, rtp_peer

pytestmark = pytest.mark.daemons

LOUD = 0.05
VAD = {"speechPadding": 60, "silencePadding": 200}


async def test_a_bot_stops_when_the_caller_speaks(lab: Lab) -> None:
    wav.write(lab.sounds / "long.wav", wav.tone(440, 30))
    words = wav.trimmed(speech.render("Good morning, I would like to speak to somebody."))
    pause = np.zeros(wav.RATE)
    async with (
        lab.system.waiting_bot() as bot,
        phone(lab.caller(), lab.system.sip) as caller,
        rtp_peer(Address(caller.address.host, ports.even_port(caller.address.host))) as rtp,
    ):
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(*rtp.address))
        await bot.event("incoming")
        await bot.send("accept", option={"vad": VAD})
        answer = await call.response(200)
        rtp.remote = Address(*sipwire.media_address(answer.body))
        call.ack()
        await bot.event("answer")
        await bot.send("play", url="long.wav")
        await rtp.packet(lambda packet: packet.payload_type == PCMU and packet.loudness > LOUD)
        talking = asyncio.create_task(rtp.speak(np.concatenate((pause, words, pause))))
        speaking = await bot.event("speaking")
        await bot.send("interrupt")
        end = await bot.event("trackEnd")
        silence = await bot.event("silence")
        await talking
        await call.bye()
        await bot.ended()
    assert end["playId"] == "long.wav"
    assert speaking["startTime"] <= speaking["timestamp"] <= end["timestamp"]
    assert silence["speechStart"] == speaking["startTime"]
    assert silence["startTime"] == silence["speechStart"] + silence["speechDuration"]
    later = [packet for packet in rtp.packets if packet.arrival > (end["timestamp"] + 21) / 1000]
    assert later
    assert all(packet.loudness < LOUD for packet in later if packet.payload_type == PCMU)
