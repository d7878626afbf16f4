import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import SdpError
from control.sip.sdp import (
    MAX_BYTES,
    MAX_FORMATS,
    MAX_LINES,
    MAX_MEDIA,
    Direction,
    Media,
    Origin,
    RtpMap,
    SessionDescription,
    parse,
)

PHONE = b"""v=0\r
o=alice 2890844526 2890844527 IN IP4 192.0.2.10\r
s=A call\r
i=left out\r
c=IN IP4 192.0.2.10\r
b=AS:80\r
t=0 0\r
a=tool:phone 1.0\r
m=audio 49170/2 RTP/AVP 0 97 101\r
c=IN IP4 192.0.2.11/127\r
a=rtpmap:97 iLBC/8000\r
a=rtpmap:101 Telephone-Event/8000\r
a=fmtp:101 0-15\r
a=ptime:30\r
a=sendonly\r
m=video 0 RTP/AVP 31\r
"""


def session(*lines: str) -> bytes:
    head = ("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0")
    return "".join(f"{line}\r\n" for line in (*head, *lines)).encode()


def audio(*lines: str, formats: str = "0") -> Media:
    return parse(session(f"m=audio 5004 RTP/AVP {formats}", *lines)).media[0]


def test_reads_a_phone() -> None:
    description = parse(PHONE)
    assert description.origin == Origin("alice", "2890844526", "2890844527", "192.0.2.10")
    assert description.name == "A call"
    assert description.connection == "192.0.2.10"
    assert description.attributes == (("tool", "phone 1.0"),)
    first, second = description.media
    assert (first.kind, first.port, first.proto, first.formats) == (
        "audio",
        49170,
        "RTP/AVP",
        ("0", "97", "101"),
    )
    assert first.rtpmaps() == {
        0: RtpMap("PCMU", 8000),
        97: RtpMap("iLBC", 8000),
        101: RtpMap("Telephone-Event", 8000),
    }
    assert first.fmtp(101) == "0-15"
    assert first.fmtp(97) is None
    assert first.ptime == 30
    assert first.direction is Direction.SENDONLY
    assert description.address_of(first) == "192.0.2.11"
    assert description.address_of(second) == "192.0.2.10"
    assert (second.port, second.attributes) == (0, ())


def test_writes_what_the_grammar_asks() -> None:
    description = SessionDescription(
        Origin("-", "7", "2", "2001:db8::1"),
        connection="2001:db8::1",
        attributes=(("ice-lite", None),),
        media=(
            Media("audio", 4000, "RTP/AVP", ("0",), "192.0.2.1", (("ptime", "20"), ("sendrecv", None))),
            Media("audio", 0, "RTP/AVP", ()),
        ),
    )
    assert bytes(description).decode() == (
        "v=0\r\n"
        "o=- 7 2 IN IP6 2001:db8::1\r\n"
        "s=-\r\n"
        "c=IN IP6 2001:db8::1\r\n"
        "t=0 0\r\n"
        "a=ice-lite\r\n"
        "m=audio 4000 RTP/AVP 0\r\n"
        "c=IN IP4 192.0.2.1\r\n"
        "a=ptime:20\r\n"
        "a=sendrecv\r\n"
        "m=audio 0 RTP/AVP\r\n"
    )


def test_accepts_bare_lf_empty_lines_and_missing_s_and_t() -> None:
    description = parse(
        b"\nv=0\no=- 1 1 IN IP4 pbx.example\n\nc=IN IP4 192.0.2.1\ny=odd\nm=audio 4 RTP/AVP 0\n\n"
    )
    assert description.name == "-"
    assert description.media == (Media("audio", 4, "RTP/AVP", ("0",)),)


def test_keeps_bytes_that_are_not_utf8() -> None:
    data = session("a=x:\xff").replace("\xff".encode(), b"\xff")
    assert b"a=x:\xff\r\n" in bytes(parse(data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the first line is not v=0"),
        (b"m=audio 4 RTP/AVP 0\r\n", "the first line is not v=0"),
        (b"v=1\r\n", "the first line is not v=0"),
        (b"v=0\r\ns=-\r\n", "there is no o= line"),
        (b"v=0\r\no=- 1 1 IN IP4\r\n", "line 2, 'o=- 1 1 IN IP4': takes username"),
        (b"v=0\r\nhello\r\n", "line 2: 'hello' is not a letter"),
        (b"v=0\r\na=1\r2\r\n", "line 2: 'a=1\\\\r2' is not a letter"),
        (b"v=0\r\na=\0\r\n", "line 2"),
        (session("m=audio"), "line 6, 'm=audio': takes a media type"),
        (session("m=audio x RTP/AVP 0"), "takes a media type"),
        (session("m=audio 65536 RTP/AVP 0"), "takes a media type"),
        (session("m=audio 5004"), "takes a media type"),
        (session("m=audio 5004 RTP/AVP 0", "c=IN IP4"), "line 7, 'c=IN IP4': takes IN"),
        (session("m=audio 5004 RTP/AVP 0", "c=IN IP4 /127"), "takes IN"),
        (session("m=audio 5004 RTP/AVP" + " 0" * (MAX_FORMATS + 1)), "more than 128 formats"),
        (session(*["m=audio 0 RTP/AVP 0"] * (MAX_MEDIA + 1)), "33 m= lines are more than 32"),
        (session(*["a=x"] * MAX_LINES), "lines are more than 2000"),
        (session("a=" + "x" * MAX_BYTES), "bytes are more than 32768"),
    ],
)
def test_says_what_is_wrong_and_where(data: bytes, message: str) -> None:
    with pytest.raises(SdpError, match=message):
        parse(data)


def test_the_first_c_line_of_a_section_counts() -> None:
    assert parse(session("c=IN IP4 192.0.2.2", "c=IN IP4")).connection == "192.0.2.1"


def test_takes_the_most_formats() -> None:
    formats = " ".join(["0"] * MAX_FORMATS)
    assert len(audio(formats=formats).formats) == MAX_FORMATS


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb", "\0"])
def test_never_writes_a_line_end_within_a_value(value: str) -> None:
    description = SessionDescription(Origin("-", "1", "1", "192.0.2.1"), attributes=(("x", value),))
    with pytest.raises(SdpError, match="cannot be written"):
        bytes(description)


def test_direction_of_the_session_holds_for_all_media() -> None:
    description = parse(session("a=inactive", "m=audio 4 RTP/AVP 0", "m=audio 6 RTP/AVP 0", "a=recvonly"))
    assert [description.direction_of(media) for media in description.media] == ["inactive", "recvonly"]


def test_direction_is_sendrecv_when_nobody_says() -> None:
    description = parse(session("m=audio 4 RTP/AVP 0", "a=sendonly:not a flag"))
    assert description.media[0].direction is None
    assert description.direction_of(description.media[0]) is Direction.SENDRECV


@pytest.mark.parametrize("direction", Direction)
def test_direction_is_made_of_what_it_does(direction: Direction) -> None:
    assert Direction.of(sends=direction.sends, receives=direction.receives) is direction


@pytest.mark.parametrize(
    ("line", "port", "held"),
    [
        ("c=IN IP4 0.0.0.0", 5004, True),
        ("c=IN IP6 ::", 5004, True),
        ("c=IN IP4 192.0.2.1", 5004, False),
        ("c=IN IP4 0.0.0.0", 9, False),
    ],
)
def test_zero_address_is_hold(line: str, port: int, held: bool) -> None:
    description = parse(session(f"m=audio {port} RTP/AVP 0", line))
    assert description.is_held(description.media[0]) is held


@pytest.mark.parametrize(
    ("lines", "milliseconds"),
    [
        ((), 20),
        (("a=ptime:40",), 40),
        (("a=ptime:20.0",), 20),
        (("a=ptime:5",), 20),
        (("a=ptime:500",), 200),
        (("a=ptime:0",), 20),
        (("a=ptime:soon",), 20),
        (("a=ptime",), 20),
        (("a=ptime:60", "a=maxptime:40"), 40),
        (("a=maxptime:10",), 10),
        (("a=maxptime:5",), 20),
    ],
)
def test_packet_time(lines: tuple[str, ...], milliseconds: int) -> None:
    assert audio(*lines).packet_time == milliseconds


def test_longest_packet() -> None:
    assert audio().maxptime is None
    assert audio("a=maxptime:10.5").maxptime == 10


@pytest.mark.parametrize(
    ("line", "rtcp"),
    [
        ("a=ptime:20", (5005, None)),
        ("a=rtcp:53020", (53020, None)),
        ("a=rtcp: 53020 IN IP4 192.0.2.9 ", (53020, "192.0.2.9")),
        ("a=rtcp:53020 IN IP6 2001:db8::1", (53020, "2001:db8::1")),
        ("a=rtcp:0", (5005, None)),
        ("a=rtcp:65536", (5005, None)),
        ("a=rtcp:53020 IN IP4", (5005, None)),
        ("a=rtcp:soon", (5005, None)),
        ("a=rtcp", (5005, None)),
    ],
)
def test_rtcp(line: str, rtcp: tuple[int, str | None]) -> None:
    assert audio(line).rtcp == rtcp


@pytest.mark.parametrize(
    ("line", "rtpmap"),
    [
        ("a=rtpmap:96 opus/48000/2", RtpMap("opus", 48000, 2)),
        ("a=rtpmap:96  opus / 48000 / 2 ", RtpMap("opus", 48000, 2)),
        ("a=rtpmap:96 L16/16000", RtpMap("L16", 16000)),
        ("a=rtpmap:96 L16", None),
        ("a=rtpmap:96 L16/fast", None),
        ("a=rtpmap:97 L16/16000", None),
        ("a=rtpmap", None),
    ],
)
def test_rtpmap(line: str, rtpmap: RtpMap | None) -> None:
    assert audio(line, formats="96").rtpmaps().get(96) == rtpmap


def test_rtpmaps_follow_the_order_of_formats_and_override_static_types() -> None:
    maps = audio("a=rtpmap:0 L16/8000", "a=rtpmap:200 PCMU/8000", formats="8 200 t38 0 8 77").rtpmaps()
    assert list(maps.items()) == [(8, RtpMap("PCMA", 8000)), (0, RtpMap("L16", 8000))]


def test_encodings_are_compared_without_case() -> None:
    assert RtpMap("pcmu", 8000).same(RtpMap("PCMU", 8000, 1))
    assert not RtpMap("PCMU", 8000).same(RtpMap("PCMU", 16000))
    assert not RtpMap("PCMU", 8000).same(RtpMap("PCMU", 8000, 2))
    assert str(RtpMap("opus", 48000, 2)) == "opus/48000/2"


def test_attribute_tells_a_flag_from_an_absent_one() -> None:
    media = audio("a=rtcp-mux", "a=mid:0")
    assert media.attribute("rtcp-mux") == ""
    assert media.attribute("mid") == "0"
    assert media.attribute("crypto") is None


def test_fmtp_without_parameters() -> None:
    assert audio("a=fmtp", "a=fmtp:0").fmtp(0) == ""


def test_rejected_keeps_kind_protocol_and_formats() -> None:
    assert audio("a=rtcp-mux", formats="0 8").rejected() == Media("audio", 0, "RTP/AVP", ("0", "8"))
    assert Media("video", 0, "RTP/AVP", ()).rejected().formats == ("0",)


TOKEN = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="-."), min_size=1)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"))
ADDRESS = st.ip_addresses().map(str) | TOKEN
ATTRIBUTES = st.lists(
    st.tuples(TOKEN, st.none() | TEXT) | st.sampled_from([(direction.value, None) for direction in Direction])
).map(tuple)
MEDIA = st.builds(
    Media,
    TOKEN,
    st.integers(0, 65535),
    TOKEN,
    st.lists(TOKEN, max_size=6).map(tuple),
    st.none() | ADDRESS,
    ATTRIBUTES,
)
DESCRIPTION = st.builds(
    SessionDescription,
    st.builds(Origin, TOKEN, TOKEN, TOKEN, ADDRESS),
    TEXT.filter(bool),
    st.none() | ADDRESS,
    ATTRIBUTES,
    st.lists(MEDIA, max_size=4).map(tuple),
)


@given(DESCRIPTION)
def test_what_is_written_is_read_again(description: SessionDescription) -> None:
    assert parse(bytes(description)) == description


LINE = st.sampled_from(PHONE.split(b"\r\n")) | st.binary(max_size=20) | st.just(b"m=audio 4 RTP/AVP 0")


@given(st.lists(LINE).map(b"\r\n".join) | st.lists(LINE).map(lambda lines: b"\n".join([b"v=0", *lines])))
def test_any_bytes_give_a_description_or_an_sdp_error(data: bytes) -> None:
    try:
        description = parse(data)
    except SdpError:
        return
    for media in description.media:
        media.rtpmaps()
        media.fmtp(0)
        assert 10 <= media.packet_time <= 200
        port, _ = media.rtcp
        assert 0 < port <= 65_536
        description.direction_of(media)
    assert parse(bytes(description)) == description
