"""Outgoing calls with SIPp as the callee."""

from pathlib import Path

import pytest

from tests.support.bot import Bot
from tests.support.lab import PASSWORD, USERNAME, Lab
from tests.support.ports import Address
from tests.support.sipp import sipp

pytestmark = pytest.mark.daemons


async def invite(bot: Bot, callee: Address | str, **option: object) -> None:
    """Let `bot` call a direct address, or any callee as it is written."""
    uri = callee if isinstance(callee, str) else f"sip:phone@{callee}"
    await bot.send("invite", option={"caller": "sip:bot@sidecall.example", "callee": uri, **option})


async def test_callee_rings_answers_and_the_bot_hangs_up(lab: Lab, tmp_path: Path) -> None:
    there = lab.callee()
    values = {"invite_pattern": "From: .*sip:bot@sidecall.example"}
    async with sipp("uas_answer", tmp_path, local=there, values=values) as called, lab.system.bot() as bot:
        await invite(bot, there)
        ringing = await bot.event("ringing")
        answer = await bot.event("answer")
        await bot.send("hangup", reason="done")
        await called.succeeded()
        hangup = await bot.ended()
    assert ringing["earlyMedia"] is False
    assert "m=audio" in answer["sdp"]
    assert hangup["reason"] == "done"
    assert hangup["to"]["username"] == "phone"
    assert bot.names == ["ringing", "trackStart", "answer", "metrics", "trackEnd", "hangup"]


async def test_callee_sends_early_media(lab: Lab, tmp_path: Path) -> None:
    there = lab.callee()
    async with sipp("uas_early", tmp_path, local=there) as called, lab.system.bot() as bot:
        await invite(bot, there)
        ringing = await bot.event("ringing")
        await bot.event("answer")
        await bot.send("hangup")
        await called.succeeded()
        await bot.ended()
    assert ringing["earlyMedia"] is True
    assert bot.names.count("trackStart") == 1


async def test_trunk_that_asks_for_a_password(lab: Lab, tmp_path: Path) -> None:
    values = {"username": USERNAME, "password": PASSWORD}
    async with (
        sipp("uas_auth", tmp_path, local=lab.carrier, values=values) as called,
        lab.system.bot() as bot,
    ):
        await invite(bot, "sip:+15550001@anywhere.example")
        await bot.event("answer")
        await bot.send("hangup")
        await called.succeeded()
        await bot.ended()
    assert "reject" not in bot.names


@pytest.mark.parametrize(
    ("code", "reason"), [(302, "Moved Temporarily"), (486, "Busy Here"), (603, "Decline")]
)
async def test_callee_refuses(lab: Lab, tmp_path: Path, code: int, reason: str) -> None:
    there = lab.callee()
    values = {"code": str(code), "reason": reason}
    async with sipp("uas_final", tmp_path, local=there, values=values) as called, lab.system.bot() as bot:
        await invite(bot, there)
        reject = await bot.event("reject")
        await called.succeeded()
        await bot.ended()
    assert reject["code"] == code
    assert reject["reason"] == reason
    assert bot.names == ["reject", "hangup"]


async def test_callee_rings_too_long(lab: Lab, tmp_path: Path) -> None:
    there = lab.callee()
    async with sipp("uas_cancelled", tmp_path, local=there) as called, lab.system.bot() as bot:
        await invite(bot, there)
        await bot.event("ringing")
        reject = await bot.event("reject")
        await called.succeeded()
        await bot.ended()
    assert reject["code"] == 408


async def test_bot_hangs_up_while_it_rings(lab: Lab, tmp_path: Path) -> None:
    there = lab.callee()
    async with sipp("uas_cancelled", tmp_path, local=there) as called, lab.system.bot() as bot:
        await invite(bot, there)
        await bot.event("ringing")
        await bot.send("hangup", reason="changed my mind")
        hangup = await bot.ended()
        await called.succeeded()
    assert hangup["reason"] == "changed my mind"
    assert "answer" not in bot.names


async def test_callee_hangs_up(lab: Lab, tmp_path: Path) -> None:
    there = lab.callee()
    async with sipp("uas_bye", tmp_path, local=there) as called, lab.system.bot() as bot:
        await invite(bot, there)
        await bot.event("answer")
        await called.succeeded()
        hangup = await bot.ended()
    assert hangup["initiator"] == "callee"
