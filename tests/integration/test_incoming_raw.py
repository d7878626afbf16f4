"""Incoming calls: what SIPp does not do by itself."""

import pytest

from tests.support import ports, sipwire
from tests.support.bot import Bot
from tests.support.lab import Lab
from tests.support.phone import Dialog, Phone, phone
from tests.support.ports import Address
from tests.support.rtpcap import PCMU, rtp_peer

pytestmark = pytest.mark.daemons


async def accepted(lab: Lab, caller: Phone, bot: Bot, media: Address) -> tuple[Dialog, Address]:
    """Call the waiting `bot`, let it accept, and return the call and where its audio goes."""
    call = caller.call(lab.system.uri("bot"))
    call.send("INVITE", body=sipwire.sdp(*media))
    await bot.event("incoming")
    await bot.send("accept", option={})
    answer = await call.response(200)
    call.ack()
    await bot.event("answer")
    return call, Address(*sipwire.media_address(answer.body))


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "INVITE"])
@pytest.mark.parametrize("tag", ["b.a.0123456789", "somebody-elses"], ids=["like ours", "foreign"])
async def test_unknown_dialog_is_481(lab: Lab, method: str, tag: str) -> None:
    async with phone(lab.caller(), lab.system.sip) as caller:
        call = caller.call(lab.system.uri("bot"))
        call.remote += f";tag={tag}"
        call.send(method)
        await call.response(481, method)


async def test_retransmitted_invite_is_one_call(lab: Lab) -> None:
    async with lab.system.waiting_bot() as bot, phone(lab.caller(), lab.system.sip) as caller:
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000))
        call.retransmit()
        await bot.event("incoming")
        call.retransmit()
        await bot.send("accept", option={})
        await call.response(200)
        call.ack()
        await bot.event("answer")
        await call.bye()
        await bot.ended()
        tags = {message.tag("To") for message in caller.inbox if message.code >= 180}
    assert len(tags) == 1
    assert bot.names.count("incoming") == 1


async def test_answer_is_repeated_until_it_is_acknowledged(lab: Lab) -> None:
    async with lab.system.waiting_bot() as bot, phone(lab.caller(), lab.system.sip) as caller:
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000))
        await bot.event("incoming")
        await bot.send("accept", option={})
        first = await call.response(200)
        second = await call.response(200)
        assert "answer" not in bot.names
        call.ack()
        await bot.event("answer")
        await call.bye()
        await bot.ended()
    assert first.body == second.body


async def test_keys_come_as_telephone_events(lab: Lab) -> None:
    async with (
        lab.system.waiting_bot() as bot,
        phone(lab.caller(), lab.system.sip) as caller,
        rtp_peer(Address(caller.address.host, ports.even_port(caller.address.host))) as rtp,
    ):
        call, rtp.remote = await accepted(lab, caller, bot, rtp.address)
        keys = "5500*#"
        for key in keys:
            await rtp.press(key)
        pressed = [(await bot.event("dtmf"))["digit"] for _ in keys]
        await call.bye()
        await bot.ended()
    assert "".join(pressed) == keys
    assert bot.names.count("dtmf") == len(keys)


async def test_hold_and_resume(lab: Lab) -> None:
    async with (
        lab.system.waiting_bot() as bot,
        phone(lab.caller(), lab.system.sip) as caller,
        rtp_peer(Address(caller.address.host, ports.even_port(caller.address.host))) as rtp,
    ):
        call, rtp.remote = await accepted(lab, caller, bot, rtp.address)
        held = await call.establish(sipwire.sdp(*rtp.address, direction="sendonly"))
        assert "a=recvonly" in held
        resumed = await call.establish(sipwire.sdp(*rtp.address))
        assert "a=recvonly" not in resumed
        seen = len(rtp.packets)
        await bot.send("tts", text="Here I am again.")
        await rtp.packet(lambda packet: packet.payload_type == PCMU and packet.loudness > 0.02, after=seen)
        await call.bye()
        await bot.ended()
    assert bot.names.count("answer") == 1


async def test_caller_hangs_up_before_the_answer_arrives(lab: Lab) -> None:
    async with lab.system.waiting_bot() as bot, phone(lab.caller(), lab.system.sip) as caller:
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000))
        await bot.event("incoming")
        await bot.send("accept", option={})
        await call.response(200)
        invite = call.cseq
        call.send("BYE")
        await call.response(200, "BYE")
        call.send("ACK", cseq=invite)
        await bot.ended()
