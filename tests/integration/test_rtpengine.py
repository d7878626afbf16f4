"""Media legs through the real rtpengine: a peer on one side, the socket of a media slot on the other."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from control.errors import NgError, NgTimeoutError, UnsupportedCodecError
from control.rtpengine.ng import NgClient
from control.sip.sdp import parse
from tests.support import ports, sipwire
from tests.support.relay import Bench, benches
from tests.support.rtpcap import TELEPHONE_EVENT, rtp_peer

pytestmark = pytest.mark.daemons

PCMA = 8
CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with benches(tmp_path, ports.host(1), ports.host(2)) as made:
        yield made


async def test_incoming_call_is_relayed_both_ways(bench: Bench) -> None:
    leg = bench.leg()
    sdp, stream = await leg.answer(bench.sdp("8 0 101"), bench.endpoint)
    assert (stream.address, stream.codec, stream.payload_type) == (ports.host(2), "pcma", PCMA)
    assert (stream.event_payload_type, stream.ptime, stream.direction) == (TELEPHONE_EVENT, 20, "sendrecv")
    answer = parse(sdp)
    assert (answer.connection, answer.origin.address) == (ports.host(1), ports.host(1))
    assert answer.media[0].formats == ("8", "101")
    bench.connect(sdp, stream)
    await bench.heard_by_slot(stream, b"from the peer" * 12, PCMA)
    await bench.heard_by_peer(sdp, b"from the slot" * 12, PCMA)
    await bench.heard_by_slot(stream, b"\x05\x0a\x00\xa0", TELEPHONE_EVENT)
    await bench.heard_by_peer(sdp, b"\x06\x0a\x00\xa0", TELEPHONE_EVENT)


async def test_outgoing_call_is_relayed_both_ways(bench: Bench) -> None:
    leg = bench.leg()
    offer = await leg.offer(bench.endpoint)
    assert parse(offer).connection == ports.host(1)
    assert parse(offer).media[0].formats == ("0", "8", "101")
    stream = await leg.accept(bench.sdp("0 101"))
    bench.connect(offer, stream)
    await bench.heard_by_slot(stream, b"from the peer" * 12)
    await bench.heard_by_peer(offer, b"from the slot" * 12)


@pytest.mark.parametrize("external", ["pub", "int"])
async def test_both_interfaces_may_have_one_address(tmp_path: Path, external: Literal["pub", "int"]) -> None:
    async with benches(tmp_path, ports.host(1), ports.host(1)) as bench:
        sdp, stream = await bench.leg(external=external).answer(bench.sdp("0"), bench.endpoint)
        bench.connect(sdp, stream)
        assert bench.peer.remote != bench.slot.remote
        await bench.heard_by_slot(stream, b"from the peer" * 12)
        await bench.heard_by_peer(sdp, b"from the slot" * 12)


async def test_a_peer_on_our_own_interface(bench: Bench) -> None:
    sdp, stream = await bench.leg(external="int").answer(bench.sdp("0"), bench.endpoint)
    assert sipwire.media_address(sdp.decode())[0] == stream.address == ports.host(2)
    bench.connect(sdp, stream)
    await bench.heard_by_slot(stream, b"from the peer" * 12)
    await bench.heard_by_peer(sdp, b"from the slot" * 12)


@pytest.mark.parametrize("direction", ["sendonly", "inactive", "zero address"])
async def test_hold_and_resume_keep_all_ports(bench: Bench, direction: str) -> None:
    leg = bench.leg()
    sdp, stream = await leg.answer(bench.sdp("0 101"), bench.endpoint)
    bench.connect(sdp, stream)
    if direction == "zero address":
        offer = sipwire.sdp("0.0.0.0", bench.peer.address.port, codecs="0 101").encode()
    else:
        offer = bench.sdp("0 101", direction)
    held_sdp, held = await leg.reoffer(offer)
    assert held.direction == ("inactive" if direction == "inactive" else "recvonly")
    assert (held.address, held.port) == (stream.address, stream.port)
    assert parse(held_sdp).media[0].direction == held.direction
    assert sipwire.media_address(held_sdp.decode()) == bench.peer.remote
    await bench.heard_by_slot(held, b"music on hold" * 12)
    resumed_sdp, resumed = await leg.reoffer(bench.sdp("0 101"))
    assert resumed == stream
    assert sipwire.media_address(resumed_sdp.decode()) == bench.peer.remote
    await bench.heard_by_slot(resumed, b"from the peer" * 12)
    await bench.heard_by_peer(resumed_sdp, b"from the slot" * 12)


async def test_a_call_that_begins_on_hold_knows_where_to_send(bench: Bench) -> None:
    leg = bench.leg()
    offer = sipwire.sdp("0.0.0.0", bench.peer.address.port, codecs="0").encode()
    _, held = await leg.answer(offer, bench.endpoint)
    assert (held.address, held.direction) == (ports.host(2), "recvonly")
    sdp, stream = await leg.reoffer(bench.sdp("0"))
    bench.connect(sdp, stream)
    await bench.heard_by_peer(sdp, b"from the slot" * 12)


@pytest.mark.parametrize("incoming", [True, False])
async def test_new_port_and_new_codec_of_the_peer(bench: Bench, incoming: bool) -> None:
    leg = bench.leg()
    if incoming:
        sdp, stream = await leg.answer(bench.sdp("0 101"), bench.endpoint)
    else:
        sdp = await leg.offer(bench.endpoint)
        stream = await leg.accept(bench.sdp("0 101"))
    bench.connect(sdp, stream)
    await bench.heard_by_peer(sdp, b"to the old port" * 10)
    async with rtp_peer(ports.peer(11)) as moved:
        moved.remote = bench.peer.remote
        now = replace(bench, peer=moved)
        again_sdp, again = await leg.reoffer(now.sdp("8 0"))
        assert (again.port, again.codec, again.event_payload_type) == (stream.port, "pcma", None)
        assert sipwire.media_address(again_sdp.decode()) == moved.remote
        await now.heard_by_slot(again, b"from the new port" * 9, PCMA)
        await now.heard_by_peer(again_sdp, b"to the new port" * 10, PCMA)


async def test_early_media_then_an_answer_with_another_codec_and_port(bench: Bench) -> None:
    leg = bench.leg()
    offer = await leg.offer(bench.endpoint)
    early = await leg.accept(bench.sdp("8 101"))
    bench.connect(offer, early)
    await bench.heard_by_slot(early, b"ringback" * 20, PCMA)
    async with rtp_peer(ports.peer(11)) as other:
        other.remote = bench.peer.remote
        now = replace(bench, peer=other)
        final = await leg.accept(now.sdp("0 101"))
        assert (final.codec, final.port, final.address) == ("pcmu", early.port, early.address)
        await now.heard_by_slot(final, b"from the peer" * 12)
        await now.heard_by_peer(offer, b"from the slot" * 12)


async def test_a_reinvite_without_offer_resumes(bench: Bench) -> None:
    leg = bench.leg()
    sdp, stream = await leg.answer(bench.sdp("0 101"), bench.endpoint)
    bench.connect(sdp, stream)
    await leg.reoffer(bench.sdp("0 101", "sendonly"))
    renewed = leg.renew_offer()
    assert sipwire.media_address(renewed.decode()) == bench.peer.remote
    assert await leg.accept(bench.sdp("0 101")) == stream
    await bench.heard_by_slot(stream, b"from the peer" * 12)
    await bench.heard_by_peer(renewed, b"from the slot" * 12)


async def test_srtp_with_keys_in_the_sdp_is_answered_with_a_key(bench: Bench) -> None:
    leg = bench.leg()
    offer = bench.sdp("0 101").replace(b"RTP/AVP", b"RTP/SAVP") + CRYPTO.encode()
    sdp, stream = await leg.answer(offer, bench.endpoint)
    audio = parse(sdp).media[0]
    assert audio.proto == "RTP/SAVP"
    assert re.match("1 AES_CM_128_HMAC_SHA1_80 inline:", audio.attribute("crypto") or "")
    again_sdp, again = await leg.reoffer(offer)
    assert again == stream
    assert parse(again_sdp).media[0].attribute("crypto") == audio.attribute("crypto")
    bench.connect(sdp, stream)
    bench.slot.send(b"plain from the slot" * 8)
    index = await bench.peer.packet(lambda packet: packet.ssrc == bench.slot.ssrc)
    assert len(bench.peer.packets[index].payload) == len(b"plain from the slot" * 8) + 10


async def test_dtls_offer_is_answered_with_a_fingerprint(bench: Bench) -> None:
    fingerprint = ":".join(["AB"] * 32)
    offer = (
        bench.sdp("0 101").replace(b"RTP/AVP", b"UDP/TLS/RTP/SAVP")
        + (f"a=setup:actpass\r\na=fingerprint:sha-256 {fingerprint}\r\na=rtcp-mux\r\n").encode()
    )
    sdp, _ = await bench.leg().answer(offer, bench.endpoint)
    audio = parse(sdp).media[0]
    assert (audio.proto, audio.attribute("setup")) == ("UDP/TLS/RTP/SAVP", "active")
    assert audio.attribute("fingerprint")


async def test_other_streams_are_rejected_in_place_and_take_no_ports(bench: Bench) -> None:
    offer = bench.sdp("0").replace(b"m=audio", b"m=video 4000 RTP/SAVP 31\r\nm=audio", 1)
    offer += b"m=image 4002 udptl t38\r\nm=audio 4004 RTP/AVP 0\r\n"
    leg = bench.leg()
    sdp, stream = await leg.answer(offer, bench.endpoint)
    found = [(media.kind, media.port != 0, media.proto) for media in parse(sdp).media]
    assert found == [
        ("video", False, "RTP/SAVP"),
        ("audio", True, "RTP/AVP"),
        ("image", False, "udptl"),
        ("audio", False, "RTP/AVP"),
    ]
    state = await bench.ng.command("query", **{"call-id": "call-1"})
    local = {
        (flow["local address"], flow["local port"])
        for side in state["tags"].values()
        for media in side["medias"]
        for flow in media["streams"]
        if "local port" in flow
    }
    assert len(local) == 4
    bench.connect(sdp, stream)
    await bench.heard_by_slot(stream, b"from the peer" * 12)


async def test_descriptions_that_rtpengine_would_refuse(bench: Bench) -> None:
    host, port = bench.peer.address
    offer = (
        f"v=0\no=- x y IN IP4 pbx.example\n\ny=odd\nc=IN IP4 pbx.example\n"
        f"m=audio {port}/1 RTP/AVP 97 96\nc=IN IP4 {host}/127\n"
        "a=rtpmap:97 pcmu/8000/1\na=rtpmap:96 Telephone-Event/8000\na=ptime:30\n"
    ).encode()
    sdp, stream = await bench.leg().answer(offer, bench.endpoint)
    assert (stream.codec, stream.payload_type, stream.event_payload_type) == ("pcmu", 97, 96)
    assert stream.ptime == 30
    bench.connect(sdp, stream)
    await bench.heard_by_slot(stream, b"from the peer" * 12, 97)
    await bench.heard_by_peer(sdp, b"from the slot" * 12, 97)


async def test_a_refused_reoffer_changes_nothing(bench: Bench) -> None:
    leg = bench.leg()
    sdp, stream = await leg.answer(bench.sdp("0"), bench.endpoint)
    bench.connect(sdp, stream)
    with pytest.raises(UnsupportedCodecError):
        await leg.reoffer(bench.sdp("18"))
    await bench.heard_by_slot(stream, b"from the peer" * 12)
    await bench.heard_by_peer(sdp, b"from the slot" * 12)


async def test_delete_leaves_no_call(bench: Bench) -> None:
    incoming, outgoing = bench.leg("call-1"), bench.leg("call-2")
    await incoming.answer(bench.sdp(), bench.endpoint)
    await outgoing.offer(bench.endpoint)
    assert sorted(await bench.calls()) == ["call-1", "call-2"]
    await incoming.delete()
    assert await bench.calls() == ["call-2"]
    await bench.ng.command("delete", **{"call-id": "call-2", "delete-delay": 0})
    await outgoing.delete()
    assert await bench.calls() == []


async def test_a_refusal_names_command_call_and_reason(bench: Bench) -> None:
    with pytest.raises(NgError, match="refused query of call nobody: Unknown call-id"):
        await bench.ng.command("query", **{"call-id": "nobody"})


async def test_many_calls_at_once_share_the_slots_socket(bench: Bench) -> None:
    legs = [bench.leg(f"call-{number}") for number in range(10)]
    answers = await asyncio.gather(*(leg.answer(bench.sdp("0"), bench.endpoint) for leg in legs))
    assert len({stream.port for _, stream in answers}) == 10
    for number, (sdp, stream) in enumerate(answers):
        bench.connect(sdp, stream)
        await bench.heard_by_slot(stream, bytes([number]) * 160)
    await asyncio.gather(*(leg.delete() for leg in legs))
    assert await bench.calls() == []


async def test_a_dead_rtpengine_is_a_timeout(bench: Bench) -> None:
    ng = await NgClient.open(*bench.ng_address, schedule=(0.05, 0.05))
    leg = replace(bench, ng=ng).leg()
    await leg.answer(bench.sdp(), bench.endpoint)
    bench.process.send_signal(signal.SIGKILL)
    await bench.process.wait()
    with pytest.raises(NgTimeoutError, match="did not answer offer of call call-1"):
        await leg.reoffer(bench.sdp())
    assert ng.in_flight == 0
    ng.close()
