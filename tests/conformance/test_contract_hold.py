"""Hold and new offers from the far end: what the bot is told, what is answered, and who hears whom afterwards."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.support import ports, sipwire, wav
from tests.support.bot import PATIENCE, Bot
from tests.support.lab import Lab
from tests.support.phone import Dialog, phone
from tests.support.poll import until
from tests.support.ports import Address
from tests.support.rtpcap import PCMA, PCMU, RtpPeer, rtp_peer

pytestmark = pytest.mark.daemons

SAID = wav.babble(1, 0.4)
PLAYED = wav.babble(2, 0.4)
ALIKE = 0.9
SILENT = 0.001
TO_US = 1
"""First byte of a frame of what the far end says (``subscribe``)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A re-INVITE."""

    sdp: Callable[[Address], str]
    answer: str
    """Direction in the answer."""
    held: bool
    """Whether the bot is told ``hold``."""
    heard: bool = True
    """Whether the bot hears the far end."""


HOLDS = {
    "sendonly": Offer(lambda at: sipwire.sdp(*at, direction="sendonly"), "recvonly", held=True),
    "inactive": Offer(lambda at: sipwire.sdp(*at, direction="inactive"), "inactive", held=True, heard=False),
    "c=0.0.0.0": Offer(lambda at: sipwire.sdp("0.0.0.0", at.port), "recvonly", held=True, heard=False),
    "c=0.0.0.0 and sendonly": Offer(
        lambda at: sipwire.sdp("0.0.0.0", at.port, direction="sendonly"), "recvonly", held=True, heard=False
    ),
    "c=0.0.0.0 and inactive": Offer(
        lambda at: sipwire.sdp("0.0.0.0", at.port, direction="inactive"), "inactive", held=True, heard=False
    ),
}


@dataclass(slots=True)
class Scene:
    """A call that is answered; the bot hears the far end by ``subscribe``."""

    lab: Lab
    bot: Bot
    call: Dialog
    rtp: RtpPeer

    async def offer(self, sdp: str) -> str:
        """Send a re-INVITE; the direction that is answered."""
        answer = await self.call.establish(sdp)
        self.rtp.remote = Address(*sipwire.media_address(answer))
        found = re.search("^a=(sendrecv|sendonly|recvonly|inactive)", answer, re.MULTILINE)
        return found[1] if found else "sendrecv"

    async def bot_hears(self) -> None:
        """What the far end says comes to the bot."""
        seen = len(self.bot.audio)

        async def arrived() -> bool:
            parts = [part[1:] for part in self.bot.audio[seen:] if part[0] == TO_US]
            heard = np.frombuffer(b"".join(parts), "<i2")[::2] / 32768
            return heard.size >= SAID.size and wav.correlation(heard, SAID) > ALIKE

        await self.rtp.speak(SAID)
        await until(arrived, within=PATIENCE)

    def heard(self, since: int) -> wav.Sound:
        """What the far end got of us, behind so many packets."""
        return replace(self.rtp, packets=self.rtp.packets[since:]).heard()

    async def far_end_hears(self) -> None:
        """What the bot plays comes to the far end."""
        seen = len(self.rtp.packets)
        await self.bot.send("play", url="played.wav")
        await self.arrives(seen)

    async def arrives(self, since: int) -> None:
        """All of what is played comes to the far end, behind so many packets."""

        async def arrived() -> bool:
            return wav.correlation(self.heard(since), PLAYED) > ALIKE

        await self.bot.event("trackEnd")
        await until(arrived, within=PATIENCE)

    async def both_hear(self) -> None:
        """Audio goes both ways."""
        await self.bot_hears()
        await self.far_end_hears()


@asynccontextmanager
async def scene(lab: Lab, codecs: str = "0 8 101") -> AsyncIterator[Scene]:
    """A call comes in and is answered."""
    sound = lab.sounds / "played.wav"
    if not sound.exists():
        wav.write(sound, PLAYED)
    async with (
        lab.system.waiting_bot() as bot,
        phone(lab.caller(), lab.system.sip) as caller,
        rtp_peer(Address(caller.address.host, ports.even_port(caller.address.host))) as rtp,
    ):
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(*rtp.address, codecs=codecs))
        await bot.event("incoming")
        await bot.send("accept", option={"subscribe": True})
        rtp.remote = Address(*sipwire.media_address((await call.response(200)).body))
        call.ack()
        await bot.event("answer")
        yield Scene(lab, bot, call, rtp)
        await call.bye()
        await bot.ended()


@pytest.mark.parametrize("name", HOLDS)
async def test_hold_and_back(lab: Lab, name: str) -> None:
    offer = HOLDS[name]
    async with scene(lab) as held:
        assert await held.offer(offer.sdp(held.rtp.address)) == offer.answer
        told = await held.bot.event("hold")
        assert (told["onHold"], told["trackId"]) == (True, held.bot.events[0]["trackId"])
        seen = len(held.rtp.packets)
        await held.bot.send("play", url="played.wav")
        if offer.heard:
            await held.bot_hears()
        assert await held.offer(offer.sdp(held.rtp.address)) == offer.answer
        assert wav.rms(held.heard(seen)) < SILENT
        assert await held.offer(sipwire.sdp(*held.rtp.address)) == "sendrecv"
        assert (await held.bot.event("hold"))["onHold"] is False
        await held.arrives(seen)  # it has waited
        await held.both_hear()
    assert held.bot.names.count("hold") == 2


async def test_same_offer_again_changes_nothing(lab: Lab) -> None:
    async with scene(lab) as same:
        before = same.rtp.remote
        assert await same.offer(sipwire.sdp(*same.rtp.address)) == "sendrecv"
        assert same.rtp.remote == before
        await same.both_hear()
    assert "hold" not in same.bot.names


async def test_far_end_moves_to_another_port(lab: Lab) -> None:
    async with scene(lab) as moved:
        await moved.far_end_hears()
        host = moved.rtp.address.host
        async with rtp_peer(Address(host, ports.even_port(host))) as elsewhere:
            before, moved.rtp = moved.rtp, elsewhere
            assert await moved.offer(sipwire.sdp(*elsewhere.address)) == "sendrecv"
            moved.rtp.ssrc = 0xCAFE
            await moved.both_hear()
            count = len(before.packets)
            await moved.far_end_hears()
            assert len(before.packets) == count
    assert "hold" not in moved.bot.names


async def test_stream_is_refused_with_port_zero(lab: Lab) -> None:
    async with scene(lab) as gone:
        gone.call.send("INVITE", body=sipwire.sdp(gone.rtp.address.host, 0))
        await gone.call.response(488)
        gone.call.ack()
        await gone.both_hear()
    assert "hold" not in gone.bot.names


async def test_codec_changes_and_changes_back(lab: Lab) -> None:
    async with scene(lab) as changed:
        for codecs, law in (("8 101", PCMA), ("0 101", PCMU)):
            sdp = sipwire.sdp(*changed.rtp.address, codecs=codecs)
            assert await changed.offer(sdp) == "sendrecv"
            changed.rtp.law = law
            await changed.both_hear()
    assert "hold" not in changed.bot.names
