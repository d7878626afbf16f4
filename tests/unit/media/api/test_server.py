"""The API port by real sockets; sessions are stand-ins that write down what they are told."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from control.config import Api
from media.api import outbox
from media.api.calltype import CallType
from media.api.events import AddHistory, Dtmf, Error
from media.api.gate import Arrival, CallSummary, Refusal
from media.api.outbox import MAX_QUEUED_EVENTS, Outbox
from media.api.server import MAX_MESSAGE, make_app

TOKEN = "s3cret-token-of-a-bot"
PATIENCE = 10


class Stub:
    """A session."""

    def __init__(self, arrival: Arrival, outbox: Outbox) -> None:
        self.arrival = arrival
        self.outbox = outbox
        self.opened = asyncio.Event()
        self.gone = asyncio.Event()
        self.said: list[str | bytes] = []
        self.heard = asyncio.Event()
        self.pings: list[str] = []

    def open(self) -> None:
        self.opened.set()

    def receive(self, text: str) -> None:
        self.said.append(text)
        self.heard.set()

    def receive_binary(self, data: bytes) -> None:
        self.said.append(data)
        self.heard.set()

    def pinged(self, payload: str) -> None:
        self.pings.append(payload)

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        self.outbox.send(
            Error(track_id=self.arrival.session_id, timestamp=1, sender=sender, error=message, code=code)
        )

    def describe(self) -> CallSummary:
        arrival = self.arrival
        return CallSummary(id=arrival.session_id, call_type=arrival.call_type, created_at=1, option={})

    def kill(self) -> None:
        self.outbox.close(1000, "killed")

    async def disconnected(self) -> None:
        self.gone.set()

    def digit(self, digit: str) -> None:
        self.outbox.send(Dtmf(track_id="t", timestamp=1, digit=digit))


class Door:
    """A gate with one id that is taken, and a worker that may be away."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.away: str | None = None
        self.stubs: list[Stub] = []

    async def refusal(self, arrival: Arrival) -> Refusal | None:
        if arrival.session_id in self.taken:
            return Refusal(HTTPStatus.CONFLICT, "a session with this id is open", "id")
        return None if self.away is None else Refusal(HTTPStatus.SERVICE_UNAVAILABLE, self.away)

    async def calls(self) -> list[CallSummary]:
        return [stub.describe() for stub in self.stubs if not stub.gone.is_set()]

    async def kill(self, session_id: str) -> bool:
        for stub in self.stubs:
            if stub.arrival.session_id == session_id and not stub.gone.is_set():
                stub.kill()
                return True
        return False

    def session(self, arrival: Arrival, outbox: Outbox) -> Stub:
        self.taken.add(arrival.session_id)
        self.stubs.append(Stub(arrival, outbox))
        return self.stubs[-1]

    def ready(self) -> str | None:
        return self.away

    def metrics(self) -> tuple[bytes, str]:
        return b"sidecall_slots 7\n", "text/plain; version=1.0.0; charset=utf-8"


class Port:
    """An open API port."""

    def __init__(self, http: aiohttp.ClientSession, address: tuple[str, int], door: Door) -> None:
        self.http = http
        self.address = address
        self.door = door

    @property
    def stub(self) -> Stub:
        """The session that opened last."""
        return self.door.stubs[-1]

    @asynccontextmanager
    async def bot(self, query: str = "", **options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A bot at /call/sip; afterwards its session must have been told."""
        async with asyncio.timeout(PATIENCE):
            async with self.http.ws_connect(f"/call/sip{query}", **options) as bot:
                stub = self.stub
                await stub.opened.wait()
                yield bot
            await stub.gone.wait()

    async def refused(self, path: str, status: int, **options: Any) -> dict[str, Any]:
        """The error with which `path` is refused."""
        async with self.http.get(path, **options) as response:
            body = await response.json()
            assert (response.status, body["error"]["code"]) == (status, status)
            assert response.content_type == "application/json"
            assert TOKEN not in await response.text()
            assert TOKEN not in repr(response.headers)
            error: dict[str, Any] = body["error"]
            return error


@asynccontextmanager
async def serving(settings: Api | None = None) -> AsyncIterator[Port]:
    door = Door()
    async with listening(make_app(settings or Api(), door)) as address, client(address) as http:
        yield Port(http, address, door)


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[tuple[str, int]]:
    """Serve `app` as the worker does: what a handler does when its peer is gone is its own affair."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    site = web.SockSite(runner, socket.create_server(("127.0.0.1", 0)))
    await site.start()
    try:
        yield runner.addresses[0]
    finally:
        await runner.cleanup()


def client(address: tuple[str, int]) -> aiohttp.ClientSession:
    """A client whose URLs are paths."""
    return aiohttp.ClientSession("http://{}:{}".format(*address))


@pytest.fixture(name="logged")
def _logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Everything that was logged, down to debug."""
    caplog.set_level(logging.DEBUG)
    return lambda: caplog.text


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


# REST


async def test_health_says_whether_it_lives_and_whether_it_takes_calls() -> None:
    async with serving() as port:
        async with port.http.get("/healthz") as response:
            assert (response.status, await response.json()) == (200, {"status": "alive"})
        async with port.http.get("/readyz") as response:
            assert (response.status, await response.json()) == (200, {"status": "ready"})
        port.door.away = "control cannot be reached"
        async with port.http.get("/readyz") as response:
            assert response.status == 503
            assert await response.json() == {"status": "not ready", "reason": "control cannot be reached"}
        async with port.http.get("/healthz") as response:
            assert response.status == 200


async def test_metrics_are_what_the_worker_exposes() -> None:
    async with serving() as port, port.http.get("/metrics") as response:
        assert await response.text() == "sidecall_slots 7\n"
        assert response.headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"


async def test_unknown_paths_and_methods_are_refused_as_json() -> None:
    async with serving() as port:
        for path in ("/nowhere", "/elsewhere"):
            assert (await port.refused(path, 404))["message"] == f"GET {path}: Not Found"
        async with port.http.post("/healthz") as response:
            assert response.status == 405
            assert "GET" in response.headers["Allow"]
            assert (await response.json())["error"]["code"] == 405


async def test_a_redirect_stays_a_redirect() -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("/healthz")

    app = make_app(Api(), Door())
    app.router.add_get("/old", elsewhere)
    async with (
        listening(app) as address,
        client(address) as http,
        http.get("/old", allow_redirects=False) as response,
    ):
        assert (response.status, response.headers["Location"]) == (302, "/healthz")


# Authentication


@pytest.mark.parametrize("path", ["/call/sip", "/readyz", "/metrics", "/nowhere"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer"},
    ],
)
async def test_without_a_valid_token_nothing_is_told(
    path: str, headers: dict[str, str], logged: Callable[[], str]
) -> None:
    async with serving(Api(tokens=("another", TOKEN))) as port:
        error = await port.refused(path, 401, headers=headers)
        assert "Bearer" in error["message"]
        async with port.http.get(path, headers=headers) as response:
            assert response.headers["WWW-Authenticate"] == "Bearer"
        assert port.door.stubs == []
    assert TOKEN not in logged()


async def test_a_token_that_is_no_text() -> None:
    lines = ["GET /readyz HTTP/1.1", "Host: x", "Connection: close", "Authorization: Bearer "]
    async with serving(Api(tokens=(TOKEN,))) as port:
        reader, writer = await asyncio.open_connection(*port.address)
        writer.write("\r\n".join(lines).encode() + b"\xff\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%FF", f"?Token={TOKEN}"])
async def test_a_wrong_token_in_the_query(query: str) -> None:
    async with serving(Api(tokens=(TOKEN,))) as port:
        await port.refused(f"/readyz{query}", 401)


async def test_health_needs_no_token() -> None:
    async with serving(Api(tokens=(TOKEN,))) as port, port.http.get("/healthz") as response:
        assert response.status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
@pytest.mark.parametrize("token", [TOKEN, "umlaut-ä"])
async def test_a_token_in_the_header(scheme: str, token: str) -> None:
    async with serving(Api(tokens=(TOKEN, "umlaut-ä"))) as port:
        async with port.bot(headers={"Authorization": f"{scheme} {token}"}) as bot:
            assert not bot.closed
        async with port.http.get("/metrics", headers={"Authorization": f"{scheme} {token}"}) as response:
            assert response.status == 200


async def test_a_token_in_the_query() -> None:
    async with serving(Api(tokens=(TOKEN,))) as port, port.bot(f"?token={TOKEN}&route=sales") as bot:
        assert not bot.closed
        assert port.stub.arrival.pool == "sales"


async def test_no_refusal_repeats_the_token(logged: Callable[[], str]) -> None:
    async with serving(Api(tokens=(TOKEN,))) as port:
        await port.refused(f"/call/sip?token={TOKEN}&id=a%20b", 400)
        await port.refused(f"/call/sip?token={TOKEN}", 400)
        await port.refused(f"/nowhere?token={TOKEN}", 404)
        port.door.away = "control cannot be reached"
        await port.refused(f"/call/sip?token={TOKEN}", 503, headers=UPGRADE)
    assert TOKEN not in logged()


# Arriving


async def test_what_a_bot_asks_for() -> None:
    async with (
        serving() as port,
        port.bot("?id=d-1._~x&route=sales&serverSideTrack=bot&dump=false&unknown=1"),
    ):
        assert port.stub.arrival == Arrival(
            session_id="d-1._~x",
            call_type=CallType.SIP,
            claims=True,
            pool="sales",
            track_id="bot",
            dump=False,
        )


@pytest.mark.parametrize("query", ["", "?id=", "?id=&serverSideTrack="])
async def test_a_bot_without_an_id_gets_one_and_claims_nothing(query: str) -> None:
    async with serving() as port:
        async with port.bot(query):
            first = port.stub.arrival
        async with port.bot(query):
            second = port.stub.arrival
    assert first.session_id != second.session_id
    assert first.session_id.startswith("s.")
    assert (first.claims, first.pool, first.track_id) == (False, None, "server-side-track")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("id=a%20b", "id"),
        ("id=a/b", "id"),
        ("id=" + "x" * 129, "id"),
        ("id=%00", "id"),
        ("route=", "route"),
        ("route=a.b", "route"),
        ("route=" + "x" * 33, "route"),
        ("dump=1", "dump"),
        ("dump=", "dump"),
    ],
)
async def test_a_bad_parameter_is_named(query: str, field: str) -> None:
    async with serving() as port:
        error = await port.refused(f"/call/sip?{query}", 400, headers=UPGRADE)
        assert error["field"] == field
        assert field in error["message"]
        assert port.door.stubs == []


async def test_an_id_that_is_open_is_refused() -> None:
    async with serving() as port, port.bot("?id=mine"):
        error = await port.refused("/call/sip?id=mine", 409, headers=UPGRADE)
        assert "open" in error["message"]
        assert len(port.door.stubs) == 1


async def test_a_worker_that_takes_no_calls_says_why() -> None:
    async with serving() as port:
        port.door.away = "control cannot be reached"
        error = await port.refused("/call/sip", 503, headers=UPGRADE)
        assert error["message"] == "control cannot be reached"


@pytest.mark.parametrize("headers", [{}, UPGRADE | {"Sec-WebSocket-Version": "1"}])
async def test_what_is_no_websocket_opens_no_session(headers: dict[str, str]) -> None:
    async with serving() as port:
        error = await port.refused("/call/sip", 400, headers=headers)
        assert "upgrade" in error["message"]
        assert port.door.stubs == []


async def opened(http: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    return await http.ws_connect(url)


async def test_an_id_is_reserved_before_the_upgrade_is_answered() -> None:
    app = make_app(Api(), door := Door())
    reserved = asyncio.Event()

    async def slow(_request: web.Request, _response: web.StreamResponse) -> None:
        if door.stubs and not reserved.is_set():
            reserved.set()
            await door_open.wait()

    door_open = asyncio.Event()
    app.on_response_prepare.append(slow)
    async with asyncio.timeout(PATIENCE), listening(app) as address, client(address) as http:
        first = asyncio.create_task(opened(http, "/call/sip?id=mine"))
        await reserved.wait()
        async with http.get("/call/sip?id=mine", headers=UPGRADE) as response:
            assert response.status == 409
        door_open.set()
        async with await first:
            pass
        await door.stubs[0].gone.wait()


async def test_a_session_whose_upgrade_fails_is_told() -> None:
    app = make_app(Api(), door := Door())

    async def fail(_request: web.Request, response: web.StreamResponse) -> None:
        if isinstance(response, web.WebSocketResponse):
            raise ConnectionResetError("gone")

    app.on_response_prepare.append(fail)
    async with asyncio.timeout(PATIENCE), listening(app) as address, client(address) as http:
        with pytest.raises(aiohttp.ClientError):
            await http.ws_connect("/call/sip")
        await door.stubs[0].gone.wait()
        assert not door.stubs[0].opened.is_set()


# Talking


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
        for number in range(MAX_QUEUED_EVENTS):
            port.stub.digit(str(number))
        port.stub.outbox.close(1000, "said all")
        port.stub.digit("late")
        digits = [message.json()["digit"] async for message in bot]
        assert digits == [str(number) for number in range(MAX_QUEUED_EVENTS)]
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


async def test_a_message_above_one_mebibyte_closes_with_1009() -> None:
    async with serving() as port, port.bot(max_msg_size=0) as bot:
        await bot.send_str("x" * (MAX_MESSAGE - 1))
        await port.stub.heard.wait()
        await bot.send_str("x" * (MAX_MESSAGE + 1))
        assert (await bot.receive()).data == 1009
        await port.stub.gone.wait()
        assert [len(each) for each in port.stub.said] == [MAX_MESSAGE - 1]


async def test_text_that_is_no_utf_8_closes_with_1007() -> None:
    """RFC 6455 section 8.1 leaves no other way."""
    async with serving() as port, port.bot() as bot:
        await bot.send_frame(b"\xff\xfe", WSMsgType.TEXT)
        assert (await bot.receive()).data == 1007
        await port.stub.gone.wait()
        assert port.stub.said == []


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
            assert (await bot.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
        assert "a bug" in caplog.text
        port.door.stubs[0].digit("1")
        assert (await other.receive()).json()["digit"] == "1"


# A bot that does not read


class Deaf:
    """A bot by a plain socket with a small buffer, which reads only when it is told to."""

    def __init__(self, port: Port) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port = port

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        self.socket.setblocking(False)
        await loop.sock_connect(self.socket, self.port.address)
        lines = ["GET /call/sip HTTP/1.1", "Host: x", *(f"{key}: {value}" for key, value in UPGRADE.items())]
        await loop.sock_sendall(self.socket, "\r\n".join([*lines, "", ""]).encode())
        assert (await loop.sock_recv(self.socket, 12)) == b"HTTP/1.1 101"
        await self.port.stub.opened.wait()

    async def read(self) -> bytes:
        """Everything until the connection ends, however it does."""
        data = bytearray()
        try:
            while chunk := await asyncio.get_running_loop().sock_recv(self.socket, 1 << 16):
                data += chunk
        except ConnectionResetError:
            return bytes(data)
        return bytes(data)

    def __enter__(self) -> "Deaf":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@asynccontextmanager
async def stuffed(port: Port) -> AsyncIterator[Deaf]:
    """A bot that does not read, for which one event too many waits."""
    with Deaf(port) as bot:
        await bot.connect()
        # More than the kernel keeps for both ends, so that the writer is stuck.
        event = AddHistory(timestamp=1, speaker="bot", text="x" * 100_000)
        for _ in range(MAX_QUEUED_EVENTS + 200):
            port.stub.outbox.send(event)
            await asyncio.sleep(0)
        yield bot


async def test_a_bot_that_does_not_read_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "CLOSE_SECONDS", 0.05)
    async with asyncio.timeout(60), serving(Api(ping=0)) as port, stuffed(port) as bot:
        assert "does not read its events" in caplog.text
        await port.stub.gone.wait()
        await bot.read()


async def test_a_bot_that_reads_again_in_time_learns_why() -> None:
    async with asyncio.timeout(60), serving(Api(ping=0)) as port, stuffed(port) as bot:
        data = await bot.read()
        await port.stub.gone.wait()
    reason = f"{MAX_QUEUED_EVENTS} events are unread".encode()
    assert data.endswith(bytes([0x88, 2 + len(reason)]) + (1008).to_bytes(2, "big") + reason)
    assert data.count(b'"event":"addHistory"') >= MAX_QUEUED_EVENTS


async def test_a_bot_that_does_not_read_the_end_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "CLOSE_SECONDS", 0.05)
    async with asyncio.timeout(60), serving(Api(ping=0)) as port:
        with Deaf(port) as bot:
            await bot.connect()
            for _ in range(100):
                port.stub.outbox.send(AddHistory(timestamp=1, speaker="bot", text="x" * 100_000))
            port.stub.outbox.close(1000, "over")
            await port.stub.gone.wait()


async def test_a_server_that_stops_leaves_no_session() -> None:
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as http:
        async with listening(make_app(Api(), door := Door())) as (host, port):
            bot = await opened(http, f"ws://{host}:{port}/call/sip")
            assert not door.stubs[0].gone.is_set()
        await bot.close()
        await door.stubs[0].gone.wait()
