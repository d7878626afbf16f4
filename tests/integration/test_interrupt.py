"""``interrupt`` and ``hangup`` take effect on the wire within one frame of 20 ms."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from tests.support import ports, sipwire, wav
from tests.support.bot import Bot
from tests.support.lab import Lab
from tests.support.phone import Dialog, phone
from tests.support.ports import Address
from tests.support.rtpcap import PCMU, RtpPacket, RtpPeer, rtp_peer

pytestmark = pytest.mark.daemons

LOUD = 0.05
FRAMES_BEFORE = 25
"""Frames of tone to hear before the interruption."""


@dataclass(frozen=True, slots=True)
class Playing:
    """A call in which a tone is heard."""

    bot: Bot
    call: Dialog
    rtp: RtpPeer


def loud(packet: RtpPacket) -> bool:
    """Whether the tone is in it."""
    return packet.payload_type == PCMU and packet.loudness > LOUD


@asynccontextmanager
async def playing(lab: Lab) -> AsyncIterator[Playing]:
    """Set up a call in which the bot plays a tone of 30 s."""
    wav.write(lab.sounds / "tone.wav", wav.tone(440, 30))
    async with (
        lab.system.waiting_bot() as bot,
        phone(lab.caller(), lab.system.sip) as caller,
        rtp_peer(Address(caller.address.host, ports.even_port(caller.address.host))) as rtp,
    ):
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(*rtp.address))
        await bot.event("incoming")
        await bot.send("accept", option={})
        answer = await call.response(200)
        rtp.remote = Address(*sipwire.media_address(answer.body))
        call.ack()
        await bot.event("answer")
        await bot.send("play", url="tone.wav")
        index = await rtp.packet(loud)
        for _ in range(FRAMES_BEFORE):
            index = await rtp.packet(loud, after=index + 1)
        yield Playing(bot, call, rtp)


def loud_after(rtp: RtpPeer, timestamp_ms: int) -> int:
    """How many packets with the tone arrived after the millisecond `timestamp_ms`."""
    limit = (timestamp_ms + 1) / 1000
    return sum(packet.arrival > limit for packet in rtp.packets if loud(packet))


async def test_interrupt_silences_the_wire_within_one_frame(lab: Lab) -> None:
    async with playing(lab) as scene:
        await scene.bot.send("interrupt")
        end = await scene.bot.event("trackEnd")
        await scene.rtp.speak(np.zeros(wav.RATE // 2))
        assert loud_after(scene.rtp, end["timestamp"]) <= 1
        await scene.call.bye()
        await scene.bot.ended()
    assert end["playId"] == "tone.wav"


async def test_play_replaces_play_without_a_gap_of_silence(lab: Lab) -> None:
    async with playing(lab) as scene:
        wav.write(lab.sounds / "other.wav", wav.tone(880, 0.5))
        await scene.bot.send("play", url="other.wav")
        first = await scene.bot.event("trackEnd")
        second = await scene.bot.event("trackEnd")
        await scene.call.bye()
        await scene.bot.ended()
    assert [first["playId"], second["playId"]] == ["tone.wav", "other.wav"]
    assert wav.correlation(scene.rtp.heard(), wav.tone(880, 0.4)) > 0.95


async def test_hangup_silences_the_wire_within_one_frame(lab: Lab) -> None:
    async with playing(lab) as scene:
        phone = scene.call.phone
        await scene.bot.send("hangup")
        phone.reply(await phone.request("BYE"), 200)
        hangup = await scene.bot.ended()
        assert loud_after(scene.rtp, hangup["timestamp"]) <= 1


async def test_frames_leave_every_20_ms_with_consecutive_numbers(lab: Lab) -> None:
    async with playing(lab) as scene:
        await scene.call.bye()
        await scene.bot.ended()
    heard = [packet for packet in scene.rtp.packets if packet.payload_type == PCMU]
    assert len({packet.ssrc for packet in heard}) == 1
    for before, after in zip(heard, heard[1:], strict=False):
        assert (after.sequence - before.sequence) % 65536 == 1
        assert (after.timestamp - before.timestamp) % 2**32 % 160 == 0
        assert len(after.payload) == 160
