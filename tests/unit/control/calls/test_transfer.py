import asyncio
import logging
from typing import Any

import pytest

from control.api import models
from control.errors import LegErrorCode, NgError
from control.sip.effects import CancelInvite
from tests.support.callworld import Clock, FakeWorker, World, given_up, sdp
from tests.support.siptext import field
from tests.support.transfers import DOWN, nothing_left, refer, refusal, returned, stream_of

# The call to the party


async def test_the_bot_hears_the_caller_by_a_tap_while_the_party_is_called(one: World) -> None:
    _, leg = await one.standing()
    invited = await one.ask(refer(leg))
    stream = await stream_of(one, leg)
    assert (stream.port, stream.direction, stream.source_port) == (21000, "sendrecv", 23002)
    assert stream.source_address
    sent = await one.channel.send("INVITE")
    assert (invited.callee, sent.uri) == ("sip:bob@127.0.0.9", "sip:bob@127.0.0.9")
    assert b"m=audio 21000 RTP/AVP 0" in sent.body


async def test_the_party_is_told_who_is_transferred(one: World) -> None:
    _, leg = await one.standing()
    _, invited, sent = await one.referred(leg, headers={"x-referred-to": "mine", "X-Account": "7"})
    assert invited.caller == "sip:alice@127.0.0.9"
    assert (field(sent, "From") or "").startswith("<sip:alice@127.0.0.9>;tag=b.a.")
    names = ("X-Referred-From", "x-referred-to", "X-Referred-Id", "X-Account")
    assert [field(sent, name) for name in names] == ["sip:alice@127.0.0.9", "mine", "s1", "7"]


@pytest.mark.parametrize("caller", ["", "sip:me@example.com"])
async def test_the_bot_may_name_a_caller(one: World, caller: str) -> None:
    _, leg = await one.standing()
    _, invited, _ = await one.referred(leg, caller=caller)
    assert invited.caller == (caller or "sip:alice@127.0.0.9")


async def test_a_caller_that_cannot_be_repeated_is_replaced(one: World) -> None:
    _, leg = await one.standing()
    found = one.service.legs.get(leg)
    assert found is not None
    found.caller = "sips:secret.example"
    _, invited, _ = await one.referred(leg)
    assert invited.caller == "sip:sidecall@198.51.100.1"


async def test_what_no_header_can_hold_is_left_out(one: World) -> None:
    _, leg = await one.standing("s\r\n1")
    _, _, sent = await one.referred(leg, "s\r\n1", headers={f"X-{number}": "1" for number in range(16)})
    assert field(sent, "X-Referred-From") == "sip:alice@127.0.0.9"
    assert field(sent, "X-Referred-Id") is None


async def test_a_call_that_we_dialled_is_transferred(one: World) -> None:
    _, leg, _ = await one.talking(caller="sip:me@example.com")
    _, invited, sent = await one.referred(leg)
    assert invited.caller == "sip:me@example.com"
    assert field(sent, "X-Referred-To") == "sip:bob@127.0.0.9"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"leg": "unknown"}, LegErrorCode.NO_SUCH_LEG),
        ({"session": "another"}, LegErrorCode.NO_SUCH_LEG),
        ({"callee": "sip:bob@example.com"}, LegErrorCode.FORBIDDEN),
        ({"callee": "sip:bob@nowhere.invalid"}, LegErrorCode.UNAVAILABLE),
        ({"headers": {"Via": "x"}}, LegErrorCode.INVALID_PARAMS),
    ],
)
async def test_what_cannot_be_done_is_refused(
    one: World, options: dict[str, Any], code: LegErrorCode
) -> None:
    _, leg = await one.standing()
    before = list(one.ng.commands)
    parts: dict[str, Any] = {"leg": leg}
    assert (await refusal(one.ask(refer(**parts | options)))).code is code
    await one.settle()
    assert one.channel.rest == []
    assert one.worker.silent
    assert one.ng.commands == before


async def test_a_call_that_is_not_answered_cannot_be_transferred(one: World) -> None:
    _, invited, _ = await one.dialled()
    error = await refusal(one.ask(refer(invited.leg)))
    assert (error.code, "not answered" in str(error)) == (LegErrorCode.CONFLICT, True)


async def test_one_transfer_at_a_time(one: World) -> None:
    _, leg = await one.standing()
    _, invited, _ = await one.referred(leg)
    assert (await refusal(one.ask(refer(leg)))).code is LegErrorCode.CONFLICT
    assert (await refusal(one.ask(refer(invited.leg)))).code is LegErrorCode.CONFLICT


async def test_the_party_itself_cannot_be_transferred(one: World) -> None:
    _, leg = await one.standing()
    _, party = await one.connected(leg)
    error = await refusal(one.ask(refer(party)))
    assert (error.code, "target" in str(error)) == (LegErrorCode.CONFLICT, True)


async def test_nobody_is_called_during_shutdown(one: World) -> None:
    _, leg = await one.standing()
    one.service.closing = True
    assert (await refusal(one.ask(refer(leg)))).code is LegErrorCode.UNAVAILABLE


@pytest.mark.parametrize("command", ["subscribe request", "subscribe answer", "offer", "block media"])
async def test_rtpengine_fails_before_the_party_is_called(one: World, command: str) -> None:
    _, leg = await one.standing()
    one.ng.faults[command] = DOWN
    error = await refusal(one.ask(refer(leg)))
    assert (error.code, str(error)) == (LegErrorCode.UNAVAILABLE, str(DOWN))
    one.ng.faults.clear()
    await one.settle()
    assert one.channel.rest == []
    streams = []
    while not one.worker.silent:
        streams.append(await stream_of(one, leg))
    assert [stream.source_port for stream in streams] in ([], [23002, 0])
    found = one.service.legs.get(leg)
    assert found is not None
    assert found.transfer is None


async def test_the_caller_hangs_up_before_the_party_is_called(one: World) -> None:
    peer, leg = await one.standing()
    one.ng.gate.clear()
    one.ng.asked.clear()
    referring = asyncio.create_task(one.ask(refer(leg)))
    await one.ng.asked.wait()
    peer.request("BYE")
    await one.channel.reply(200)
    one.ng.gate.set()
    assert (await refusal(referring)).code in (LegErrorCode.CONFLICT, LegErrorCode.UNAVAILABLE)
    assert (await one.worker.next(models.Ended)).leg == leg
    await nothing_left(one)


async def test_the_bot_hangs_up_before_the_party_is_called(one: World) -> None:
    peer, leg = await one.standing()
    one.ng.gate.clear()
    one.ng.asked.clear()
    referring = asyncio.create_task(one.ask(refer(leg)))
    await one.ng.asked.wait()
    await one.ask(models.Hangup(leg=leg))
    one.ng.gate.set()
    assert (await refusal(referring)).code is LegErrorCode.CONFLICT
    peer.answers(await one.channel.send("BYE"), 200)
    await nothing_left(one)


async def test_a_caller_that_hangs_up_while_the_party_is_looked_up(one: World) -> None:
    peer, leg = await one.standing()
    one.channel.gate.clear()
    referring = asyncio.create_task(one.ask(refer(leg)))
    await one.channel.located.wait()
    peer.request("BYE")
    one.channel.gate.set()
    assert (await refusal(referring)).code is LegErrorCode.NO_SUCH_LEG


async def test_a_request_whose_worker_is_lost_leaves_nothing(one: World) -> None:
    _, leg = await one.standing()
    one.ng.gate.clear()
    one.ng.asked.clear()
    referring = asyncio.create_task(one.ask(refer(leg)))
    await one.ng.asked.wait()
    referring.cancel()
    await asyncio.gather(referring, return_exceptions=True)
    one.ng.gate.set()
    await one.settle()
    assert one.channel.rest == []
    assert set(one.ng.sides[leg]) == {"peer", "bot"}
    await one.referred(leg)


# Until the party answers


async def test_the_party_rings_and_answers(one: World) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg)
    peer.answers(sent, 180)
    ringing = await one.worker.next(models.Ringing)
    assert (ringing.leg, ringing.session, ringing.stream) == (invited.leg, "s1", None)
    peer.answers(sent, 200, body=sdp("0 101"))
    heard = await stream_of(one, leg)
    assert (heard.direction, heard.port, heard.source_port, heard.codec) == ("recvonly", 23002, 23002, "pcmu")
    answered = await one.worker.next(models.Answered)
    assert (answered.leg, answered.sdp) == (invited.leg, sdp("0 101").decode())
    stream = answered.stream
    assert (stream.direction, stream.port, stream.event_payload_type) == ("recvonly", 23004, 101)
    assert one.ng.blocked == {"bot"}


async def test_early_media_are_not_heard_unless_wanted(one: World) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg)
    peer.answers(sent, 183, body=sdp())
    assert (await one.worker.next(models.Ringing)).stream is None
    assert one.ng.blocked == {invited.leg}
    peer.answers(sent, 200)
    await stream_of(one, leg)
    await one.worker.next(models.Answered)


async def test_early_media_are_heard_when_wanted(one: World) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg, early_media=True)
    peer.answers(sent, 180)
    assert (await one.worker.next(models.Ringing)).stream is None
    peer.answers(sent, 183, body=sdp("8 101"))
    assert (await stream_of(one, leg)).direction == "recvonly"
    ringing = await one.worker.next(models.Ringing)
    assert ringing.stream is not None
    peer.answers(sent, 180)
    assert (await one.worker.next(models.Ringing)).stream == ringing.stream
    peer.answers(sent, 200, body=sdp("8 101"))
    answered = await one.worker.next(models.Answered)
    assert (answered.leg, answered.stream) == (invited.leg, ringing.stream)


async def test_an_answer_with_another_codec_than_the_early_media(one: World) -> None:
    _, leg = await one.standing()
    peer, _, sent = await one.referred(leg, early_media=True)
    peer.answers(sent, 183, body=sdp("0 101"))
    await stream_of(one, leg)
    early = (await one.worker.next(models.Ringing)).stream
    peer.answers(sent, 200, body=sdp("8 101"))
    final = (await one.worker.next(models.Answered)).stream
    assert early is not None
    assert [(stream.codec, stream.port) for stream in (early, final)] == [("pcmu", 23004), ("pcma", 23006)]
    assert one.ng.commands.count("unsubscribe") == 1


async def test_early_media_that_cannot_be_used_cost_no_call(one: World) -> None:
    _, leg = await one.standing()
    peer, _, sent = await one.referred(leg, early_media=True)
    peer.answers(sent, 183, body=sdp("18"))
    assert (await one.worker.next(models.Ringing)).stream is None
    peer.answers(sent, 200, body=sdp())
    await stream_of(one, leg)
    await one.worker.next(models.Answered)


async def test_rtpengine_fails_at_early_media(one: World) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg, early_media=True)
    one.ng.faults["answer"] = DOWN
    peer.answers(sent, 183, body=sdp())
    assert (await one.worker.next(models.Rejected)).code == 503
    one.ng.faults.clear()
    await one.channel.next(CancelInvite)
    peer.answers(sent, 487)
    await returned(one, leg, invited.leg)


@pytest.mark.parametrize(("code", "phrase"), [(486, "Busy Here"), (603, "Decline"), (404, "Not Found")])
async def test_the_party_refuses(one: World, code: int, phrase: str) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg)
    peer.answers(sent, code, phrase)
    refused = await one.worker.next(models.Rejected)
    assert (refused.leg, refused.code, refused.reason) == (invited.leg, code, phrase)
    ended = await returned(one, leg, invited.leg)
    assert (ended.initiator, ended.code) == ("callee", code)


async def test_the_party_rings_too_long(one: World, clock: Clock) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg, timeout=12.0)
    await clock.advance(12.0)
    await one.channel.next(CancelInvite)
    refused = await one.worker.next(models.Rejected)
    assert (refused.code, refused.reason) == (408, "Timeout when refer")
    await stream_of(one, leg)
    peer.answers(sent, 487)
    assert (await one.worker.next(models.Ended)).leg == invited.leg


async def test_nobody_is_there(one: World) -> None:
    _, leg = await one.standing()
    _, invited, sent = await one.referred(leg)
    one.service.on_event(given_up(sent))
    refused = await one.worker.next(models.Rejected)
    assert (refused.code, refused.reason) == (408, "Timeout when refer")
    await returned(one, leg, invited.leg)


async def test_the_invite_cannot_be_sent(one: World) -> None:
    _, leg = await one.standing()
    one.channel.unreachable.add("INVITE")
    _, invited, _ = await one.referred(leg)
    assert (await one.worker.next(models.Rejected)).code == 503
    await returned(one, leg, invited.leg)


async def test_the_bot_cancels(one: World) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg)
    await one.ask(models.Hangup(leg=invited.leg))
    await one.channel.next(CancelInvite)
    assert (await stream_of(one, leg)).source_port == 0
    assert one.worker.silent
    peer.answers(sent, 487)
    assert (await one.worker.next(models.Ended)).leg == invited.leg
    await one.settle()
    assert one.worker.silent


async def test_an_answer_that_crosses_the_cancel_is_hung_up(one: World) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg)
    await one.ask(models.Hangup(leg=invited.leg))
    await one.channel.next(CancelInvite)
    peer.answers(sent, 200, body=sdp())
    peer.answers(await one.channel.send("BYE"), 200)
    await returned(one, leg, invited.leg)


async def test_the_bot_hangs_up_while_the_answer_is_negotiated(one: World) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg)
    one.ng.gate.clear()
    one.ng.asked.clear()
    peer.answers(sent, 200, body=sdp())
    await one.ng.asked.wait()
    await one.ask(models.Hangup(leg=invited.leg))
    one.ng.gate.set()
    peer.answers(await one.channel.send("BYE"), 200)
    await returned(one, leg, invited.leg)
    await one.referred(leg)


@pytest.mark.parametrize(
    ("body", "fault", "code"), [(b"", None, 488), (sdp("18"), None, 488), (sdp(), DOWN, 503)]
)
async def test_an_answer_that_cannot_be_used(
    one: World, body: bytes, fault: NgError | None, code: int
) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg)
    if fault is not None:
        one.ng.faults["answer"] = fault
    peer.answers(sent, 200, body=body)
    refused = await one.worker.next(models.Rejected)
    assert (refused.leg, refused.code) == (invited.leg, code)
    one.ng.faults.clear()
    peer.answers(await one.channel.send("BYE"), 200)
    ended = await returned(one, leg, invited.leg)
    assert (ended.initiator, ended.code) == ("system", code)


async def test_the_tap_of_the_party_fails(one: World) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg)
    one.ng.faults["subscribe request"] = DOWN
    peer.answers(sent, 200, body=sdp())
    assert (await one.worker.next(models.Rejected)).code == 503
    one.ng.faults.clear()
    peer.answers(await one.channel.send("BYE"), 200)
    await returned(one, leg, invited.leg)


async def test_rtpengine_is_gone_for_good(one: World, caplog: pytest.LogCaptureFixture) -> None:
    _, leg = await one.standing()
    peer, invited, sent = await one.referred(leg)
    one.ng.fault = DOWN
    peer.answers(sent, 200, body=sdp())
    assert (await one.worker.next(models.Rejected)).code == 503
    peer.answers(await one.channel.send("BYE"), 200)
    assert (await stream_of(one, leg)).direction == "sendrecv"
    assert (await one.worker.next(models.Ended)).leg == invited.leg
    assert "may not have returned to the bot" in caplog.text


# While both talk


async def test_the_party_hangs_up(one: World) -> None:
    _, leg = await one.standing()
    peer, party = await one.connected(leg)
    peer.request("BYE")
    await one.channel.reply(200)
    ended = await returned(one, leg, party)
    assert (ended.initiator, ended.code) == ("callee", 200)


async def test_the_bot_hangs_up_the_party(one: World) -> None:
    _, leg = await one.standing()
    peer, party = await one.connected(leg)
    await one.ask(models.Hangup(leg=party, headers={"X-Why": "enough"}))
    bye = await one.channel.send("BYE")
    assert field(bye, "X-Why") == "enough"
    await one.ask(models.Hangup(leg=party))
    peer.answers(bye, 200)
    await returned(one, leg, party)


async def test_a_second_transfer(one: World) -> None:
    _, leg = await one.standing()
    first, party = await one.connected(leg)
    first.request("BYE")
    await one.channel.reply(200)
    await returned(one, leg, party)
    second, other = await one.connected(leg)
    assert other != party
    second.request("BYE")
    await one.channel.reply(200)
    await returned(one, leg, other)


async def test_the_caller_hangs_up(one: World) -> None:
    caller, leg = await one.standing()
    peer, party = await one.connected(leg)
    caller.request("BYE")
    await one.channel.reply(200)
    assert [(await one.worker.next(models.Ended)).leg for _ in range(2)] == [leg, party]
    peer.answers(await one.channel.send("BYE"), 200)
    await nothing_left(one)


async def test_the_caller_hangs_up_while_the_party_rings(one: World) -> None:
    caller, leg = await one.standing()
    peer, invited, sent = await one.referred(leg)
    caller.request("BYE")
    await one.channel.reply(200)
    assert [(await one.worker.next(models.Ended)).leg for _ in range(2)] == [leg, invited.leg]
    await one.channel.next(CancelInvite)
    peer.answers(sent, 487)
    await nothing_left(one)


async def test_the_bot_hangs_up_the_caller(one: World) -> None:
    caller, leg = await one.standing()
    peer, party = await one.connected(leg)
    await one.ask(models.Hangup(leg=leg))
    byes = [await one.channel.send("BYE") for _ in range(2)]
    assert (await one.worker.next(models.Ended)).leg == party
    peer.answers(byes[0], 200)
    caller.answers(byes[1], 200)
    await nothing_left(one)


async def test_the_caller_hangs_up_while_it_returns(one: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    caller, leg = await one.standing()
    peer, party = await one.connected(leg)
    one.ng.gate.clear()
    one.ng.asked.clear()
    peer.request("BYE")
    await one.channel.reply(200)
    await one.ng.asked.wait()
    caller.request("BYE")
    await one.channel.reply(200)
    one.ng.gate.set()
    assert [(await one.worker.next(models.Ended)).leg for _ in range(2)] == [leg, party]
    await nothing_left(one)
    assert caplog.records == []


async def test_a_worker_that_is_gone_loses_both(one: World) -> None:
    caller, leg = await one.standing()
    peer, _ = await one.connected(leg)
    one.service.on_lost(one.worker)
    one.service.on_gone(one.worker)
    byes = [await one.channel.send("BYE") for _ in range(2)]
    peer.answers(byes[0], 200)
    caller.answers(byes[1], 200)
    await one.settle()
    assert len(one.service.legs) == 0
    assert one.ng.calls == set()


async def test_a_worker_that_is_back_keeps_both(one: World) -> None:
    _, leg = await one.standing()
    _, party = await one.connected(leg)
    assert set(one.service.on_hello(one.worker, [leg, party])) == {leg, party}
    assert one.service.on_hello(FakeWorker("other"), []) == ()
    await one.settle()
    assert one.channel.rest == []


async def test_shutdown_ends_both(one: World) -> None:
    _, leg = await one.standing()
    await one.connected(leg)
    closing = asyncio.create_task(one.service.close(0.05))
    assert [(await one.channel.send("BYE")).method for _ in range(2)] == ["BYE", "BYE"]
    await closing
