"""The far end of an RTP stream without a clock: sends what it is told, reads what is there."""

import socket
import struct
from dataclasses import dataclass
from typing import Self

HEADER = struct.Struct("!BBHII")
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Stream:
    """A negotiated stream, as the engine is told of it."""

    port: int
    address: str = HOST
    codec: str = "pcmu"
    payload_type: int = 0
    event_payload_type: int | None = 101
    rtcp_address: str = "127.0.0.1"
    rtcp_port: int = 0
    direction: str = "sendrecv"
    source_address: str = ""
    source_port: int = 0


@dataclass(frozen=True)
class Packet:
    """One received packet with a plain header."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


class FarEnd:
    """A UDP socket that plays the far end of one call; `target` is the port it sends to."""

    def __init__(self, target: int, host: str = HOST, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, port))
        self.host, self.target = host, target
        self.sequence, self.timestamp, self.ssrc = 1000, 50000, 0xABCD

    @property
    def port(self) -> int:
        port: int = self.socket.getsockname()[1]
        return port

    def send_raw(self, datagram: bytes) -> None:
        """Send as it is. Over loopback it is in the receiver's buffer when this returns."""
        self.socket.sendto(datagram, (HOST, self.target))

    def send(self, payload: bytes, payload_type: int = 0, samples: int | None = None) -> None:
        """Send the next packet of the stream; the timestamp moves on by `samples` (its length)."""
        self.send_raw(HEADER.pack(0x80, payload_type, self.sequence, self.timestamp, self.ssrc) + payload)
        self.sequence = self.sequence + 1 & 0xFFFF
        self.timestamp += len(payload) if samples is None else samples

    def press(self, code: int, *, end: bool = False, payload_type: int = 101) -> None:
        """Send one packet of the telephone event that began at the timestamp of now."""
        self.send(bytes([code, 0x80 if end else 0, 0, 160]), payload_type, samples=0)

    def read(self) -> list[Packet]:
        """Take all that has arrived."""
        packets: list[Packet] = []
        while True:
            try:
                data = self.socket.recv(2048)
            except BlockingIOError:
                return packets
            first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
            assert first == 0x80
            packets.append(Packet(second & 127, second > 127, sequence, timestamp, ssrc, data[HEADER.size :]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
