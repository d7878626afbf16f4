import asyncio
from typing import Any

import pytest

from control.api import models
from control.errors import LegError, LegErrorCode, NgError
from control.kamailio.events import UasTimeoutEvent
from control.sip import session
from control.sip.effects import Reply
from control.sip.offer_answer import choose
from control.sip.sdp import parse
from tests.support.callworld import OURS, PEER, SLOT, Clock, World, sdp

DOWN = NgError("rtpengine at 127.0.0.1:22222 did not answer; check that it runs")


def accept(leg: str, who: str = "s1") -> models.Accept:
    return models.Accept(leg=leg, session=who, endpoint=SLOT)


async def refusal(request: Any) -> LegError:
    with pytest.raises(LegError) as caught:
        await request
    return caught.value


def header(reply: Reply, name: str) -> str | None:
    return dict(reply.headers).get(name)


# Ringing


async def test_rings(one: World) -> None:
    _, incoming, transaction = await one.offered()
    assert await one.ask(models.Ring(leg=incoming.leg, session="s1")) == models.Media()
    reply = await one.channel.reply(180)
    assert (reply.transaction, reply.body) == (transaction, b"")
    assert header(reply, "Contact") == "<sip:bot@127.0.0.1:5060>"
    assert one.ng.commands == []


async def test_rings_with_early_media_which_the_answer_repeats(one: World) -> None:
    peer, incoming, _ = await one.offered()
    media = await one.ask(models.Ring(leg=incoming.leg, session="s1", endpoint=SLOT))
    early = await one.channel.reply(183)
    assert early.body.decode() == media.sdp
    assert (media.stream.port, media.stream.codec) == (21000, "pcmu")
    assert await one.ask(accept(incoming.leg)) == media
    answer = await one.channel.reply(200)
    assert (answer.body, answer.to_tag) == (early.body, early.to_tag)
    assert one.ng.commands == ["offer", "answer"]


async def test_a_caller_without_offer_gets_no_early_media(one: World) -> None:
    _, incoming, _ = await one.offered(body=b"")
    assert await one.ask(models.Ring(leg=incoming.leg, session="s1", endpoint=SLOT)) == models.Media()
    assert (await one.channel.reply(180)).body == b""


async def test_ringing_a_caller_that_hangs_up_meanwhile(one: World) -> None:
    peer, incoming, _ = await one.offered()
    one.ng.gate.clear()
    ringing = asyncio.create_task(one.ask(models.Ring(leg=incoming.leg, session="s1", endpoint=SLOT)))
    await one.ng.asked.wait()
    peer.cancel()
    one.ng.gate.set()
    assert (await refusal(ringing)).code is LegErrorCode.NO_SUCH_LEG
    await one.channel.reply(487)
    await one.settle()
    assert one.channel.rest == []
    assert one.ng.calls == set()


# Answering


async def test_accepts_and_stands_with_the_ack(one: World) -> None:
    peer, incoming, transaction = await one.offered()
    media = await one.ask(accept(incoming.leg))
    reply = await one.channel.reply(200)
    assert reply.transaction == transaction
    assert reply.body.decode() == media.sdp
    assert choose(parse(reply.body), ("pcmu", "pcma")).codec == "pcmu"
    assert one.worker.silent
    peer.our_tag = reply.to_tag
    peer.ack()
    answered = await one.worker.next(models.Answered)
    assert (answered.leg, answered.session) == (incoming.leg, "s1")
    assert (answered.stream, answered.sdp) == (media.stream, media.sdp)
    peer.ack()
    await one.settle()
    assert one.worker.silent


async def test_accepting_twice_answers_once(one: World) -> None:
    _, incoming, _ = await one.offered()
    assert await one.ask(accept(incoming.leg)) == await one.ask(accept(incoming.leg))
    await one.channel.reply(200)
    await one.settle()
    assert one.channel.rest == []


async def test_a_call_without_offer_is_answered_by_ours_and_the_ack_brings_the_answer(one: World) -> None:
    peer, incoming, _ = await one.offered(body=b"")
    media = await one.ask(accept(incoming.leg))
    assert media.stream is None
    assert await one.ask(accept(incoming.leg)) == media
    reply = await one.channel.reply(200)
    assert reply.body.decode() == media.sdp
    peer.our_tag = reply.to_tag
    peer.ack(sdp("8 101"))
    answered = await one.worker.next(models.Answered)
    assert (answered.stream.codec, answered.stream.payload_type) == ("pcma", 8)
    assert answered.sdp == sdp("8 101").decode()
    assert one.ng.commands == ["offer", "answer"]


@pytest.mark.parametrize("answer", [b"", b"rubbish", sdp("18")])
async def test_a_call_without_offer_whose_ack_brings_no_answer_ends(one: World, answer: bytes) -> None:
    peer, incoming, _ = await one.offered(body=b"")
    await one.ask(accept(incoming.leg))
    peer.our_tag = (await one.channel.reply(200)).to_tag
    peer.ack(answer)
    assert (await one.worker.next(models.Rejected)).code == 488
    bye = await one.channel.send("BYE")
    peer.answers(bye, 200)
    ended = await one.worker.next(models.Ended)
    assert (ended.initiator, ended.code) == ("system", 488)


async def test_no_ack_comes(one: World, clock: Clock) -> None:
    _, incoming, _ = await one.offered()
    await one.ask(accept(incoming.leg))
    await one.channel.reply(200)
    await clock.advance(session.ACK_TIMEOUT)
    await one.channel.send("BYE")
    ended = await one.worker.next(models.Ended)
    assert (ended.initiator, ended.reason, ended.code) == ("system", "no ACK", 408)
    await one.settle()
    assert one.ng.calls == set()


@pytest.mark.parametrize("offer", [None, b""])
async def test_rtpengine_is_down(one: World, offer: bytes | None) -> None:
    _, incoming, _ = await one.offered(body=offer)
    one.ng.fault = DOWN
    error = await refusal(one.ask(accept(incoming.leg)))
    assert (error.code, str(error)) == (LegErrorCode.UNAVAILABLE, str(DOWN))
    reply = await one.channel.reply(503)
    assert "22222" not in (header(reply, "Reason") or "")
    assert (await one.worker.next(models.Ended)).code == 503
    await one.settle()
    assert one.ng.commands[-1] == "delete"


async def test_an_offer_that_turns_out_to_be_unusable(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, incoming, _ = await one.offered(body=sdp("0"))
    leg = one.service.legs.get(incoming.leg)
    assert leg is not None
    monkeypatch.setattr(leg.media, "_codecs", ("pcma",))
    error = await refusal(one.ask(accept(incoming.leg)))
    assert error.code is LegErrorCode.NOT_ACCEPTABLE
    await one.channel.reply(488)
    assert (await one.worker.next(models.Ended)).code == 488


async def test_accepting_a_caller_that_hangs_up_meanwhile(one: World) -> None:
    peer, incoming, _ = await one.offered()
    one.ng.gate.clear()
    accepting = asyncio.create_task(one.ask(accept(incoming.leg)))
    await one.ng.asked.wait()
    peer.cancel()
    ended = await one.worker.next(models.Ended)
    assert (ended.initiator, ended.code) == ("caller", 487)
    one.ng.gate.set()
    error = await refusal(accepting)
    assert (error.code, str(error)) == (LegErrorCode.NO_SUCH_LEG, "the caller has hung up")
    await one.channel.reply(487)
    await one.settle()
    assert one.channel.rest == []
    assert one.ng.calls == set()


async def test_a_call_that_is_over_cannot_be_accepted(one: World) -> None:
    peer, incoming, _ = await one.offered()
    peer.cancel()
    await one.channel.reply(487)
    assert (await refusal(one.ask(accept(incoming.leg)))).code is LegErrorCode.NO_SUCH_LEG


async def test_a_call_that_is_hung_up_cannot_be_claimed_again(one: World) -> None:
    _, leg = await one.standing()
    await one.ask(models.Hangup(leg=leg))
    await one.channel.send("BYE")
    error = await refusal(one.ask(models.Claim(session="s2", leg=leg)))
    assert error.code is LegErrorCode.CONFLICT


# Refusing


@pytest.mark.parametrize(("code", "why"), [(486, "busy"), (603, ""), (480, "not now")])
async def test_rejects(one: World, code: int, why: str) -> None:
    _, incoming, transaction = await one.offered()
    await one.ask(models.Reject(leg=incoming.leg, session="s1", code=code, reason=why))
    reply = await one.channel.reply(code)
    assert reply.transaction == transaction
    assert why in (header(reply, "Reason") or "")
    await one.settle()
    assert one.worker.silent
    assert len(one.service.legs) == 0


async def test_an_answered_call_cannot_be_rejected(one: World) -> None:
    peer, leg = await one.standing()
    error = await refusal(one.ask(models.Reject(leg=leg, session="s1")))
    assert error.code is LegErrorCode.CONFLICT
    peer.request("BYE")
    await one.channel.reply(200)
    await one.worker.next(models.Ended)


async def test_replies_go_out_in_order(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, incoming, _ = await one.offered()
    kamailio = asyncio.Event()
    codes: list[int] = []

    async def carry_out(reply: Reply) -> None:
        if reply.code == 180:
            await kamailio.wait()
        codes.append(reply.code)

    monkeypatch.setattr(one.channel, "carry_out", carry_out)
    await one.ask(models.Ring(leg=incoming.leg, session="s1"))
    await one.ask(models.Reject(leg=incoming.leg, session="s1", code=486))
    await one.ask(models.Hangup(leg="none"))
    await asyncio.sleep(0)
    kamailio.set()
    await one.settle()
    assert codes == [180, 486]


async def test_hangs_up_before_the_answer(one: World) -> None:
    _, incoming, _ = await one.offered()
    await one.ask(models.Ring(leg=incoming.leg, session="s1"))
    await one.channel.reply(180)
    await one.ask(models.Hangup(leg=incoming.leg, reason="no time"))
    assert "no time" in (header(await one.channel.reply(603), "Reason") or "")


# The caller ends it


@pytest.mark.parametrize("rings", [True, False])
async def test_the_caller_cancels(one: World, rings: bool) -> None:
    peer, incoming, transaction = await one.offered()
    if rings:
        await one.ask(models.Ring(leg=incoming.leg, session="s1"))
        await one.channel.reply(180)
    peer.cancel()
    assert (await one.channel.reply(487)).transaction == transaction
    ended = await one.worker.next(models.Ended)
    assert (ended.session, ended.initiator, ended.reason, ended.code) == ("s1", "caller", "cancelled", 487)
    assert len(one.service.legs) == 0


async def test_kamailio_gives_the_invite_up(one: World) -> None:
    peer, _, transaction = await one.offered()
    message = peer.message("INVITE", body=sdp(), cseq=1)
    one.service.on_event(UasTimeoutEvent(transaction, "INVITE", PEER, OURS, message))
    assert (await one.worker.next(models.Ended)).code == 480
    await one.settle()
    assert one.channel.sent == []


async def test_the_caller_hangs_up(one: World) -> None:
    peer, leg = await one.standing()
    peer.request("BYE", headers=(("Reason", 'Q.850;cause=16;text="done"'),))
    await one.channel.reply(200)
    ended = await one.worker.next(models.Ended)
    assert (ended.leg, ended.initiator, ended.reason, ended.code) == (leg, "caller", "done", 200)
    await one.settle()
    assert one.ng.calls == set()
    peer.request("BYE")
    await one.channel.reply(481)
