"""What a bot sends that is no command: an ``error`` event says so, and the call goes on."""

import aiohttp
import pytest

from tests.support import sipwire
from tests.support.lab import Lab
from tests.support.phone import phone

pytestmark = pytest.mark.daemons

GARBAGE = {
    "no JSON": "{",
    "no object": "[1, 2]",
    "a number": "42",
    "no command": "{}",
    "command of a wrong type": '{"command": 7}',
    "unknown command": '{"command": "dance"}',
    "mandatory field missing": '{"command": "tts"}',
    "field of a wrong type": '{"command": "tts", "text": 5}',
    "option of a wrong type": '{"command": "tts", "text": "a", "option": "loud"}',
    "number that is none": '{"command": "tts", "text": "a", "waitInputTimeout": "soon"}',
    "lone surrogate": '{"command": "history", "speaker": "a", "text": "\\ud800"',
    "deep nesting": "[" * 20_000,
}


async def test_the_call_survives_everything_a_bot_may_send(lab: Lab) -> None:
    async with lab.system.waiting_bot() as bot, phone(lab.caller(), lab.system.sip) as caller:
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000))
        await bot.event("incoming")
        await bot.send("accept", option={})
        await call.response(200)
        call.ack()
        await bot.event("answer")
        for name, text in GARBAGE.items():
            await bot.socket.send_str(text)
            error = await bot.event("error")
            assert error["sender"] == "command", name
            assert error["code"] == 400, name
            assert error["error"], name
            assert isinstance(error["timestamp"], int), name
        await bot.socket.send_bytes(b"\0" * 640)
        assert (await bot.event("error"))["code"] == 400
        await bot.send("history", speaker="bot", text="still here", unknown="field")
        assert (await bot.event("addHistory"))["text"] == "still here"
        await call.bye()
        await bot.ended()
    assert bot.names.count("error") == len(GARBAGE) + 1


async def test_command_at_the_wrong_moment_is_409(lab: Lab) -> None:
    async with lab.system.waiting_bot() as bot, phone(lab.caller(), lab.system.sip) as caller:
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(caller.address.host, 20_000))
        await bot.event("incoming")
        await bot.send("accept", option={})
        await call.response(200)
        call.ack()
        await bot.event("answer")
        await bot.send("accept", option={})
        assert (await bot.event("error"))["code"] == 409
        await bot.send("invite", option={"callee": "sip:x@127.0.0.1"})
        assert (await bot.event("error"))["code"] == 409
        await call.bye()
        await bot.ended()


@pytest.mark.parametrize(
    "query", [{"route": "no spaces please"}, {"id": "a/b"}, {"dump": "1"}], ids=["route", "id", "dump"]
)
async def test_bad_query_is_refused_before_the_upgrade(lab: Lab, query: dict[str, str]) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with lab.system.bot(**query):
            pass
    assert refused.value.status == 400


async def test_second_connection_with_the_same_id_is_refused(lab: Lab) -> None:
    async with lab.system.bot(id="twice"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with lab.system.bot(id="twice"):
                pass
    assert refused.value.status == 409


async def test_frame_that_is_too_big_closes_with_1009(lab: Lab) -> None:
    async with lab.system.bot(id="big") as bot:
        await bot.socket.send_str("x" * (1 << 21))
        assert await bot.closed() == 1009
