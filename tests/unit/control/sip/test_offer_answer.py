import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import NoAudioError, SdpError, UnsupportedCodecError
from control.sip.offer_answer import (
    CODECS,
    OPUS_PARAMETERS,
    Choice,
    answer_direction,
    audio_of,
    build_answer,
    build_offer,
    choose,
    only,
    our_direction,
    renumbered,
)
from control.sip.sdp import STATIC_PAYLOAD_TYPES, Direction, Media, RtpMap, SessionDescription, parse

OURS = ("pcmu", "pcma")
ALL = tuple(CODECS)
OPUS = "a=rtpmap:96 opus/48000/2"
EVENTS_8 = "a=rtpmap:101 telephone-event/8000"
EVENTS_48 = "a=rtpmap:110 telephone-event/48000"


def described(*lines: str, connection: str | None = "c=IN IP4 192.0.2.1") -> SessionDescription:
    head = ("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", *([connection] if connection else []), "t=0 0")
    return parse("\r\n".join((*head, *lines)).encode())


def offered(formats: str, *lines: str) -> SessionDescription:
    return described(f"m=audio 5004 RTP/AVP {formats}", *lines)


@pytest.mark.parametrize("proto", ["RTP/AVP", "RTP/SAVP", "rtp/avpf", "UDP/TLS/RTP/SAVPF"])
def test_audio_is_the_first_stream_over_rtp_with_a_port(proto: str) -> None:
    description = described(
        "m=video 4000 RTP/AVP 31",
        "m=audio 0 RTP/AVP 0",
        "m=audio 4002 TCP/OTHER 0",
        f"m=audio 4004 {proto} 0",
        "m=audio 4006 RTP/AVP 0",
    )
    assert audio_of(description).port == 4004


def test_no_audio_names_what_is_there() -> None:
    with pytest.raises(NoAudioError, match="only 'video 4000 RTP/AVP, audio 0 RTP/AVP'"):
        audio_of(described("m=video 4000 RTP/AVP 31", "m=audio 0 RTP/AVP 0"))


@pytest.mark.parametrize(
    ("connection", "message"),
    [(None, "has no c= line"), ("c=IN IP4 pbx.example", "'pbx.example'.*not an IP")],
)
def test_audio_needs_an_ip_address(connection: str | None, message: str) -> None:
    with pytest.raises(NoAudioError, match=message):
        audio_of(described("m=audio 4000 RTP/AVP 0", connection=connection))


def test_only_disables_the_rest_and_moves_the_address_up() -> None:
    description = described(
        "m=video 4000 RTP/SAVP 31",
        "a=rtcp-mux",
        "m=audio 4002 RTP/SAVP 0",
        "c=IN IP4 192.0.2.7",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:key",
        connection="c=IN IP4 pbx.example",
    )
    narrowed = only(Choice("pcmu", 0, None), description)
    assert narrowed.connection == "192.0.2.7"
    assert narrowed.media == (
        Media("video", 0, "RTP/SAVP", ("31",)),
        Media(
            "audio",
            4002,
            "RTP/SAVP",
            ("0",),
            attributes=(("rtpmap", "0 PCMU/8000"), ("crypto", "1 AES_CM_128_HMAC_SHA1_80 inline:key")),
        ),
    )


def test_only_leaves_the_formats_of_the_choice() -> None:
    description = offered(
        "110 9 096 101 97",
        "a=ptime:20",
        OPUS,
        "a=fmtp:96 stereo=1",
        "a=rtpmap:97 OPUS/48000/2",
        "a=fmtp:97 usedtx=1",
        "a=rtcp-fb:96 transport-cc",
        "a=rtcp-fb:97 nack",
        "a=rtcp-fb:* ccm fir",
        "a=fmtp",
        EVENTS_8,
        EVENTS_48,
        "a=fmtp:110 0-16",
        "a=fmtp:101 0-15",
        "a=recvonly",
    )
    [audio] = only(Choice("opus", 96, 110, 48000), description).media
    assert audio.formats == ("96", "110")
    assert audio.attributes == (
        ("rtpmap", "96 opus/48000/2"),
        ("rtpmap", "110 telephone-event/48000"),
        ("ptime", "20"),
        ("fmtp", "96 stereo=1"),
        ("rtcp-fb", "96 transport-cc"),
        ("rtcp-fb", "* ccm fir"),
        ("fmtp", "110 0-16"),
        ("recvonly", None),
    )


@pytest.mark.parametrize(
    ("description", "choice"),
    [
        (offered("0"), Choice("pcmu", 0, None)),
        (offered("18 8 0 101", "a=rtpmap:101 telephone-event/8000"), Choice("pcma", 8, 101)),
        (
            offered("101 97", "a=rtpmap:97 pcmu/8000/1", "a=rtpmap:101 TELEPHONE-EVENT/8000"),
            Choice("pcmu", 97, 101),
        ),
        (
            offered("96 97 0", "a=rtpmap:96 telephone-event/48000", "a=rtpmap:97 telephone-event/8000"),
            Choice("pcmu", 0, 97),
        ),
        (offered("0 110", EVENTS_48), Choice("pcmu", 0, None)),
        (offered("96 8", "a=rtpmap:96 PCMU/16000"), Choice("pcma", 8, None)),
        (offered("96 8", "a=rtpmap:96 PCMU/8000/2"), Choice("pcma", 8, None)),
    ],
)
def test_chooses_the_peers_first_that_is_ours(description: SessionDescription, choice: Choice) -> None:
    assert choose(description, OURS) == choice


@pytest.mark.parametrize(
    ("description", "choice"),
    [
        (offered("0 96 9 101 110", OPUS, EVENTS_8, EVENTS_48), Choice("pcmu", 0, 101)),
        (offered("96 0 9 101 110", OPUS, EVENTS_8, EVENTS_48), Choice("opus", 96, 110, 48000)),
        (offered("110 101 9 96", OPUS, EVENTS_8, EVENTS_48), Choice("g722", 9, 101)),
        (offered("101 96", OPUS, EVENTS_8), Choice("opus", 96, 101, 8000)),
        (offered("102 96", OPUS, "a=rtpmap:102 telephone-event/16000"), Choice("opus", 96, None)),
        (offered("96", OPUS), Choice("opus", 96, None)),
        (offered("96", "a=rtpmap:96 PCMU/16000"), Choice("pcmu16", 96, None)),
        (
            offered("96 101 102", "a=rtpmap:96 PCMU/16000", EVENTS_8, "a=rtpmap:102 telephone-event/16000"),
            Choice("pcmu16", 96, 102, 16000),
        ),
        (offered("96 0", "a=rtpmap:96 opus/48000"), Choice("pcmu", 0, None)),
        (offered("96 0", "a=rtpmap:96 G722/16000"), Choice("pcmu", 0, None)),
    ],
)
@pytest.mark.parametrize("ours", [ALL, ALL[::-1]])
def test_the_peers_order_decides_and_events_have_the_clock_of_the_codec(
    description: SessionDescription, choice: Choice, ours: tuple[str, ...]
) -> None:
    assert choose(description, ours) == choice


maps = st.sampled_from(
    [
        *(codec.rtpmap for codec in CODECS.values()),
        *(RtpMap("telephone-event", rate) for rate in (8000, 16000, 48000)),
        RtpMap("L16", 16000),
        RtpMap("OPUS", 48000, 2),
    ]
)


@given(st.dictionaries(st.integers(96, 127), maps), st.permutations(ALL), st.permutations([0, 8, 9, 13, 18]))
def test_a_narrowed_offer_is_understood_as_the_whole_one(
    dynamic: dict[int, RtpMap], ours: list[str], static: list[int]
) -> None:
    lines = (f"a=rtpmap:{number} {rtpmap}" for number, rtpmap in dynamic.items())
    offer = offered(" ".join(map(str, [*dynamic, *static])), *lines)
    choice = choose(offer, ours)
    narrowed = only(choice, offer)
    assert choose(parse(bytes(narrowed)), ours) == choice
    assert choose(build_answer(narrowed, choice, "::1", 9, Direction.SENDRECV, "1", 1), ours) == choice
    assert set(choice.rtpmaps) <= dynamic.keys() | set(static)
    spoken = (STATIC_PAYLOAD_TYPES | dynamic)[choice.payload_type]
    assert spoken.same(CODECS[choice.codec].rtpmap)


def test_without_a_codec_of_ours_names_what_is_offered() -> None:
    description = offered("96 18 97 t38", "a=rtpmap:96 L16/16000")
    with pytest.raises(UnsupportedCodecError, match="offers 'L16/16000, G729/8000'; offer one of pcmu, pcma"):
        choose(description, OURS)


@pytest.mark.parametrize(
    ("offer", "held", "answer"),
    [
        ("sendrecv", False, "sendrecv"),
        ("sendonly", False, "recvonly"),
        ("recvonly", False, "sendonly"),
        ("inactive", False, "inactive"),
        ("sendrecv", True, "recvonly"),
        ("sendonly", True, "recvonly"),
        ("recvonly", True, "inactive"),
        ("inactive", True, "inactive"),
    ],
)
def test_answer_direction(offer: str, held: bool, answer: str) -> None:
    assert answer_direction(Direction(offer), held=held) == answer


def test_our_direction_reads_address_and_attributes() -> None:
    assert our_direction(offered("0", "c=IN IP4 0.0.0.0")) == "recvonly"
    assert our_direction(offered("0", "a=inactive")) == "inactive"
    assert our_direction(offered("0")) == "sendrecv"


def test_offer() -> None:
    assert bytes(build_offer(("pcma", "pcmu"), "127.0.0.1", 19000, "42", 1)).decode().split("\r\n") == [
        "v=0",
        "o=- 42 1 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        "m=audio 19000 RTP/AVP 8 0 101",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=maxptime:60",
        "a=sendrecv",
        "",
    ]


@pytest.mark.parametrize(
    ("codecs", "formats", "events"),
    [
        (ALL, "0 8 9 111 112 101 110 102", {101: 8000, 110: 48000, 102: 16000}),
        (("opus", "g722", "pcmu", "pcma"), "111 9 0 8 110 101", {110: 48000, 101: 8000}),
        (("opus",), "111 110 101", {110: 48000, 101: 8000}),
        (("g722",), "9 101", {101: 8000}),
    ],
)
def test_offer_has_events_for_each_clock(
    codecs: tuple[str, ...], formats: str, events: dict[int, int]
) -> None:
    [audio] = build_offer(codecs, "127.0.0.1", 19000, "42", 1).media
    assert " ".join(audio.formats) == formats
    found = {n: m.clock_rate for n, m in audio.rtpmaps().items() if m.encoding == "telephone-event"}
    assert found == events
    assert [audio.fmtp(number) for number in events] == ["0-15"] * len(events)
    assert [audio.fmtp(CODECS[name].payload_type) for name in codecs] == [
        OPUS_PARAMETERS if name == "opus" else None for name in codecs
    ]


def test_answer_to_opus_has_the_offerers_numbers_and_our_parameters() -> None:
    offer = offered("110 96 101", OPUS, "a=fmtp:96 stereo=1;usedtx=1", EVENTS_8, EVENTS_48)
    answer = build_answer(offer, choose(offer, ALL), "127.0.0.1", 19000, Direction.SENDRECV, "42", 1)
    assert bytes(answer).decode().split("\r\n")[5:] == [
        "m=audio 19000 RTP/AVP 96 110",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 minptime=10;useinbandfec=1;maxaveragebitrate=24000;maxplaybackrate=16000"
        ";sprop-maxcapturerate=16000",
        "a=rtpmap:110 telephone-event/48000",
        "a=fmtp:110 0-15",
        "a=ptime:20",
        "a=maxptime:60",
        "a=sendrecv",
        "",
    ]


def test_an_answer_is_taken_by_the_numbers_of_the_offer() -> None:
    offer = build_offer(("opus", "pcma"), "127.0.0.1", 19000, "42", 1)
    theirs = (OPUS, "a=rtpmap:97 Telephone-Event/8000", EVENTS_48)
    assert renumbered(choose(offered("96 97", *theirs), ALL), offer) == Choice("opus", 111, 101, 8000)
    assert renumbered(choose(offered("96 110 97", *theirs), ALL), offer) == Choice("opus", 111, 110, 48000)
    assert renumbered(choose(offered("8 97", *theirs), ALL), offer) == Choice("pcma", 8, 101)
    assert renumbered(choose(offered("96", *theirs), ALL), offer) == Choice("opus", 111, None)
    unasked = choose(offered("9"), ALL)
    assert renumbered(unasked, offer) == unasked
    clash = choose(offered("101 97", "a=rtpmap:101 PCMU/16000", "a=rtpmap:97 telephone-event/8000"), ALL)
    assert renumbered(clash, offer) == Choice("pcmu16", 101, None)


def test_answer_has_the_same_streams_in_the_same_order() -> None:
    offer = described(
        "m=video 4000 RTP/AVP 31 32",
        "m=audio 4002 RTP/AVP 8 97",
        "a=rtpmap:97 telephone-event/8000",
        "m=image 4004 udptl t38",
    )
    answer = build_answer(offer, choose(offer, OURS), "127.0.0.1", 19000, Direction.RECVONLY, "42", 3)
    assert bytes(answer).decode().split("\r\n")[1:] == [
        "o=- 42 3 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        "m=video 0 RTP/AVP 31 32",
        "m=audio 19000 RTP/AVP 8 97",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:97 telephone-event/8000",
        "a=fmtp:97 0-15",
        "a=ptime:20",
        "a=maxptime:60",
        "a=recvonly",
        "m=image 0 udptl t38",
        "",
    ]


def test_answer_without_events() -> None:
    offer = offered("0")
    answer = build_answer(offer, choose(offer, OURS), "::1", 19000, Direction.SENDRECV, "42", 1)
    assert answer.media[0].formats == ("0",)
    assert answer.media[0].attribute("fmtp") is None
    assert b"c=IN IP6 ::1\r\n" in bytes(answer)


@pytest.mark.parametrize(
    "function",
    [
        lambda description: only(Choice("pcmu", 0, None), description),
        our_direction,
        lambda description: choose(description, OURS),
    ],
)
def test_all_refuse_a_description_without_audio(function: object) -> None:
    assert callable(function)
    with pytest.raises(SdpError, match="no audio stream"):
        function(described())
