import asyncio
import logging
from typing import Any

import pytest

from control.api import models
from control.calls.leg import Owner
from control.errors import LegError, LegErrorCode, NgError
from control.kamailio.events import (
    AckEvent,
    CancelEvent,
    Event,
    ReplyEvent,
    RequestEvent,
    UacTimeoutEvent,
    UasTimeoutEvent,
)
from control.sip.effects import CancelInvite
from tests.support.callworld import OURS, PEER, SLOT, FakeWorker, World, given_up, sdp

# Events that concern no leg


@pytest.mark.parametrize("method", ["BYE", "INVITE", "INFO", "OPTIONS"])
async def test_a_request_within_an_unknown_call_is_answered(one: World, method: str) -> None:
    peer = one.peer(our_tag="b.a.unknown")
    transaction = peer.request(method)
    reply = await one.channel.reply(481)
    assert (reply.transaction, reply.to_tag) == (transaction, "b.a.unknown")


async def test_another_request_outside_of_calls_is_answered(one: World) -> None:
    one.peer().request("OPTIONS")
    assert (await one.channel.reply(481)).to_tag.startswith("b.a.")


async def test_a_request_that_cannot_be_read_is_answered(
    one: World, caplog: pytest.LogCaptureFixture
) -> None:
    one.service.on_event(RequestEvent("7:1", "INVITE", PEER, OURS, b"INVITE rubbish\r\n\r\n"))
    reply = await one.channel.reply(400)
    assert (reply.transaction, reply.to_tag[:4]) == ("7:1", "b.a.")
    assert "RequestEvent from Kamailio: SIP message" in caplog.text


async def test_what_concerns_nobody_is_noted(one: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    peer = one.peer(our_tag="b.a.unknown")
    bye, invite, cancel = (peer.message(method, cseq=1) for method in ("BYE", "INVITE", "CANCEL"))
    events: list[Event] = [
        AckEvent(PEER, OURS, b"rubbish"),
        AckEvent(PEER, OURS, peer.message("ACK", cseq=1)),
        CancelEvent(PEER, OURS, cancel),
        ReplyEvent(200, 1, PEER, OURS, b"SIP/2.0 200 OK\r\n" + bye.partition(b"\r\n")[2]),
        ReplyEvent(200, 1, PEER, OURS, bye),
        UasTimeoutEvent("7:1", "BYE", PEER, OURS, bye),
        UasTimeoutEvent("7:1", "INVITE", PEER, OURS, invite),
        UacTimeoutEvent(408, 1, bye),
    ]
    for event in events:
        before = len(caplog.records)
        one.service.on_event(event)
        assert len(caplog.records) > before or isinstance(event, UasTimeoutEvent)
    await one.settle()
    assert one.channel.sent == []


async def test_the_timeout_of_a_reinvite_does_not_end_the_call(one: World) -> None:
    peer, leg = await one.standing()
    message = peer.message("INVITE", body=sdp())
    one.service.on_event(UasTimeoutEvent("7:1", "INVITE", PEER, OURS, message))
    assert one.service.legs.get(leg) is not None
    assert one.worker.silent


async def test_requests_of_another_dialog_do_not_touch_the_call(one: World) -> None:
    peer, leg = await one.standing()
    stranger = one.peer(our_tag=peer.our_tag, call_id="another")
    stranger.request("BYE")
    await one.channel.reply(481)
    assert one.service.legs.get(leg) is not None


# Media workers


async def test_a_leg_belongs_to_the_session_that_took_it(one: World) -> None:
    _, leg = await one.standing()
    found = one.service.legs.get(leg)
    assert found is not None
    assert found.owner == Owner(one.worker, "s1")


async def test_a_worker_that_is_back_with_its_legs_keeps_them(one: World) -> None:
    peer, leg = await one.standing()
    one.service.on_lost(one.worker)
    assert one.service.on_hello(one.worker, [leg, "unknown"]) == (leg,)
    await one.settle()
    assert one.channel.rest == []
    peer.request("INFO", body=b"Signal=1", content_type="application/dtmf-relay")
    await one.worker.next(models.Digit)


async def test_a_worker_that_is_back_without_a_leg_loses_it(one: World) -> None:
    _, lost = await one.standing("s1")
    _, kept = await one.standing("s2")
    one.service.on_lost(one.worker)
    assert one.service.on_hello(one.worker, [kept]) == (kept,)
    await one.channel.send("BYE")
    assert one.service.legs.get(lost) is not None
    assert one.service.on_hello(one.worker, [lost, kept]) == (kept,)


async def test_a_worker_that_is_gone_loses_all_its_legs_in_whatever_state(one: World) -> None:
    other = FakeWorker("other")
    await one.standing("s1")
    await one.dialled("s2")
    _, incoming, _ = await one.offered("s3")
    await one.ask(models.Ring(leg=incoming.leg, session="s3"))
    await one.channel.reply(180)
    await one.join("s4", worker=other)
    one.peer().invite()
    kept = await other.next(models.Incoming)
    await one.ask(models.Accept(leg=kept.leg, session="s4", endpoint=SLOT), other)
    await one.channel.reply(200)
    one.service.on_lost(one.worker)
    one.service.on_gone(one.worker)
    await one.channel.send("BYE")
    await one.channel.next(CancelInvite)
    await one.channel.reply(503)
    await one.settle()
    assert one.channel.rest == []
    assert one.worker.silent
    assert other.silent


async def test_a_new_worker_has_no_legs(one: World) -> None:
    await one.standing()
    assert one.service.on_hello(FakeWorker("new"), ["whatever"]) == ()
    assert one.channel.rest == []


# Shutdown


async def test_close_hangs_up_every_call(one: World) -> None:
    peer, _ = await one.standing("s1")
    callee, _, sent = await one.dialled("s2")
    await one.offered("s3")
    closing = asyncio.create_task(one.service.close(60))
    bye = await one.channel.send("BYE")
    await one.channel.next(CancelInvite)
    await one.channel.reply(503)
    assert (await one.worker.next(models.Ended)).session == "s3"
    assert not closing.done()
    peer.answers(bye, 200)
    callee.answers(sent, 487)
    await closing
    assert len(one.service.legs) == 0
    assert one.ng.calls == set()
    assert one.worker.silent


async def test_close_takes_no_new_call(one: World) -> None:
    await one.standing("s1")
    await one.join("s2")
    closing = asyncio.create_task(one.service.close(60))
    bye = await one.channel.send("BYE")
    one.peer().invite()
    await one.channel.reply(503)
    with pytest.raises(LegError, match="shutting down") as caught:
        await one.ask(models.Invite(session="s3", callee="sip:bob@127.0.0.9", endpoint=SLOT))
    assert caught.value.code is LegErrorCode.UNAVAILABLE
    assert one.worker.silent
    one.service.on_event(given_up(bye))
    await closing


async def test_a_call_that_is_prepared_at_the_end_is_not_made(one: World) -> None:
    one.ng.gate.clear()
    request = models.Invite(session="s1", callee="sip:bob@127.0.0.9", endpoint=SLOT)
    inviting = asyncio.create_task(one.ask(request))
    await one.ng.asked.wait()
    closing = asyncio.create_task(one.service.close(60))
    await closing
    one.ng.gate.set()
    with pytest.raises(LegError):
        await inviting
    await one.settle()
    assert one.channel.sent == []
    assert one.ng.calls == set()


async def test_close_does_not_wait_for_ever(one: World, caplog: pytest.LogCaptureFixture) -> None:
    await one.standing()
    await one.service.close(0.01)
    assert "calls left: 1" in caplog.text


async def test_rtpengine_that_is_silent_at_the_end_of_a_call_is_noted(
    one: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, _ = await one.standing()

    async def command(name: str, **_: Any) -> Any:
        raise NgError(f"{name}: no answer")

    monkeypatch.setattr(one.ng, "command", command)
    peer.request("BYE")
    await one.channel.reply(200)
    await one.settle()
    assert "delete: no answer" in caplog.text
