"""Bots that do not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import aiohttp
import pytest
from aiohttp import WSMsgType

from control.config import Api, Settings
from media.api import outbox
from media.api.events import AddHistory, encode
from media.api.outbox import MAX_UNREAD_AUDIO, MAX_UNREAD_EVENTS
from media.api.server import make_app
from tests.support.apiport import PATIENCE, Deaf, Door, Port, Stub, listening, serving


class Sink(Protocol):
    """Whatever fills a bot's socket."""

    def __call__(self, stub: Stub) -> None: ...


def an_event(stub: Stub) -> None:
    stub.outbox.send(encode(AddHistory(timestamp=1, speaker="bot", text="x" * 100_000)))


def audio(stub: Stub) -> None:
    stub.outbox.send_audio(bytes(10_000))


@asynccontextmanager
async def stuffed(port: Port, fill: Sink) -> AsyncIterator[Deaf]:
    """A bot that does not read, for which more waits than may."""
    with Deaf(port) as bot:
        await bot.connect()
        while port.stub.outbox.is_open:
            fill(port.stub)
            await asyncio.sleep(0)
        yield bot


STUFFINGS = pytest.mark.parametrize(
    ("fill", "most"), [(an_event, MAX_UNREAD_EVENTS), (audio, MAX_UNREAD_AUDIO)]
)


@STUFFINGS
async def test_a_bot_that_does_not_read_is_cut_off(
    fill: Sink, most: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "CLOSE_SECONDS", 0.05)
    async with asyncio.timeout(60), serving(Api(ping=0)) as port, stuffed(port, fill) as bot:
        said = f"the bot does not read: more than {most} bytes are unread"
        assert f"session {port.stub.arrival.session_id}: {said}" in caplog.text
        assert port.stub.outbox.closed_because == said
        await port.stub.gone.wait()
        await bot.read()


@STUFFINGS
async def test_a_bot_that_reads_again_in_time_learns_why(fill: Sink, most: int) -> None:
    async with asyncio.timeout(60), serving(Api(ping=0)) as port, stuffed(port, fill) as bot:
        reason = f"the bot does not read: more than {most} bytes are unread".encode()
        end = bytes([0x88, 2 + len(reason)]) + (1008).to_bytes(2, "big") + reason
        await bot.read(end)
        assert len(bot.data) > most
        # The close handshake ends it (RFC 6455 section 5.5.1).
        await asyncio.get_running_loop().sock_sendall(bot.socket, bytes([0x88, 0x80, 0, 0, 0, 0]))
        await port.stub.gone.wait()


async def test_a_bot_that_does_not_read_the_end_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "CLOSE_SECONDS", 0.05)
    async with asyncio.timeout(60), serving(Api(ping=0)) as port:
        with Deaf(port) as bot:
            await bot.connect()
            for _ in range(100):
                port.stub.outbox.send(encode(AddHistory(timestamp=1, speaker="bot", text="x" * 100_000)))
            port.stub.outbox.close(1000, "over")
            await port.stub.gone.wait()


async def test_a_server_that_stops_leaves_no_session() -> None:
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as http:
        async with listening(make_app(Settings(), door := Door())) as (host, port):
            bot = await http.ws_connect(f"ws://{host}:{port}/call/sip")
            assert not door.stubs[0].gone.is_set()
        await bot.close()
        await door.stubs[0].gone.wait()


async def test_audio_and_events_keep_their_order() -> None:
    async with serving() as port, port.bot() as bot:
        for number in range(300):
            port.stub.outbox.send_audio(bytes([number % 256]) * number)
            port.stub.digit(str(number))
        port.stub.outbox.close(1000, "")
        port.stub.outbox.send_audio(b"late")
        for number in range(300):
            message = await bot.receive()
            assert (message.type, message.data) == (WSMsgType.BINARY, bytes([number % 256]) * number)
            assert (await bot.receive()).json()["digit"] == str(number)
        assert (await bot.receive()).type is WSMsgType.CLOSE
