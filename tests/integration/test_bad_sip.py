"""Messages that break SIP, in the manner of RFC 4475: none reaches a bot, none hurts the next call."""

import pytest

from tests.support import sipwire
from tests.support.lab import Lab
from tests.support.phone import Phone, phone

pytestmark = pytest.mark.daemons

GOOD = (
    "INVITE {uri} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {me};branch=z9hG4bK-{call}\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:bad@{me}>;tag=f\r\n"
    "To: <{uri}>\r\n"
    "Call-ID: {call}\r\n"
    "CSeq: 1 INVITE\r\n"
    "Contact: <sip:bad@{me}>\r\n"
    "Content-Length: 0\r\n"
    "\r\n"
)

# Name: what to look for in GOOD, and what to put in its place.
FLAWS = {
    "no version": ("{uri} SIP/2.0\r\nVia", "{uri}\r\nVia"),
    "unknown version": ("{uri} SIP/2.0\r\nVia", "{uri} SIP/7.0\r\nVia"),
    "no request URI": ("INVITE {uri} SIP/2.0", "INVITE  SIP/2.0"),
    "spaces in the request URI": ("INVITE {uri} SIP/2.0", "INVITE <{uri}; user=phone> SIP/2.0"),
    "unknown URI scheme": ("INVITE {uri} SIP/2.0", "INVITE nobodyKnowsThis:bot SIP/2.0"),
    "unknown method": ("INVITE", "NEWMETHOD"),
    "no Via": ("Via: SIP/2.0/UDP {me};branch=z9hG4bK-{call}\r\n", ""),
    "no From": ("From: <sip:bad@{me}>;tag=f\r\n", ""),
    "no To": ("To: <{uri}>\r\n", ""),
    "no Call-ID": ("Call-ID: {call}\r\n", ""),
    "no CSeq": ("CSeq: 1 INVITE\r\n", ""),
    "CSeq of another method": ("CSeq: 1 INVITE", "CSeq: 1 OPTIONS"),
    "CSeq beyond 32 bits": ("CSeq: 1 INVITE", "CSeq: 36893488147419103232 INVITE"),
    "CSeq that is no number": ("CSeq: 1 INVITE", "CSeq: one INVITE"),
    "quote that never ends": ("From: <sip:bad@{me}>", 'From: "Mr. Bad <sip:bad@{me}>'),
    "URI that never ends": ("To: <{uri}>", "To: <{uri}"),
    "negative Content-Length": ("Content-Length: 0", "Content-Length: -999"),
    "Content-Length beyond the end": ("Content-Length: 0", "Content-Length: 9999"),
    "no hop left": ("Max-Forwards: 70", "Max-Forwards: 0"),
    "zero byte in a name": ("Contact:", "Con\0tact: x\r\nContact\0:"),
    "extension that we do not know": ("Contact:", "Require: nothingSupportsThis\r\nContact:"),
    "header of 20 kB": ("Contact:", "X-Long: " + 20_000 * "x" + "\r\nContact:"),
    "our own mark": ("Contact:", "X-Sidecall: b.a.forged\r\nContact:"),
    "text that is no header": ("Contact:", "this line has no colon\r\nContact:"),
    "end in the middle": ("Contact: <sip:bad@{me}>\r\nContent-Length: 0\r\n\r\n", "Cont"),
}

NOISE = {
    "nothing": b"",
    "keep-alive": b"\r\n\r\n",
    "random bytes": bytes(range(256)) * 4,
    "STUN": bytes.fromhex("000100002112a442000102030405060708090a0b"),
    "HTTP": b"GET / HTTP/1.1\r\nHost: sidecall\r\n\r\n",
    "stray response": b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
}


async def prove_alive(lab: Lab, caller: Phone) -> None:
    """Wait for the answer to an OPTIONS: what was sent before has been looked at by then."""
    ping = caller.call(lab.system.uri("bot"))
    ping.send("OPTIONS")
    await ping.response(200, "OPTIONS")


async def prove_callable(lab: Lab, caller: Phone) -> None:
    """Make a call that must work."""
    async with lab.system.waiting_bot() as bot:
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000))
        await bot.event("incoming")
        await bot.send("accept", option={})
        await call.response(200)
        call.ack()
        await bot.event("answer")
        await call.bye()
        await bot.ended()


@pytest.mark.parametrize("flaw", FLAWS)
async def test_flawed_invite_is_refused_or_dropped(lab: Lab, flaw: str) -> None:
    sought, replacement = FLAWS[flaw]
    assert sought in GOOD
    async with phone(lab.caller(), lab.system.sip) as caller:
        async with lab.system.waiting_bot() as bot:
            text = GOOD.replace(sought, replacement, 1)
            call = f"bad-{caller.address.port}"
            caller.send(text.format(uri=lab.system.uri("bot"), me=caller.address, call=call).encode())
            await prove_alive(lab, caller)
            assert not bot.events
        answers = [message for message in caller.inbox if message.get("CSeq") != "1 OPTIONS"]
        assert all(message.code >= 400 or message.code == 100 for message in answers), answers
        await prove_callable(lab, caller)


async def test_the_message_that_all_flaws_are_made_of_is_good(lab: Lab) -> None:
    async with lab.system.waiting_bot() as bot, phone(lab.caller(), lab.system.sip) as caller:
        caller.send(GOOD.format(uri=lab.system.uri("bot"), me=caller.address, call="good").encode())
        await bot.event("incoming")
        await bot.send("reject", reason="seen", code=486)
        await caller.receive(lambda message: message.code == 486)
        await bot.ended()


@pytest.mark.parametrize("noise", NOISE)
async def test_noise_is_ignored(lab: Lab, noise: str) -> None:
    async with phone(lab.caller(), lab.system.sip) as caller:
        async with lab.system.waiting_bot() as bot:
            caller.send(NOISE[noise])
            await prove_alive(lab, caller)
            assert not bot.events
        await prove_callable(lab, caller)


VIDEO_ONLY = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=video 20000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
)
DESCRIPTIONS = {
    "no audio": VIDEO_ONLY,
    "only a codec that nobody decodes": VIDEO_ONLY.replace("m=video", "m=audio").replace("H264", "X-NOISE"),
    "refused stream": VIDEO_ONLY.replace("m=video 20000 RTP/AVP 96", "m=audio 0 RTP/AVP 0"),
    "no SDP at all": "this is no session description\r\n",
    "port beyond 65535": VIDEO_ONLY.replace("m=video 20000 RTP/AVP 96", "m=audio 99999 RTP/AVP 0"),
}


@pytest.mark.parametrize("description", DESCRIPTIONS)
async def test_unusable_offer_is_488(lab: Lab, description: str) -> None:
    async with phone(lab.caller(), lab.system.sip) as caller:
        async with lab.system.waiting_bot() as bot:
            call = caller.call(lab.system.uri("bot"))
            call.send("INVITE", body=DESCRIPTIONS[description].format(host=caller.address.host))
            await call.response(488)
            assert not bot.events
        await prove_callable(lab, caller)


async def test_offer_of_g729_alone_is_488(lab: Lab) -> None:
    async with lab.system.waiting_bot() as bot, phone(lab.caller(), lab.system.sip) as caller:
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000, codecs="18"))
        await call.response(488)
        assert not bot.events
