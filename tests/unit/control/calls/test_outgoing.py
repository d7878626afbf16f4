import asyncio
from typing import Any

import pytest

from control.api import models
from control.config import Trunk
from control.errors import LegError, LegErrorCode, NgError
from control.sip import uac
from control.sip.effects import CancelInvite, Send
from control.sip.sdp import parse
from tests.support.callworld import SLOT, Clock, MakeWorld, World, given_up, sdp, settings
from tests.support.siptext import field

BOB = "sip:bob@127.0.0.9"
DOWN = NgError("rtpengine did not answer")


def invite(callee: str = BOB, **options: Any) -> models.Invite:
    parts: dict[str, Any] = {"session": "s1", "callee": callee, "endpoint": SLOT}
    return models.Invite(**parts | options)


async def refusal(request: Any) -> LegError:
    with pytest.raises(LegError) as caught:
        await request
    return caught.value


async def rejected(one: World) -> tuple[int, str, str, int]:
    """Code and reason of the refusal; initiator and code of the end."""
    refused = await one.worker.next(models.Rejected)
    ended = await one.worker.next(models.Ended)
    return refused.code, refused.reason, ended.initiator, ended.code


# Where to


async def test_an_allowed_uri_is_dialled_directly(one: World) -> None:
    _, invited, sent = await one.dialled(caller="sip:me@example.com", headers={"X-Account": "7"})
    assert (invited.caller, invited.callee) == ("sip:me@example.com", BOB)
    assert (sent.uri, sent.next_hop) == (BOB, "sip:127.0.0.9:5060")
    assert (field(sent, "From") or "").startswith("<sip:me@example.com>;tag=b.a.")
    assert field(sent, "To") == f"<{BOB}>"
    assert field(sent, "Contact") == "<sip:me@127.0.0.1:5060>"
    assert field(sent, "X-Account") == "7"
    assert [media.formats for media in parse(sent.body).media] == [("111", "9", "0", "8", "110", "101")]


async def test_the_caller_is_at_our_address_when_the_bot_gives_none(one: World) -> None:
    _, invited, _ = await one.dialled()
    assert invited.caller == "sip:sidecall@198.51.100.1"


async def test_a_trunk_takes_the_call(make_world: MakeWorld) -> None:
    trunk = Trunk(name="t", gateway="sip:127.0.0.20:5080", username="u", password="p", callees=("^\\+49",))
    one = await make_world(settings(trunks=(trunk,)))
    peer, invited, sent = await one.dialled(callee="+491234")
    assert (invited.caller, invited.callee) == ("sip:u@127.0.0.20", "sip:+491234@127.0.0.20:5080")
    assert sent.next_hop == "sip:127.0.0.20:5080"
    challenge = 'Digest realm="r", nonce="n", algorithm=MD5, qop="auth"'
    peer_headers = (("WWW-Authenticate", challenge),)
    peer.answers(sent, 401, headers=peer_headers)
    again = await one.channel.send("INVITE")
    assert 'username="u"' in (field(again, "Authorization") or "")
    peer.answers(again, 200, body=sdp())
    await one.worker.next(models.Answered)


async def test_the_bot_brings_its_credentials(one: World) -> None:
    peer, _, sent = await one.dialled(username="me", password="secret")
    challenge = 'Digest realm="r", nonce="n", algorithm=MD5, qop="auth"'
    peer.answers(sent, 407, headers=(("Proxy-Authenticate", challenge),))
    again = await one.channel.send("INVITE")
    assert 'username="me"' in (field(again, "Proxy-Authorization") or "")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (invite("sip:eve@192.0.2.66"), LegErrorCode.FORBIDDEN),
        (invite("+4912345"), LegErrorCode.FORBIDDEN),
        (invite("not a callee"), LegErrorCode.INVALID_PARAMS),
        (invite(caller="not a caller"), LegErrorCode.INVALID_PARAMS),
        (invite(headers={"Via": "x"}), LegErrorCode.INVALID_PARAMS),
        (invite(headers={"X-A": "x\r\nVia: y"}), LegErrorCode.INVALID_PARAMS),
        (invite("sip:bob@nowhere.invalid"), LegErrorCode.UNAVAILABLE),
    ],
)
async def test_what_cannot_be_dialled_is_refused(
    one: World, request_: models.Invite, code: LegErrorCode
) -> None:
    assert (await refusal(one.ask(request_))).code is code
    await one.settle()
    assert one.channel.sent == []
    assert one.ng.commands == []
    assert one.worker.silent


async def test_rtpengine_is_down(one: World) -> None:
    one.ng.fault = DOWN
    error = await refusal(one.ask(invite()))
    assert (error.code, str(error)) == (LegErrorCode.UNAVAILABLE, str(DOWN))
    await one.settle()
    assert one.channel.sent == []
    assert one.ng.commands == ["offer", "delete"]


@pytest.mark.parametrize("slow", ["name service", "rtpengine"])
async def test_a_bot_that_leaves_before_the_invite_is_sent_calls_nobody(one: World, slow: str) -> None:
    gate, reached = {
        "name service": (one.channel.gate, one.channel.located),
        "rtpengine": (one.ng.gate, one.ng.asked),
    }[slow]
    gate.clear()
    inviting = asyncio.create_task(one.ask(invite()))
    await reached.wait()
    await one.ask(models.Leave(session="s1"))
    gate.set()
    assert (await refusal(inviting)).code is LegErrorCode.CONFLICT
    await one.settle()
    assert one.channel.sent == []
    assert one.ng.calls == set()
    assert len(one.service.legs) == 0


async def test_an_invite_whose_worker_is_lost_leaves_nothing(one: World) -> None:
    one.ng.gate.clear()
    inviting = asyncio.create_task(one.ask(invite()))
    await one.ng.asked.wait()
    inviting.cancel()
    await asyncio.gather(inviting, return_exceptions=True)
    one.ng.gate.set()
    await one.settle()
    assert one.channel.sent == []
    assert one.ng.commands == ["offer", "delete"]


async def test_an_invite_that_cannot_be_sent(one: World) -> None:
    one.channel.unreachable.add("INVITE")
    await one.dialled()
    assert await rejected(one) == (503, "Service Unavailable", "system", 503)
    await one.settle()
    assert one.ng.calls == set()


# Until it is answered


async def test_rings_without_early_media(one: World) -> None:
    peer, invited, sent = await one.dialled()
    peer.answers(sent, 100)
    peer.answers(sent, 180)
    ringing = await one.worker.next(models.Ringing)
    assert (ringing.leg, ringing.session, ringing.stream) == (invited.leg, "s1", None)


async def test_rings_with_early_media(one: World) -> None:
    peer, _, sent = await one.dialled()
    peer.answers(sent, 183, body=sdp("8"))
    ringing = await one.worker.next(models.Ringing)
    assert ringing.stream is not None
    assert (ringing.stream.codec, ringing.stream.port) == ("pcma", 21000)
    peer.answers(sent, 180)
    assert (await one.worker.next(models.Ringing)).stream == ringing.stream


async def test_what_the_callee_tells_is_taken_in_order(one: World) -> None:
    peer, _, sent = await one.dialled()
    one.ng.gate.clear()
    one.ng.asked.clear()
    peer.answers(sent, 183, body=sdp())
    await one.ng.asked.wait()
    peer.answers(sent, 180)
    peer.answers(sent, 200)
    one.ng.gate.set()
    early = [await one.worker.next(models.Ringing) for _ in range(2)]
    assert {each.stream for each in early} == {(await one.worker.next(models.Answered)).stream}


@pytest.mark.parametrize("fault", [None, DOWN])
async def test_early_media_that_cannot_be_used_cost_no_call(one: World, fault: NgError | None) -> None:
    peer, _, sent = await one.dialled()
    one.ng.fault = fault
    peer.answers(sent, 183, body=sdp("18") if fault is None else sdp())
    assert (await one.worker.next(models.Ringing)).stream is None
    one.ng.fault = None
    peer.answers(sent, 200, body=sdp())
    await one.worker.next(models.Answered)


async def test_the_callee_answers(one: World) -> None:
    peer, invited, sent = await one.dialled()
    peer.answers(sent, 200, body=sdp("8 101"))
    answered = await one.worker.next(models.Answered)
    assert (answered.leg, answered.session, answered.sdp) == (invited.leg, "s1", sdp("8 101").decode())
    assert (answered.stream.codec, answered.stream.event_payload_type) == ("pcma", 101)
    leg = one.service.legs.get(invited.leg)
    assert leg is not None
    assert leg.answered


async def test_ringing_that_is_overtaken_by_the_answer_is_not_told(one: World) -> None:
    peer, invited, sent = await one.dialled()
    peer.answers(sent, 200, body=sdp())
    await one.worker.next(models.Answered)
    leg = one.service.legs.get(invited.leg)
    assert leg is not None
    await leg._ring(b"")  # type: ignore[attr-defined]
    assert one.worker.silent


async def test_an_answer_without_description_confirms_that_of_early_media(one: World) -> None:
    peer, _, sent = await one.dialled()
    peer.answers(sent, 183, body=sdp("8"))
    early = await one.worker.next(models.Ringing)
    peer.answers(sent, 200)
    assert (await one.worker.next(models.Answered)).stream == early.stream


@pytest.mark.parametrize(
    ("body", "fault", "code"), [(b"", None, 488), (sdp("18"), None, 488), (sdp(), DOWN, 503)]
)
async def test_an_answer_that_cannot_be_used_ends_the_call(
    one: World, body: bytes, fault: NgError | None, code: int
) -> None:
    peer, _, sent = await one.dialled()
    one.ng.fault = fault
    peer.answers(sent, 200, body=body)
    assert (await one.worker.next(models.Rejected)).code == code
    bye = await one.channel.send("BYE")
    peer.answers(bye, 200)
    ended = await one.worker.next(models.Ended)
    assert (ended.initiator, ended.code) == ("system", code)
    await one.settle()
    assert one.ng.calls == set()


@pytest.mark.parametrize(
    ("code", "phrase", "told"),
    [(486, "Busy Here", "Busy Here"), (404, "", "Not Found"), (302, "Away", "Away")],
)
async def test_the_callee_refuses(one: World, code: int, phrase: str, told: str) -> None:
    peer, _, sent = await one.dialled()
    peer.answers(sent, code, phrase)
    assert await rejected(one) == (code, told, "callee", code)
    await one.settle()
    assert one.ng.calls == set()
    assert len(one.service.legs) == 0


async def test_nobody_is_there(one: World) -> None:
    _, _, sent = await one.dialled()
    one.service.on_event(given_up(sent))
    assert await rejected(one) == (408, "Request Timeout", "system", 408)


async def test_it_rings_too_long(one: World, clock: Clock) -> None:
    peer, _, sent = await one.dialled()
    await clock.advance(one.service.settings.calls.ring_timeout)
    cancel = await one.channel.next(CancelInvite)
    assert cancel.call_id == field(sent, "Call-ID")
    assert (await one.worker.next(models.Rejected)).code == 408
    peer.answers(sent, 487)
    assert (await one.worker.next(models.Ended)).code == 408


async def test_hangs_up_before_the_answer(one: World) -> None:
    peer, invited, sent = await one.dialled()
    await one.ask(models.Hangup(leg=invited.leg, reason="changed my mind"))
    assert await one.channel.next(CancelInvite) == CancelInvite(
        field(sent, "Call-ID") or "", int((field(sent, "CSeq") or "").split()[0])
    )
    peer.answers(sent, 487)
    await one.settle()
    assert one.worker.silent
    assert len(one.service.legs) == 0


async def test_nobody_answers_the_cancel(one: World, clock: Clock) -> None:
    _, invited, _ = await one.dialled()
    await one.ask(models.Hangup(leg=invited.leg))
    await one.channel.next(CancelInvite)
    await clock.advance(uac.CANCEL_TIMEOUT)
    await one.settle()
    assert len(one.service.legs) == 0


async def test_an_answer_that_crosses_the_cancel_is_hung_up(one: World) -> None:
    peer, invited, sent = await one.dialled()
    await one.ask(models.Hangup(leg=invited.leg))
    await one.channel.next(CancelInvite)
    peer.answers(sent, 200, body=sdp())
    peer.answers(await one.channel.send("BYE"), 200)
    await one.settle()
    assert one.worker.silent
    assert len(one.service.legs) == 0


async def test_a_bot_that_leaves_cancels_its_call(one: World) -> None:
    await one.dialled()
    await one.ask(models.Leave(session="other"))
    await one.settle()
    assert one.channel.rest == []
    await one.ask(models.Leave(session="s1"))
    await one.channel.next(CancelInvite)


# Afterwards


async def test_a_bot_that_leaves_keeps_a_call_that_stands(one: World) -> None:
    await one.talking()
    await one.ask(models.Leave(session="s1"))
    await one.settle()
    assert one.channel.rest == []


async def test_hangs_up_after_the_answer(one: World) -> None:
    peer, leg, _ = await one.talking()
    await one.ask(models.Hangup(leg=leg, headers={"X-Why": "bye"}))
    bye = await one.channel.send("BYE")
    assert field(bye, "X-Why") == "bye"
    peer.answers(bye, 200)
    await one.settle()
    assert one.worker.silent
    assert one.ng.calls == set()


async def test_the_callee_hangs_up(one: World) -> None:
    peer, leg, _ = await one.talking()
    peer.request("BYE")
    await one.channel.reply(200)
    ended = await one.worker.next(models.Ended)
    assert (ended.leg, ended.initiator, ended.reason, ended.code) == (leg, "callee", "BYE", 200)


async def test_the_callee_holds_and_its_reinvite_may_be_cancelled(one: World) -> None:
    peer, _, _ = await one.talking()
    peer.request("INVITE", body=sdp(direction="inactive"))
    await one.channel.reply(200)
    assert (await one.worker.next(models.MediaChanged)).stream.direction == "inactive"
    peer.ack()
    one.ng.gate.clear()
    one.ng.asked.clear()
    peer.request("INVITE", body=sdp())
    await one.ng.asked.wait()
    peer.cancel()
    await one.channel.reply(487)
    one.ng.gate.set()


async def test_a_second_branch_that_answers_is_hung_up(one: World) -> None:
    peer, _, sent = await one.talking()
    peer.tag = "another-phone"
    peer.answers(sent, 200, body=sdp())
    assert [(await one.channel.next(Send)).method for _ in range(2)] == ["ACK", "BYE"]
    assert one.worker.silent


async def test_a_call_without_a_far_end_any_more_ends(one: World) -> None:
    _, leg, _ = await one.talking()
    await one.ask(models.Hangup(leg=leg))
    one.service.on_event(given_up(await one.channel.send("BYE")))
    await one.settle()
    assert len(one.service.legs) == 0
