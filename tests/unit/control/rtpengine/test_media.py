import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import bencodepy
import pytest
import pytest_asyncio

from control.errors import NgError, NgTimeoutError, NoAudioError, SdpError, UnsupportedCodecError
from control.rtpengine.media import Endpoint, MediaLeg, Stream
from control.rtpengine.ng import NgClient
from control.rtpengine.profile import BROWSER
from control.sip.sdp import parse

SLOT = Endpoint("127.0.0.1", 19000)
PUBLIC, INTERNAL = "192.0.2.100", "127.0.0.1"
COMMON_KEYS = {"command", "call-id", "from-tag", "to-tag", "sdp", "flags", "replace", "ICE", "rtcp-mux"}


class FakeRtpengine(asyncio.DatagramProtocol):
    """Speaks ng strictly and rewrites descriptions as rtpengine does in passthrough, as far as a leg can tell."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []
        self.calls: set[str] = set()
        self.ports = {"towards us": 21000, "towards the peer": 22000}
        self.replies: dict[str, dict[str, Any]] = {}
        """Command → reply given instead of the usual one."""
        self.silent: set[str] = set()
        """Commands that get no reply."""
        self.answer_keys: set[str] = set()
        """What an answer has besides the usual."""
        self.faults: list[str] = []
        self.asked = asyncio.Event()
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        cookie, _, body = data.partition(b" ")
        if bencodepy.encode(bencodepy.decode(body)) != body:
            self.faults.append(f"not canonical bencode: {body!r}")
        fields = bencodepy.Bencode(encoding="latin-1").decode(body)
        if fields not in self.commands:
            self.commands.append(fields)
        self.asked.set()
        if fields["command"] in self.silent:
            return
        reply = self.replies.get(fields["command"]) or getattr(self, fields["command"])(fields)
        self.transport.sendto(cookie + b" " + bencodepy.encode(reply), addr)

    def expect_keys(self, fields: dict[str, Any], keys: set[str]) -> None:
        if set(fields) != keys:
            self.faults.append(f"{fields['command']} has the keys {sorted(fields)}")

    def offer(self, fields: dict[str, Any]) -> dict[str, Any]:
        self.expect_keys(fields, COMMON_KEYS | {"direction", "transport protocol"})
        self.calls.add(fields["call-id"])
        return {"result": "ok", "sdp": self.rewrite(fields)}

    def answer(self, fields: dict[str, Any]) -> dict[str, Any]:
        self.expect_keys(fields, COMMON_KEYS | self.answer_keys)
        if fields["call-id"] not in self.calls:
            return {"result": "error", "error-reason": "Unknown call-id"}
        return {"result": "ok", "sdp": self.rewrite(fields)}

    def delete(self, fields: dict[str, Any]) -> dict[str, Any]:
        self.expect_keys(fields, {"command", "call-id", "delete-delay"})
        if fields["call-id"] not in self.calls:
            return {"result": "ok", "warning": "Call-ID not found or tags didn't match"}
        self.calls.remove(fields["call-id"])
        return {"result": "ok"}

    def rewrite(self, fields: dict[str, Any]) -> bytes:
        """The description for the other side: addresses, ports and protocol; RTCP has the next port."""
        to_us = (fields["command"] == "offer") == (fields["from-tag"] == "peer")
        address = INTERNAL if to_us else PUBLIC
        port = self.ports["towards us" if to_us else "towards the peer"]
        sdp = re.sub(r"(o=.*) IP[46] \S+", rf"\1 IP4 {address}", fields["sdp"])
        if "c=IN IP4 0.0.0.0" not in sdp:
            sdp = re.sub(r"c=IN IP[46] \S+", f"c=IN IP4 {address}", sdp)
        sdp = re.sub(
            r"m=audio [1-9]\d* \S+", f"m=audio {port} {fields.get('transport protocol', 'RTP/AVP')}", sdp
        )
        sdp = re.sub(r"(m=audio [1-9].*\r\n)", rf"\1a=rtcp:{port + 1}\r\n", sdp)
        return sdp.encode("latin-1")


@pytest_asyncio.fixture
async def rtpengine() -> AsyncIterator[FakeRtpengine]:
    loop = asyncio.get_running_loop()
    transport, fake = await loop.create_datagram_endpoint(FakeRtpengine, local_addr=("127.0.0.1", 0))
    yield fake
    transport.close()
    assert fake.faults == []


@pytest_asyncio.fixture
async def ng(rtpengine: FakeRtpengine) -> AsyncIterator[NgClient]:
    port = rtpengine.transport.get_extra_info("sockname")[1]
    client = await NgClient.open("127.0.0.1", port, schedule=(0.2, 0.2))
    yield client
    client.close()


@pytest.fixture
def leg(ng: NgClient) -> MediaLeg:
    return MediaLeg(ng, "call-1", "peer", "us", "pub", ("pcmu", "pcma"))


def peers(
    formats: str = "0 8 101", *lines: str, address: str = "203.0.113.5", port: int = 4000, more: str = ""
) -> bytes:
    """A description of the peer."""
    return (
        f"v=0\r\no=- 77 1 IN IP4 {address}\r\ns=-\r\ni=words\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP {formats}\r\na=rtpmap:101 telephone-event/8000\r\n"
        + "".join(f"{line}\r\n" for line in lines)
        + more
    ).encode()


def stream(**changes: Any) -> Stream:
    usual: dict[str, Any] = {
        "address": INTERNAL,
        "port": 21000,
        "codec": "pcmu",
        "payload_type": 0,
        "event_payload_type": 101,
        "ptime": 20,
        "direction": "sendrecv",
        "event_clock_rate": 8000,
        "rtcp_address": INTERNAL,
    }
    given = usual | changes
    return Stream(**{"rtcp_port": given["port"] + 1} | given)


async def test_answers_an_offer(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    sdp, given = await leg.answer(peers("8 0 101", "a=ptime:30", more="m=video 4002 RTP/AVP 31\r\n"), SLOT)
    assert given == stream(codec="pcma", payload_type=8, ptime=30)
    assert leg.local_sdp == sdp
    answer = parse(sdp)
    assert answer.origin.address == answer.connection == PUBLIC
    audio, video = answer.media
    assert (audio.port, audio.proto, audio.formats, audio.direction) == (
        22000,
        "RTP/AVP",
        ("8", "101"),
        "sendrecv",
    )
    assert (video.kind, video.port) == ("video", 0)
    to_us, from_us = rtpengine.commands
    assert to_us | {"sdp": ""} == {
        "command": "offer",
        "call-id": "call-1",
        "from-tag": "peer",
        "to-tag": "us",
        "sdp": "",
        "flags": ["trust-address", "port-latching", "strict-source"],
        "replace": ["origin", "session-connection"],
        "direction": ["pub", "int"],
        "ICE": "remove",
        "transport protocol": "RTP/AVP",
        "rtcp-mux": ["demux"],
    }
    assert "m=audio 4000 RTP/AVP 8 101\r\n" in to_us["sdp"]
    assert "m=video 0 RTP/AVP 31\r\n" in to_us["sdp"]
    assert "i=words" not in to_us["sdp"]
    assert (from_us["from-tag"], from_us["to-tag"]) == ("peer", "us")
    assert "c=IN IP4 127.0.0.1\r\n" in from_us["sdp"]
    assert "m=audio 19000 RTP/AVP 8 101\r\n" in from_us["sdp"]


async def test_a_browser_gets_ice_and_dtls_and_we_plain_rtp(rtpengine: FakeRtpengine, ng: NgClient) -> None:
    rtpengine.answer_keys = {"SDES"}
    leg = MediaLeg(ng, "call-1", "peer", "us", "pub", ("pcmu",), BROWSER)
    await leg.answer(peers("0 101"), SLOT)
    to_us, to_browser = rtpengine.commands
    for fields in (to_us, to_browser):
        assert fields["flags"] == ["trust-address", "port-latching"]
        assert fields["replace"] == ["origin", "session-connection"]
    assert (to_us["ICE"], to_us["rtcp-mux"]) == ("remove", ["demux"])
    assert (to_us["direction"], to_us["transport protocol"]) == (["pub", "int"], "RTP/AVP")
    assert (to_browser["ICE"], to_browser["SDES"], to_browser["rtcp-mux"]) == ("force", ["off"], ["accept"])


@pytest.mark.parametrize(
    ("sdp", "error"),
    [
        (b"rubbish", SdpError),
        (b"", SdpError),
        (peers(port=0), NoAudioError),
        (peers(address="pbx.example"), NoAudioError),
        (peers("18 101"), UnsupportedCodecError),
        (peers("96", "a=rtpmap:96 L16/8000"), UnsupportedCodecError),
    ],
)
async def test_a_bad_description_costs_rtpengine_nothing(
    rtpengine: FakeRtpengine, leg: MediaLeg, sdp: bytes, error: type[SdpError]
) -> None:
    with pytest.raises(error):
        await leg.answer(sdp, SLOT)
    with pytest.raises(error):
        await leg.accept(sdp)
    await leg.delete()
    assert rtpengine.commands == []


async def test_a_bad_reoffer_leaves_the_media_as_they_are(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    sdp, given = await leg.answer(peers(), SLOT)
    with pytest.raises(UnsupportedCodecError):
        await leg.reoffer(peers("18"))
    assert leg.local_sdp == sdp
    assert len(rtpengine.commands) == 2
    assert (await leg.reoffer(peers()))[1] == given


@pytest.mark.parametrize(
    ("offer", "direction"),
    [
        (peers("0", "a=sendonly"), "recvonly"),
        (peers("0", "a=recvonly"), "sendonly"),
        (peers("0", "a=inactive"), "inactive"),
        (peers("0", address="0.0.0.0"), "recvonly"),
    ],
)
async def test_hold_and_resume(leg: MediaLeg, offer: bytes, direction: str) -> None:
    first, _ = await leg.answer(peers("0"), SLOT)
    held, given = await leg.reoffer(offer)
    assert given == stream(direction=direction, event_payload_type=None)
    assert parse(held).media[0].direction == direction
    resumed, given = await leg.reoffer(peers("0"))
    assert given == stream(event_payload_type=None)
    origins = [parse(sdp).origin for sdp in (first, held, resumed)]
    assert [origin.version for origin in origins] == ["1", "2", "3"]
    assert len({origin.session_id for origin in origins}) == 1


async def test_reoffer_takes_a_new_codec_and_a_new_port(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    await leg.answer(peers("0 101"), SLOT)
    rtpengine.ports["towards us"] = 21010
    _, given = await leg.reoffer(peers("8", port=4010))
    assert given == stream(port=21010, codec="pcma", payload_type=8, event_payload_type=None)


async def test_offers_and_accepts(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    sdp = await leg.offer(SLOT)
    assert leg.local_sdp == sdp
    assert parse(sdp).connection == PUBLIC
    assert parse(sdp).media[0].formats == ("0", "8", "101")
    assert await leg.accept(peers("8 101", "a=ptime:40")) == stream(codec="pcma", payload_type=8, ptime=40)
    assert leg.local_sdp == sdp
    ours, theirs = rtpengine.commands
    assert (ours["from-tag"], ours["to-tag"], ours["direction"]) == ("us", "peer", ["int", "pub"])
    assert "codec" not in ours
    assert (theirs["command"], theirs["from-tag"], theirs["to-tag"]) == ("answer", "us", "peer")


async def test_opus_with_events_at_8000_alone(rtpengine: FakeRtpengine, ng: NgClient) -> None:
    leg = MediaLeg(ng, "call-1", "peer", "us", "pub", ("pcmu", "opus"))
    sdp, given = await leg.answer(peers("96 0 101", "a=rtpmap:96 opus/48000/2"), SLOT)
    assert given == stream(codec="opus", payload_type=96)
    to_us, _ = rtpengine.commands
    assert "m=audio 4000 RTP/AVP 96 101\r\n" in to_us["sdp"]
    assert parse(sdp).media[0].formats == ("96", "101")


async def test_events_of_another_clock(ng: NgClient) -> None:
    leg = MediaLeg(ng, "call-1", "peer", "us", "pub", ("opus",))
    offer = peers("101 110 96", "a=rtpmap:96 opus/48000/2", "a=rtpmap:110 telephone-event/48000")
    _, given = await leg.answer(offer, SLOT)
    assert given == stream(codec="opus", payload_type=96, event_payload_type=110, event_clock_rate=48000)


async def test_an_answer_with_other_numbers_is_taken_by_ours(
    rtpengine: FakeRtpengine, ng: NgClient, caplog: pytest.LogCaptureFixture
) -> None:
    leg = MediaLeg(ng, "call-1", "peer", "us", "pub", ("opus",))
    await leg.offer(SLOT)
    answer = peers("96 101", "a=rtpmap:96 opus/48000/2")
    for _ in range(2):
        assert await leg.accept(answer) == stream(codec="opus", payload_type=111)
        assert "m=audio 4000 RTP/AVP 111 101\r\n" in rtpengine.commands[1]["sdp"]
    assert "answers with payload type 96 for opus, which we offered as 111" in caplog.text


@pytest.mark.parametrize("milliseconds", [10, 20])
async def test_a_peer_that_wants_short_packets_is_noted(
    leg: MediaLeg, caplog: pytest.LogCaptureFixture, milliseconds: int
) -> None:
    with caplog.at_level(logging.INFO):
        _, given = await leg.answer(peers("0", f"a=maxptime:{milliseconds}"), SLOT)
    assert given == stream(event_payload_type=None, ptime=milliseconds)
    noted = "call call-1: the peer wants at most 10 ms in a packet; it gets 20" in caplog.messages
    assert noted == (milliseconds < 20)


async def test_rtcp_of_a_held_call_has_the_address_of_the_stream(leg: MediaLeg) -> None:
    _, given = await leg.answer(peers("0", address="0.0.0.0"), SLOT)
    assert (given.rtcp_address, given.rtcp_port) == (given.address, given.port + 1) == (INTERNAL, 21001)


async def test_a_later_answer_may_bring_another_codec(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    sdp = await leg.offer(SLOT)
    assert (await leg.accept(peers("8"))).codec == "pcma"
    assert (await leg.accept(peers("0 101", port=4010))) == stream()
    assert leg.local_sdp == sdp
    assert [(fields["command"], fields["from-tag"]) for fields in rtpengine.commands] == [
        ("offer", "us"),
        ("answer", "us"),
        ("offer", "peer"),
        ("answer", "peer"),
    ]


async def test_an_answer_that_fits_may_follow_one_that_does_not(leg: MediaLeg) -> None:
    await leg.offer(SLOT)
    with pytest.raises(UnsupportedCodecError):
        await leg.accept(peers("18"))
    assert await leg.accept(peers()) == stream()


async def test_renewed_offer_is_ready_to_send_and_receive(leg: MediaLeg) -> None:
    await leg.answer(peers("0", "a=sendonly"), SLOT)
    renewed = parse(leg.renew_offer())
    assert bytes(renewed) == leg.local_sdp
    assert renewed.origin.version == "2"
    assert renewed.media[0].direction == "sendrecv"
    assert renewed.media[0].attributes.count(("sendrecv", None)) == 1
    assert ("recvonly", None) not in renewed.media[0].attributes
    assert await leg.accept(peers("0")) == stream(event_payload_type=None)


async def test_renewed_offer_keeps_rejected_streams(leg: MediaLeg) -> None:
    await leg.answer(peers("0", more="m=video 4002 RTP/AVP 31\r\n"), SLOT)
    assert [media.port for media in parse(leg.renew_offer()).media] == [22000, 0]


def test_nothing_to_renew_before_the_first_description(leg: MediaLeg) -> None:
    with pytest.raises(NgError, match="no description to renew"):
        leg.renew_offer()


async def test_no_reoffer_before_an_endpoint_is_known(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    for early in (leg.reoffer(peers()), leg.accept(peers())):
        with pytest.raises(NgError, match="no endpoint yet"):
            await early
    assert rtpengine.commands == []


async def test_delete_frees_the_call_once(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    await leg.answer(peers(), SLOT)
    await leg.delete()
    await leg.delete()
    assert rtpengine.calls == set()
    assert [fields["command"] for fields in rtpengine.commands] == ["offer", "answer", "delete"]


async def test_delete_of_a_call_rtpengine_has_lost(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    await leg.answer(peers(), SLOT)
    rtpengine.calls.clear()
    await leg.delete()


async def test_a_deleted_leg_never_makes_a_call_again(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    await leg.answer(peers(), SLOT)
    await leg.delete()
    for again in (leg.reoffer(peers()), leg.accept(peers()), leg.offer(SLOT)):
        with pytest.raises(NgError, match="the leg is deleted"):
            await again
    assert rtpengine.calls == set()


async def test_delete_waits_for_the_command_under_way(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    rtpengine.silent.add("offer")
    answering = asyncio.create_task(leg.answer(peers(), SLOT))
    await rtpengine.asked.wait()
    deleting = asyncio.create_task(leg.delete())
    await asyncio.sleep(0)
    rtpengine.silent.clear()
    with pytest.raises(NgError, match="the leg is deleted, it takes no answer"):
        await answering
    await deleting
    assert [fields["command"] for fields in rtpengine.commands] == ["offer", "delete"]
    assert rtpengine.calls == set()


async def test_delete_ends_a_call_whose_offer_got_no_reply(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    rtpengine.silent.add("offer")
    with pytest.raises(NgTimeoutError, match="offer of call call-1"):
        await leg.offer(SLOT)
    await leg.delete()
    assert [fields["command"] for fields in rtpengine.commands] == ["offer", "delete"]


@pytest.mark.parametrize(
    "reply",
    [
        {"result": "ok"},
        {"result": "ok", "sdp": "v=0\r\n"},
        {"result": "ok", "sdp": b"\xff"},
        {"result": "ok", "sdp": peers("8")},
    ],
)
async def test_a_description_of_rtpengine_that_cannot_be_used(
    rtpengine: FakeRtpengine, leg: MediaLeg, reply: dict[str, Any]
) -> None:
    rtpengine.replies["offer"] = reply
    with pytest.raises(NgError, match="rtpengine gave a description that we cannot use"):
        await leg.answer(peers("0"), SLOT)


async def test_a_refusal_of_rtpengine_is_passed_on(rtpengine: FakeRtpengine, leg: MediaLeg) -> None:
    rtpengine.replies["offer"] = {"result": "error", "error-reason": "Ran out of ports"}
    with pytest.raises(NgError, match="refused offer of call call-1: Ran out of ports"):
        await leg.answer(peers("0"), SLOT)


async def test_bytes_that_are_not_utf8_pass_through(leg: MediaLeg) -> None:
    offer = peers("0", "a=x-note:?").replace(b"?", b"\xfc")
    _, given = await leg.answer(offer, SLOT)
    assert given == stream(event_payload_type=None)
