"""Bots and sessions talk over the API port; bots that do too much, or nothing."""

import asyncio
from contextlib import suppress
from datetime import datetime

import pytest
from aiohttp import WSMsgType

from control.config import Api, Token
from media.api import server
from tests.support.apiport import PATIENCE, TOKEN, Deaf, Stub, serving


async def test_frames_reach_the_session_in_order() -> None:
    async with serving() as port, port.bot() as bot:
        await bot.send_str("one")
        await bot.send_bytes(b"\x01\x02")
        await bot.send_str("ü")
        while len(port.stub.said) < 3:
            port.stub.heard.clear()
            await port.stub.heard.wait()
        assert port.stub.said == ["one", b"\x01\x02", "ü"]


async def test_events_arrive_in_order_and_none_is_lost() -> None:
    async with serving() as port, port.bot() as bot:
        for number in range(2000):
            port.stub.digit(str(number))
        port.stub.outbox.close(1000, "said all")
        port.stub.digit("late")
        digits = [message.json()["digit"] async for message in bot]
        assert digits == [str(number) for number in range(2000)]
        assert bot.close_code == 1000


@pytest.mark.parametrize("code", [1000, 1012])
async def test_the_session_decides_how_the_socket_closes(code: int) -> None:
    async with serving() as port, port.bot() as bot:
        port.stub.digit("1")
        port.stub.outbox.close(code, "over")
        port.stub.outbox.close(1011, "a second time")
        assert (await bot.receive()).json()["event"] == "dtmf"
        message = await bot.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, code, "over")


@pytest.mark.parametrize("reason", ["x" * 300, "xy" + "€" * 100, "\ud800", ""])
async def test_a_close_reason_fits_into_its_frame(reason: str) -> None:
    async with serving() as port, port.bot() as bot:
        port.stub.outbox.close(1000, reason)
        message = await bot.receive()
        assert message.type is WSMsgType.CLOSE
        assert message.extra is not None
        assert reason.replace("\ud800", "?").startswith(message.extra)
        assert len(message.extra.encode()) > 119 or len(reason) < 2


async def test_a_message_that_is_too_big_closes_with_1009_and_a_reason() -> None:
    async with serving(Api(max_command=65_536)) as port, port.bot(max_msg_size=0) as bot:
        await bot.send_str("x" * 65_536)
        await port.stub.heard.wait()
        await bot.send_bytes(bytes(10_000_000))
        message = await bot.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)
        assert message.extra == "a message may have 65536 bytes at most"
        await port.stub.gone.wait()
        assert [len(each) for each in port.stub.said] == [65_536]


async def test_text_that_is_no_utf_8_closes_with_1007_and_a_reason() -> None:
    """RFC 6455 section 8.1 leaves no other way."""
    async with serving() as port, port.bot() as bot:
        await bot.send_frame(b"ab\xff\xfe", WSMsgType.TEXT)
        message = await bot.receive()
        assert (message.data, message.extra) == (1007, "text is not UTF-8 at byte 2")
        await port.stub.gone.wait()
        assert port.stub.said == []


async def test_pings_are_answered() -> None:
    async with serving() as port, port.http.ws_connect("/call?ping=0", autoping=False) as bot:
        await bot.ping(b"here?")
        message = await bot.receive()
        assert (message.type, message.data) == (WSMsgType.PONG, b"here?")


async def test_a_connection_that_breaks_is_told_to_the_session() -> None:
    async with asyncio.timeout(PATIENCE), serving() as port:
        with Deaf(port) as bot:
            await bot.connect()
        await port.stub.gone.wait()
        port.stub.digit("1")


async def test_an_error_of_the_session_closes_its_socket_and_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(stub: Stub, text: str) -> None:
        raise RuntimeError("a bug")

    async with serving() as port, port.bot() as other:
        async with port.bot() as bot:
            monkeypatch.setattr(port.stub, "receive", broken.__get__(port.stub))
            await bot.send_str("x")
            message = await bot.receive()
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1011)
        assert "a bug" in caplog.text
        port.door.stubs[0].digit("1")
        assert (await other.receive()).json()["digit"] == "1"


async def test_commands_above_the_rate_are_answered_and_not_carried_out() -> None:
    async with serving(Api(commands_per_second=0.01)) as port, port.bot() as bot:
        await bot.send_str("first")
        await bot.send_str("second")
        error = (await bot.receive()).json()
        assert (error["event"], error["sender"], error["code"]) == ("error", "command", 429)
        assert "not carried out" in error["error"]
        assert port.stub.said == ["first"]


async def test_a_token_may_have_a_rate_of_its_own() -> None:
    tokens = (Token(name="slow", token=TOKEN, commands_per_second=0.01),)
    async with serving(tokens=tokens) as port, port.bot(f"?token={TOKEN}") as bot:
        assert port.stub.arrival.token is not None
        assert port.stub.arrival.token.name == "slow"
        await bot.send_str("first")
        await bot.send_str("second")
        assert (await bot.receive()).json()["code"] == 429


async def test_a_flood_of_commands_is_cut_off() -> None:
    async with serving(Api(commands_per_second=1)) as port, port.bot() as bot:
        for _ in range(100):
            await bot.send_str("x")
        codes = []
        while (message := await bot.receive()).type is WSMsgType.TEXT:
            codes.append(message.json()["code"])
        assert (message.data, message.extra) == (1008, "a flood of commands")
        assert set(codes) == {429}
        assert (len(port.stub.said), len(codes)) == (2, 20)


async def test_audio_above_the_rate_is_dropped_and_said_so_once_a_second() -> None:
    async with serving() as port, port.bot("", max_msg_size=0) as bot:
        for _ in range(20):
            await bot.send_bytes(bytes(100_000))
        error = (await bot.receive()).json()
        assert (error["sender"], error["code"]) == ("media", 429)
        assert "too fast" in error["error"]
        port.stub.digit("1")
        assert (await bot.receive()).json()["event"] == "dtmf"
        assert len(port.stub.said) in (12, 13)


async def test_a_flood_of_audio_is_cut_off() -> None:
    async with serving() as port, port.bot("", max_msg_size=0) as bot:
        with suppress(ConnectionError):
            for _ in range(80):
                await bot.send_bytes(bytes(100_000))
        while (message := await bot.receive()).type is WSMsgType.TEXT:
            pass
        assert (message.data, message.extra) == (1008, "a flood of audio")


async def test_pings_begin_at_once_and_the_session_learns_of_them() -> None:
    async with serving() as port, port.http.ws_connect("/call?ping=1", autoping=False) as bot:
        message = await bot.receive()
        assert message.type is WSMsgType.PING
        assert port.stub.pings == [message.data.decode()]
        assert datetime.fromisoformat(port.stub.pings[0]).tzinfo is not None


async def test_a_bot_that_answers_pings_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TURN_SECONDS", 0.02)
    async with asyncio.timeout(PATIENCE), serving() as port, port.bot("?ping=1") as bot:
        reading = asyncio.create_task(bot.receive())
        while len(port.stub.pings) < 5:
            port.stub.heard.clear()
            await port.stub.heard.wait()
        port.stub.digit("1")
        assert (await reading).json()["digit"] == "1"


async def test_a_half_open_connection_is_dropped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "TURN_SECONDS", 0.02)
    async with asyncio.timeout(PATIENCE), serving() as port:
        with Deaf(port, "/call?ping=1") as bot:
            await bot.connect()
            await port.stub.gone.wait()
            assert "does not answer pings" in caplog.text
            assert len(port.stub.pings) == 1
            assert port.stub.outbox.closed_because == "the bot does not answer pings"
            await bot.read()


@pytest.mark.parametrize("query", ["?ping=0", ""])
async def test_without_pings_nobody_is_dropped(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TURN_SECONDS", 0.001)
    async with asyncio.timeout(PATIENCE), serving(Api(ping=0)) as port:
        with Deaf(port, f"/call{query}") as bot:
            await bot.connect()
            await asyncio.sleep(0.05)
            assert not port.stub.gone.is_set()
            assert port.stub.pings == []
        await port.stub.gone.wait()


# Why it ended


async def test_what_is_known_of_the_end() -> None:
    async with serving() as port:
        async with port.bot() as bot:
            await bot.close(code=4321)
        assert port.stub.outbox.closed_because == "the bot has closed its socket (4321)"
        async with port.bot() as bot:
            port.stub.outbox.close(1000, "said all")
            await bot.receive()
        assert port.stub.outbox.closed_because == "said all"
        with Deaf(port) as deaf:
            await deaf.connect()
        await port.stub.gone.wait()
        assert port.stub.outbox.closed_because == "the connection broke"
        assert not port.stub.outbox.is_open
