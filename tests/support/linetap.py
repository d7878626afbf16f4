"""What passes a network interface, both ways, with the kernel's time of each packet; needs root."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.ports import Address
from tests.support.rtpcap import SO_TIMESTAMPNS, STAMP, RtpPacket
from tests.support.sipwire import Message

ETH_P_ALL = 3
ETHERNET, IPV4, UDP = 14, 0x0800, 17
RTCP = range(72, 77)
BUFFER = 1 << 22


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram over IPv4; `time` in seconds since the epoch."""

    time: float
    source: Address
    target: Address
    payload: bytes


@dataclass(slots=True)
class LineTap:
    """All UDP datagrams of an interface; open it by `line_tap`."""

    socket: socket.socket
    datagrams: list[Datagram] = field(default_factory=list)
    fragments: int = 0
    """Datagrams that came in pieces, which are not looked at."""

    def receive(self) -> None:
        """Take everything that the socket holds."""
        while True:
            try:
                frame, extra, _, _ = self.socket.recvmsg(4096, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = STAMP.unpack(extra[0][2])
            self._take(frame, seconds + nanoseconds / 1e9)

    def _take(self, frame: bytes, time: float) -> None:
        if len(frame) < ETHERNET + 28 or struct.unpack_from("!H", frame, 12)[0] != IPV4:
            return
        packet = frame[ETHERNET:]
        size, offset = (packet[0] & 0x0F) * 4, struct.unpack_from("!H", packet, 6)[0]
        if packet[9] != UDP:
            return
        if offset & 0x3FFF:
            self.fragments += 1
            return
        here, there, length = struct.unpack_from("!HHH", packet, size)
        source = Address(socket.inet_ntoa(packet[12:16]), here)
        target = Address(socket.inet_ntoa(packet[16:20]), there)
        self.datagrams.append(Datagram(time, source, target, packet[size + 8 : size + length]))

    def requests(self, method: str, target: str) -> list[Message]:
        """The SIP requests called `method` that went to the host `target`; retransmissions too."""
        return [
            Message.parse(each.payload)
            for each in self.datagrams
            if each.target.host == target and each.payload.startswith(f"{method} ".encode())
        ]

    def rtp(self, target: str, wanted: Callable[[RtpPacket], bool] = lambda _: True) -> list[RtpPacket]:
        """The RTP packets that went to the host `target` and are `wanted`, in the order of their times."""
        found = (
            RtpPacket.parse(each.payload, each.time, each.source)
            for each in self.datagrams
            if each.target.host == target and _is_rtp(each.payload)
        )
        return [packet for packet in found if wanted(packet)]


def _is_rtp(payload: bytes) -> bool:
    """Whether it is plain RTP, by the rules of RFC 5761 section 4."""
    return payload[:1] == b"\x80" and payload[1] & 0x7F not in RTCP


@asynccontextmanager
async def line_tap(interface: str) -> AsyncIterator[LineTap]:
    """Listen to `interface` while the block runs."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        sock.bind((interface, 0))
        tap = LineTap(sock)
        loop = asyncio.get_running_loop()
        loop.add_reader(sock, tap.receive)
        try:
            yield tap
        finally:
            loop.remove_reader(sock)


def gaps(packets: list[RtpPacket]) -> list[tuple[float, float]]:
    """(when it began, how long it was), in seconds, of the time between each two packets."""
    pairs = zip(packets, packets[1:], strict=False)
    return [(before.arrival, after.arrival - before.arrival) for before, after in pairs]
