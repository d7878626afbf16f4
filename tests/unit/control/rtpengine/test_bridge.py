import pytest

from control.errors import NgError, UnsupportedCodecError
from control.rtpengine.media import Endpoint, MediaLeg
from control.rtpengine.tap import Tap
from control.rtpengine.transfer import Bridge, State
from control.sip.sdp import parse
from tests.support import sipwire
from tests.support.callworld import SLOT, FakeNg, sdp

CODECS = ("opus", "g722", "pcmu", "pcma")


@pytest.fixture
async def ng() -> FakeNg:
    return FakeNg()


@pytest.fixture
def leg(ng: FakeNg) -> MediaLeg:
    return MediaLeg(ng, "call-1", "peer", "bot", "pub", CODECS)


async def bridge_of(leg: MediaLeg, offer: bytes | None = None) -> Bridge:
    await leg.answer(offer or sdp(), SLOT)
    return Bridge(leg, "party", "int", CODECS)


async def connected(leg: MediaLeg) -> Bridge:
    bridge = await bridge_of(leg)
    await bridge.tap()
    await bridge.offer()
    await bridge.accept(sdp("0 101"))
    return bridge


async def test_the_order_of_the_commands(ng: FakeNg, leg: MediaLeg) -> None:
    bridge = await bridge_of(leg)
    ng.commands.clear()
    await bridge.tap()
    await bridge.offer()
    assert ng.commands == ["subscribe request", "subscribe answer", "offer", "block media"]
    ng.commands.clear()
    await bridge.accept(sdp("0 101"))
    assert ng.commands == ["answer", "block media", "unblock media", "subscribe request", "subscribe answer"]
    ng.commands.clear()
    await bridge.release()
    ends = ["unsubscribe", "delete"] * 2
    assert ng.commands == ["unblock media", "offer", "answer", "delete", *ends]


async def test_every_state(leg: MediaLeg) -> None:
    bridge = await bridge_of(leg)
    states = [bridge.state]
    await bridge.tap()
    states.append(bridge.state)
    await bridge.offer()
    states.append(bridge.state)
    await bridge.accept(sdp("0 101"))
    states.append(bridge.state)
    await bridge.delete()
    states.append(bridge.state)
    assert states == [State.NEW, State.NEW, State.OFFERED, State.CONNECTED, State.RELEASED]


async def test_released_once(ng: FakeNg, leg: MediaLeg) -> None:
    bridge = await connected(leg)
    first = await bridge.release()
    ng.commands.clear()
    assert await bridge.release() == first
    assert ng.commands == []


@pytest.mark.parametrize(("formats", "offered"), [("8 101", False), ("8", True), ("96 110", True)])
async def test_keys_at_8000_hz_are_offered_where_the_peer_has_none(
    ng: FakeNg, leg: MediaLeg, formats: str, offered: bool
) -> None:
    bridge = await bridge_of(leg, sipwire.sdp("127.0.0.9", 4000, codecs=formats).encode())
    await bridge.tap()
    await bridge.offer()
    assert ("telephone-event/8000/1" in ng.fields["offer"]["codec"]["transcode"]) is offered


@pytest.mark.parametrize("later", ["offer", "accept", "reoffer"])
async def test_nothing_follows_the_release(ng: FakeNg, leg: MediaLeg, later: str) -> None:
    bridge = await connected(leg)
    await bridge.release()
    ng.commands.clear()
    with pytest.raises(NgError, match="back at its slot"):
        await (bridge.offer() if later == "offer" else getattr(bridge, later)(sdp("0 101")))
    assert ng.commands == []
    assert leg.relay is None


async def test_without_media_there_is_nothing_to_hand_over(leg: MediaLeg) -> None:
    with pytest.raises(NgError, match="no media"):
        Bridge(leg, "party", "int", CODECS)


async def test_a_party_that_has_not_answered_has_nothing_to_renew(leg: MediaLeg) -> None:
    bridge = await bridge_of(leg)
    await bridge.tap()
    await bridge.offer()
    with pytest.raises(NgError, match="has not answered"):
        bridge.renew_offer()


async def test_the_party_sees_nothing_of_the_peer_but_its_audio(leg: MediaLeg) -> None:
    offer = (
        sdp("8 101", direction="sendonly").replace(b"s=-", b"s=secret")
        + b"a=fmtp:101 0-15\r\na=x-secret:1\r\na=ptime:20\r\nm=video 4002 RTP/AVP 31\r\n"
    )
    bridge = await bridge_of(leg, offer)
    await bridge.tap()
    offered = parse(await bridge.offer())
    assert (offered.name, len(offered.media), offered.media[0].formats) == ("-", 1, ("8", "101"))
    assert dict(offered.media[0].attributes) == {
        "rtpmap": "101 telephone-event/8000",
        "fmtp": "101 0-15",
        "ptime": "20",
        "sendrecv": None,
    }
    assert b"secret" not in bytes(offered)


async def test_streams_keep_their_places_on_both_sides(ng: FakeNg, leg: MediaLeg) -> None:
    video = b"m=video 4002 RTP/AVP 31\r\n"
    bridge = await bridge_of(leg, sdp().replace(b"m=audio", video + b"m=audio"))
    await bridge.tap()
    await bridge.offer()
    await bridge.accept(sdp("0 101"))
    answered = parse(ng.sides["call-1"]["party"])
    assert [(media.kind, media.port != 0) for media in answered.media] == [("video", False), ("audio", True)]
    answer, _ = await bridge.reoffer(sdp("0 101") + video)
    assert [(media.kind, media.port != 0) for media in parse(answer).media] == [
        ("audio", True),
        ("video", False),
    ]
    assert len(parse(bridge.renew_offer()).media) == 2


async def test_every_description_for_the_party_is_a_new_version(leg: MediaLeg) -> None:
    bridge = await bridge_of(leg)
    await bridge.tap()
    first = parse(await bridge.offer()).origin
    await bridge.accept(sdp("0 101"))
    second = parse((await bridge.reoffer(sdp("0 101")))[0]).origin
    third = parse(bridge.renew_offer()).origin
    assert first.session_id == second.session_id == third.session_id
    assert [first.version, second.version, third.version] == ["1", "2", "3"]


async def test_an_answer_that_cannot_be_used_changes_nothing(ng: FakeNg, leg: MediaLeg) -> None:
    bridge = await bridge_of(leg)
    await bridge.tap()
    await bridge.offer()
    ng.commands.clear()
    with pytest.raises(UnsupportedCodecError):
        await bridge.accept(sdp("18"))
    assert (ng.commands, bridge.state) == ([], State.OFFERED)


async def test_rtpengine_must_leave_the_peer_its_codec(ng: FakeNg, leg: MediaLeg) -> None:
    bridge = await bridge_of(leg)
    await bridge.tap()
    await bridge.offer()
    ng.sides["call-1"]["peer"] = sdp("8")
    with pytest.raises(NgError, match="cannot use"):
        await bridge.accept(sdp("0 101"))


async def test_a_tap_needs_a_slot(leg: MediaLeg) -> None:
    with pytest.raises(NgError, match="no slot"):
        await Tap(leg, "tap").open("peer", "pcmu")


async def test_a_tap_is_closed_once(ng: FakeNg, leg: MediaLeg) -> None:
    await leg.answer(sdp(), Endpoint("127.0.0.1", 19000))
    tap = Tap(leg, "tap")
    await tap.close()
    stream = await tap.open("peer", "pcmu")
    assert (stream, stream.direction, stream.source_port) == (tap.stream, "recvonly", stream.port)
    ng.commands.clear()
    await tap.close()
    await tap.close()
    assert ng.commands == ["unsubscribe", "delete"]
