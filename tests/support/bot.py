"""A WebSocket bot for tests: it sends commands, keeps every event in order and waits for those it wants."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

Event = dict[str, Any]

PATIENCE = 10.0
"""Seconds to wait for an event unless a test says otherwise."""


class Bot:
    """One socket; open it by `connect`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[Event] = []
        self.audio: list[bytes] = []
        self.close_code: int | None = None
        self._taken: set[int] = set()
        self._news = asyncio.Condition()

    @property
    def local(self) -> tuple[str, int]:
        """Our address and port of the socket."""
        host, port = self.socket.get_extra_info("sockname")[:2]
        return host, port

    @property
    def names(self) -> list[str]:
        """The names of all events so far, in order."""
        return [event["event"] for event in self.events]

    async def send(self, command: str, **fields: object) -> None:
        """Send a command."""
        await self.socket.send_json({"command": command, **fields})

    def cut(self) -> None:
        """Break the connection, without a word."""
        connection = self.socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.abort()

    async def event(self, name: str, within: float = PATIENCE) -> Event:
        """Return the first event called `name` that was not returned before; wait for it if need be."""
        async with self._news:
            try:
                async with asyncio.timeout(within):
                    while True:
                        for index, event in enumerate(self.events):
                            if event["event"] == name and index not in self._taken:
                                self._taken.add(index)
                                return event
                        if self.close_code is not None:
                            raise AssertionError(f"closed ({self.close_code}) without {name!r}: {self}")
                        await self._news.wait()
            except TimeoutError:
                raise AssertionError(f"no {name!r} within {within} s: {self}") from None

    async def closed(self, within: float = PATIENCE) -> int:
        """Wait until the far side has closed the socket and return the code."""
        async with self._news:
            try:
                async with asyncio.timeout(within):
                    await self._news.wait_for(lambda: self.close_code is not None)
            except TimeoutError:
                raise AssertionError(f"not closed within {within} s: {self}") from None
        assert self.close_code is not None
        return self.close_code

    async def ended(self, within: float = PATIENCE) -> Event:
        """Wait for the end of the call, check that it is the one every call has, and return ``hangup``.

        The end is: a ``trackEnd`` for each track that started, then one ``hangup``, then close code 1000.
        Transfers have a ``hangup`` of their own.
        """
        code = await self.closed(within)
        assert code == 1000, f"close code {code}: {self}"
        ends = [event for event in self.events if event["event"] == "hangup" and not event.get("refer")]
        assert len(ends) == 1, str(self)
        assert self.names[-1] == "hangup", str(self)
        started = [event["trackId"] for event in self.events if event["event"] == "trackStart"]
        finished = [event["trackId"] for event in self.events if event["event"] == "trackEnd"]
        for track in set(started):
            assert started.count(track) == finished.count(track), f"trackEnd of {track!r}: {self}"
        return self.events[-1]

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.audio.append(message.data)
                continue
            async with self._news:
                self.events.append(json.loads(message.data))
                self._news.notify_all()
        async with self._news:
            self.close_code = self.socket.close_code or 1006
            self._news.notify_all()

    def __str__(self) -> str:
        return f"events {self.names}, last {self.events[-1] if self.events else None}"


@asynccontextmanager
async def connect(url: str, **query: str) -> AsyncIterator[Bot]:
    """Open a socket at `url` with `query` (``route``, ``id``, ...) and read it while the block runs.

    Raises aiohttp.WSServerHandshakeError when the upgrade is refused.
    """
    async with aiohttp.ClientSession() as session, session.ws_connect(url, params=query) as socket:
        bot = Bot(socket)
        reader = asyncio.create_task(bot._read(), name="bot reader")
        try:
            yield bot
        finally:
            await socket.close()
            await reader
