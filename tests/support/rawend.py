"""A raw SIP phone that talks all the time: the caller of a bot, or the target of its transfers."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from media.engine.stream import Codec
from tests.support import ports, sipwire
from tests.support.phone import Dialog, Phone, phone
from tests.support.ports import Address
from tests.support.rtpcap import PCMU, TELEPHONE_EVENT, RtpPeer, rtp_peer
from tests.support.sipwire import Message
from tests.support.talker import Talker, talking

TAG = "far"


@dataclass(slots=True)
class RawEnd:
    """Signalling and voice; open it by `raw_end`. It has one call at a time."""

    phone: Phone
    talker: Talker
    events: int | None = TELEPHONE_EVENT
    """Payload type of telephone-event; None when it was not offered."""

    @property
    def rtp(self) -> RtpPeer:
        """Its voice's socket."""
        return self.talker.peer

    @property
    def uri(self) -> str:
        """Where it can be called."""
        return f"sip:phone@{self.phone.address}"

    @property
    def sdp(self) -> str:
        """What it offers and answers."""
        codecs = str(self.talker.payload_type)
        if self.events is None:
            return sipwire.sdp(*self.rtp.address, codecs=codecs)
        description = sipwire.sdp(*self.rtp.address, codecs=f"{codecs} {TELEPHONE_EVENT}")
        return re.sub(rf"\b{TELEPHONE_EVENT}\b", str(self.events), description)

    def dial(self, uri: str) -> Dialog:
        """Send an INVITE; `established` waits for the answer."""
        call = self.phone.call(uri)
        call.send("INVITE", body=self.sdp)
        return call

    async def established(self, call: Dialog) -> None:
        """Wait for the answer and acknowledge it."""
        answer = await call.response(200)
        self.rtp.remote = Address(*sipwire.media_address(answer.body))
        call.ack()

    async def rings(self) -> Message:
        """Wait for a call and ring; the INVITE."""
        invite = await self.phone.request("INVITE")
        self.rtp.remote = Address(*sipwire.media_address(invite.body))
        offered = re.search(r"^a=rtpmap:(\d+) telephone-event/8000", invite.body, re.MULTILINE)
        self.events = None if offered is None else int(offered[1])
        self.phone.reply(invite, 180, "Ringing", tag=TAG)
        return invite

    def answer(self, invite: Message) -> Dialog:
        """Take the call; the ACK is to be waited for."""
        self.phone.reply(invite, 200, "OK", tag=TAG, sdp=self.sdp)
        return Dialog.of(self.phone, invite, TAG)

    async def acknowledged(self) -> None:
        """Wait for the ACK of an answer."""
        await self.phone.request("ACK")

    async def cancelled(self, invite: Message) -> None:
        """Wait for the CANCEL of a call that rings, and confirm it."""
        self.phone.reply(await self.phone.request("CANCEL"), 200, "OK", tag=TAG)
        self.phone.reply(invite, 487, "Request Terminated", tag=TAG)
        await self.phone.request("ACK")

    async def press(self, digit: str) -> None:
        """Press a key; the voice is silent meanwhile."""
        assert self.events is not None, "telephone-event was not offered"
        self.talker.silent = True
        await self.rtp.press(digit, payload_type=self.events)
        self.talker.silent = False

    async def hung_up(self) -> None:
        """Wait for the BYE and confirm it; nobody is spoken to any more."""
        self.phone.reply(await self.phone.request("BYE"), 200, "OK")
        self.rtp.remote = None


@asynccontextmanager
async def raw_end(
    address: Address, proxy: Address, pitch: int, codec: Codec = Codec.PCMU, payload_type: int = PCMU
) -> AsyncIterator[RawEnd]:
    """Be there on `address` and say `pitch` Hz while the block runs."""
    async with (
        phone(address, proxy) as sip,
        rtp_peer(Address(address.host, ports.even_port(address.host))) as rtp,
    ):
        talker = Talker(rtp, codec, payload_type, pitch)
        async with talking(talker):
            yield RawEnd(sip, talker)
