from typing import Any

import pytest

from control.api import models
from control.calls.channel import LOST_SECONDS
from control.errors import LegError, LegErrorCode, NgError
from control.sip.effects import Reply
from control.sip.sdp import parse
from tests.support.callworld import SLOT, Clock, World, given_up, sdp
from tests.support.siptext import field

DOWN = NgError("rtpengine at 127.0.0.1:22222 did not answer; check that it runs")


def accept(leg: str, who: str = "s1") -> models.Accept:
    return models.Accept(leg=leg, session=who, endpoint=SLOT)


async def refusal(request: Any) -> LegError:
    with pytest.raises(LegError) as caught:
        await request
    return caught.value


# We end it


async def test_hangs_up(one: World) -> None:
    peer, leg = await one.standing()
    await one.ask(models.Hangup(leg=leg, reason="done", headers={"X-Result": "7"}))
    bye = await one.channel.send("BYE")
    assert field(bye, "X-Result") == "7"
    assert "done" in (field(bye, "Reason") or "")
    assert bye.uri == "sip:alice@127.0.0.9:5070"
    peer.answers(bye, 200)
    await one.settle()
    assert len(one.service.legs) == 0
    assert one.ng.calls == set()
    assert one.worker.silent


async def test_bad_headers_do_not_keep_a_call_up(one: World) -> None:
    _, leg = await one.standing()
    error = await refusal(one.ask(models.Hangup(leg=leg, headers={"Via": "x"})))
    assert error.code is LegErrorCode.INVALID_PARAMS
    await one.channel.send("BYE")


async def test_hanging_up_what_is_over_is_done(one: World) -> None:
    assert await one.ask(models.Hangup(leg="over")) == models.Done()


async def test_a_bye_that_nobody_answers_ends_the_call_all_the_same(one: World) -> None:
    _, leg = await one.standing()
    await one.ask(models.Hangup(leg=leg))
    one.service.on_event(given_up(await one.channel.send("BYE")))
    assert len(one.service.legs) == 0


async def test_a_bye_whose_end_kamailio_could_not_tell_ends_the_call_in_time(
    one: World, clock: Clock
) -> None:
    _, leg = await one.standing()
    await one.ask(models.Hangup(leg=leg))
    await one.channel.send("BYE")
    await clock.advance(LOST_SECONDS - 1)
    assert len(one.service.legs) == 1
    await clock.advance(1)
    assert len(one.service.legs) == 0


async def test_a_bye_that_cannot_be_sent_ends_the_call_all_the_same(one: World) -> None:
    _, leg = await one.standing()
    one.channel.unreachable.add("BYE")
    await one.ask(models.Hangup(leg=leg))
    await one.channel.send("BYE")
    await one.settle()
    assert len(one.service.legs) == 0


async def test_hangs_up_before_the_ack(one: World) -> None:
    peer, incoming, _ = await one.offered()
    await one.ask(accept(incoming.leg))
    peer.our_tag = (await one.channel.reply(200)).to_tag
    await one.ask(models.Hangup(leg=incoming.leg))
    await one.settle()
    assert one.channel.rest == []
    peer.ack()
    await one.channel.send("BYE")
    assert one.worker.silent


# Within the call


async def test_hold_and_resume(one: World) -> None:
    peer, leg = await one.standing()
    for offered, ours in (("sendonly", "recvonly"), ("sendrecv", "sendrecv")):
        transaction = peer.request("INVITE", body=sdp(direction=offered))
        reply = await one.channel.reply(200)
        assert reply.transaction == transaction
        assert parse(reply.body).media[0].direction == ours
        changed = await one.worker.next(models.MediaChanged)
        assert (changed.leg, changed.session, changed.stream.direction) == (leg, "s1", ours)
        peer.ack()


async def test_another_codec(one: World) -> None:
    peer, _ = await one.standing()
    peer.request("UPDATE", body=sdp("8"))
    await one.channel.reply(200)
    assert (await one.worker.next(models.MediaChanged)).stream.codec == "pcma"


async def test_an_offer_that_cannot_be_used_changes_nothing(one: World) -> None:
    peer, _ = await one.standing()
    peer.request("INVITE", body=sdp("18"))
    await one.channel.reply(488)
    await one.settle()
    assert one.worker.silent
    peer.request("INVITE", body=sdp())
    await one.channel.reply(200)
    await one.worker.next(models.MediaChanged)


async def test_rtpengine_fails_while_the_peer_offers(one: World) -> None:
    peer, _ = await one.standing()
    one.ng.fault = DOWN
    peer.request("INVITE", body=sdp())
    await one.channel.reply(503)
    await one.settle()
    assert one.worker.silent


async def test_a_reinvite_without_offer_gets_ours_and_the_ack_answers_it(one: World) -> None:
    peer, _ = await one.standing()
    peer.request("INVITE")
    reply = await one.channel.reply(200)
    assert parse(reply.body).media[0].direction == "sendrecv"
    peer.ack(sdp("8"))
    assert (await one.worker.next(models.MediaChanged)).stream.codec == "pcma"


async def test_a_reinvite_that_is_cancelled(one: World) -> None:
    peer, _ = await one.standing()
    one.ng.gate.clear()
    one.ng.asked.clear()
    transaction = peer.request("INVITE", body=sdp())
    await one.ng.asked.wait()
    peer.cancel()
    assert (await one.channel.reply(487)).transaction == transaction
    one.ng.gate.set()
    await one.settle()
    assert one.channel.rest == []


async def test_the_call_ends_while_media_are_negotiated(one: World) -> None:
    peer, _ = await one.standing()
    one.ng.gate.clear()
    one.ng.asked.clear()
    peer.request("INVITE", body=sdp())
    await one.ng.asked.wait()
    peer.request("BYE")
    assert {(await one.channel.next(Reply)).code for _ in range(2)} == {200, 487}
    await one.worker.next(models.Ended)
    one.ng.gate.set()
    await one.settle()
    assert one.worker.silent
    assert one.ng.calls == set()


async def test_offers_that_wait_behind_another_are_dropped_with_the_call(one: World) -> None:
    peer, _ = await one.standing()
    one.ng.gate.clear()
    one.ng.asked.clear()
    for direction in ("sendonly", "sendrecv"):
        peer.request("INVITE", body=sdp(direction=direction))
        await one.ng.asked.wait()
        peer.cancel()
        await one.channel.reply(487)
    peer.request("BYE")
    await one.channel.reply(200)
    one.ng.gate.set()
    await one.settle()
    assert one.ng.commands.count("offer") == 2
    assert one.ng.calls == set()


@pytest.mark.parametrize(
    ("content_type", "body", "key"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf", b"#", "#"),
    ],
)
async def test_a_digit_by_info(one: World, content_type: str, body: bytes, key: str) -> None:
    peer, leg = await one.standing()
    peer.request("INFO", body=body, content_type=content_type)
    await one.channel.reply(200)
    digit = await one.worker.next(models.Digit)
    assert (digit.leg, digit.session, digit.digit) == (leg, "s1", key)


async def test_options_within_the_call(one: World) -> None:
    peer, _ = await one.standing()
    peer.request("OPTIONS")
    await one.channel.reply(200)
    assert one.worker.silent
