"""RTP headers of many packets at once (RFC 3550 section 5.1) and arithmetic modulo their fields."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from media.engine.arrays import Bytes, Ints, Mask

HEADER = 12
"""Bytes of a header without CSRCs and extension."""
MARKER = 1 << 23
"""The marker bit in the first word of a header."""
_VERSION_2 = 2 << 30
_PLAIN = 0x80
"""First byte of a packet of version 2 without padding, extension and CSRCs."""


class Headers(NamedTuple):
    """Fields of n packets, each an array (n,); they mean something only where `valid`."""

    valid: Mask
    rtcp: Mask
    """Packets that are RTCP by their type, 192..223 in the second byte (RFC 5761 section 4)."""
    payload_type: Ints
    sequence: Ints
    timestamp: Ints
    ssrc: Ints
    offset: Ints
    """Where the payload begins."""
    size: Ints
    """Bytes of payload, padding taken off."""

    def select(self, which: Ints | Mask) -> "Headers":
        """The headers of some of the packets."""
        return Headers._make(field[which] for field in self)


def parse(words: npt.NDArray[np.uint32], data: Bytes, length: npt.NDArray[np.uint32]) -> Headers:
    """Read the headers of n packets.

    `words` big-endian uint32 (n, stride / 4) and `data` uint8 (n, stride) are the same memory;
    `length` (n,) counts the bytes of each packet.
    """
    first = words[:, 0].astype(np.int64)
    size = length.astype(np.int64) - HEADER
    second_byte = first >> 16 & 0xFF
    if (first >> 24 == _PLAIN).all():
        offset, valid = np.full(len(first), HEADER, np.int64), size >= 0
    else:
        offset, size, valid = _variable(first, data, size)
    return Headers(
        valid=valid,
        rtcp=(second_byte >= 192) & (second_byte <= 223),
        payload_type=second_byte & 0x7F,
        sequence=first & 0xFFFF,
        timestamp=words[:, 1].astype(np.int64),
        ssrc=words[:, 2].astype(np.int64),
        offset=offset,
        size=size,
    )


def _variable(first: Ints, data: Bytes, size: Ints) -> tuple[Ints, Ints, Mask]:
    """Offset and size of payloads behind CSRCs and an extension, before padding; and which are valid."""
    row, last = np.arange(len(first)), data.shape[1] - 1

    def byte(at: Ints) -> Ints:
        return data[row, np.clip(at, 0, last)].astype(np.int64)

    length = size + HEADER
    offset = HEADER + (first >> 24 & 15) * 4
    extended = (first >> 28 & 1).astype(bool)
    extension = 4 + 4 * (byte(offset + 2) << 8 | byte(offset + 3))
    valid = (first >> 30 == 2) & (length >= offset + 4 * extended)
    offset = offset + np.where(extended, extension, 0)
    padded = (first >> 29 & 1).astype(bool)
    padding = np.where(padded, byte(length - 1), 0)
    size = length - offset - padding
    return offset, size, valid & (size >= 0) & ~(padded & (padding == 0))


def first_word(payload_type: int) -> int:
    """First 32 bits of a plain header, sequence number 0, no marker."""
    return _VERSION_2 | payload_type << 16


def sequence_ahead(sequence: Ints, reference: Ints) -> Ints:
    """How far `sequence` is ahead of `reference` modulo 2^16: -32768..32767."""
    return (sequence - reference + 0x8000 & 0xFFFF) - 0x8000


def timestamp_ahead(timestamp: Ints, reference: Ints) -> Ints:
    """How far `timestamp` is ahead of `reference` modulo 2^32: -2^31..2^31-1."""
    return (timestamp - reference + 0x80000000 & 0xFFFFFFFF) - 0x80000000
