"""Legs of browsers through the real rtpengine: a WebRTC peer on one side, a slot's socket on the other."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiortc.rtcrtpsender import RTCRtpSender

from control.api import models
from control.calls.service import CallService
from control.errors import LegError, LegErrorCode
from control.sip.offer_answer import OPUS_PARAMETERS
from control.sip.sdp import Direction, parse
from tests.support import ports
from tests.support.browseroffers import OFFERS
from tests.support.callworld import FakeChannel, FakeWorker, settings
from tests.support.relay import Bench, benches
from tests.support.webpeer import WebPeer, slot_voice, web_peer

pytestmark = pytest.mark.daemons

FROM_BROWSER, FROM_SLOT = 440, 1000
PATIENCE = 10


@dataclass(frozen=True)
class Node:
    bench: Bench
    service: CallService
    worker: FakeWorker

    async def ask(self, request: models.Request) -> Any:
        return await self.service.on_request(self.worker, request)

    async def connect(self, offer: str, *, ipv6: bool = False) -> models.Connected:
        connected = await self.ask(
            models.Connect(session="s", endpoint=self.bench.endpoint, offer=offer, ipv6=ipv6)
        )
        assert isinstance(connected, models.Connected)
        return connected


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with benches(tmp_path, ports.host(1), ports.host(2)) as bench, aiohttp.ClientSession() as http:
        service = CallService(settings(), FakeChannel(), bench.ng, http)
        yield Node(bench, service, FakeWorker())
        await service.close(PATIENCE)


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[WebPeer]:
    async with web_peer(ports.host(11), FROM_BROWSER) as peer:
        yield peer


async def both_hear(node: Node, browser: WebPeer, connected: models.Connected) -> None:
    async with slot_voice(node.bench.slot, connected.stream, FROM_SLOT) as slot, asyncio.timeout(PATIENCE):
        await asyncio.gather(slot.hears(FROM_BROWSER), browser.hears(FROM_SLOT))


def prefer(browser: WebPeer, codec: str) -> None:
    known = RTCRtpSender.getCapabilities("audio").codecs
    first = [each for each in known if each.mimeType.lower() == f"audio/{codec}"]
    rest = [each for each in known if each not in first]
    browser.connection.getTransceivers()[0].setCodecPreferences([*first, *rest])


@pytest.mark.parametrize("codec", ["opus", "g722", "pcmu", "pcma"])
async def test_both_directions_and_the_end(node: Node, browser: WebPeer, codec: str) -> None:
    prefer(browser, codec)
    connected = await node.connect(await browser.offer())
    assert connected.stream.codec == codec
    assert connected.stream.address == ports.host(2)
    await browser.accept(connected.sdp)
    await both_hear(node, browser, connected)
    assert await node.bench.transcoded() == 0
    assert await node.bench.calls() == [connected.leg]
    await node.ask(models.Hangup(leg=connected.leg))
    await node.service.tasks.settle()
    assert await node.bench.calls() == []


async def test_what_the_answer_says(node: Node, browser: WebPeer) -> None:
    answer = parse((await node.connect(await browser.offer())).sdp.encode())
    (audio,) = answer.media
    names = [name for name, _ in audio.attributes]
    assert answer.attributes == (("group", f"BUNDLE {audio.attribute('mid')}"),)
    assert audio.proto == "UDP/TLS/RTP/SAVPF"
    assert audio.attribute("setup") == "active"
    assert {"ice-ufrag", "ice-pwd", "fingerprint", "rtcp-mux", "sendrecv"} <= set(names)
    assert "crypto" not in names
    assert names.count("mid") == 1
    (candidate,) = [value for name, value in audio.attributes if name == "candidate"]
    assert f" {ports.host(1)} {audio.port} typ host" in (candidate or "")
    assert audio.fmtp(96) == OPUS_PARAMETERS


async def test_a_key_reaches_the_slot(node: Node, browser: WebPeer) -> None:
    prefer(browser, "pcmu")
    keys = "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
    offer = await browser.offer()
    offer = offer.replace("RTP/SAVPF 0 ", "RTP/SAVPF 0 101 ").replace("a=rtpmap:0 ", f"{keys}a=rtpmap:0 ")
    connected = await node.connect(offer)
    assert connected.stream.event_payload_type == 101
    await browser.accept(connected.sdp)
    await both_hear(node, browser, connected)
    pressed = await browser.press("5", 101)
    slot = node.bench.slot
    packet = slot.packets[await slot.packet(lambda packet: packet.payload_type == 101)]
    assert packet.payload == pressed
    assert packet.source == (connected.stream.address, connected.stream.port)


def no_candidates(offer: str) -> str:
    return re.sub(r"a=(candidate:|end-of-candidates)[^\r]*\r\n", "", offer)


def hidden(offer: str) -> str:
    """As a browser hides its address: a name instead of it, 0.0.0.0 as default, the port as it is."""
    offer = re.sub(r"c=IN IP4 \S+", "c=IN IP4 0.0.0.0", offer)
    return re.sub(
        r"(a=candidate:\S+ \d+ \w+ \d+) \S+", r"\1 0c6c4b3e-7d0a-4b8e-9c39-0dd0a1f2b3c4.local", offer
    )


def default_ipv6(offer: str) -> str:
    offer = re.sub(r"c=IN IP4 \S+", "c=IN IP6 2001:db8::17", offer)
    return offer.replace(
        "a=candidate", "a=candidate:9 1 udp 2122197247 2001:db8::17 46244 typ host\r\na=candidate", 1
    )


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("way", [no_candidates, hidden, default_ipv6])
async def test_addresses_that_lead_nowhere(
    node: Node, browser: WebPeer, way: Callable[[str], str], ipv6: bool
) -> None:
    connected = await node.connect(way(await browser.offer()), ipv6=ipv6)
    assert connected.stream.direction == "sendrecv"
    await browser.accept(connected.sdp)
    await both_hear(node, browser, connected)


async def test_video_and_data_are_rejected_and_audio_flows(node: Node, browser: WebPeer) -> None:
    video, data = OFFERS["chrome, everything"].partition("m=video")[2].split("m=application")
    connected = await node.connect(f"{await browser.offer()}m=video{video}m=application{data}")
    answer = parse(connected.sdp.encode())
    assert [(media.kind, bool(media.port), media.attribute("mid")) for media in answer.media] == [
        ("audio", True, "0"),
        ("video", False, "1"),
        ("application", False, "2"),
    ]
    # The library asks for ICE credentials in rejected sections too.
    await browser.accept(connected.sdp.partition("m=video")[0])
    await both_hear(node, browser, connected)
    state = await node.bench.ng.command("query", **{"call-id": connected.leg})
    assert all(len(side["medias"]) == 1 for side in state["tags"].values())


async def test_hold_and_resume_keep_the_ports(node: Node, browser: WebPeer) -> None:
    first = await node.connect(await browser.offer())
    await browser.accept(first.sdp)
    await both_hear(node, browser, first)
    (transceiver,) = browser.connection.getTransceivers()
    for direction, ours in (("sendonly", "recvonly"), ("sendrecv", "sendrecv")):
        transceiver.direction = direction
        again = await node.ask(models.Reconnect(leg=first.leg, session="s", offer=await browser.offer()))
        assert again.stream == replace(first.stream, direction=Direction(ours))
        (audio,) = parse(again.sdp.encode()).media
        assert (audio.port, audio.direction) == (parse(first.sdp.encode()).media[0].port, ours)
        await browser.accept(again.sdp)
    await both_hear(node, browser, again)


async def test_an_ice_restart_keeps_the_ports(node: Node, browser: WebPeer) -> None:
    first = await node.connect(await browser.offer())
    await browser.accept(first.sdp)
    await both_hear(node, browser, first)
    async with web_peer(ports.host(12), FROM_BROWSER + 200) as moved:
        # As if the same browser came back by another network, with new credentials.
        again = await node.ask(models.Reconnect(leg=first.leg, session="s", offer=await moved.offer()))
        assert again.stream == first.stream
        assert credentials(again.sdp) != credentials(first.sdp)


def credentials(sdp: str) -> str | None:
    return parse(sdp.encode()).media[0].attribute("ice-ufrag")


async def test_a_refused_offer_leaves_nothing_in_rtpengine(node: Node, browser: WebPeer) -> None:
    offer = (await browser.offer()).replace("m=audio", "m=video")
    with pytest.raises(LegError) as caught:
        await node.connect(offer)
    assert caught.value.code == LegErrorCode.NOT_ACCEPTABLE
    await node.service.tasks.settle()
    assert await node.bench.calls() == []
