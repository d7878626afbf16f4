import pytest

from control.api import models
from tests.support.browseroffers import OFFERS
from tests.support.callworld import SLOT, World, sdp
from tests.support.siptext import field
from tests.support.transfers import DOWN, nothing_left, stream_of

# Later offers


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
async def test_the_caller_holds_and_resumes(one: World, direction: str) -> None:
    caller, leg = await one.standing()
    await one.connected(leg)
    caller.request("INVITE", body=sdp(direction=direction))
    answer = await one.channel.reply(200)
    assert (b"a=recvonly" if direction == "sendonly" else b"a=inactive") in answer.body
    assert (await stream_of(one, leg)).direction == "recvonly"
    caller.ack()
    caller.request("UPDATE", body=sdp())
    assert b"a=sendrecv" in (await one.channel.reply(200)).body
    await stream_of(one, leg)
    await one.settle()
    assert one.channel.rest == []


async def test_the_caller_holds_while_the_party_rings(one: World) -> None:
    caller, leg = await one.standing()
    peer, invited, sent = await one.referred(leg)
    caller.request("INVITE", body=sdp(direction="sendonly"))
    await one.channel.reply(200)
    held = await stream_of(one, leg)
    assert (held.direction, held.source_port) == ("recvonly", 23002)
    assert one.ng.blocked == {invited.leg}
    peer.answers(sent, 486)
    await one.worker.next(models.Rejected)
    assert ((await stream_of(one, leg)).direction, one.ng.blocked) == ("recvonly", set())


async def test_the_codec_stays(one: World) -> None:
    caller, leg = await one.standing()
    peer, _ = await one.connected(leg)
    caller.request("INVITE", body=sdp("8 101"))
    await one.channel.reply(488)
    peer.request("INVITE", body=sdp("8 101"))
    await one.channel.reply(488)
    await one.settle()
    assert one.worker.silent


async def test_a_codec_that_changes_its_number_is_refused(one: World) -> None:
    _, leg = await one.standing()
    peer, _ = await one.connected(leg)
    other = sdp("96").replace(b"a=sendrecv", b"a=rtpmap:96 PCMU/8000\r\na=sendrecv")
    peer.request("INVITE", body=other)
    await one.channel.reply(488)


async def test_the_party_holds(one: World) -> None:
    _, leg = await one.standing()
    peer, party = await one.connected(leg)
    peer.request("INVITE", body=sdp(direction="sendonly"))
    answer = await one.channel.reply(200)
    assert b"RTP/AVP 0 101\r\n" in answer.body
    assert b"a=recvonly" in answer.body
    changed = await one.worker.next(models.MediaChanged)
    assert (changed.leg, changed.stream.direction, changed.stream.port) == (party, "recvonly", 23004)


async def test_rtpengine_fails_while_one_of_them_offers(one: World) -> None:
    caller, leg = await one.standing()
    peer, _ = await one.connected(leg)
    one.ng.fault = DOWN
    for each in (caller, peer):
        each.request("INVITE", body=sdp(direction="sendonly"))
        await one.channel.reply(503)


@pytest.mark.parametrize("who", ["caller", "party"])
async def test_a_reinvite_without_offer(one: World, who: str) -> None:
    caller, leg = await one.standing()
    peer, party = await one.connected(leg)
    asking = caller if who == "caller" else peer
    asking.request("INVITE")
    assert b"a=sendrecv" in (await one.channel.reply(200)).body
    asking.ack(sdp())
    changed = await one.worker.next(models.MediaChanged)
    assert (changed.leg, changed.stream.direction) == (leg if who == "caller" else party, "recvonly")


async def test_a_digit_of_the_party(one: World) -> None:
    _, leg = await one.standing()
    peer, party = await one.connected(leg)
    peer.request("INFO", body=b"Signal=1", content_type="application/dtmf-relay")
    assert (await one.worker.next(models.Digit)).leg == party


async def test_the_codec_in_use_is_offered_first(one: World) -> None:
    _, leg = await one.standing(body=sdp("8 0 101"))
    _, _, sent = await one.referred(leg)
    assert b"RTP/AVP 8 101\r\n" in sent.body


# Browsers


async def test_a_browser_is_transferred(one: World) -> None:
    offer = OFFERS["chrome"]
    connected = await one.ask(models.Connect(session="s1", endpoint=SLOT, offer=offer))
    leg = connected.leg
    peer, invited, sent = await one.referred(leg)
    assert field(sent, "X-Referred-From") is None
    assert invited.caller == "sip:sidecall@198.51.100.1"
    assert b" 111 110\r\n" in sent.body
    assert not [word for word in (b"candidate", b"fingerprint", b"ssrc", b"extmap") if word in sent.body]
    peer.answers(sent, 200, body=sdp("0 101"))
    heard = await stream_of(one, leg)
    answered = await one.worker.next(models.Answered)
    assert (heard.codec, answered.stream.codec) == ("opus", "pcmu")
    again = await one.ask(models.Reconnect(leg=leg, session="s1", offer=offer))
    assert again.stream == heard
    peer.request("BYE")
    await one.channel.reply(200)
    assert await stream_of(one, leg) == connected.stream
    assert (await one.worker.next(models.Ended)).leg == invited.leg


async def test_a_browser_that_goes_takes_the_party_with_it(one: World) -> None:
    connected = await one.ask(models.Connect(session="s1", endpoint=SLOT, offer=OFFERS["chrome"]))
    peer, party = await one.connected(connected.leg)
    await one.ask(models.Hangup(leg=connected.leg))
    assert (await one.worker.next(models.Ended)).leg == party
    peer.answers(await one.channel.send("BYE"), 200)
    await nothing_left(one)
