"""A raw RTP peer: it keeps every packet with the kernel's arrival time and sends what a test wants sent."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from tests.support import wav
from tests.support.ports import Address

FRAME = 160
"""Samples in 20 ms at 8 kHz."""
FRAME_SECONDS = 0.02
PCMU, PCMA = 0, 8
TELEPHONE_EVENT = 101
DIGITS = "0123456789*#ABCD"
HEADER = struct.Struct("!BBHII")
STAMP = struct.Struct("qq")
SO_TIMESTAMPNS = 35
"""Value of Linux' socket option; the socket module does not name it."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One received packet (RFC 3550 section 5.1); `arrival` is the kernel's, in seconds since the epoch."""

    arrival: float
    source: Address
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes

    @property
    def loudness(self) -> float:
        """Root mean square of the PCMU payload, full scale 1.0."""
        return wav.rms(wav.decode_pcmu(self.payload))

    @classmethod
    def parse(cls, data: bytes, arrival: float, source: Address) -> Self:
        """Take a datagram apart; raises ValueError when it is not RTP without extension and padding."""
        if len(data) < HEADER.size or data[0] >> 6 != 2 or data[0] & 0x30:
            raise ValueError(f"not a plain RTP packet: {data[:16].hex()}")
        flags, kind, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        start = HEADER.size + 4 * (flags & 0x0F)
        return cls(arrival, source, kind & 0x7F, kind > 0x7F, sequence, timestamp, ssrc, data[start:])


@dataclass(slots=True, eq=False)
class RtpPeer:
    """An RTP socket on `address`; open it by `rtp_peer`."""

    address: Address
    socket: socket.socket
    packets: list[RtpPacket] = field(default_factory=list)
    remote: Address | None = None
    """Where to send; set it from the peer's SDP."""
    law: int = PCMU
    """Payload type that is spoken and understood: PCMU or PCMA."""
    ssrc: int = 0x5EED
    sequence: int = 1
    timestamp: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def receive(self) -> None:
        """Take everything that the socket holds."""
        while True:
            try:
                data, extra, _, source = self.socket.recvmsg(2048, 64)
            except BlockingIOError:
                break
            seconds, nanoseconds = STAMP.unpack(extra[0][2])
            self.packets.append(RtpPacket.parse(data, seconds + nanoseconds / 1e9, Address(*source)))
        self._arrived.set()

    async def packet(self, wanted: Callable[[RtpPacket], bool], after: int = 0, within: float = 5.0) -> int:
        """Wait for a packet that is `wanted` and return its index, at least `after`."""
        index = after
        async with asyncio.timeout(within):
            while True:
                while index < len(self.packets):
                    if wanted(self.packets[index]):
                        return index
                    index += 1
                self._arrived.clear()
                await self._arrived.wait()

    def heard(self) -> wav.Sound:
        """Return the audio of the law received so far, put in place by its timestamps."""
        decode = wav.decode_pcma if self.law == PCMA else wav.decode_pcmu
        audio = [packet for packet in self.packets if packet.payload_type == self.law]
        if not audio:
            return wav.tone(0, 0)
        first = audio[0].timestamp
        places = [((packet.timestamp - first + 2**31) % 2**32 - 2**31, packet) for packet in audio]
        sound = wav.tone(0, (max(place for place, _ in places) + FRAME) / wav.RATE)
        for place, packet in places:
            part = decode(packet.payload)
            if place >= 0:
                sound[place : place + part.size] = part[: sound.size - place]
        return sound

    def send(
        self,
        payload: bytes,
        payload_type: int = PCMU,
        *,
        marker: bool = False,
        timestamp: int | None = None,
    ) -> None:
        """Send one packet; the sequence number goes on, the timestamp is the caller's affair."""
        if self.remote is None:
            raise ValueError("no remote address is set")
        stamp = self.timestamp if timestamp is None else timestamp
        header = HEADER.pack(0x80, marker << 7 | payload_type, self.sequence, stamp, self.ssrc)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.socket.sendto(header + payload, self.remote)

    async def speak(self, sound: wav.Sound) -> None:
        """Send `sound` by the law in real time."""
        data = wav.encode_pcma(sound) if self.law == PCMA else wav.encode_pcmu(sound)
        loop = asyncio.get_running_loop()
        due = loop.time()
        for start in range(0, len(data), FRAME):
            self.send(data[start : start + FRAME].ljust(FRAME, data[-1:]), self.law, marker=start == 0)
            self.timestamp += FRAME
            due += FRAME_SECONDS
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def press(self, digit: str, frames: int = 5, payload_type: int = TELEPHONE_EVENT) -> None:
        """Press a key for `frames` times 20 ms: RFC 4733 events, the end sent three times."""
        code, began = DIGITS.index(digit), self.timestamp
        for frame in range(1, frames + 3):
            duration = min(frame, frames) * FRAME
            end = 0x80 if frame >= frames else 0
            body = struct.pack("!BBH", code, end | 10, duration)
            self.send(body, payload_type, marker=frame == 1, timestamp=began)
            await asyncio.sleep(FRAME_SECONDS)
        self.timestamp += (frames + 2) * FRAME


@asynccontextmanager
async def rtp_peer(address: Address) -> AsyncIterator[RtpPeer]:
    """Open an RTP socket on `address` (an even port by custom) while the block runs."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(address)
        peer = RtpPeer(address, sock)
        loop = asyncio.get_running_loop()
        loop.add_reader(sock, peer.receive)
        try:
            yield peer
        finally:
            loop.remove_reader(sock)
