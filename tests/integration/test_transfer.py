"""Transfers over the whole system: two phones, and a media worker whose part the test plays."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from control.api import models
from control.rtpengine.stream import Endpoint, Stream
from media.engine.stream import Codec
from tests.support import ports, sipwire
from tests.support.lab import Lab
from tests.support.legworker import LegWorker, leg_worker
from tests.support.phone import Dialog, Phone, phone
from tests.support.ports import Address
from tests.support.rtpcap import PCMU, rtp_peer
from tests.support.sipwire import Message
from tests.support.talker import Talker, talking

pytestmark = pytest.mark.daemons

PCMA = 8


@dataclass
class Talk:
    """The caller (440 Hz) talks to the worker (1000 Hz); the party (700 Hz) is there to be called."""

    worker: LegWorker
    caller: Phone
    call: Dialog
    leg: str
    ordinary: Stream
    party: Phone
    a: Talker
    b: Talker
    slot: Talker

    async def refer(self, **options: object) -> tuple[models.Invited, Message]:
        """Let the party be called: the result, the INVITE."""
        invited = await self.worker.refer(self.leg, f"sip:phone@{self.party.address}", **options)
        changed = await self.worker.next(models.MediaChanged)
        assert (changed.leg, changed.stream.port) == (self.leg, self.ordinary.port)
        invite = await self.party.request("INVITE")
        self.b.peer.remote = Address(*sipwire.media_address(invite.body))
        return invited, invite

    async def connect(self, invite: Message) -> None:
        """The party answers; everybody hears whom they are to hear."""
        codecs = f"{self.b.payload_type} 101"
        self.party.reply(invite, 200, tag="party", sdp=sipwire.sdp(*self.b.peer.address, codecs=codecs))
        heard = await self.worker.next(models.MediaChanged)
        self.slot.silent = True
        answered = await self.worker.next(models.Answered)
        await self.party.request("ACK")
        await self.a.hears(self.b)
        await self.b.hears(self.a)
        await self.slot.hears(self.a, _source(heard.stream), like=self.a)
        await self.slot.hears(self.b, _source(answered.stream), like=self.b)

    async def returned(self, party: str) -> models.Ended:
        """The caller is back."""
        changed = await self.worker.next(models.MediaChanged)
        assert (changed.leg, changed.stream) == (self.leg, self.ordinary)
        self.slot.silent = False
        self.slot.peer.ssrc += 1
        ended = await self.worker.next(models.Ended)
        assert ended.leg == party
        await self.a.hears(self.slot)
        await self.slot.hears(self.a, _source(self.ordinary))
        return ended

    async def end(self) -> None:
        """The caller hangs up; it was never asked for anything."""
        assert {packet.source for packet in self.a.peer.packets} == {self.a.peer.remote}
        assert [message.method for message in self.caller.inbox if not message.code] == []
        await self.call.bye()
        assert (await self.worker.next(models.Ended)).leg == self.leg


def _source(stream: Stream) -> Address:
    return Address(stream.source_address or stream.address, stream.source_port or stream.port)


@asynccontextmanager
async def talk(lab: Lab, codec: Codec = Codec.PCMU, payload_type: int = PCMU) -> AsyncIterator[Talk]:
    """A call that a worker has accepted; the party will speak `codec`."""
    url = f"ws://{lab.system.control}/legs"
    async with (
        rtp_peer(ports.peer(11)) as a,
        rtp_peer(ports.peer(12)) as b,
        rtp_peer(Address("127.0.0.1", ports.even_port("127.0.0.1"))) as slot,
        phone(lab.caller(), lab.system.sip) as caller,
        phone(lab.callee(), lab.system.sip) as party,
        leg_worker(url, Endpoint(*slot.address)) as worker,
    ):
        b.ssrc, slot.ssrc = 0xB, 0xB07
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(*a.address, codecs="0 101"))
        leg = (await worker.accept()).leg
        answer = await call.response(200)
        call.ack()
        stream = (await worker.next(models.Answered)).stream
        a.remote = Address(*sipwire.media_address(answer.body))
        slot.remote = Address(stream.address, stream.port)
        made = Talk(
            worker,
            caller,
            call,
            leg,
            stream,
            party,
            Talker(a, Codec.PCMU, PCMU, 440),
            Talker(b, codec, payload_type, 700),
            Talker(slot, Codec.PCMU, PCMU, 1000),
        )
        async with talking(made.a, made.b, made.slot):
            await made.a.hears(made.slot)
            await made.slot.hears(made.a)
            yield made


@pytest.mark.parametrize(("codec", "payload_type"), [(Codec.PCMU, PCMU), (Codec.PCMA, PCMA)])
async def test_the_party_answers_and_hangs_up(lab: Lab, codec: Codec, payload_type: int) -> None:
    async with talk(lab, codec, payload_type) as call:
        invited, invite = await call.refer()
        assert invite.get("X-Referred-From") == f"sip:phone@{call.caller.address}"
        call.party.reply(invite, 180, tag="party")
        assert (await call.worker.next(models.Ringing)).stream is None
        await call.a.hears(call.slot)
        await call.connect(invite)
        party = Dialog.of(call.party, invite, tag="party")
        await party.bye()
        assert (await call.returned(invited.leg)).initiator == "callee"
        await call.end()


async def test_the_worker_hangs_up_the_party_and_refers_again(lab: Lab) -> None:
    async with talk(lab) as call:
        for _ in range(2):
            invited, invite = await call.refer()
            await call.connect(invite)
            await call.worker.hang_up(invited.leg)
            call.party.reply(await call.party.request("BYE"), 200)
            await call.returned(invited.leg)
        await call.end()


async def test_the_party_is_busy(lab: Lab) -> None:
    async with talk(lab) as call:
        invited, invite = await call.refer()
        call.party.reply(invite, 486, "Busy Here", tag="party")
        await call.party.request("ACK")
        refused = await call.worker.next(models.Rejected)
        assert (refused.leg, refused.code) == (invited.leg, 486)
        await call.returned(invited.leg)
        await call.end()


async def test_the_party_does_not_answer(lab: Lab) -> None:
    async with talk(lab) as call:
        invited, invite = await call.refer(timeout=0.5)
        call.party.reply(invite, 180, tag="party")
        await call.worker.next(models.Ringing)
        refused = await call.worker.next(models.Rejected)
        assert (refused.code, refused.reason) == (408, "Timeout when refer")
        call.party.reply(await call.party.request("CANCEL"), 200, tag="party")
        call.party.reply(invite, 487, tag="party")
        await call.returned(invited.leg)
        await call.end()


async def test_the_caller_hangs_up_while_the_party_rings(lab: Lab) -> None:
    async with talk(lab) as call:
        invited, invite = await call.refer()
        call.party.reply(invite, 180, tag="party")
        await call.worker.next(models.Ringing)
        await call.call.bye()
        ended = [(await call.worker.next(models.Ended)).leg for _ in range(2)]
        assert ended == [call.leg, invited.leg]
        call.party.reply(await call.party.request("CANCEL"), 200, tag="party")
        call.party.reply(invite, 487, tag="party")


async def test_the_caller_hangs_up_while_it_talks_to_the_party(lab: Lab) -> None:
    async with talk(lab) as call:
        invited, invite = await call.refer()
        await call.connect(invite)
        await call.call.bye()
        ended = [(await call.worker.next(models.Ended)).leg for _ in range(2)]
        assert ended == [call.leg, invited.leg]
        call.party.reply(await call.party.request("BYE"), 200)


async def test_the_caller_holds_and_resumes(lab: Lab) -> None:
    async with talk(lab) as call:
        invited, invite = await call.refer()
        await call.connect(invite)
        for direction, mirrored in (("sendonly", "recvonly"), ("sendrecv", "sendrecv")):
            offer = sipwire.sdp(*call.a.peer.address, codecs="0 101", direction=direction)
            answer = await call.call.establish(offer)
            assert f"a={mirrored}" in answer
            assert sipwire.media_address(answer) == call.a.peer.remote
            changed = await call.worker.next(models.MediaChanged)
            assert (changed.leg, changed.stream.direction) == (call.leg, "recvonly")
        await call.a.hears(call.b)
        await call.b.hears(call.a)
        assert [message.method for message in call.party.inbox if not message.code] == ["INVITE", "ACK"]
        await Dialog.of(call.party, invite, tag="party").bye()
        await call.returned(invited.leg)
        await call.end()


async def test_early_media_of_the_party(lab: Lab) -> None:
    async with talk(lab) as call:
        invited, invite = await call.refer(early_media=True)
        early = sipwire.sdp(*call.b.peer.address, codecs="0 101")
        call.party.reply(invite, 183, tag="party", sdp=early)
        assert (await call.worker.next(models.MediaChanged)).stream.direction == "recvonly"
        call.slot.silent = True
        assert (await call.worker.next(models.Ringing)).stream is not None
        await call.a.hears(call.b)
        call.party.reply(invite, 200, tag="party", sdp=early)
        assert (await call.worker.next(models.Answered)).leg == invited.leg
        await call.party.request("ACK")
        await call.b.hears(call.a)
        await call.call.bye()
        call.party.reply(await call.party.request("BYE"), 200)
