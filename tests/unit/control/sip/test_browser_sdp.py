import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import SdpError
from control.sip.browser_sdp import BrowserOffer, read
from control.sip.offer_answer import build_answer, choose, only
from control.sip.sdp import Direction, SessionDescription, parse
from tests.support.browseroffers import FINGERPRINT, OFFERS

CODECS = ("opus", "g722", "pcmu", "pcma")
EVERY = pytest.mark.parametrize("text", OFFERS.values(), ids=OFFERS.keys())
RELAY = "192.0.2.100"


def relayed(offer: BrowserOffer) -> bytes:
    """What rtpengine makes of our answer to what it was given."""
    choice = choose(offer.reduced, CODECS)
    ours = build_answer(only(choice, offer.reduced), choice, RELAY, 30000, Direction.SENDRECV, "1", 1)
    transport = (
        ("rtcp-mux", None),
        ("setup", "active"),
        ("fingerprint", "sha-256 AA"),
        ("ice-ufrag", "u"),
        ("ice-pwd", "p"),
        ("candidate", f"1 1 UDP 2130706431 {RELAY} 30000 typ host"),
        ("candidate", "2 1 UDP 2130706430 2001:db8::1 30000 typ host"),
    )
    (audio,) = ours.media
    audio = replace(audio, attributes=(*audio.attributes, *transport))
    return bytes(replace(ours, media=(audio,)))


def values(description: SessionDescription, name: str) -> list[str | None]:
    (audio,) = description.media
    return [value for key, value in audio.attributes if key == name]


@EVERY
def test_rtpengine_sees_one_audio_section_with_ice_and_dtls(text: str) -> None:
    reduced = read(text, ipv6=False).reduced
    (audio,) = reduced.media
    assert (audio.kind, audio.port, audio.proto) == ("audio", 9, "UDP/TLS/RTP/SAVPF")
    assert reduced.address_of(audio) == "0.0.0.0"
    assert not reduced.is_held(audio)
    for name in ("ice-ufrag", "ice-pwd", "setup"):
        assert len(values(reduced, name)) == 1
    assert f"a=fingerprint:{values(reduced, 'fingerprint')[0]}" == FINGERPRINT
    assert audio.direction is not None
    assert not reduced.attributes


@EVERY
def test_what_concerns_browsers_alone_is_dropped(text: str) -> None:
    names = {name for name, _ in read(text, ipv6=False).reduced.media[0].attributes}
    assert names <= {
        *("rtpmap", "fmtp", "rtcp-mux", "sendrecv", "recvonly", "ice-ufrag", "ice-pwd", "ice-options"),
        *("fingerprint", "setup", "candidate", "end-of-candidates"),
    }


@EVERY
def test_candidates_are_kept_but_for_names_and_ipv6(text: str) -> None:
    wanted = re.findall(r"a=candidate:(\S+ 1 \w+ \d+ \d+\.\S+ .*)\r", text)
    found = values(read(text, ipv6=False).reduced, "candidate")
    # Of several sections that have candidates only one counts.
    assert found == wanted[: len(found)]
    assert bool(found) == bool(wanted)


@pytest.mark.parametrize(("ipv6", "count"), [(True, 4), (False, 3)])
def test_ipv6_only_when_it_is_wanted(ipv6: bool, count: int) -> None:
    offer = read(OFFERS["chrome"], ipv6=ipv6)
    assert len(values(offer.reduced, "candidate")) == count
    answered = parse(offer.answer(relayed(offer)).encode())
    assert len(values(answered, "candidate")) == (2 if ipv6 else 1)


@pytest.mark.parametrize(
    ("name", "codec", "payload_type", "event", "clock"),
    [
        ("chrome", "opus", 111, 110, 48000),
        ("chrome, everything", "opus", 111, 110, 48000),
        ("firefox", "opus", 109, 101, 8000),
        ("firefox, max-bundle, video first", "opus", 109, 101, 8000),
        ("safari", "opus", 111, 110, 48000),
        ("aiortc", "opus", 96, None, 8000),
        ("no opus, no BUNDLE, no mid", "pcma", 8, 96, 8000),
    ],
)
def test_codec_and_keys(name: str, codec: str, payload_type: int, event: int | None, clock: int) -> None:
    choice = choose(read(OFFERS[name], ipv6=False).reduced, CODECS)
    found = (choice.codec, choice.payload_type, choice.event_payload_type, choice.event_clock_rate)
    assert found == (codec, payload_type, event, clock)


def test_parameters_of_the_codec_go_to_rtpengine() -> None:
    reduced = read(OFFERS["firefox"], ipv6=False).reduced
    (audio,) = only(choose(reduced, CODECS), reduced).media
    assert audio.formats == ("109", "101")
    assert audio.fmtp(109) == "maxplaybackrate=48000;stereo=1;useinbandfec=1"
    assert audio.fmtp(101) == "0-15"


def test_a_bundled_section_has_the_transport_of_its_group() -> None:
    reduced = read(OFFERS["firefox, max-bundle, video first"], ipv6=False).reduced
    assert values(reduced, "ice-ufrag") == ["5e4a7b11"]
    assert len(values(reduced, "candidate")) == 1
    assert values(reduced, "rtcp-mux") == [None]


def test_candidates_of_another_transport_are_not_taken() -> None:
    text = OFFERS["firefox, max-bundle, video first"].replace(
        "a=mid:a\r\n", "a=mid:a\r\na=ice-ufrag:other\r\na=ice-pwd:of-its-own\r\na=setup:actpass\r\n"
    )
    reduced = read(text, ipv6=False).reduced
    assert values(reduced, "ice-ufrag") == ["other"]
    assert values(reduced, "candidate") == []


def test_a_peer_that_speaks_only_ice_lite_says_so() -> None:
    text = OFFERS["chrome"].replace("a=extmap-allow-mixed", "a=ice-lite")
    assert read(text, ipv6=False).reduced.attributes == (("ice-lite", None),)


@EVERY
def test_an_answer_has_the_sections_of_the_offer(text: str) -> None:
    offer = read(text, ipv6=False)
    answered = parse(offer.answer(relayed(offer)).encode())
    offered = parse(text.encode())
    assert [media.kind for media in answered.media] == [media.kind for media in offered.media]
    assert [media.proto for media in answered.media] == [media.proto for media in offered.media]
    mids = [media.attribute("mid") for media in offered.media]
    assert [media.attribute("mid") for media in answered.media] == mids
    (accepted,) = [media for media in answered.media if media.port]
    assert (accepted.kind, accepted.port, answered.address_of(accepted)) == ("audio", 30000, RELAY)
    assert accepted.attribute("setup") == "active"
    assert accepted.attribute("msid")
    groups = [value for name, value in answered.attributes if name == "group"]
    assert groups == ([f"BUNDLE {accepted.attribute('mid')}"] if "a=group:" in text else [])


def test_the_first_of_two_audio_sections_is_answered() -> None:
    offer = read(OFFERS["chrome, two microphones"], ipv6=False)
    first, second = parse(offer.answer(relayed(offer)).encode()).media
    assert (first.port, second.port) == (30000, 0)


def test_a_microphone_in_a_later_section_is_heard() -> None:
    offer = read(OFFERS["chrome, two microphones"].replace("a=sendrecv", "a=recvonly", 1), ipv6=False)
    first, second = parse(offer.answer(relayed(offer)).encode()).media
    assert (first.port, second.port) == (0, 30000)


def test_a_section_outside_the_group_is_answered_outside() -> None:
    offer = read(OFFERS["chrome, everything"].replace("BUNDLE 0 1 2", "BUNDLE 1 2"), ipv6=False)
    assert "BUNDLE" not in offer.answer(relayed(offer))


def test_ours_are_the_mid_group_and_stream_of_the_answer() -> None:
    offer = read(OFFERS["chrome"], ipv6=False)
    sdp = relayed(offer).replace(b"t=0 0\r\n", b"t=0 0\r\na=group:BUNDLE x\r\n") + b"a=mid:x\r\na=msid:x\r\n"
    answered = parse(offer.answer(sdp).encode())
    assert answered.attributes == (("group", "BUNDLE 0"),)
    assert values(answered, "mid") == ["0"]
    assert values(answered, "msid") == ["sidecall audio"]


@pytest.mark.parametrize("direction", ["recvonly", "inactive"])
def test_an_answer_that_sends_nothing_names_no_stream(direction: str) -> None:
    offer = read(OFFERS["chrome"], ipv6=False)
    answered = offer.answer(relayed(offer).replace(b"sendrecv", direction.encode()))
    assert "msid" not in answered


def without(name: str) -> str:
    return re.sub(rf"a={name}[^\r]*\r\n", "", OFFERS["chrome"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the offer is empty"),
        (" \r\n", "the offer is empty"),
        ("{}", "is not a letter"),
        ("x" * 40_000, "bytes are more than"),
        ("v=0\r\ns=-\r\n", "no o= line"),
        ("v=0\r\no=- 1 1 IN IP4 0\r\nt=0 0\r\n", "no audio section over DTLS-SRTP, only ''"),
        (OFFERS["chrome"].replace("m=audio 46243", "m=audio 0"), "only 'audio 0 UDP"),
        (OFFERS["chrome"].replace("m=audio", "m=video"), "add an audio track"),
        (OFFERS["chrome"].replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "only 'audio 46243 RTP/AVP'"),
        (without("ice-ufrag"), "no a=ice-ufrag"),
        (without("ice-pwd"), "no a=ice-pwd"),
        (without("fingerprint"), "no a=fingerprint"),
        (OFFERS["chrome"].replace(FINGERPRINT, "a=fingerprint"), "no a=fingerprint"),
        ("v=0\r\n\ud800", "is not a letter"),
    ],
)
def test_refusals_say_why(text: str, says: str) -> None:
    with pytest.raises(SdpError, match=re.escape(says)):
        read(text, ipv6=False)


def test_an_answer_of_rtpengine_without_a_section_is_refused() -> None:
    with pytest.raises(SdpError, match="no section"):
        read(OFFERS["chrome"], ipv6=False).answer(b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n")


@pytest.mark.parametrize(
    "candidate",
    [
        "",
        "1",
        "1 1 udp 1",
        "1 1 udp 1 1.2.3 9 typ host",
        "1 1 udp 1 x.local 9 typ host",
        "1 1 udp 1 fe80::1%eth0 9 typ host",
    ],
)
def test_candidates_that_cannot_be_used_are_left_out(candidate: str) -> None:
    text = OFFERS["chrome, trickle"] + f"a=candidate:{candidate}\r\n"
    assert values(read(text, ipv6=False).reduced, "candidate") == []


LINES = st.lists(
    st.sampled_from([line for text in OFFERS.values() for line in text.splitlines()])
    | st.text(st.characters(codec="utf-8"), max_size=30),
    max_size=40,
)


@given(name=st.sampled_from(list(OFFERS)), lines=LINES, ipv6=st.booleans(), data=st.data())
def test_any_offer_is_refused_or_answered_section_by_section(
    name: str, lines: list[str], ipv6: bool, data: st.DataObject
) -> None:
    text = OFFERS[name].splitlines()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 5)))
    text[start:end] = lines
    try:
        offer = read("\r\n".join(text), ipv6=ipv6)
        choose(offer.reduced, CODECS)
    except SdpError:
        return
    answered = parse(offer.answer(relayed(offer)).encode())
    kinds = [(media.kind, media.attribute("mid")) for media in offer.description.media]
    assert [(media.kind, media.attribute("mid")) for media in answered.media] == kinds
    assert sum(bool(media.port) for media in answered.media) == 1
    assert ".local" not in str(values(offer.reduced, "candidate"))


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    with pytest.raises(SdpError):
        read(text, ipv6=False)
