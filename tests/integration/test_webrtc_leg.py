"""Legs of browsers through the real rtpengine: a WebRTC peer on one side, a slot's socket on the other."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.rtcrtpsender import RTCRtpSender

from control.api import models
from control.calls.service import CallService
from control.errors import LegError, LegErrorCode
from control.sip.sdp import parse
from tests.support import ports
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

    async def connect(self, offer: str) -> models.Connected:
        connected = await self.ask(models.Connect(session="s", endpoint=self.bench.endpoint, offer=offer))
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


@pytest.mark.parametrize("codec", ["opus", "g722", "pcmu", "pcma"])
async def test_both_directions_and_the_end(node: Node, browser: WebPeer, codec: str) -> None:
    prefer(browser, codec)
    began = time.monotonic()
    connected = await node.connect(await browser.offer())
    answered = time.monotonic()
    await browser.accept(connected.sdp)
    print("accepted", time.monotonic() - began, answered - began)
    assert connected.stream.codec == codec
    print(connected.sdp)
    await both_hear(node, browser, connected)
    print("heard", time.monotonic() - began)
    assert await node.bench.transcoded() == 0
    await node.ask(models.Hangup(leg=connected.leg))
    await node.service.tasks.settle()
    assert await node.bench.calls() == []


def prefer(browser: WebPeer, codec: str) -> None:
    known = RTCRtpSender.getCapabilities("audio").codecs
    first = [each for each in known if each.mimeType.lower() == f"audio/{codec}"]
    rest: list[RTCRtpCodecCapability] = [each for each in known if each not in first]
    browser.connection.getTransceivers()[0].setCodecPreferences([*first, *rest])
