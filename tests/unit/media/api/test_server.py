"""The API port by real sockets; sessions are stand-ins that write down what they are told."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from control.config import Api, Settings, Token
from media.api import outbox, server
from media.api.calltype import CallType
from media.api.events import AddHistory, Dtmf, Error
from media.api.gate import Arrival, CallSummary, Refusal
from media.api.outbox import MAX_UNREAD_AUDIO, MAX_UNREAD_EVENTS, Outbox
from media.api.server import make_app

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
        self.heard.set()

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
        self.asked: asyncio.Event | None = None
        self.answer = asyncio.Event()
        self.opened = asyncio.Event()

    async def refusal(self, arrival: Arrival) -> Refusal | None:
        if self.asked is not None:
            self.asked.set()
            await self.answer.wait()
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
        self.opened.set()
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
async def serving(api: Api | None = None, **sections: Any) -> AsyncIterator[Port]:
    door = Door()
    settings = Settings(api=api or Api(), **sections)
    async with listening(make_app(settings, door)) as address, client(address) as http:
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

    app = make_app(Settings(), Door())
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
        await port.refused(f"/call/sip?token={TOKEN}", 426)
        await port.refused(f"/nowhere?token={TOKEN}", 404)
        port.door.away = "control cannot be reached"
        await port.refused(f"/call/sip?token={TOKEN}", 503, headers=UPGRADE)
    assert TOKEN not in logged()


# Arriving


async def test_what_a_bot_asks_for() -> None:
    async with (
        serving() as port,
        port.bot("?id=d-1._~x&route=sales&serverSideTrack=bot&dump=false&ping=7&unknown=1"),
    ):
        assert port.stub.arrival == Arrival(
            session_id="d-1._~x",
            call_type=CallType.SIP,
            claims=True,
            pool="sales",
            track_id="bot",
            dump=False,
            ping=7,
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
        ("serverSideTrack=a%20b", "serverSideTrack"),
        ("serverSideTrack=" + "x" * 129, "serverSideTrack"),
        ("dump=1", "dump"),
        ("dump=", "dump"),
        ("ping=", "ping"),
        ("ping=-1", "ping"),
        ("ping=1.5", "ping"),
        ("ping=3601", "ping"),
        ("ping=%D9%A3", "ping"),
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


@pytest.mark.parametrize("path", ["/call", "/call/", "/call/sip", "/call/webrtc"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Connection": "Upgrade"},
        UPGRADE | {"Upgrade": "h2c"},
        UPGRADE | {"Connection": "keep-alive"},
        UPGRADE | {"Sec-WebSocket-Version": "8"},
    ],
)
async def test_what_is_no_websocket_is_told_to_become_one(path: str, headers: dict[str, str]) -> None:
    async with serving() as port:
        error = await port.refused(path, 426, headers=headers)
        assert "upgrade" in error["message"]
        async with port.http.get(path, headers=headers) as response:
            assert response.headers["Upgrade"] == "websocket"
            assert response.headers["Sec-WebSocket-Version"] == "13"
        assert port.door.stubs == []


@pytest.mark.parametrize("key", ["", "dGhl", "no base64!"])
async def test_a_key_that_is_none(key: str) -> None:
    async with serving() as port:
        headers = UPGRADE | {"Sec-WebSocket-Key": key}
        assert (await port.refused("/call", 400, headers=headers))["field"] == "Sec-WebSocket-Key"


@pytest.mark.parametrize(
    ("path", "call_type"),
    [("/call", "webSocket"), ("/call/", "webSocket"), ("/call/webrtc", "webrtc"), ("/call/sip", "sip")],
)
async def test_the_path_is_the_type_of_the_call(path: str, call_type: str) -> None:
    async with serving() as port, port.http.ws_connect(path):
        assert port.stub.arrival.call_type == call_type


async def test_a_bot_that_goes_while_the_gate_is_asked_leaves_no_session() -> None:
    async with asyncio.timeout(PATIENCE), serving() as port:
        port.door.asked = asyncio.Event()
        with Deaf(port) as bot:
            await bot.ask()
            await port.door.asked.wait()
        for _ in range(20):
            # Let the server see the end of the connection.
            await asyncio.sleep(0)
        port.door.answer.set()
        await port.door.opened.wait()
        await port.stub.gone.wait()
        assert not port.stub.opened.is_set()


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


# A bot that does not read


class Deaf:
    """A bot by a plain socket with a small buffer, which reads only when it is told to."""

    def __init__(self, port: Port, path: str = "/call/sip") -> None:
        self.path = path
        self.data = bytearray()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port = port

    async def connect(self) -> None:
        await self.ask()
        assert (await asyncio.get_running_loop().sock_recv(self.socket, 12)) == b"HTTP/1.1 101"
        await self.port.stub.opened.wait()

    async def ask(self) -> None:
        """Ask for the upgrade."""
        loop = asyncio.get_running_loop()
        self.socket.setblocking(False)
        await loop.sock_connect(self.socket, self.port.address)
        lines = [
            f"GET {self.path} HTTP/1.1",
            "Host: x",
            *(f"{key}: {value}" for key, value in UPGRADE.items()),
        ]
        await loop.sock_sendall(self.socket, "\r\n".join([*lines, "", ""]).encode())

    async def read(self, end: bytes = b"\0the connection ends") -> bytes:
        """Everything until `end`, or until the connection ends, however it does."""
        with suppress(ConnectionResetError):
            while chunk := await asyncio.get_running_loop().sock_recv(self.socket, 1 << 16):
                self.data += chunk
                if self.data.endswith(end):
                    break
        return bytes(self.data)

    def __enter__(self) -> "Deaf":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


class Sink(Protocol):
    """Whatever fills a bot's socket."""

    def __call__(self, stub: Stub) -> None: ...


def an_event(stub: Stub) -> None:
    stub.outbox.send(AddHistory(timestamp=1, speaker="bot", text="x" * 100_000))


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
                port.stub.outbox.send(AddHistory(timestamp=1, speaker="bot", text="x" * 100_000))
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


# A bot that sends too much


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


# Pings


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
