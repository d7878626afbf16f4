import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from control.api.connection import Connection, Handler, Listener
from control.api.jsonrpc import JsonObject
from control.api.models import Claim, Digit, Done, Join, Model, Welcome
from control.errors import LegError, LegErrorCode
from tests.support.callworld import PATIENCE, Serve

JOIN = Join(session="s", pool="p")


async def refuse(method: str, params: JsonObject) -> Model:
    raise LegError(LegErrorCode.NO_SUCH_LEG, f"no {method}")


async def echo(method: str, params: JsonObject) -> Model:
    return Welcome(control=method, legs=(params["session"],))


def digit(key: str) -> Digit:
    return Digit(leg="l", session="s", digit=key)


@asynccontextmanager
async def connected(
    serve: Serve,
    *,
    far_handler: Handler | None = None,
    far_listener: Listener | None = None,
    handler: Handler | None = None,
    listener: Listener | None = None,
) -> AsyncIterator[tuple[Connection, Connection]]:
    """Both ends of a connection: ours and the far one, whose handler and listener are named so."""
    made: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

    async def accept(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, handler=far_handler, listener=far_listener)
        made.set_result(connection)
        await connection.run()
        return socket

    url = await serve(accept)
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        ours = Connection(socket, handler=handler, listener=listener)
        running = asyncio.create_task(ours.run())
        async with asyncio.timeout(PATIENCE):
            yield ours, await made
            await ours.close()
            await running


@asynccontextmanager
async def raw(serve: Serve, **ends: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A plain WebSocket to a connection."""

    async def accept(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await Connection(socket, **ends).run()
        return socket

    url = await serve(accept)
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket, asyncio.timeout(PATIENCE):
        yield socket


async def code_of(request: Any) -> LegErrorCode:
    """How `request` is refused."""
    with pytest.raises(LegError) as caught:
        await request
    return caught.value.code


async def test_requests_go_both_ways(serve: Serve) -> None:
    async with connected(serve, far_handler=echo, handler=echo) as (ours, theirs):
        first, second = await asyncio.gather(
            ours.request(JOIN, Welcome), theirs.request(Claim(session="t", leg="l"), Welcome)
        )
    assert first == Welcome(control="pool.join", legs=("s",))
    assert second == Welcome(control="leg.claim", legs=("t",))


async def test_answers_find_their_request_in_any_order(serve: Serve) -> None:
    slow = asyncio.Event()

    async def answer(method: str, params: JsonObject) -> Model:
        if params["session"] == "slow":
            await slow.wait()
        return await echo(method, params)

    async with connected(serve, far_handler=answer) as (ours, _):
        waiting = asyncio.create_task(ours.request(Join(session="slow", pool="p"), Welcome))
        assert (await ours.request(JOIN, Welcome)).legs == ("s",)
        slow.set()
        assert (await waiting).legs == ("slow",)


async def test_requests_start_in_order(serve: Serve) -> None:
    started: list[str] = []

    async def answer(method: str, params: JsonObject) -> Model:
        started.append(params["session"])
        return Done()

    names = [str(number) for number in range(50)]
    async with connected(serve, far_handler=answer) as (ours, _):
        await asyncio.gather(*(ours.request(Join(session=name, pool="p"), Done) for name in names))
    assert started == names


async def test_a_refusal_is_an_error(serve: Serve) -> None:
    async with connected(serve, far_handler=refuse) as (ours, _):
        with pytest.raises(LegError, match=r"no pool\.join") as caught:
            await ours.request(JOIN, Done)
    assert caught.value.code is LegErrorCode.NO_SUCH_LEG


async def test_who_takes_no_requests_says_so(serve: Serve) -> None:
    async with connected(serve) as (ours, _):
        assert await code_of(ours.request(JOIN, Done)) is LegErrorCode.METHOD_NOT_FOUND


async def test_a_handler_that_breaks_costs_only_its_request(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(method: str, params: JsonObject) -> Model:
        if method == "pool.join":
            raise KeyError("secret")
        return Done()

    async with connected(serve, far_handler=answer) as (ours, _):
        with pytest.raises(LegError, match="^KeyError$") as caught:
            await ours.request(JOIN, Done)
        await ours.request(Claim(session="s", leg="l"), Done)
    assert caught.value.code is LegErrorCode.INTERNAL_ERROR
    assert "pool.join failed" in caplog.text


async def test_an_answer_of_another_kind_is_an_error(serve: Serve) -> None:
    async with connected(serve, far_handler=lambda *_: refuse_nothing()) as (ours, _):
        with pytest.raises(LegError, match="is no Welcome") as caught:
            await ours.request(JOIN, Welcome)
    assert caught.value.code is LegErrorCode.INTERNAL_ERROR


async def refuse_nothing() -> Model:
    return Done()


async def test_no_answer_in_time_is_an_error_and_a_late_one_nothing(serve: Serve) -> None:
    late = asyncio.Event()

    async def answer(method: str, params: JsonObject) -> Model:
        if params["session"] == "s":
            await late.wait()
        return Done()

    async with connected(serve, far_handler=answer) as (ours, _):
        with pytest.raises(LegError, match=r"pool\.join: no answer in 0\.01 s") as caught:
            await ours.request(JOIN, Done, seconds=0.01)
        late.set()
        await ours.request(Join(session="t", pool="p"), Done)
    assert caught.value.code is LegErrorCode.UNAVAILABLE


async def test_notifications_arrive_in_order(serve: Serve) -> None:
    heard: list[str] = []
    done = asyncio.Event()

    def listener(method: str, params: JsonObject) -> None:
        heard.append(params["digit"])
        if params["digit"] == "#":
            done.set()

    keys = [*(str(number) for number in range(100)), "#"]
    async with connected(serve, listener=listener) as (_, theirs):
        for key in keys:
            theirs.notify(digit(key))
        await done.wait()
    assert heard == keys


async def test_a_result_is_there_before_the_notification_that_follows_it(serve: Serve) -> None:
    order: list[str] = []
    heard = asyncio.Event()

    def listener(method: str, params: JsonObject) -> None:
        order.append("notification")
        heard.set()

    async def answer(method: str, params: JsonObject) -> Model:
        asyncio.get_running_loop().call_soon(theirs.notify, digit("1"))
        return Done()

    async with connected(serve, far_handler=answer, listener=listener) as (ours, theirs):
        await ours.request(JOIN, Done)
        order.append("result")
        await heard.wait()
    assert order == ["result", "notification"]


async def test_a_listener_that_breaks_costs_no_other_message(serve: Serve) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    heard = asyncio.Event()

    def listener(method: str, params: JsonObject) -> None:
        if params["digit"] == "1":
            raise ValueError("broken")
        heard.set()

    async with connected(serve, listener=listener) as (_, theirs):
        theirs.notify(digit("1"))
        theirs.notify(digit("2"))
        await heard.wait()
    assert [str(fault["exception"]) for fault in faults] == ["broken"]


async def test_a_lost_connection_fails_what_is_pending(serve: Serve) -> None:
    asked = asyncio.Event()
    stopped = asyncio.Event()

    async def never(method: str, params: JsonObject) -> Model:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return Done()

    async with connected(serve, far_handler=never) as (ours, theirs):
        pending = asyncio.create_task(ours.request(JOIN, Done))
        await asked.wait()
        await theirs.close()
        assert await code_of(pending) is LegErrorCode.NOT_CONNECTED
        assert await code_of(ours.request(JOIN, Done)) is LegErrorCode.NOT_CONNECTED
        await stopped.wait()


async def test_text_that_is_no_message_is_answered(serve: Serve) -> None:
    async with raw(serve, handler=echo) as socket:
        await socket.send_bytes(b"binary is ignored")
        await socket.send_str("{")
        assert json.loads((await socket.receive()).data)["error"]["code"] == LegErrorCode.PARSE_ERROR
        await socket.send_str('{"jsonrpc":"2.0","id":"x","method":"m","params":{"session":"s"}}')
        assert json.loads((await socket.receive()).data) == {
            "jsonrpc": "2.0",
            "id": "x",
            "result": {"control": "m", "legs": ["s"]},
        }


async def test_what_needs_no_answer_gets_none(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with raw(serve, handler=echo) as socket:
        await socket.send_str('{"jsonrpc":"2.0","method":"m"}')
        await socket.send_str('{"jsonrpc":"2.0","id":99,"result":{}}')
        await socket.send_str('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}')
        await socket.send_str("last")
        assert json.loads((await socket.receive()).data)["error"]["message"] == "not JSON"
    assert "unexpected notification m" in caplog.text
    assert "what?" in caplog.text


async def test_words_that_are_no_unicode_do_not_silence_a_connection(serve: Serve) -> None:
    async with raw(serve, handler=refuse) as socket:
        await socket.send_str('{"jsonrpc":"2.0","id":1,"method":"\\ud800"}')
        assert json.loads((await socket.receive()).data)["error"]["message"] == "no \ud800"
