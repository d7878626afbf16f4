"""A third party in a call through the real rtpengine: who hears whom, by the pitch of the voice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from control.errors import NgError, UnsupportedCodecError
from control.rtpengine.media import MediaLeg
from control.rtpengine.party import Interface
from control.rtpengine.stream import Stream
from control.rtpengine.transfer import Bridge
from control.sip.sdp import parse
from media.engine.stream import Codec
from tests.support import ports, sipwire
from tests.support.ports import Address
from tests.support.relay import Bench, benches
from tests.support.rtpcap import TELEPHONE_EVENT, RtpPacket, rtp_peer
from tests.support.talker import Talker, talking

pytestmark = pytest.mark.daemons

CODECS = ("opus", "g722", "pcmu", "pcma")
SPOKEN = {
    "0": Codec.PCMU,
    "8": Codec.PCMA,
    "9": Codec.G722,
    "96": Codec.OPUS,
}


@dataclass
class Call:
    """A (440 Hz) talks to the slot (1000 Hz); B (700 Hz) is to be called."""

    bench: Bench
    leg: MediaLeg
    sdp: bytes
    ordinary: Stream
    bridge: Bridge
    a: Talker
    b: Talker
    slot: Talker
    formats_a: str
    formats_b: str

    def b_sdp(self, direction: str = "sendrecv", formats: str | None = None) -> bytes:
        """B's description."""
        return sipwire.sdp(
            *self.b.peer.address, codecs=formats or self.formats_b, direction=direction
        ).encode()

    async def called(self) -> bytes:
        """B rings."""
        await self.bridge.tap()
        offer = await self.bridge.offer()
        self.b.peer.remote = Address(*sipwire.media_address(offer.decode()))
        return offer

    async def connected(self) -> Stream:
        """B has answered; the slot is quiet, as it is told."""
        await self.called()
        tap = await self.bridge.accept(self.b_sdp())
        self.slot.silent = True
        return tap

    async def all_hear(self, tap: Stream) -> None:
        """A and B hear each other, the slot both."""
        leg = self.bridge.leg_stream
        await self.a.hears(self.b)
        await self.b.hears(self.a)
        await self.slot.hears(self.a, Address(leg.source_address, leg.source_port), like=self.a)
        await self.slot.hears(self.b, Address(tap.source_address, tap.source_port), like=self.b)

    async def back(self) -> None:
        """A is with the slot as it was."""
        assert await self.bridge.release() == self.ordinary
        self.slot.silent = False
        self.slot.peer.ssrc += 1
        await self.a.hears(self.slot)
        await self.slot.hears(self.a, Address(self.ordinary.address, self.ordinary.port))
        assert {packet.source for packet in self.a.peer.packets} == {self.a.peer.remote}

    async def sockets(self) -> int:
        """Ports that rtpengine has open for the call."""
        state = await self.bench.ng.command("query", **{"call-id": "call-1"})
        return sum(
            bool(flow.get("local port"))
            for side in state["tags"].values()
            for media in side["medias"]
            for flow in media["streams"]
        )


@asynccontextmanager
async def calls(
    folder: Path,
    formats_a: str = "8 101",
    formats_b: str = "8 101",
    *,
    dialled: bool = False,
    external: Interface = "pub",
) -> AsyncIterator[Call]:
    """A call of A (or one that we `dialled`), where everybody talks; B is at our interface `external`."""
    async with benches(folder, ports.host(1), ports.host(2)) as bench, rtp_peer(ports.peer(13)) as far:
        leg = bench.leg(codecs=CODECS)
        if dialled:
            sdp = await leg.offer(bench.endpoint)
            stream = await leg.accept(bench.sdp(formats_a))
        else:
            sdp, stream = await leg.answer(bench.sdp(formats_a), bench.endpoint)
        bench.connect(sdp, stream)
        far.ssrc, bench.slot.ssrc = 0xB, 0xB07
        (a, kind_a), (b, kind_b) = (
            (int(formats.split()[0]), SPOKEN[formats.split()[0]]) for formats in (formats_a, formats_b)
        )
        call = Call(
            bench,
            leg,
            sdp,
            stream,
            Bridge(leg, "party-1", external, CODECS),
            Talker(bench.peer, kind_a, a, 440),
            Talker(far, kind_b, b, 700),
            Talker(bench.slot, kind_a, a, 1000),
            formats_a,
            formats_b,
        )
        async with talking(call.a, call.b, call.slot):
            await call.a.hears(call.slot)
            await call.slot.hears(call.a)
            yield call


@pytest.mark.parametrize(
    ("formats_a", "formats_b"),
    [
        ("8 101", "8 101"),
        ("0 101", "8 101"),
        ("9 101", "8 101"),
        ("96 110", "8 101"),
        ("0 101", "96 110"),
        ("96 110", "96 110"),
    ],
)
async def test_transfer_and_return(tmp_path: Path, formats_a: str, formats_b: str) -> None:
    async with calls(tmp_path, formats_a, formats_b) as call:
        before = await call.sockets()
        offer = await call.called()
        assert parse(offer).media[0].formats[0] == formats_a.split()[0]
        tap = call.bridge.leg_stream
        assert (tap.port, tap.direction) == (call.ordinary.port, "sendrecv")
        await call.a.hears(call.slot)
        await call.slot.hears(call.a, Address(tap.source_address, tap.source_port))
        party = await call.bridge.accept(call.b_sdp())
        call.slot.silent = True
        assert (call.bridge.leg_stream.direction, party.direction) == ("recvonly", "recvonly")
        await call.all_hear(party)
        await call.back()
        assert await call.sockets() == before


async def test_what_a_late_bot_says_does_not_reach_the_peer(tmp_path: Path) -> None:
    async with calls(tmp_path) as call:
        await call.called()
        await call.bridge.accept(call.b_sdp())
        await call.a.hears(call.b)
        await call.b.hears(call.a)


async def test_the_party_does_not_answer(tmp_path: Path) -> None:
    async with calls(tmp_path) as call:
        before = await call.sockets()
        await call.called()
        await call.a.hears(call.slot)
        await call.back()
        assert await call.sockets() == before


async def test_only_the_tap_was_made(tmp_path: Path) -> None:
    async with calls(tmp_path) as call:
        before = await call.sockets()
        await call.bridge.tap()
        await call.back()
        assert await call.sockets() == before
        with pytest.raises(NgError, match="back at its slot"):
            await call.bridge.offer()


@pytest.mark.parametrize(
    ("formats_a", "formats_b", "external"), [("8 101", "8 101", "int"), ("9 101", "0 101", "pub")]
)
async def test_a_call_that_we_dialled(
    tmp_path: Path, formats_a: str, formats_b: str, external: Interface
) -> None:
    async with calls(tmp_path, formats_a, formats_b, dialled=True, external=external) as call:
        party = await call.connected()
        host = sipwire.media_address((await call.bridge.reoffer(call.b_sdp()))[0].decode())[0]
        assert host == ports.host(1 if external == "pub" else 2)
        await call.all_hear(party)
        await call.back()


async def test_a_call_that_is_on_hold(tmp_path: Path) -> None:
    async with calls(tmp_path) as call:
        zero = sipwire.sdp("0.0.0.0", call.a.peer.address.port, codecs="8 101").encode()
        await call.leg.reoffer(zero)
        tap = await call.connected()
        assert call.bridge.leg_stream.source_address == call.ordinary.address
        assert call.b.peer.remote is not None
        assert call.b.peer.remote.host == ports.host(1)
        await call.leg.reoffer(call.bench.sdp("8 101"))
        await call.all_hear(tap)
        await call.back()


async def test_keys_of_both_reach_the_other_and_the_bot(tmp_path: Path) -> None:
    async with calls(tmp_path, "8 101", "0 101") as call:
        await call.connected()
        for presser, listener, digit in ((call.a.peer, call.b.peer, 5), (call.b.peer, call.a.peer, 6)):
            for end in (0, 0x80):
                presser.send(bytes([digit, end | 10, 0, 160]), TELEPHONE_EVENT, marker=not end)
            for ear in (listener, call.slot.peer):
                await ear.packet(partial(is_key, digit))


def is_key(digit: int, packet: RtpPacket) -> bool:
    """Whether `packet` is of the key `digit`."""
    return packet.payload_type == TELEPHONE_EVENT and packet.payload[0] == digit


async def test_again_with_another_party(tmp_path: Path) -> None:
    async with calls(tmp_path) as call:
        await call.all_hear(await call.connected())
        await call.back()
        call.bridge = Bridge(call.leg, "party-2", "pub", CODECS)
        await call.all_hear(await call.connected())
        await call.back()


async def test_the_peer_holds_moves_and_resumes(tmp_path: Path) -> None:
    async with calls(tmp_path, "9 101", "8 101") as call:
        tap = await call.connected()
        sdp, stream = await call.leg.reoffer(call.bench.sdp("9 101", "sendonly"))
        assert stream == call.bridge.leg_stream
        assert parse(sdp).media[0].direction == "recvonly"
        assert sipwire.media_address(sdp.decode()) == call.a.peer.remote
        await call.b.hears(call.a)
        zero = sipwire.sdp("0.0.0.0", call.a.peer.address.port, codecs="9 101").encode()
        await call.leg.reoffer(zero)
        async with rtp_peer(ports.peer(14)) as moved:
            moved.remote = call.a.peer.remote
            call.a.silent = True
            elsewhere = replace(call.a, peer=moved, silent=False)
            now = replace(call.bench, peer=moved)
            async with talking(elsewhere):
                sdp, _ = await call.leg.reoffer(now.sdp("9 101"))
                assert sipwire.media_address(sdp.decode()) == moved.remote
                call.a = elsewhere
                await call.all_hear(tap)
                await call.back()


async def test_the_peer_holds_while_the_party_rings(tmp_path: Path) -> None:
    async with calls(tmp_path) as call:
        await call.called()
        _, held = await call.leg.reoffer(call.bench.sdp("8 101", "sendonly"))
        assert (held.direction, held.source_port) == ("recvonly", call.bridge.leg_stream.source_port)
        _, resumed = await call.leg.reoffer(call.bench.sdp("8 101"))
        assert resumed.direction == "sendrecv"
        await call.a.hears(call.slot)
        tap = await call.bridge.accept(call.b_sdp())
        call.slot.silent = True
        await call.all_hear(tap)


async def test_neither_changes_its_codec_meanwhile(tmp_path: Path) -> None:
    async with calls(tmp_path) as call:
        tap = await call.connected()
        with pytest.raises(UnsupportedCodecError):
            await call.leg.reoffer(call.bench.sdp("0 101"))
        with pytest.raises(UnsupportedCodecError):
            await call.bridge.reoffer(call.b_sdp(formats="0 101"))
        await call.all_hear(tap)


@pytest.mark.parametrize(("formats_a", "formats_b"), [("8 101", "8 101"), ("96 110", "8 101")])
async def test_the_party_holds_and_resumes(tmp_path: Path, formats_a: str, formats_b: str) -> None:
    async with calls(tmp_path, formats_a, formats_b) as call:
        tap = await call.connected()
        sdp, held = await call.bridge.reoffer(call.b_sdp("sendonly"))
        audio = parse(sdp).media[0]
        assert (held, audio.direction, audio.formats[0]) == (tap, "recvonly", "8")
        assert sipwire.media_address(sdp.decode()) == call.b.peer.remote
        await call.bridge.reoffer(call.b_sdp())
        renewed = parse(call.bridge.renew_offer()).media[0]
        assert (renewed.direction, renewed.formats[0]) == ("sendrecv", "8")
        assert await call.bridge.accept(call.b_sdp()) == tap
        await call.all_hear(tap)


async def test_early_media_then_an_answer_in_another_codec(tmp_path: Path) -> None:
    async with calls(tmp_path, "96 110", "8 101") as call:
        early = await call.connected()
        await call.all_hear(early)
        async with rtp_peer(ports.peer(14)) as other:
            other.remote, other.ssrc = call.b.peer.remote, 0xC
            call.b.silent = True
            call.b = replace(call.b, peer=other, codec=Codec.PCMU, payload_type=0, pitch=800, silent=False)
            async with talking(call.b):
                final = await call.bridge.accept(call.b_sdp(formats="0 101"))
                assert (early.codec, final.codec) == ("pcma", "pcmu")
                await call.all_hear(final)
                await call.back()


async def test_streams_that_are_no_audio_keep_their_places(tmp_path: Path) -> None:
    async with calls(tmp_path) as call:
        video = b"m=video 4000 RTP/AVP 31\r\n"
        with_video = call.bench.sdp("8 101").replace(b"m=audio", video + b"m=audio", 1)
        leg = call.bench.leg("call-2", codecs=CODECS)
        sdp, stream = await leg.answer(with_video, call.bench.endpoint)
        call.a.peer.remote = Address(parse(sdp).connection or "", parse(sdp).media[1].port)
        call.slot.peer.remote = Address(stream.address, stream.port)
        call.leg, call.ordinary = leg, stream
        call.bridge = Bridge(leg, "party-1", "pub", CODECS)
        await call.all_hear(await call.connected())
        assert await call.bridge.release() == stream


async def test_the_peer_is_gone(tmp_path: Path) -> None:
    async with calls(tmp_path) as call:
        await call.connected()
        await call.leg.delete()
        assert await call.bench.calls() == []
        with pytest.raises(NgError, match="deleted"):
            await call.bridge.release()
