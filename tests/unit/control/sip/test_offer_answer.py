import pytest

from control.errors import NoAudioError, SdpError, UnsupportedCodecError
from control.sip.offer_answer import (
    Choice,
    answer_direction,
    audio_of,
    build_answer,
    build_offer,
    choose,
    only_audio,
    our_direction,
)
from control.sip.sdp import Direction, Media, SessionDescription, parse

OURS = ("pcmu", "pcma")


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


def test_only_audio_disables_the_rest_and_moves_the_address_up() -> None:
    description = described(
        "m=video 4000 RTP/SAVP 31",
        "a=rtcp-mux",
        "m=audio 4002 RTP/SAVP 0",
        "c=IN IP4 192.0.2.7",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:key",
        connection="c=IN IP4 pbx.example",
    )
    assert only_audio(description).connection == "192.0.2.7"
    assert only_audio(description).media == (
        Media("video", 0, "RTP/SAVP", ("31",)),
        Media(
            "audio",
            4002,
            "RTP/SAVP",
            ("0",),
            attributes=(("crypto", "1 AES_CM_128_HMAC_SHA1_80 inline:key"),),
        ),
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
        (offered("96 8", "a=rtpmap:96 PCMU/16000"), Choice("pcma", 8, None)),
        (offered("96 8", "a=rtpmap:96 PCMU/8000/2"), Choice("pcma", 8, None)),
    ],
)
def test_chooses_the_peers_first_that_is_ours(description: SessionDescription, choice: Choice) -> None:
    assert choose(description, OURS) == choice


def test_g722_is_chosen_when_it_is_ours() -> None:
    assert choose(offered("9 0"), ("g722",)) == Choice("g722", 9, None)


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
        "a=sendrecv",
        "",
    ]


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


@pytest.mark.parametrize("function", [only_audio, our_direction, lambda sd: choose(sd, OURS)])
def test_all_refuse_a_description_without_audio(function: object) -> None:
    assert callable(function)
    with pytest.raises(SdpError, match="no audio stream"):
        function(described())
