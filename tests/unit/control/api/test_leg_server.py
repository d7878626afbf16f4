import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from control.api import server
from control.api.connection import Connection
from control.api.jsonrpc import JsonObject
from control.api.models import Digit, Done, Hello, Join, Message, Model, Request, Welcome
from control.api.server import LegServer, Worker
from control.errors import LegError, LegErrorCode
from tests.support.callworld import PATIENCE, Clock, Serve


class Nonsense(Message):
    """A request that nobody knows."""

    method = "leg.nonsense"


class Untyped(Message):
    """A request with fields of wrong types."""

    method = Join.method
    session: int = 7


class Bench:
    """A server and what it reports."""

    def __init__(self) -> None:
        self.requests: list[tuple[Worker, Request]] = []
        self.hellos: list[tuple[Worker, tuple[str, ...]]] = []
        self.lost: asyncio.Queue[Worker] = asyncio.Queue()
        self.gone: asyncio.Queue[Worker] = asyncio.Queue()
        self.server = LegServer(
            "a",
            on_request=self.on_request,
            on_hello=self.on_hello,
            on_lost=self.lost.put_nowait,
            on_gone=self.gone.put_nowait,
        )
        self.url = ""

    async def on_request(self, worker: Worker, request: Request) -> Model:
        self.requests.append((worker, request))
        return Done()

    def on_hello(self, worker: Worker, held: Collection[str]) -> tuple[str, ...]:
        self.hellos.append((worker, tuple(held)))
        return tuple(held)[:1]


@pytest_asyncio.fixture
async def bench(serve: Serve) -> AsyncIterator[Bench]:
    made = Bench()
    made.url = await serve(made.server.handle)
    async with asyncio.timeout(PATIENCE):
        yield made
    await made.server.close()


class Client:
    """A worker's end."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.connection = Connection(socket, listener=self._listen)
        self.heard: asyncio.Queue[JsonObject] = asyncio.Queue()

    def _listen(self, method: str, params: JsonObject) -> None:
        self.heard.put_nowait(params)

    async def hello(self, instance: str = "i", legs: tuple[str, ...] = ()) -> Welcome:
        return await self.connection.request(Hello(worker="m", instance=instance, legs=legs), Welcome)


@asynccontextmanager
async def client(bench: Bench) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http, http.ws_connect(bench.url) as socket:
        made = Client(socket)
        running = asyncio.create_task(made.connection.run())
        yield made
        await made.connection.close()
        await running


async def refusal(request: Any) -> LegError:
    with pytest.raises(LegError) as caught:
        await request
    return caught.value


async def test_a_worker_is_welcomed_and_may_ask(bench: Bench) -> None:
    async with client(bench) as worker:
        assert await worker.hello(legs=("l1", "l2")) == Welcome(control="a", legs=("l1",))
        assert bench.server.workers == 1
        assert await worker.connection.request(Join(session="s", pool="p"), Done) == Done()
        ((known, held),) = bench.hellos
        assert (known.name, known.instance, held) == ("m", "i", ("l1", "l2"))
        assert known.connected
        assert bench.requests == [(known, Join(session="s", pool="p"))]
    assert await bench.lost.get() is known
    assert not known.connected
    assert bench.server.workers == 0


async def test_who_has_not_said_hello_may_ask_nothing(bench: Bench) -> None:
    async with client(bench) as worker:
        error = await refusal(worker.connection.request(Join(session="s", pool="p"), Done))
    assert (error.code, str(error)) == (LegErrorCode.INVALID_REQUEST, "say worker.hello first")
    assert bench.requests == []
    assert bench.lost.empty()


async def test_hello_is_said_once(bench: Bench) -> None:
    async with client(bench) as worker:
        await worker.hello("i")
        assert (await refusal(worker.hello("other"))).code is LegErrorCode.INVALID_REQUEST
    assert (await bench.lost.get()).instance == "i"
    assert len(bench.hellos) == 1


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (Nonsense(), LegErrorCode.METHOD_NOT_FOUND, "leg.nonsense is not a method of the leg API"),
        (Untyped(), LegErrorCode.INVALID_PARAMS, "Join.session: Input should be a valid string"),
    ],
)
async def test_a_bad_request_is_refused(
    bench: Bench, request_: Message, code: LegErrorCode, words: str
) -> None:
    async with client(bench) as worker:
        await worker.hello()
        error = await refusal(worker.connection.request(request_, Done))
        await worker.connection.request(Join(session="s", pool="p"), Done)
    assert (error.code, str(error)) == (code, words)


async def test_a_worker_is_told_in_order(bench: Bench) -> None:
    async with client(bench) as worker:
        await worker.hello()
        for key in "123":
            bench.hellos[0][0].notify(Digit(leg="l", session="s", digit=key))
        assert [(await worker.heard.get())["digit"] for _ in range(3)] == ["1", "2", "3"]


async def test_what_a_lost_worker_missed_waits_for_it(bench: Bench) -> None:
    async with client(bench) as worker:
        await worker.hello()
    known = await bench.lost.get()
    for key in "12":
        known.notify(Digit(leg="l", session="s", digit=key))
    async with client(bench) as worker:
        await worker.hello()
        known.notify(Digit(leg="l", session="s", digit="3"))
        assert [(await worker.heard.get())["digit"] for _ in range(3)] == ["1", "2", "3"]
    assert [each for each, _ in bench.hellos] == [known, known]


async def test_a_worker_that_is_back_in_time_is_not_given_up(bench: Bench) -> None:
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    async with client(bench) as worker:
        await worker.hello()
    await bench.lost.get()
    await clock.advance(server.GRACE_SECONDS / 2)
    async with client(bench) as worker:
        await worker.hello()
        await clock.advance(server.GRACE_SECONDS * 2)
        await worker.connection.request(Join(session="s", pool="p"), Done)
        assert bench.gone.empty()
        assert bench.server.workers == 1
    assert faults == []


async def test_a_worker_that_stays_away_is_given_up_and_forgotten(bench: Bench) -> None:
    clock = Clock(asyncio.get_running_loop())
    async with client(bench) as worker:
        await worker.hello()
    known = await bench.lost.get()
    known.notify(Digit(leg="l", session="s", digit="1"))
    await clock.advance(server.GRACE_SECONDS)
    assert await bench.gone.get() is known
    async with client(bench) as worker:
        await worker.hello()
        assert bench.hellos[-1][0] is not known
        bench.hellos[-1][0].notify(Digit(leg="l", session="s", digit="2"))
        assert (await worker.heard.get())["digit"] == "2"


async def test_a_second_connection_takes_over_from_a_dead_one(bench: Bench) -> None:
    async with client(bench) as second:
        async with client(bench) as first:
            await first.hello()
            await second.hello()
            known = bench.hellos[0][0]
            known.notify(Digit(leg="l", session="s", digit="1"))
            assert (await second.heard.get())["digit"] == "1"
            assert first.heard.empty()
        await second.connection.request(Join(session="s", pool="p"), Done)
        assert bench.lost.empty()
        assert bench.server.workers == 1


async def test_close_ends_every_connection_and_gives_up_nobody(bench: Bench) -> None:
    clock = Clock(asyncio.get_running_loop())
    async with client(bench) as lost:
        await lost.hello("lost")
    await bench.lost.get()
    async with client(bench) as worker:
        await worker.hello("there")
        await bench.server.close()
        error = await refusal(worker.connection.request(Join(session="s", pool="p"), Done))
    assert error.code is LegErrorCode.NOT_CONNECTED
    assert bench.server.workers == 0
    await clock.advance(server.GRACE_SECONDS * 2)
    async with client(bench) as worker:
        await worker.hello("new")
    assert (await bench.lost.get()).instance == "new"
    assert bench.gone.empty()
