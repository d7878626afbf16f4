"""RTCP packets: what is built is read by another reader, what comes in is read whatever it is."""

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from control.errors import MediaError
from media.engine import rtcp
from media.engine.quality import Blocks
from media.engine.rtcp import (
    Block,
    Description,
    Echo,
    Goodbye,
    ReceiverReport,
    SenderInfo,
    SenderReport,
    compact,
    describe,
    farewell,
    ntp_time,
    pack,
    parse,
)
from tests.support import rtcpwire
from tests.support.rtcpwire import block, packet, receiver_report, sender_report

WORD = st.integers(0, 2**32 - 1)
LOST = st.integers(-(2**23), 2**23 - 1)
NAME = st.text("abcxyz0189@.-", min_size=1, max_size=rtcp.MAX_CNAME)
SOURCE = st.tuples(
    WORD,
    st.booleans(),
    st.tuples(WORD, WORD, WORD),
    st.booleans(),
    st.tuples(WORD, st.integers(0, 255), LOST, WORD, WORD),
    st.tuples(WORD, WORD),
    NAME,
)
Source = tuple[int, bool, tuple[int, int, int], bool, tuple[int, int, int, int, int], tuple[int, int], str]


def packed(sources: list[Source], ntp: int) -> list[bytes]:
    """What `pack` makes of them, from rows full of what was there before."""
    ssrc, sent, info, heard, blocks, echo, names = zip(*sources, strict=True)
    words = np.full((len(sources) + 1, rtcp.MAX_WORDS), 0xDEADBEEF, ">u4")
    description = np.zeros((len(sources), rtcp.SDES_WORDS), ">u4")
    for row, (source, name) in enumerate(zip(ssrc, names, strict=True)):
        item = describe(source, name)
        description[row, : len(item) // 4] = np.frombuffer(item, ">u4")
    size = pack(
        words,
        np.array(ssrc, np.int64),
        ntp,
        np.array(sent),
        SenderInfo(*np.array(info, np.int64).T),
        np.array(heard),
        Blocks(*np.array(blocks, np.int64).T),
        Echo(*np.array(echo, np.int64).T),
        description,
    )
    assert (words[-1] == 0xDEADBEEF).all()
    return [words[row, : size[row]].tobytes() for row in range(len(sources))]


@given(st.lists(SOURCE, min_size=1, max_size=5), st.integers(0, 2**64 - 1))
def test_reports_say_what_they_were_given(sources: list[Source], ntp: int) -> None:
    for source, data in zip(sources, packed(sources, ntp), strict=True):
        ssrc, sent, info, heard, blocks, echo, name = source
        report, description = rtcpwire.read(data)
        assert (report.kind, report.ssrc) == (200 if sent else 201, ssrc)
        assert report.blocks == [(*blocks, *echo)] * heard
        assert len(report.body) == 4 + 20 * sent + 24 * heard
        if sent:
            assert report.sender == (ntp, *info)
        assert description.kind == 202
        assert description.cname == (ssrc, name.encode())


@given(SOURCE, st.integers(0, 2**64 - 1))
def test_we_read_what_we_write(source: Source, ntp: int) -> None:
    ssrc, sent, _, heard, blocks, echo, name = source
    seen = (Block(*blocks[:3], *echo),) * heard
    report = SenderReport(ssrc, ntp, seen) if sent else ReceiverReport(ssrc, seen)
    assert parse(packed([source], ntp)[0]) == [report, Description(ssrc, name.encode())]


@pytest.mark.parametrize("name", ["", "x" * (rtcp.MAX_CNAME + 1), "ü" * 33])
def test_a_canonical_name_has_bounds(name: str) -> None:
    with pytest.raises(MediaError, match="RTCP canonical name"):
        describe(1, name)


@pytest.mark.parametrize("length", range(1, 6))
def test_a_farewell_is_a_compound_packet(length: int) -> None:
    data = farewell(0xABCD, describe(0xABCD, "n" * length))
    report, description, bye = rtcpwire.read(data)
    assert (report.kind, report.count, report.ssrc) == (201, 0, 0xABCD)
    assert description.cname == (0xABCD, b"n" * length)
    assert (bye.kind, bye.count, bye.body) == (203, 1, struct.pack("!I", 0xABCD))
    assert parse(data) == [ReceiverReport(0xABCD, ()), Description(0xABCD, b"n" * length), Goodbye((0xABCD,))]


def test_ntp_times() -> None:
    assert ntp_time(0) == 2_208_988_800 << 32
    assert ntp_time(500_000_000) & 0xFFFFFFFF == 1 << 31
    assert ntp_time(999_999_999) >> 32 == 2_208_988_800
    # NTP's first era ends in February 2036; its seconds begin again at 0.
    assert ntp_time((2**32 - 2_208_988_800) * 1_000_000_000) == 0
    assert compact(0x0123456789ABCDEF) == 0x456789AB


SDES_OF_TWO = packet(202, 2, b"\0\0\0\x01\x01\x02ab\0\0\0\0" + b"\0\0\0\x02\x02\x01x\x01\x01c\0\0")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (packet(203, 2, bytes(7) + b"\x05" + b"\x03bye"), [Goodbye((0, 5))]),
        (packet(203, 0, b""), [Goodbye(())]),
        (SDES_OF_TWO, [Description(1, b"ab"), Description(2, b"c")]),
        (packet(202, 0, b""), []),
        (packet(204, 5, b"\0\0\0\x01nameAPP!"), []),
        (packet(207, 0, bytes(8)) + receiver_report(9), [ReceiverReport(9, ())]),
        (receiver_report(1, block(2), block(3, 255, -1)), None),
        # an extension of the profile behind the blocks
        (packet(201, 0, b"\0\0\0\x07ext."), [ReceiverReport(7, ())]),
        # padding of the last packet
        (b"\xa0\xc9\0\x02\0\0\0\x07\0\0\0\x04", [ReceiverReport(7, ())]),
    ],
)
def test_compound_packets_that_are_understood(data: bytes, found: list[rtcp.Packet] | None) -> None:
    if found is None:
        found = [ReceiverReport(1, (Block(2, 0, 0, 0, 0), Block(3, 255, -1, 0, 0)))]
    assert parse(data) == found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\xc9\0",
        receiver_report(1)[:-1],
        receiver_report(1) + b"\0",
        b"\x40" + receiver_report(1)[1:],
        b"\x80\x00" + receiver_report(1)[2:],  # RTP
        packet(201, 0, b""),
        packet(201, 1, bytes(24)),
        packet(200, 0, bytes(20)),
        packet(200, 2, bytes(24 + 24)),
        packet(203, 2, bytes(4)),
        packet(202, 1, b""),
        packet(202, 1, b"\0\0\0\x01\x01\x03ab"),
        packet(202, 1, b"\0\0\0\x01\x01\x02ab"),  # no end of the list
        packet(202, 1, b"\0\0\0\x01\x01\x01a\x01"),  # an item without a length
        packet(202, 2, b"\0\0\0\x01\x01\x01a\0"),
        b"\xa0\xc9\0\x02\0\0\0\x07\0\0\0\x00",  # padding of nothing
        b"\xa0\xc9\0\x02\0\0\0\x07\0\0\0\x03",
        b"\xa0\xc9\0\x02\0\0\0\x07\0\0\0\x0c",
        b"\xa0\xc9\0\x00",
        b"\xa0\xc9\0\x02\0\0\0\x07\0\0\0\x04" + receiver_report(1),  # padding before the end
        receiver_report(1) + packet(201, 1, bytes(4)),
    ],
)
def test_wrong_lengths_make_the_whole_datagram_void(data: bytes) -> None:
    assert parse(data) is None


SOUND = st.sampled_from([sender_report(1, 5, block(2)), receiver_report(3, block(4)), SDES_OF_TWO, b""])


@given(SOUND, st.binary(max_size=80), st.integers(200, 204), st.integers(0, 63), st.integers(0, 20))
@example(b"", b"\x81\xca\0\x01\0\0\0\x01", 202, 0, 0)
def test_hostile_bytes_do_no_harm(sound: bytes, noise: bytes, kind: int, flags: int, words: int) -> None:
    parse(noise)
    parse(sound + noise)
    parse(sound + struct.pack("!BBH", 0x80 | flags, kind, words) + noise)
    parse(sound + struct.pack("!BBH", 0x80 | flags, kind, len(noise) // 4) + noise[: len(noise) // 4 * 4])
