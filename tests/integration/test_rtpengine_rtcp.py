"""Reports of a media worker and of a peer through the real rtpengine."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from control.rtpengine.media import Endpoint, MediaLeg
from control.rtpengine.ng import NgClient
from media.engine.mos import Model
from media.engine.quality import Reception
from media.engine.rtcp import SenderInfo, compact
from media.engine.rtcpsocket import FIRST, PACE, Rtcp
from media.engine.stats import Stats
from tests.support import ports, rtcpwire, sipwire
from tests.support.ports import Address
from tests.support.process import running
from tests.support.rtcpwire import Section, block, sender_report

pytestmark = pytest.mark.daemons

STARTING = (0.1,) * 100
OURS, PEER = 0xA000, 0xB000
NAME = "0123456789abcdef"


@pytest_asyncio.fixture
async def ng(tmp_path: Path) -> AsyncIterator[NgClient]:
    address = Address("127.0.0.1", ports.port())
    command = [
        "rtpengine",
        "--config-file=none",
        "--table=-1",
        "--foreground",
        "--log-stderr",
        f"--interface=pub/{ports.host(1)}",
        f"--interface=int/{ports.host(2)}",
        f"--listen-ng={address}",
        "--port-min=20000",
        "--port-max=20099",
    ]
    async with running(*command, log=tmp_path / "rtpengine.log"):
        client = await NgClient.open(*address, schedule=STARTING)
        await client.ping()
        yield client
        client.close()


@contextmanager
def worker(address: Address) -> Iterator[tuple[Rtcp, Reception, SenderInfo]]:
    reception = Reception(2)
    sent = SenderInfo(*(np.zeros(2, np.int64) for _ in range(3)))
    rtcp = Rtcp(address.host, address.port + 1, reception, sent, np.random.default_rng(1))
    yield rtcp, reception, sent
    rtcp.close()


async def heard(peer: socket.socket) -> list[Section]:
    async with asyncio.timeout(5):
        return rtcpwire.read(await asyncio.get_running_loop().sock_recv(peer, 2048))


async def test_reports_pass_both_ways_and_measure_the_round_trip(ng: NgClient) -> None:
    slot = Address(ports.host(12), ports.even_port(ports.host(12)))
    far = Address(ports.host(11), ports.even_port(ports.host(11)))
    leg = MediaLeg(ng, "call-1", "peer-tag", "our-tag", "pub", ("pcmu",))
    sdp, stream = await leg.answer(sipwire.sdp(*far, codecs="0").encode(), Endpoint(*slot))
    host, port = sipwire.media_address(sdp.decode())
    named = re.search(rb"a=rtcp:(\d+)", sdp)
    assert named is None or int(named[1]) == port + 1
    with (
        worker(slot) as (rtcp, reception, sent),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        peer.setblocking(False)
        peer.bind((far.host, far.port + 1))
        rtcp.connect(1, OURS, stream.address, stream.port + 1, NAME, 0)
        one = np.array([1])
        reception.update(one, one * PEER, one, one, one * time.time_ns(), one == 1)
        sent.packets[1], sent.octets[1], sent.timestamp[1] = 50, 8000, 16000
        for now in range(FIRST[1] + PACE):
            rtcp.run(now, time.time_ns())

        report, description = await heard(peer)
        assert (report.kind, report.ssrc) == (200, OURS)
        assert report.sender[1:] == (16000, 50, 8000)
        assert [found[0] for found in report.blocks] == [PEER]
        assert description.cname == (OURS, NAME.encode())

        answer = block(OURS, fraction=64, last_sr=compact(report.sender[0]))
        peer.sendto(sender_report(PEER, 0x1234_5678_9ABC_DEF0, answer), (host, port + 1))
        async with asyncio.timeout(5):
            while not rtcp.tally.received:
                rtcp.run(0, time.time_ns())
                await asyncio.sleep(0.01)
        quality = rtcp.quality(1, Stats(100, 0, 0, 0, 0, 0, 0, 0, 0), Model.G711, 20.0)
        assert quality.peer_loss_fraction == 0.25
        assert quality.rtt_ms is not None
        assert 0 < quality.rtt_ms < 5000

        rtcp.disconnect(1)
        assert [section.kind for section in await heard(peer)] == [201, 202, 203]
        assert (rtcp.tally.strangers, rtcp.tally.malformed) == (0, 0)
    await leg.delete()
