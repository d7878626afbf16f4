"""Each codec through the real rtpengine, from a peer or a real softphone to the socket of a media slot, untouched."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from control.rtpengine.media import MediaLeg, Stream
from control.sip.offer_answer import CODECS, OPUS_PARAMETERS
from control.sip.sdp import parse
from tests.support import ports, sipwire
from tests.support.baresip import Baresip, Codec, baresip
from tests.support.netns import Namespace, namespace
from tests.support.phone import Dialog, Phone, phone
from tests.support.ports import Address
from tests.support.relay import Bench, benches
from tests.support.rtpcap import DIGITS, RtpPacket

pytestmark = pytest.mark.daemons

ALL = tuple(CODECS)
OPUS, EVENTS_8, EVENTS_48 = 96, 101, 110
SPEECH = bytes(range(1, 161))
FROM_SLOT = SPEECH[::-1]


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with benches(tmp_path, ports.host(1), ports.host(2)) as made:
        yield made
        assert await made.transcoded() == 0


async def talk(bench: Bench, sdp: bytes, stream: Stream, mark: bytes = b"") -> None:
    """Say something both ways, and press a key both ways; `mark` makes what is said unlike all before."""
    await bench.heard_by_slot(stream, mark + SPEECH, stream.payload_type)
    await bench.heard_by_peer(sdp, mark + FROM_SLOT, stream.payload_type)
    if stream.event_payload_type is not None:
        await bench.heard_by_slot(stream, b"\x05\x0a\x00\xa0" + mark, stream.event_payload_type)
        await bench.heard_by_peer(sdp, b"\x06\x0a\x00\xa0" + mark, stream.event_payload_type)


INCOMING = [
    ("9 101", "g722", 9, EVENTS_8, 8000),
    ("96 110", "opus", OPUS, EVENTS_48, 48000),
    ("110 101 96 0", "opus", OPUS, EVENTS_48, 48000),
    ("96 0 101", "opus", OPUS, EVENTS_8, 8000),
    ("101 96", "opus", OPUS, EVENTS_8, 8000),
    ("96 0", "opus", OPUS, None, 8000),
    ("97 101", "pcmu16", 97, EVENTS_8, 8000),
    ("0 96 101 110", "pcmu", 0, EVENTS_8, 8000),
]


@pytest.mark.parametrize(("offer", "codec", "payload_type", "events", "event_rate"), INCOMING)
async def test_incoming_call_passes_untouched(
    bench: Bench, offer: str, codec: str, payload_type: int, events: int | None, event_rate: int
) -> None:
    sdp, stream = await bench.leg(codecs=ALL).answer(bench.sdp(offer), bench.endpoint)
    assert (stream.codec, stream.payload_type) == (codec, payload_type)
    assert (stream.event_payload_type, stream.event_clock_rate) == (events, event_rate)
    [audio] = parse(sdp).media
    assert [int(number) for number in audio.formats] == [payload_type, *([] if events is None else [events])]
    assert audio.fmtp(payload_type) == (OPUS_PARAMETERS if codec == "opus" else None)
    assert audio.ptime == 20
    bench.connect(sdp, stream)
    await talk(bench, sdp, stream)


OUTGOING = [
    ("111 110", "opus", 110, 48000),
    ("111 101", "opus", 101, 8000),
    ("9 101", "g722", 101, 8000),
    ("0 101", "pcmu", 101, 8000),
    ("112 101", "pcmu16", 101, 8000),
]


@pytest.mark.parametrize(("answer", "codec", "events", "event_rate"), OUTGOING)
async def test_outgoing_call_passes_untouched(
    bench: Bench, answer: str, codec: str, events: int, event_rate: int
) -> None:
    leg = bench.leg(codecs=("opus", "g722", "pcmu", "pcmu16"))
    offer = await leg.offer(bench.endpoint)
    [audio] = parse(offer).media
    assert audio.formats == ("111", "9", "0", "112", "110", "101", "102")
    assert audio.fmtp(111) == OPUS_PARAMETERS
    stream = await leg.accept(numbered(bench.sdp("9 96 97 101 110"), answer))
    assert (stream.codec, stream.payload_type) == (codec, int(answer.split()[0]))
    assert (stream.event_payload_type, stream.event_clock_rate) == (events, event_rate)
    bench.connect(offer, stream)
    await talk(bench, offer, stream)


@pytest.mark.parametrize(
    ("codec", "events", "formats"),
    [(96, 97, "111 101"), (96, 101, "111 101"), (111, 97, "111 101"), (0, 97, "0 101"), (96, None, "111")],
)
async def test_an_answer_with_payload_types_of_its_own(
    bench: Bench, codec: int, events: int | None, formats: str
) -> None:
    leg = bench.leg(codecs=("opus", "pcmu"))
    offer = await leg.offer(bench.endpoint)
    answer = sipwire.sdp(*bench.peer.address, codecs="0").replace(" 0\r", f" {codec} {events or ''}\r")
    answer += f"a=rtpmap:{codec} {'opus/48000/2' if codec else 'PCMU/8000'}\r\n"
    answer += f"a=rtpmap:{events} telephone-event/8000\r\n" if events else ""
    stream = await leg.accept(answer.encode())
    numbers = (stream.payload_type, stream.event_payload_type)
    assert " ".join(str(number) for number in numbers if number is not None) == formats
    bench.connect(offer, stream)
    # The peer sends by the numbers of our offer (RFC 3264 section 6.1).
    await bench.heard_by_slot(stream, SPEECH, stream.payload_type)
    if stream.event_payload_type is not None:
        await bench.heard_by_slot(stream, b"\x05\x0a\x00\xa0", stream.event_payload_type)
    await bench.heard_by_peer(offer, FROM_SLOT, stream.payload_type)
    assert await leg.accept(answer.encode()) == stream
    await bench.heard_by_slot(stream, b"again" + SPEECH, stream.payload_type)


def numbered(sdp: bytes, formats: str) -> bytes:
    """A description with our dynamic payload types, and of those with `formats` alone."""
    text = sdp.decode().replace(":96 ", ":111 ").replace(":97 ", ":112 ")
    return re.sub(r"(m=audio \d+ RTP/AVP).*\r", rf"\1 {formats}\r", text).encode()


async def test_change_of_codec_and_hold_keep_all_ports(bench: Bench) -> None:
    leg = bench.leg(codecs=ALL)
    sdp, first = await leg.answer(bench.sdp("0 96 101"), bench.endpoint)
    bench.connect(sdp, first)
    await talk(bench, sdp, first, b"first")
    changes = [("96 0 101", "opus"), ("9 101", "g722"), ("96 110", "opus"), ("0 101", "pcmu")]
    for number, (offer, codec) in enumerate(changes):
        sdp, held = await leg.reoffer(bench.sdp(offer, "sendonly"))
        assert (held.codec, held.direction) == (codec, "recvonly")
        await bench.heard_by_slot(held, b"music on hold %d" % number * 5, held.payload_type)
        sdp, stream = await leg.reoffer(bench.sdp(offer))
        assert (stream.codec, stream.direction) == (codec, "sendrecv")
        for now in (held, stream):
            assert (now.address, now.port) == (first.address, first.port)
            assert (now.rtcp_address, now.rtcp_port) == (first.rtcp_address, first.rtcp_port)
        assert sipwire.media_address(sdp.decode()) == bench.peer.remote
        await talk(bench, sdp, stream, b"%d" % number)
    assert stream == first


@pytest.mark.parametrize("mux", [False, True])
async def test_rtcp_has_a_port_of_its_own_towards_us(bench: Bench, mux: bool) -> None:
    host = ports.host(11)
    peer = Address(host, ports.even_port(host))
    offer = sipwire.sdp(*peer, codecs="96 101") + ("a=rtcp-mux\r\n" if mux else "")
    sdp, stream = await bench.leg(codecs=ALL).answer(offer.encode(), bench.endpoint)
    assert (stream.rtcp_address, stream.rtcp_port) == (stream.address, stream.port + 1)
    [audio] = parse(sdp).media
    assert (audio.attribute("rtcp-mux") is not None) == mux
    theirs, _ = audio.rtcp
    # A receiver report with one block (RFC 3550 section 6.4.2).
    report = struct.pack("!BBHIIIIIII", 0x81, 201, 7, 0x5EED, 1, 0, 0, 0, 0, 0)
    loop = asyncio.get_running_loop()
    with udp(Address(host, peer.port + (not mux))) as outer, udp(after(bench.slot.address)) as inner:
        async with asyncio.timeout(5):
            outer.sendto(report, (ports.host(1), theirs))
            data, source = await loop.sock_recvfrom(inner, 2048)
            assert (data[:8], source) == (report[:8], (stream.rtcp_address, stream.rtcp_port))
            inner.sendto(report, source)
            data, source = await loop.sock_recvfrom(outer, 2048)
            assert (data[:8], source) == (report[:8], (ports.host(1), theirs))
    assert not bench.slot.packets


def udp(address: Address) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind(address)
    return made


def after(address: Address) -> Address:
    return Address(address.host, address.port + 1)


# A real softphone


@pytest.fixture
def space() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


async def heard(bench: Bench, stream: Stream, digit: str) -> None:
    """The slot hears the phone's voice, then the key `digit`, from the stream's port as negotiated."""

    def of_phone(packet: RtpPacket) -> bool:
        return packet.source == (stream.address, stream.port)

    await bench.slot.packet(lambda p: of_phone(p) and p.payload_type == stream.payload_type)
    assert stream.event_payload_type is not None
    index = await bench.slot.packet(lambda p: of_phone(p) and p.payload_type == stream.event_payload_type)
    assert DIGITS[bench.slot.packets[index].payload[0]] == digit
    assert {packet.payload_type for packet in bench.slot.packets} == {
        stream.payload_type,
        stream.event_payload_type,
    }


@pytest.mark.root
@pytest.mark.parametrize("codec", ["pcmu", "g722", "opus"])
async def test_phone_calls(tmp_path: Path, space: Namespace, codec: Codec) -> None:
    here = Address(space.outside, 5080)
    async with (
        benches(tmp_path, space.outside, ports.host(2)) as bench,
        phone(here, here) as sip,
        baresip(space, tmp_path, codecs=(codec, "pcma")) as caller,
    ):
        await caller.dial(f"sip:x@{here}")
        invite = await sip.request("INVITE")
        sip.proxy = caller.sip
        sdp, stream = await bench.leg(codecs=ALL).answer(invite.body.encode(), bench.endpoint)
        assert stream.codec == codec
        sip.reply(invite, 200, tag="t", sdp=sdp.decode())
        await caller.event("CALL_ESTABLISHED")
        await caller.press("5")
        await heard(bench, stream, "5")
        assert await bench.transcoded() == 0
        await end(sip, caller)


@pytest.mark.root
@pytest.mark.parametrize("codec", ["pcmu", "g722", "opus"])
async def test_phone_is_called(tmp_path: Path, space: Namespace, codec: Codec) -> None:
    here = Address(space.outside, 5080)
    async with (
        benches(tmp_path, space.outside, ports.host(2)) as bench,
        baresip(space, tmp_path, codecs=(codec, "pcma")) as callee,
        phone(here, callee.sip) as sip,
    ):
        leg: MediaLeg = bench.leg(codecs=(codec, *(name for name in ALL if name != codec)))
        offer = await leg.offer(bench.endpoint)
        call: Dialog = sip.call(callee.uri)
        call.send("INVITE", body=offer.decode())
        await callee.answer()
        answer = await call.response(200)
        call.ack()
        stream = await leg.accept(answer.body.encode())
        assert stream.codec == codec
        await callee.event("CALL_ESTABLISHED")
        await callee.press("7")
        await heard(bench, stream, "7")
        assert await bench.transcoded() == 0
        await end(sip, callee)


async def end(sip: Phone, caller: Baresip) -> None:
    await caller.hangup()
    sip.reply(await sip.request("BYE"), 200)
    await caller.event("CALL_CLOSED")
