"""Outgoing calls: what SIPp does not do by itself."""

import pytest

from tests.support import ports, sipwire
from tests.support.lab import PASSWORD, USERNAME, Lab
from tests.support.phone import Dialog, phone

pytestmark = pytest.mark.daemons

CHALLENGES = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("code", [401, 407])
async def test_digest(lab: Lab, code: int, algorithm: str) -> None:
    challenge, authorization = CHALLENGES[code]
    question = f'Digest realm="carrier", nonce="n0nce", algorithm={algorithm}, qop="auth"'
    async with phone(lab.carrier, lab.system.sip) as carrier, lab.system.bot() as bot:
        await bot.send("invite", option={"callee": "+15550001"})
        first = await carrier.request("INVITE")
        assert not first.get(authorization)
        carrier.reply(first, code, tag="c", headers=[(challenge, question)])
        await carrier.request("ACK")
        second = await carrier.request("INVITE")
        assert second.cseq > first.cseq
        assert sipwire.digest_fits(second.get(authorization), "INVITE", USERNAME, PASSWORD)
        carrier.reply(second, 200, tag="t", sdp=sipwire.sdp(lab.carrier.host, 20_000))
        await carrier.request("ACK")
        await bot.event("answer")
        await bot.send("hangup")
        carrier.reply(await carrier.request("BYE"), 200)
        await bot.ended()


async def test_wrong_password_is_not_tried_for_ever(lab: Lab) -> None:
    question = 'Digest realm="carrier", nonce="n0nce", algorithm=MD5, qop="auth"'
    async with phone(lab.carrier, lab.system.sip) as carrier, lab.system.bot() as bot:
        await bot.send("invite", option={"callee": "+15550001"})
        for _ in range(2):
            request = await carrier.request("INVITE")
            carrier.reply(request, 401, tag="c", headers=[("WWW-Authenticate", question)])
            await carrier.request("ACK")
        reject = await bot.event("reject")
        await bot.ended()
    assert reject["code"] == 401
    assert PASSWORD not in lab.system.log.read_text("utf-8", "replace")


async def test_bot_hangs_up_before_anything_was_heard(lab: Lab) -> None:
    async with phone(lab.callee(), lab.system.sip) as callee, lab.system.bot() as bot:
        await bot.send("invite", option={"callee": f"sip:phone@{callee.address}"})
        request = await callee.request("INVITE")
        await bot.send("hangup", reason="never mind")
        hangup = await bot.ended()
        # RFC 3261 section 9.1: no CANCEL before a provisional response.
        assert not [message for message in callee.inbox if message.method == "CANCEL"]
        callee.reply(request, 180, tag="t")
        cancel = await callee.request("CANCEL")
        callee.reply(cancel, 200, tag="t")
        callee.reply(request, 487, tag="t")
        await callee.request("ACK")
    assert hangup["reason"] == "never mind"


async def test_answer_that_crosses_the_hangup_is_ended(lab: Lab) -> None:
    async with phone(lab.callee(), lab.system.sip) as callee, lab.system.bot() as bot:
        await bot.send("invite", option={"callee": f"sip:phone@{callee.address}"})
        request = await callee.request("INVITE")
        callee.reply(request, 180, tag="t")
        await bot.event("ringing")
        await bot.send("hangup")
        callee.reply(await callee.request("CANCEL"), 200, tag="t")
        callee.reply(request, 200, tag="t", sdp=sipwire.sdp(callee.address.host, 20_000))
        await callee.request("ACK")
        callee.reply(await callee.request("BYE"), 200)
        await bot.ended()
    assert "answer" not in bot.names


async def test_callee_that_nothing_allows_is_refused_without_any_sip(lab: Lab) -> None:
    async with phone(ports.peer(40), lab.system.sip) as stranger, lab.system.bot() as bot:
        await bot.send("invite", option={"callee": f"sip:phone@{stranger.address}"})
        reject = await bot.event("reject")
        await bot.ended()
        assert not stranger.inbox
    assert reject["code"] == 403


async def test_trunk_is_chosen_by_the_callee(lab: Lab) -> None:
    async with (
        phone(lab.carrier, lab.system.sip) as carrier,
        phone(lab.second, lab.system.sip) as second,
        lab.system.bot() as bot,
    ):
        await bot.send("invite", option={"callee": "sip:+25550002@anywhere.example"})
        invite = await second.request("INVITE")
        assert sipwire.uri_of(invite.get("To")).startswith("sip:+25550002@")
        second.reply(invite, 200, tag="t", sdp=sipwire.sdp(lab.second.host, 20_000))
        await second.request("ACK")
        await bot.event("answer")
        call = Dialog.of(second, invite, "t")
        await call.bye()
        await bot.ended()
        assert not carrier.inbox


async def test_headers_of_the_bot_go_out(lab: Lab) -> None:
    async with phone(lab.callee(), lab.system.sip) as callee, lab.system.bot() as bot:
        option = {"callee": f"sip:phone@{callee.address}", "sip": {"headers": {"X-Order": "42"}}}
        await bot.send("invite", option=option)
        invite = await callee.request("INVITE")
        callee.reply(invite, 486, "Busy Here", tag="t")
        await callee.request("ACK")
        await bot.ended()
    assert invite.get("X-Order") == "42"
