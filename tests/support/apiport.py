"""The API port by real sockets, for tests; sessions are stand-ins that write down what they are told."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp import web

from control.config import Api, Settings
from control.errors import CommandError, SpeechError
from media.api.events import Dtmf, Error, encode
from media.api.gate import Arrival, CallSummary, Refusal
from media.api.outbox import Outbox
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
        error = Error(track_id=self.arrival.session_id, timestamp=1, sender=sender, error=message, code=code)
        self.outbox.send(encode(error))

    def describe(self) -> CallSummary:
        arrival = self.arrival
        return CallSummary(id=arrival.session_id, call_type=arrival.call_type, created_at=1, option={})

    def kill(self) -> None:
        self.outbox.close(1000, "killed")

    async def disconnected(self) -> None:
        self.gone.set()

    def digit(self, digit: str) -> None:
        self.outbox.send(encode(Dtmf(track_id="t", timestamp=1, digit=digit)))


class Door:
    """A gate with one id that is taken, and a worker that may be away."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.away: str | None = None
        self.stubs: list[Stub] = []
        self.kept = 0
        """How often there was time to tick between messages."""
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

    async def precache(self, body: bytes) -> int:
        match body:
            case b"odd":
                raise CommandError("the command is not JSON")
            case b"failing":
                raise SpeechError("the provider failed", 502)
        return len(body)

    def session(self, arrival: Arrival, outbox: Outbox) -> Stub:
        self.taken.add(arrival.session_id)
        self.stubs.append(Stub(arrival, outbox))
        self.opened.set()
        return self.stubs[-1]

    def keep_time(self) -> None:
        self.kept += 1

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


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


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
