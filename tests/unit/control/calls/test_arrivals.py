from typing import Any

import pytest

from control.api import models
from control.config import Registration, Route, Trunk
from control.errors import LegError, LegErrorCode
from control.kamailio.events import Address
from control.sip.effects import Reply
from tests.support.callworld import (
    SLOT,
    Clock,
    FakeWorker,
    MakeWorld,
    World,
    sdp,
    settings,
)


def reason(reply: Reply) -> str:
    """The Reason header of a refusal."""
    return dict(reply.headers).get("Reason", "")


async def answered(one: World, leg: str, session: str) -> None:
    """Let `session` accept, and take the 200."""
    await one.ask(models.Accept(leg=leg, session=session, endpoint=SLOT))
    await one.channel.reply(200)


# What is refused at once


@pytest.mark.parametrize(
    ("invite", "code", "why"),
    [
        ({"uri": "sip:nobody@127.0.0.1"}, 404, "no route"),
        ({"body": sdp(kind="video")}, 488, "no audio stream"),
        ({"body": sdp("18")}, 488, "G729"),
        ({"body": sdp(port=0)}, 488, "no audio stream"),
        ({"body": b"rubbish"}, 488, "SDP"),
        ({"contact": "<tel:+49>"}, 400, "Contact"),
    ],
)
async def test_an_invite_that_cannot_be_taken_is_refused(
    one: World, invite: dict[str, Any], code: int, why: str
) -> None:
    await one.join()
    transaction = one.peer().invite(**invite)
    reply = await one.channel.reply(code)
    assert reply.transaction == transaction
    assert reply.to_tag.startswith("b.a.")
    assert f"cause={code}" in reason(reply)
    assert why in reason(reply)
    assert one.worker.silent
    assert len(one.service.legs) == 0


async def test_an_extension_that_we_lack_is_refused(one: World) -> None:
    one.peer().invite(headers=(("Require", "100rel, x"),))
    assert ("Unsupported", "100rel, x") in (await one.channel.reply(420)).headers


async def test_a_body_that_is_no_description_is_refused(one: World) -> None:
    one.peer().invite(b"isup", content_type="application/isup")
    assert ("Accept", "application/sdp") in (await one.channel.reply(415)).headers


async def test_the_same_call_by_another_way_is_refused(one: World) -> None:
    peer, _, _ = await one.offered()
    peer.invite(cseq=1)
    await one.channel.reply(482)
    assert len(one.service.legs) == 1


async def test_a_caller_may_try_again_after_a_refusal(one: World) -> None:
    peer = one.peer()
    peer.invite(sdp("18"))
    await one.channel.reply(488)
    await one.join()
    peer.invite()
    await one.worker.next(models.Incoming)


# Routes


async def test_the_route_is_chosen_by_trunk_caller_and_callee(make_world: MakeWorld) -> None:
    routes = (
        Route(trunk="carrier", callee="^bot$", pool="by-trunk"),
        Route(caller="^alice$", callee="^al$", pool="by-caller"),
        Route(trunk="pbx", pool="by-registration"),
    )
    pbx = Registration(name="pbx", registrar="sip:127.0.0.8", username="u", password="p")
    carrier = Trunk(name="carrier", addresses=("127.0.0.40/30",))
    one = await make_world(settings(*routes, trunks=(carrier,), registrations=(pbx,)))
    by_registration = f"sip:{one.service.registrations.accounts[0].user}@127.0.0.1"
    for source, uri, pool in (
        ("127.0.0.41", "sip:bot@127.0.0.1", "by-trunk"),
        ("127.0.0.9", "sip:al@127.0.0.1", "by-caller"),
        ("127.0.0.9", by_registration, "by-registration"),
    ):
        await one.join(pool, pool)
        one.peer(source=Address("udp", source, 5060)).invite(uri=uri)
        assert (await one.worker.next(models.Incoming)).session == pool
    one.peer().invite()
    await one.channel.reply(404)


# The pool


async def test_a_waiting_bot_is_told_of_the_call(one: World) -> None:
    peer, incoming, _ = await one.offered(headers=(("X-Account", "7"), ("Subject", "no")))
    assert incoming.session == "s1"
    assert (incoming.caller, incoming.callee) == ("sip:alice@127.0.0.9", "sip:bot@127.0.0.1")
    assert incoming.sdp == sdp().decode()
    assert incoming.headers == {"X-Account": "7"}
    assert one.service.arrivals.waiting() == {"default": 0}
    assert one.channel.sent == []


async def test_bytes_that_are_no_text_reach_the_bot_as_text(one: World) -> None:
    _, incoming, _ = await one.offered(headers=(("X-Name", "M\udcfcller"),))
    assert incoming.headers == {"X-Name": "M\ufffdller"}


async def test_waiting_bots_are_counted_by_pool(one: World) -> None:
    assert one.service.arrivals.waiting() == {"default": 0}
    await one.join("s1")
    await one.join("s2")
    await one.join("s2")
    await one.join("s3", "other")
    assert one.service.arrivals.waiting() == {"default": 2, "other": 1}


async def test_a_call_waits_a_moment_for_a_bot(one: World) -> None:
    one.peer().invite()
    await one.join()
    await one.worker.next(models.Incoming)


async def test_a_call_that_no_bot_comes_for_is_refused(one: World, clock: Clock) -> None:
    one.peer().invite()
    await clock.advance(one.service.settings.calls.pool_wait)
    assert "no bot waits in pool default" in reason(await one.channel.reply(480))
    await one.join()
    assert one.worker.silent
    assert one.service.arrivals.waiting() == {"default": 1}


async def test_a_call_that_was_cancelled_while_it_waited_is_offered_to_nobody(one: World) -> None:
    peer = one.peer()
    peer.invite()
    peer.cancel()
    await one.channel.reply(487)
    await one.join()
    assert one.worker.silent


async def test_a_bot_that_does_not_react_gets_company_and_the_first_to_accept_wins(
    one: World, clock: Clock
) -> None:
    _, first, _ = await one.offered("slow")
    await one.join("quick")
    assert one.worker.silent
    await clock.advance(one.service.settings.calls.offer_timeout)
    second = await one.worker.next(models.Incoming)
    assert (second.session, second.leg) == ("quick", first.leg)
    await answered(one, first.leg, "quick")
    ended = await one.worker.next(models.Ended)
    assert (ended.session, ended.leg) == ("slow", first.leg)
    assert (ended.initiator, ended.reason, ended.code) == ("system", "answered elsewhere", 200)
    with pytest.raises(LegError, match="another bot") as caught:
        await one.ask(models.Accept(leg=first.leg, session="slow", endpoint=SLOT))
    assert caught.value.code is LegErrorCode.CONFLICT


async def test_a_bot_that_comes_later_is_offered_a_call_that_nobody_reacts_to(
    one: World, clock: Clock
) -> None:
    _, first, _ = await one.offered("slow")
    await clock.advance(one.service.settings.calls.offer_timeout)
    await one.join("later")
    assert (await one.worker.next(models.Incoming)).leg == first.leg


@pytest.mark.parametrize("request_", [models.Ring, models.Accept])
async def test_a_bot_that_reacts_stays_alone(
    one: World, clock: Clock, request_: type[models.Ring | models.Accept]
) -> None:
    _, incoming, _ = await one.offered("s1")
    await one.join("s2")
    await one.ask(request_(leg=incoming.leg, session="s1", endpoint=SLOT))
    await clock.advance(one.service.settings.calls.offer_timeout)
    await one.settle()
    assert one.worker.silent
    assert one.service.arrivals.waiting() == {"default": 1}


async def test_a_bot_that_leaves_hands_the_call_to_the_next(one: World) -> None:
    _, first, _ = await one.offered("s1")
    await one.join("s2")
    await one.ask(models.Leave(session="s1"))
    second = await one.worker.next(models.Incoming)
    assert (second.session, second.leg) == ("s2", first.leg)
    await answered(one, first.leg, "s2")
    assert one.worker.silent


async def test_the_call_waits_again_when_the_last_bot_leaves(one: World, clock: Clock) -> None:
    await one.offered("s1")
    await one.ask(models.Leave(session="s1"))
    await clock.advance(one.service.settings.calls.pool_wait)
    await one.channel.reply(480)
    assert one.worker.silent


async def test_a_caller_is_told_that_the_workers_are_full(one: World, clock: Clock) -> None:
    await one.offered("s1")
    await one.ask(models.Leave(session="s1", full="default"))
    await clock.advance(one.service.settings.calls.pool_wait)
    await one.channel.reply(503)


@pytest.mark.parametrize("then", ["joins", "leaves", "is lost"])
async def test_full_workers_are_forgotten(one: World, clock: Clock, then: str) -> None:
    await one.join("s1")
    await one.ask(models.Leave(session="s1", full="default"))
    match then:
        case "joins":
            await one.join("s1")
            await one.ask(models.Leave(session="s1"))
        case "leaves":
            await one.ask(models.Leave(session="s1"))
        case _:
            one.service.arrivals.lost(one.worker)
    one.peer().invite()
    await one.settle()
    await clock.advance(one.service.settings.calls.pool_wait)
    await one.channel.reply(480)


async def test_a_call_is_offered_once_to_each_bot_that_comes(one: World, clock: Clock) -> None:
    await one.offered("s1")
    await clock.advance(one.service.settings.calls.offer_timeout)
    await one.ask(models.Leave(session="s1"))
    await one.join("s2")
    await one.worker.next(models.Incoming)
    await one.join("s3")
    assert one.worker.silent


async def test_a_bot_that_joins_again_and_leaves_is_offered_nothing_any_more(
    one: World, clock: Clock
) -> None:
    await one.offered("s1")
    await clock.advance(one.service.settings.calls.offer_timeout)
    await one.join("s1")
    await one.worker.next(models.Incoming)
    await one.ask(models.Leave(session="s1"))
    await clock.advance(one.service.settings.calls.pool_wait)
    await one.channel.reply(480)


async def test_a_bot_that_left_the_pool_is_offered_nothing(one: World) -> None:
    await one.join()
    await one.ask(models.Leave(session="s1"))
    one.peer().invite()
    await one.settle()
    assert one.worker.silent


async def test_one_of_two_bots_leaves(one: World, clock: Clock) -> None:
    _, incoming, _ = await one.offered("s1")
    await one.join("s2")
    await clock.advance(one.service.settings.calls.offer_timeout)
    await one.worker.next(models.Incoming)
    await one.ask(models.Leave(session="s1"))
    await answered(one, incoming.leg, "s2")
    assert one.worker.silent


async def test_bots_that_were_offered_a_call_learn_that_it_is_over(one: World, clock: Clock) -> None:
    peer, incoming, _ = await one.offered("s1")
    await one.join("s2")
    await clock.advance(one.service.settings.calls.offer_timeout)
    await one.worker.next(models.Incoming)
    peer.cancel()
    await one.channel.reply(487)
    ended = [await one.worker.next(models.Ended) for _ in range(2)]
    assert [each.session for each in ended] == ["s1", "s2"]
    assert {(each.leg, each.initiator, each.reason, each.code) for each in ended} == {
        (incoming.leg, "caller", "cancelled", 487)
    }


async def test_nobody_accepts_in_time(one: World, clock: Clock) -> None:
    await one.offered()
    await clock.advance(one.service.settings.calls.answer_timeout)
    await one.channel.reply(480)
    ended = await one.worker.next(models.Ended)
    assert (ended.initiator, ended.code) == ("system", 480)


async def test_calls_of_a_lost_worker_are_offered_to_others(one: World) -> None:
    other = FakeWorker("other")
    await one.join("s0")
    await one.join("s1")
    await one.join("s2", worker=other)
    peers = [one.peer() for _ in range(2)]
    for peer in peers:
        peer.invite()
    offers = [await one.worker.next(models.Incoming) for _ in range(2)]
    await one.join("s3")
    one.service.on_lost(one.worker)
    assert (await other.next(models.Incoming)).leg == offers[0].leg
    await one.join("s4", worker=other)
    assert (await other.next(models.Incoming)).leg == offers[1].leg
    assert one.worker.silent
    assert one.service.arrivals.waiting() == {"default": 0}
