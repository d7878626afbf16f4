"""Incoming calls, from the INVITE to the end, with SIPp as the caller."""

from pathlib import Path

import pytest

from tests.support.lab import ANSWER_TIMEOUT, Lab
from tests.support.sipp import sipp

pytestmark = pytest.mark.daemons


async def test_call_rings_is_answered_and_ended_by_the_caller(lab: Lab, tmp_path: Path) -> None:
    local = lab.caller()
    async with (
        lab.system.waiting_bot() as bot,
        sipp("uac_answer", tmp_path, local=local, remote=lab.system.sip) as call,
    ):
        incoming = await bot.event("incoming")
        await bot.send("ringing")
        await bot.send("accept", option={})
        answer = await bot.event("answer")
        await call.succeeded()
        hangup = await bot.ended()
    assert incoming["caller"] == f"sip:caller@{local}"
    assert incoming["callee"] == lab.system.uri("bot")
    assert "m=audio" in incoming["sdp"]
    assert "m=audio" in answer["sdp"]
    assert answer["trackId"] == incoming["trackId"]
    assert hangup["initiator"] == "caller"
    assert bot.names == ["incoming", "trackStart", "answer", "metrics", "trackEnd", "hangup"]


async def test_early_media_goes_out_with_183(lab: Lab, tmp_path: Path) -> None:
    async with (
        lab.system.waiting_bot() as bot,
        sipp("uac_early", tmp_path, local=lab.caller(), remote=lab.system.sip) as call,
    ):
        await bot.event("incoming")
        await bot.send("ringing", earlyMedia=True)
        await bot.event("trackStart")
        await bot.send("accept", option={})
        await bot.event("answer")
        await call.succeeded()
        await bot.ended()


@pytest.mark.parametrize(("given", "code"), [({"code": 486}, "486"), ({}, "603")], ids=["busy", "default"])
async def test_bot_rejects(lab: Lab, tmp_path: Path, given: dict[str, int], code: str) -> None:
    values = {"code": code, "header_pattern": "Reason:.*not today"}
    async with (
        lab.system.waiting_bot() as bot,
        sipp("uac_rejected", tmp_path, local=lab.caller(), remote=lab.system.sip, values=values) as call,
    ):
        await bot.event("incoming")
        await bot.send("reject", reason="not today", **given)
        await call.succeeded()
        await bot.ended()
    assert "answer" not in bot.names


async def test_caller_cancels_while_it_rings(lab: Lab, tmp_path: Path) -> None:
    async with (
        lab.system.waiting_bot() as bot,
        sipp("uac_cancel", tmp_path, local=lab.caller(), remote=lab.system.sip) as call,
    ):
        await bot.event("incoming")
        await bot.send("ringing")
        await call.succeeded()
        hangup = await bot.ended()
    assert hangup["initiator"] == "caller"
    assert "answer" not in bot.names


@pytest.mark.slow
async def test_call_that_is_never_acknowledged_ends_after_32_seconds(lab: Lab, tmp_path: Path) -> None:
    async with (
        lab.system.waiting_bot() as bot,
        sipp("uac_no_ack", tmp_path, local=lab.caller(), remote=lab.system.sip, timeout=45) as call,
    ):
        await bot.event("incoming")
        await bot.send("accept", option={})
        await call.succeeded()
        await bot.ended()
    assert "answer" not in bot.names


async def test_bot_that_does_not_react_costs_the_caller_480(lab: Lab, tmp_path: Path) -> None:
    values = {"code": "480"}
    async with (
        lab.system.waiting_bot() as bot,
        sipp("uac_rejected", tmp_path, local=lab.caller(), remote=lab.system.sip, values=values) as call,
    ):
        await bot.event("incoming")
        await call.succeeded()
        await bot.ended()


async def test_no_bot_waits(lab: Lab, tmp_path: Path) -> None:
    values = {"code": "480"}
    async with sipp(
        "uac_rejected", tmp_path, local=lab.caller(), remote=lab.system.sip, values=values
    ) as call:
        report = await call.succeeded()
    assert report.response_ms[0] < ANSWER_TIMEOUT * 1000 / 2, "refused by the timer, not at once"


async def test_no_route_leads_there(lab: Lab, tmp_path: Path) -> None:
    values = {"code": "404"}
    async with (
        lab.system.waiting_bot() as bot,
        sipp(
            "uac_rejected",
            tmp_path,
            local=lab.caller(),
            remote=lab.system.sip,
            values=values,
            user="nobody",
        ) as call,
    ):
        await call.succeeded()
        assert not bot.events


async def test_route_chooses_the_pool(lab: Lab, tmp_path: Path) -> None:
    async with (
        lab.system.waiting_bot() as bot,
        lab.system.waiting_bot("other") as other,
        sipp("uac_answer", tmp_path, local=lab.caller(), remote=lab.system.sip, user="other") as call,
    ):
        await other.event("incoming")
        await other.send("ringing")
        await other.send("accept", option={})
        await call.succeeded()
        await other.ended()
        assert not bot.events


async def test_bot_hangs_up(lab: Lab, tmp_path: Path) -> None:
    async with (
        lab.system.waiting_bot() as bot,
        sipp("uac_peer_bye", tmp_path, local=lab.caller(), remote=lab.system.sip) as call,
    ):
        await bot.event("incoming")
        await bot.send("accept", option={})
        await bot.event("answer")
        await bot.send("hangup", reason="all said", initiator="system")
        await call.succeeded()
        hangup = await bot.ended()
    assert hangup["reason"] == "all said"
    assert hangup["initiator"] == "system"


async def test_bot_that_closes_its_socket_ends_the_call(lab: Lab, tmp_path: Path) -> None:
    async with sipp("uac_peer_bye", tmp_path, local=lab.caller(), remote=lab.system.sip) as call:
        async with lab.system.waiting_bot() as bot:
            await bot.event("incoming")
            await bot.send("accept", option={})
            await bot.event("answer")
        await call.succeeded()


async def test_requests_within_the_dialog(lab: Lab, tmp_path: Path) -> None:
    async with (
        lab.system.waiting_bot() as bot,
        sipp("uac_in_dialog", tmp_path, local=lab.caller(), remote=lab.system.sip) as call,
    ):
        await bot.event("incoming")
        await bot.send("accept", option={})
        await bot.event("answer")
        digit = await bot.event("dtmf")
        await call.succeeded()
        await bot.ended()
    assert digit["digit"] == "5"
    assert bot.names.count("dtmf") == 1
    assert bot.names.count("answer") == 1
