"""A plain reading and writing of RTCP (RFC 3550 section 6), independent of the product's."""

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """One packet of a compound packet."""

    kind: int
    count: int
    body: bytes

    @property
    def ssrc(self) -> int:
        return word(self.body, 0)

    @property
    def sender(self) -> tuple[int, int, int, int]:
        """NTP time, RTP timestamp, packets and octets of an SR."""
        return struct.unpack("!QIII", self.body[4:24])

    @property
    def blocks(self) -> list[tuple[int, int, int, int, int, int, int]]:
        """SSRC, fraction, lost, highest sequence, jitter, LSR and DLSR of each block."""
        found = []
        for number in range(self.count):
            at = (24 if self.kind == 200 else 4) + 24 * number
            lost = int.from_bytes(self.body[at + 5 : at + 8], "big", signed=True)
            rest = [word(self.body, at + offset) for offset in (8, 12, 16, 20)]
            found.append((word(self.body, at), self.body[at + 4], lost, rest[0], rest[1], rest[2], rest[3]))
        return found

    @property
    def cname(self) -> tuple[int, bytes]:
        """Source and canonical name of an SDES with that item alone."""
        length = self.body[5]
        assert (self.count, self.body[4]) == (1, 1)
        name, rest = self.body[6 : 6 + length], self.body[6 + length :]
        assert rest == bytes(len(rest))
        assert 1 <= len(rest) <= 4
        return self.ssrc, name


def word(data: bytes, at: int) -> int:
    """The 32 bits at `at`."""
    return int.from_bytes(data[at : at + 4], "big")


def read(data: bytes) -> list[Section]:
    """Take a compound packet apart; raises AssertionError when it is not one."""
    sections = []
    while data:
        assert data[0] & 0xE0 == 0x80
        size = 4 + 4 * int.from_bytes(data[2:4], "big")
        assert size <= len(data)
        sections.append(Section(data[1], data[0] & 31, data[4:size]))
        data = data[size:]
    return sections


def packet(kind: int, count: int, body: bytes) -> bytes:
    """One packet; `body` is a multiple of 4 bytes."""
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def block(
    ssrc: int,
    fraction: int = 0,
    lost: int = 0,
    highest: int = 0,
    jitter: int = 0,
    last_sr: int = 0,
    delay: int = 0,
) -> bytes:
    """A report block."""
    head = ssrc.to_bytes(4, "big") + bytes([fraction]) + lost.to_bytes(3, "big", signed=True)
    return head + struct.pack("!IIII", highest, jitter, last_sr, delay)


def sender_report(ssrc: int, ntp: int, *blocks: bytes) -> bytes:
    """An SR."""
    return packet(200, len(blocks), struct.pack("!IQIII", ssrc, ntp, 1, 2, 3) + b"".join(blocks))


def receiver_report(ssrc: int, *blocks: bytes) -> bytes:
    """An RR."""
    return packet(201, len(blocks), struct.pack("!I", ssrc) + b"".join(blocks))
