"""RTP headers in batches, against a parser that reads one packet at a time."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from media.engine import rtp

STRIDE = 640


def parse(packets: list[bytes]) -> rtp.Headers:
    data = np.full((len(packets), STRIDE), 0xEE, np.uint8)
    for row, packet in zip(data, packets, strict=True):
        row[: len(packet)] = np.frombuffer(packet, np.uint8)
    length = np.array([len(packet) for packet in packets], np.uint32)
    return rtp.parse(data.view(">u4"), data, length)


def reference(packet: bytes) -> bytes | None:
    """Payload by RFC 3550 section 5.1; None when the packet is malformed."""
    if len(packet) < 12 or packet[0] >> 6 != 2:
        return None
    at = 12 + 4 * (packet[0] & 15)
    if packet[0] & 0x10:
        if len(packet) < at + 4:
            return None
        at += 4 + 4 * int.from_bytes(packet[at + 2 : at + 4], "big")
    end = len(packet)
    if packet[0] & 0x20:
        if not packet[-1]:
            return None
        end -= packet[-1]
    return packet[at:end] if at <= end else None


@st.composite
def well_formed(draw: st.DrawFn) -> bytes:
    csrcs, extension = draw(st.integers(0, 15)), draw(st.none() | st.binary(max_size=40))
    padding, payload = draw(st.integers(0, 20)), draw(st.binary(max_size=200))
    first = 0x80 | csrcs | (0x10 if extension is not None else 0) | (0x20 if padding else 0)
    packet = struct.pack(
        "!BBHII",
        first,
        draw(st.integers(0, 255)),
        draw(st.integers(0, 0xFFFF)),
        draw(st.integers(0, 0xFFFFFFFF)),
        draw(st.integers(0, 0xFFFFFFFF)),
    )
    packet += bytes(4 * csrcs)
    if extension is not None:
        extension += bytes(-len(extension) % 4)
        packet += struct.pack("!HH", 0xBEDE, len(extension) // 4) + extension
    packet += payload
    return packet + bytes(padding - 1) + bytes([padding]) if padding else packet


@given(st.lists(well_formed() | st.binary(max_size=STRIDE), min_size=1, max_size=20))
def test_every_packet_is_read_as_by_the_standard(packets: list[bytes]) -> None:
    headers = parse(packets)
    for row, packet in enumerate(packets):
        payload = reference(packet)
        assert bool(headers.valid[row]) is (payload is not None)
        if payload is None:
            continue
        _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", packet)
        at, size = int(headers.offset[row]), int(headers.size[row])
        assert packet[at : at + size] == payload
        assert headers.payload_type[row] == second & 0x7F
        assert headers.sequence[row] == sequence
        assert headers.timestamp[row] == timestamp
        assert headers.ssrc[row] == ssrc
        assert bool(headers.rtcp[row]) is (192 <= second <= 223)


@given(st.lists(st.binary(max_size=200).map(lambda payload: bytes([0x80] * 12) + payload), max_size=9))
def test_plain_packets_have_plain_offsets(packets: list[bytes]) -> None:
    headers = parse(packets)
    assert headers.valid.all()
    assert (headers.offset == rtp.HEADER).all()
    assert headers.size.tolist() == [len(packet) - 12 for packet in packets]


def test_a_datagram_shorter_than_a_header_is_invalid_even_after_an_older_packet() -> None:
    data = np.full((1, STRIDE), 0x80, np.uint8)
    assert not rtp.parse(data.view(">u4"), data, np.array([11], np.uint32)).valid.any()


def test_select() -> None:
    headers = parse([bytes([0x80, 0, 0, number]) + bytes(8) for number in range(4)])
    assert headers.select(np.array([2, 1])).sequence.tolist() == [2, 1]
    assert headers.select(headers.sequence > 2).sequence.tolist() == [3]


def test_first_word() -> None:
    assert (rtp.first_word(8) | rtp.MARKER | 0x1234).to_bytes(4, "big") == bytes([0x80, 0x88, 0x12, 0x34])


@given(st.integers(0, 0xFFFF), st.integers(-0x8000, 0x7FFF))
def test_sequence_numbers_wrap(reference: int, distance: int) -> None:
    sequence = np.array([reference + distance & 0xFFFF])
    assert rtp.sequence_ahead(sequence, np.array([reference])).tolist() == [distance]
    # The reference may be an extended number, as the jitter buffer keeps it.
    assert rtp.sequence_ahead(sequence, np.array([reference + 0x30000])).tolist() == [distance]


@given(st.integers(0, 0xFFFFFFFF), st.integers(-0x80000000, 0x7FFFFFFF))
def test_timestamps_wrap(reference: int, distance: int) -> None:
    timestamp = np.array([reference + distance & 0xFFFFFFFF])
    assert rtp.timestamp_ahead(timestamp, np.array([reference])).tolist() == [distance]
