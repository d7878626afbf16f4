"""A real rtpengine between the sockets of a peer and of a media slot."""

from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from control.rtpengine.media import Endpoint, MediaLeg, Stream
from control.rtpengine.ng import NgClient
from tests.support import ports, sipwire
from tests.support.ports import Address
from tests.support.process import running
from tests.support.rtpcap import PCMU, RtpPeer, rtp_peer

STARTING = (0.1,) * 100


@dataclass(frozen=True, slots=True)
class Bench:
    """A running rtpengine with a peer's and a slot's socket."""

    ng: NgClient
    ng_address: Address
    process: Process
    peer: RtpPeer
    slot: RtpPeer

    @property
    def endpoint(self) -> Endpoint:
        """The slot's socket."""
        return Endpoint(*self.slot.address)

    def leg(
        self,
        call_id: str = "call-1",
        external: Literal["pub", "int"] = "pub",
        codecs: tuple[str, ...] = ("pcmu", "pcma"),
    ) -> MediaLeg:
        """A leg with our slot; see `MediaLeg`."""
        return MediaLeg(self.ng, call_id, "peer-tag", "our-tag", external, codecs)

    def sdp(self, codecs: str = "0 8 101", direction: str = "sendrecv") -> bytes:
        """A description of the peer."""
        return sipwire.sdp(*self.peer.address, codecs=codecs, direction=direction).encode()

    def connect(self, local_sdp: bytes, stream: Stream) -> None:
        """Send to where both were told to."""
        self.peer.remote = Address(*sipwire.media_address(local_sdp.decode()))
        self.slot.remote = Address(stream.address, stream.port)

    async def calls(self) -> list[str]:
        """What rtpengine has."""
        calls: list[str] = (await self.ng.command("list"))["calls"]
        return calls

    async def transcoded(self) -> int:
        """Number of streams that rtpengine transcodes."""
        reply = await self.ng.command("statistics")
        return int(reply["statistics"]["currentstatistics"]["transcodedmedia"])

    async def heard_by_slot(self, stream: Stream, payload: bytes, payload_type: int = PCMU) -> None:
        """The peer says `payload`; it must arrive unchanged and from the stream's port."""
        self.peer.send(payload, payload_type)
        index = await self.slot.packet(lambda packet: packet.payload == payload)
        packet = self.slot.packets[index]
        assert packet.source == Address(stream.address, stream.port)
        assert (packet.payload_type, packet.ssrc) == (payload_type, self.peer.ssrc)

    async def heard_by_peer(self, local_sdp: bytes, payload: bytes, payload_type: int = PCMU) -> None:
        """The slot says `payload`; it must reach the peer from the port that the peer was told."""
        self.slot.send(payload, payload_type)
        index = await self.peer.packet(lambda packet: packet.payload == payload)
        packet = self.peer.packets[index]
        assert packet.source == sipwire.media_address(local_sdp.decode())
        assert packet.payload_type == payload_type


@asynccontextmanager
async def benches(folder: Path, pub: str, internal: str) -> AsyncIterator[Bench]:
    """Run an rtpengine with these two addresses while the block runs."""
    ng_address = Address("127.0.0.1", ports.port())
    command = [
        "rtpengine",
        "--config-file=none",
        "--table=-1",
        "--foreground",
        "--log-stderr",
        f"--interface=pub/{pub}",
        f"--interface=int/{internal}",
        f"--listen-ng={ng_address}",
        f"--listen-cli=127.0.0.1:{ports.port()}",
        "--port-min=20000",
        "--port-max=20099",
    ]
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(running(*command, log=folder / "rtpengine.log"))
        starting = await NgClient.open(*ng_address, schedule=STARTING)
        stack.callback(starting.close)
        await starting.ping()
        ng = await NgClient.open(*ng_address)
        stack.callback(ng.close)
        peer = await stack.enter_async_context(rtp_peer(ports.peer(11)))
        slot = await stack.enter_async_context(
            rtp_peer(Address(host := ports.host(12), ports.even_port(host)))
        )
        yield Bench(ng, ng_address, process, peer, slot)
