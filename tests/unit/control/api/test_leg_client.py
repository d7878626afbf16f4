import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from control.api import client
from control.api.client import LegClient
from control.api.connection import Connection
from control.api.jsonrpc import JsonObject
from control.api.models import Digit, Done, Hello, Join, Message, Model, Notice, Welcome
from control.errors import LegError, LegErrorCode
from tests.support.callworld import PATIENCE, Serve

pytestmark = pytest.mark.usefixtures("_quick")


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RECONNECT_SECONDS", 0.0)


class Unknown(Message):
    """What an older client does not know."""

    method = "leg.of_the_future"


class BadDigit(Message):
    """A notice without its fields."""

    method = Digit.method


class FakeControl:
    """The far end: welcomes workers as `welcome` says, keeps connections and what was said."""

    def __init__(self) -> None:
        self.hellos: asyncio.Queue[Hello] = asyncio.Queue()
        self.connections: asyncio.Queue[Connection] = asyncio.Queue()
        self.welcome: Callable[[], Model] = lambda: Welcome(control="a", legs=("l1",))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, handler=self.answer)
        self.connections.put_nowait(connection)
        await connection.run()
        return socket

    async def answer(self, method: str, params: JsonObject) -> Model:
        if method == Hello.method:
            self.hellos.put_nowait(Hello.model_validate(params))
            return self.welcome()
        return Done()


class Bench:
    """A client and what it hears."""

    def __init__(self, url: str, **options: Any) -> None:
        self.legs: list[str] = []
        self.notices: asyncio.Queue[Notice] = asyncio.Queue()
        self.welcomes: asyncio.Queue[Collection[str]] = asyncio.Queue()
        parts = {"on_notice": self.notices.put_nowait, "on_welcome": self.welcomes.put_nowait} | options
        self.client = LegClient(url, "a-0", legs=lambda: self.legs, **parts)


@asynccontextmanager
async def running(url: str, **options: Any) -> AsyncIterator[Bench]:
    bench = Bench(url, **options)
    task = asyncio.create_task(bench.client.run())
    try:
        async with asyncio.timeout(PATIENCE):
            yield bench
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_says_hello_and_is_welcomed(serve: Serve) -> None:
    control = FakeControl()
    async with running(await serve(control.handle)) as bench:
        assert await bench.welcomes.get() == ("l1",)
        hello = await control.hellos.get()
        assert (hello.worker, hello.legs) == ("a-0", ())
        assert hello.instance
        assert bench.client.connected
        assert await bench.client.request(Join(session="s", pool="p"), Done) == Done()
    assert not bench.client.connected


async def test_requests_need_a_connection() -> None:
    bench = Bench("ws://127.0.0.1:9/legs")
    with pytest.raises(LegError) as caught:
        await bench.client.request(Join(session="s", pool="p"), Done)
    assert caught.value.code is LegErrorCode.NOT_CONNECTED


async def test_notices_arrive_in_order_and_unknown_ones_are_noted(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    control = FakeControl()
    async with running(await serve(control.handle)) as bench:
        connection = await control.connections.get()
        await bench.welcomes.get()
        connection.notify(Unknown())
        connection.notify(BadDigit())
        for key in "12":
            connection.notify(Digit(leg="l", session="s", digit=key))
        heard = [await bench.notices.get() for _ in range(2)]
    assert heard == [Digit(leg="l", session="s", digit=key) for key in "12"]
    assert "unknown notice leg.of_the_future" in caplog.text
    assert "bad notice leg.digit" in caplog.text


async def test_comes_back_as_the_same_instance_with_the_legs_it_holds(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    control = FakeControl()
    async with running(await serve(control.handle)) as bench:
        await bench.welcomes.get()
        bench.legs = ["l1", "l2"]
        await (await control.connections.get()).close()
        await bench.welcomes.get()
        first, second = await control.hellos.get(), await control.hellos.get()
        assert await bench.client.request(Join(session="s", pool="p"), Done) == Done()
    assert first.instance == second.instance
    assert second.legs == ("l1", "l2")
    assert "connection to control lost" in caplog.text


async def test_waits_until_control_is_there(serve: Serve) -> None:
    control = FakeControl()
    tries = 0

    async def late(request: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise web.HTTPServiceUnavailable
        return await control.handle(request)

    async with running(await serve(late)) as bench:
        await bench.welcomes.get()
    assert tries == 3


async def test_nobody_listens_at_first(unused_tcp_port: int) -> None:
    control = FakeControl()
    async with running(f"ws://127.0.0.1:{unused_tcp_port}/legs") as bench:
        app = web.Application()
        app.router.add_get("/legs", control.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
            await bench.welcomes.get()
        finally:
            await runner.cleanup()


@pytest.mark.parametrize("bad", ["refusal", "rubbish"])
async def test_is_not_lost_by_a_control_that_does_not_welcome_it(serve: Serve, bad: str) -> None:
    control = FakeControl()
    good = control.welcome

    def refuse() -> Model:
        control.welcome = good
        if bad == "rubbish":
            return Done()
        raise LegError(LegErrorCode.UNAVAILABLE, "not now")

    control.welcome = refuse
    async with running(await serve(control.handle)) as bench:
        await bench.welcomes.get()
        assert control.hellos.qsize() == 2


async def test_a_notice_that_breaks_the_worker_costs_no_connection(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    control = FakeControl()
    heard: asyncio.Queue[Notice] = asyncio.Queue()

    def on_notice(notice: Notice) -> None:
        assert isinstance(notice, Digit)
        if notice.digit == "1":
            raise ValueError("broken")
        heard.put_nowait(notice)

    async with running(await serve(control.handle), on_notice=on_notice) as bench:
        connection = await control.connections.get()
        await bench.welcomes.get()
        for key in "12":
            connection.notify(Digit(leg="l", session="s", digit=key))
        assert await heard.get() == Digit(leg="l", session="s", digit="2")
        assert bench.client.connected
    assert "broken" in caplog.text
