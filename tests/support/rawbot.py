"""A bot by a plain socket: it says what no WebSocket library would, and reads only when it is told to."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.support.bot import PATIENCE, Event

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
RECEIVE_BUFFER = 16_384
_MASK = b"\1\2\3\4"


def frame(opcode: int, payload: bytes = b"", *, masked: bool = True, final: bool = True) -> bytes:
    """A frame of a client (RFC 6455 section 5.2)."""
    first, mask = opcode | (0x80 if final else 0), 0x80 if masked else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, mask | len(payload))
    elif len(payload) < 1 << 16:
        head = struct.pack("!BBH", first, mask | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, mask | 127, len(payload))
    if not masked:
        return head + payload
    key = int.from_bytes((_MASK * (len(payload) // 4 + 1))[: len(payload)])
    return head + _MASK + (int.from_bytes(payload) ^ key).to_bytes(len(payload))


def command(name: str, **fields: object) -> bytes:
    """The frame of a command."""
    return frame(TEXT, json.dumps({"command": name, **fields}).encode())


@dataclass(slots=True)
class RawBot:
    """One socket; open it by `raw_bot`."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    events: list[Event] = field(default_factory=list)

    async def send(self, data: bytes) -> None:
        """Send octets; what the far side does not take any more is dropped."""
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def event(self, name: str) -> Event:
        """Read on to the next event `name`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                opcode, payload = await self._frame()
                if opcode == TEXT:
                    self.events.append(json.loads(payload))
                    if self.events[-1]["event"] == name:
                        return self.events[-1]
                assert opcode != CLOSE, payload

    async def closed(self) -> tuple[int, str]:
        """Read on to the end: code and reason of the close frame; (1006, "") when there was none."""
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    opcode, payload = await self._frame()
                    if opcode == TEXT:
                        self.events.append(json.loads(payload))
                    if opcode == CLOSE:
                        return int.from_bytes(payload[:2]), payload[2:].decode()
            return 1006, ""

    async def _frame(self) -> tuple[int, bytes]:
        first, size = await self.reader.readexactly(2)
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
        return first & 15, await self.reader.readexactly(size)


@asynccontextmanager
async def raw_bot(
    api: str, path: str = "/call", headers: Mapping[str, str] | None = None
) -> AsyncIterator[RawBot]:
    """Open a socket at `api` (``host:port``); it is cut at the end of the block."""
    host, port = api.split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=sock)
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {api}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101"), answer
        yield RawBot(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
