import asyncio
from typing import Any

import pytest

from control.api import models
from control.errors import LegError, LegErrorCode, NgError
from control.sip.sdp import parse
from tests.support.browseroffers import OFFERS
from tests.support.callworld import SLOT, FakeWorker, World

CHROME = OFFERS["chrome"]
DOWN = NgError("rtpengine did not answer")


def connect(offer: str = CHROME, **options: Any) -> models.Connect:
    return models.Connect(session="s1", endpoint=SLOT, offer=offer, **options)


def reconnect(leg: str, offer: str = CHROME, session: str = "s1") -> models.Reconnect:
    return models.Reconnect(leg=leg, session=session, offer=offer)


async def refusal(one: World, request: models.Request) -> LegError:
    with pytest.raises(LegError) as caught:
        await one.ask(request)
    return caught.value


async def connecting(one: World) -> asyncio.Task[Any]:
    """A browser whose offer is with rtpengine, which takes its time."""
    one.ng.gate.clear()
    task = asyncio.create_task(one.ask(connect()))
    await one.ng.asked.wait()
    return task


async def nothing_is_left(one: World) -> None:
    one.ng.gate.set()
    await one.settle()
    assert len(one.service.legs) == 0
    assert one.ng.calls == set()
    assert one.worker.silent


async def test_an_offer_is_answered(one: World) -> None:
    connected = await one.ask(connect())
    assert (connected.stream.codec, connected.stream.payload_type) == ("opus", 111)
    assert (connected.stream.event_payload_type, connected.stream.event_clock_rate) == (110, 48000)
    answer = parse(connected.sdp.encode())
    assert answer.attributes == (("group", "BUNDLE 0"),)
    assert answer.media[0].formats == ("111", "110")
    assert [leg.id for leg in one.service.legs] == [connected.leg]
    assert all(leg.answered for leg in one.service.legs)
    assert one.ng.calls == {connected.leg}
    assert not one.channel.sent


@pytest.mark.parametrize("ipv6", [True, False])
async def test_candidates_with_ipv6_on_request(
    one: World, monkeypatch: pytest.MonkeyPatch, ipv6: bool
) -> None:
    offers: list[bytes] = []
    usual = one.ng.command

    async def command(name: str, /, **fields: Any) -> Any:
        if name == "offer":
            offers.append(fields["sdp"])
        return await usual(name, **fields)

    monkeypatch.setattr(one.ng, "command", command)
    connected = await one.ask(connect(ipv6=ipv6))
    await one.ask(reconnect(connected.leg))
    assert [b"2001:db8::17" in offer for offer in offers] == [ipv6, ipv6]
    assert all(b"192.168.1.17" in offer for offer in offers)


async def test_hangup_frees_all_and_tells_nobody(one: World) -> None:
    connected = await one.ask(connect())
    assert await one.ask(models.Hangup(leg=connected.leg, reason="bye")) == models.Done()
    await nothing_is_left(one)
    assert await one.ask(models.Hangup(leg=connected.leg)) == models.Done()


@pytest.mark.parametrize(
    ("offer", "says"),
    [
        ("", "the offer is empty"),
        ("rubbish", "SDP line 1"),
        (CHROME.replace("m=audio", "m=video"), "no audio section"),
        (CHROME.replace("opus", "lpc").replace("111 63 9 0 8", "111"), "offer one of opus"),
    ],
)
async def test_an_offer_that_cannot_be_used_costs_rtpengine_nothing(
    one: World, offer: str, says: str
) -> None:
    refused = await refusal(one, connect(offer))
    assert refused.code == LegErrorCode.NOT_ACCEPTABLE
    assert says in str(refused)
    assert one.ng.commands == []
    await nothing_is_left(one)


async def test_rtpengine_is_away(one: World) -> None:
    one.ng.fault = DOWN
    refused = await refusal(one, connect())
    assert (refused.code, str(refused)) == (LegErrorCode.UNAVAILABLE, str(DOWN))
    await nothing_is_left(one)


async def test_rtpengine_answers_what_nobody_can_read(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = one.ng.command

    async def command(name: str, /, **fields: Any) -> Any:
        reply = await usual(name, **fields)
        return {"result": "ok", "sdp": b"rubbish"} if name == "answer" else reply

    monkeypatch.setattr(one.ng, "command", command)
    refused = await refusal(one, connect())
    assert refused.code == LegErrorCode.UNAVAILABLE
    assert "rtpengine gave a description that we cannot use" in str(refused)
    await nothing_is_left(one)


async def test_the_bot_leaves_while_rtpengine_thinks(one: World) -> None:
    task = await connecting(one)
    await one.ask(models.Leave(session="s1"))
    one.ng.gate.set()
    with pytest.raises(LegError, match="is over"):
        await task
    await nothing_is_left(one)


async def test_the_connection_of_the_worker_breaks_while_rtpengine_thinks(one: World) -> None:
    task = await connecting(one)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await nothing_is_left(one)


async def test_a_bot_that_leaves_keeps_a_call_that_stands(one: World) -> None:
    await one.ask(connect())
    await one.ask(models.Leave(session="s1"))
    assert len(one.service.legs) == 1


async def test_the_worker_is_gone(one: World) -> None:
    await one.ask(connect())
    other = FakeWorker("other")
    one.service.on_gone(other)
    assert len(one.service.legs) == 1
    one.service.on_gone(one.worker)
    assert (await one.worker.next(models.Ended)).code == 503
    await nothing_is_left(one)


async def test_a_worker_that_comes_back_keeps_what_it_holds(one: World) -> None:
    kept, lost = await one.ask(connect()), await one.ask(connect())
    assert one.service.on_hello(one.worker, {kept.leg}) == (kept.leg,)
    assert (await one.worker.next(models.Ended)).leg == lost.leg
    assert [leg.id for leg in one.service.legs] == [kept.leg]


async def test_control_stops(one: World) -> None:
    connected = await one.ask(connect())
    await one.service.close(1)
    ended = await one.worker.next(models.Ended)
    assert (ended.leg, ended.session) == (connected.leg, "s1")
    assert (ended.initiator, ended.reason, ended.code) == ("system", "shutdown", 503)
    refused = await refusal(one, connect())
    assert (refused.code, str(refused)) == (LegErrorCode.UNAVAILABLE, "control is shutting down")
    await nothing_is_left(one)


async def test_no_sip_event_reaches_it(one: World) -> None:
    await one.ask(connect())
    assert one.service.legs.by_tag("") is one.service.legs.by_tag(None) is None
    peer = one.peer()
    peer.request("BYE")
    await one.channel.reply(481)
    assert len(one.service.legs) == 1


# Later offers


async def test_a_later_offer(one: World) -> None:
    first = await one.ask(connect())
    held = await one.ask(reconnect(first.leg, CHROME.replace("a=sendrecv", "a=sendonly")))
    assert held.leg == first.leg
    assert held.stream.direction == "recvonly"
    assert (held.stream.port, len(one.ng.calls)) == (first.stream.port, 1)
    assert one.worker.silent


async def test_a_later_offer_that_cannot_be_used_changes_nothing(one: World) -> None:
    connected = await one.ask(connect())
    refused = await refusal(one, reconnect(connected.leg, "rubbish"))
    assert refused.code == LegErrorCode.NOT_ACCEPTABLE
    assert one.ng.commands == ["offer", "answer"]
    assert (await one.ask(reconnect(connected.leg))).stream == connected.stream


async def test_a_later_offer_that_rtpengine_refuses_ends_the_call(one: World) -> None:
    connected = await one.ask(connect())
    one.ng.fault = DOWN
    refused = await refusal(one, reconnect(connected.leg))
    assert refused.code == LegErrorCode.UNAVAILABLE
    ended = await one.worker.next(models.Ended)
    assert (ended.initiator, ended.reason, ended.code) == ("system", str(DOWN), 503)
    await nothing_is_left(one)


async def test_a_later_offer_is_too_late(one: World) -> None:
    connected = await one.ask(connect())
    one.ng.gate.clear()
    one.ng.asked.clear()
    task = asyncio.create_task(one.ask(reconnect(connected.leg)))
    await one.ng.asked.wait()
    await one.ask(models.Hangup(leg=connected.leg))
    one.ng.gate.set()
    with pytest.raises(LegError, match="is over"):
        await task
    await nothing_is_left(one)


async def test_a_later_offer_needs_a_call_of_this_session(one: World) -> None:
    connected = await one.ask(connect())
    assert (await refusal(one, reconnect("nobody"))).code == LegErrorCode.NO_SUCH_LEG
    assert (await refusal(one, reconnect(connected.leg, session="s2"))).code == LegErrorCode.FORBIDDEN
    _, invited, _ = await one.dialled()
    assert (await refusal(one, reconnect(invited.leg))).code == LegErrorCode.NO_SUCH_LEG
