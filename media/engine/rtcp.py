"""RTCP packets (RFC 3550 section 6): many reports built at once, compound packets parsed one by one."""

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from control.errors import MediaError
from media.engine.arrays import Ints, Mask
from media.engine.quality import Blocks

Words = npt.NDArray[np.uint32]
"""Big-endian words of packets."""

SR, RR, SDES, BYE = 200, 201, 202, 203
MAX_CNAME = 64
"""Bytes of a canonical name; those made as RFC 7022 recommends have 16."""
SDES_WORDS = 2 + (2 + MAX_CNAME) // 4 + 1
"""Words of a source description with the longest name."""
MAX_WORDS = 2 + 5 + 6 + SDES_WORDS
"""Words of the longest compound packet that `pack` makes."""
_CNAME = 1
_VERSION_2 = 2 << 30
_TYPES = range(192, 224)
"""Packet types of RTCP (RFC 5761 section 4)."""
_EPOCH = 2_208_988_800
"""Seconds from 1900, where NTP begins, to 1970."""
_SECOND = 1_000_000_000
_HEADER = struct.Struct("!BBH")
_SSRC = struct.Struct("!I")
_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IIIIII")


class Block(NamedTuple):
    """A report block (section 6.4.1) without sequence number and jitter."""

    ssrc: int
    """The source reported on."""
    fraction: int
    """Packets lost since the last report, in 256ths."""
    lost: int
    """Packets lost in all, with a sign."""
    last_sr: int
    """Middle 32 bits of the NTP time of the last SR from the source; 0: none."""
    delay: int
    """Since that SR arrived, in 65536ths of a second."""


class SenderReport(NamedTuple):
    """SR (section 6.4.1)."""

    ssrc: int
    ntp: int
    """64 bits."""
    blocks: tuple[Block, ...]


class ReceiverReport(NamedTuple):
    """RR (section 6.4.2)."""

    ssrc: int
    blocks: tuple[Block, ...]


class Description(NamedTuple):
    """The canonical name of a source (section 6.5.1)."""

    ssrc: int
    cname: bytes


class Goodbye(NamedTuple):
    """BYE (section 6.6)."""

    sources: tuple[int, ...]


Packet = SenderReport | ReceiverReport | Description | Goodbye


class SenderInfo(NamedTuple):
    """What SRs say of the streams sent, each an int64 array (n,)."""

    timestamp: Ints
    """RTP timestamp of the moment of the report."""
    packets: Ints
    octets: Ints
    """Bytes of payload."""


class Echo(NamedTuple):
    """What lets the peers measure the round trip, each an int64 array (n,)."""

    last_sr: Ints
    delay: Ints


def ntp_time(nanoseconds: int) -> int:
    """64-bit NTP time of a time since the epoch."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    return (seconds + _EPOCH & 0xFFFFFFFF) << 32 | (rest << 32) // _SECOND


def compact(ntp: int) -> int:
    """The middle 32 bits of an NTP time: 65536ths of a second."""
    return ntp >> 16 & 0xFFFFFFFF


def describe(ssrc: int, cname: str) -> bytes:
    """An SDES packet with a canonical name; raises MediaError when that is empty or too long."""
    name = cname.encode()
    if not 0 < len(name) <= MAX_CNAME:
        raise MediaError(f"RTCP canonical name {cname!r} has {len(name)} bytes: give 1 to {MAX_CNAME}")
    chunk = _SSRC.pack(ssrc) + bytes([_CNAME, len(name)]) + name
    chunk += bytes(4 - len(chunk) % 4)
    return _HEADER.pack(0x81, SDES, len(chunk) // 4) + chunk


def farewell(ssrc: int, description: bytes) -> bytes:
    """The compound packet that ends a source: an empty RR, `description` and BYE."""
    source = _SSRC.pack(ssrc)
    return _HEADER.pack(0x80, RR, 1) + source + description + _HEADER.pack(0x81, BYE, 1) + source


def pack(
    words: Words,
    ssrc: Ints,
    ntp: int,
    sent: Mask,
    info: SenderInfo,
    heard: Mask,
    blocks: Blocks,
    echo: Echo,
    description: Words,
) -> Ints:
    """Write a report and a description of n sources into the first n rows of `words`; return their words.

    `words` big-endian uint32 (at least n, at least MAX_WORDS). Sources that `sent` get an SR with their
    `info`, the others an RR; those that `heard` something get a block. Fields of `info`, `blocks` and
    `echo` (n,) mean something only there. `description` big-endian uint32 (n, SDES_WORDS) holds the packets
    of `describe`.
    """
    rows = np.arange(len(ssrc))
    size = 2 + 5 * sent + 6 * heard
    words[rows, 0] = _VERSION_2 | heard.astype(np.int64) << 24 | np.where(sent, SR, RR) << 16 | size - 1
    words[rows, 1] = ssrc
    if sent.any():
        words[rows[sent], 2], words[rows[sent], 3] = ntp >> 32, ntp & 0xFFFFFFFF
        words[rows[sent], 4:7] = np.stack(info, axis=1)[sent] & 0xFFFFFFFF
    if heard.any():
        loss = blocks.fraction << 24 | blocks.lost & 0xFFFFFF
        block = np.stack((blocks.ssrc, loss, blocks.highest, blocks.jitter, *echo), axis=1)
        words[rows[heard, None], (size - 6)[heard, None] + np.arange(6)] = block[heard]
    words[rows[:, None], size[:, None] + np.arange(SDES_WORDS)] = description
    total: Ints = size + (description[:, 0] & 0xFFFF) + 1
    return total


def parse(data: bytes) -> list[Packet] | None:
    """Take a datagram apart; None when it is not RTCP or any length in it is wrong.

    Unknown packet types are left out. A datagram may hold any packet alone (RFC 5506), and none of it is
    believed when a part is wrong (RFC 3550 appendix A.2).
    """
    packets: list[Packet] = []
    start, end = 0, len(data)
    while start < end:
        if end - start < _HEADER.size:
            return None
        first, kind, words = _HEADER.unpack_from(data, start)
        stop = start + 4 + 4 * words
        if first >> 6 != 2 or kind not in _TYPES or stop > end:
            return None
        body = data[start + 4 : stop]
        if first & 0x20:
            padding = body[-1] if body else 0
            if stop != end or not 0 < padding <= len(body) or padding % 4:
                return None
            body = body[:-padding]
        if not _read(kind, first & 0x1F, body, packets):
            return None
        start = stop
    return packets if data else None


def _read(kind: int, count: int, body: bytes, packets: list[Packet]) -> bool:
    """Append what a packet holds; False when it is shorter than it says."""
    if kind == SR:
        if len(body) < _SENDER.size + count * _BLOCK.size:
            return False
        ssrc, ntp, *_ = _SENDER.unpack_from(body)
        packets.append(SenderReport(ssrc, ntp, _blocks(body, _SENDER.size, count)))
    elif kind == RR:
        if len(body) < _SSRC.size + count * _BLOCK.size:
            return False
        packets.append(ReceiverReport(_SSRC.unpack_from(body)[0], _blocks(body, _SSRC.size, count)))
    elif kind == SDES:
        return _descriptions(body, count, packets)
    elif kind == BYE:
        if len(body) < 4 * count:
            return False
        packets.append(Goodbye(struct.unpack_from(f"!{count}I", body)))
    return True


def _blocks(body: bytes, start: int, count: int) -> tuple[Block, ...]:
    blocks = []
    for place in range(start, start + count * _BLOCK.size, _BLOCK.size):
        ssrc, loss, _, _, last_sr, delay = _BLOCK.unpack_from(body, place)
        lost = (loss & 0xFFFFFF ^ 0x800000) - 0x800000
        blocks.append(Block(ssrc, loss >> 24, lost, last_sr, delay))
    return tuple(blocks)


def _descriptions(body: bytes, count: int, packets: list[Packet]) -> bool:
    """Append the canonical names of `count` chunks; False when one has no end."""
    place = 0
    for _ in range(count):
        if len(body) < place + _SSRC.size:
            return False
        (ssrc,) = _SSRC.unpack_from(body, place)
        place += _SSRC.size
        while place < len(body) and body[place]:
            item = body[place : place + 2]
            stop = place + 2 + item[-1]
            if len(item) < 2 or stop > len(body):
                return False
            if item[0] == _CNAME:
                packets.append(Description(ssrc, body[place + 2 : stop]))
            place = stop
        if place >= len(body):
            return False
        place += 4 - place % 4
    return True
