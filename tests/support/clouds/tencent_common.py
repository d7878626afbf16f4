"""Tencent Cloud, faked: what its services have in common, which is signatures, parameters and how they break."""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web

from tests.support.clouds.base import Cloud, Fault, Stage, Trouble

Query = dict[str, str]

RANGES = {
    "vad_silence_time": (500, 2000),
    "max_speak_time": (5000, 90_000),
    "needvad": (0, 1),
    "convert_num_mode": (0, 3),
    "Volume": (-10, 10),
    "Speed": (-2, 6),
    "SegmentRate": (0, 2),
}
REFUSED = "the engine is overloaded"


class BrokenError(Exception):
    """What was to go wrong went wrong."""


@dataclass
class TencentCloud(Cloud):
    """One account, and what it asks for."""

    app_id: str = "1259220000"
    secret_id: str = "AKIDexample"
    secret_key: str = "kFpwoexample"
    status: int = 503
    """Of HTTP, when it refuses to connect."""
    queries: list[Query] = field(default_factory=list)
    """Parameters of each request, without the signature."""
    reached: asyncio.Queue[Stage] = field(default_factory=asyncio.Queue)
    """Where something goes wrong, when it does."""
    left: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    """Connections that have ended, by their index."""

    def signed(self, request: web.Request, name: str, *prefixes: str) -> tuple[bool, Query]:
        """Whether the signature `name` is that of one of `prefixes` (verb, host and path); the other parameters."""
        pairs = [part.partition("=") for part in request.rel_url.raw_query_string.split("&")]
        query = {unquote_plus(key): unquote_plus(value) for key, _, value in pairs}
        if len(query) != len(pairs):
            self.complain("a parameter came twice")
        given = query.pop(name, "")
        self.queries.append(query)
        plain = "&".join(f"{key}={query[key]}" for key in sorted(query))
        return given in [self._signature(f"{prefix}?{plain}") for prefix in prefixes], query

    def _signature(self, text: str) -> str:
        digest = hmac.new(self.secret_key.encode(), text.encode(), hashlib.sha1).digest()
        return base64.b64encode(digest).decode()

    def lack(self, query: Query, needed: set[str], more: set[str]) -> str | None:
        """What is wrong with the parameters; None when nothing is."""
        if missing := needed - set(query):
            return f"missing parameter {min(missing)}"
        for unknown in set(query) - needed - more:
            self.complain(f"unknown parameter {unknown}")
        for key, (low, high) in RANGES.items():
            if key in query and not low <= float(query[key]) <= high:
                return f"invalid parameter {key}"
        stamp = int(query.get("timestamp") or query["Timestamp"])
        until = int(query.get("expired") or query.get("Expired") or stamp + 1)
        if abs(stamp - time.time()) > 300 or not 0 < until - stamp < 90 * 86_400:
            return "invalid timestamp or expired"
        return None

    async def handshake(self, request: web.Request) -> Trouble | web.Response | None:
        """What is to go wrong later; an answer when something did now."""
        trouble = self.connected()
        if trouble is None or trouble.stage is not Stage.CONNECT:
            return trouble
        match trouble.fault:
            case Fault.REFUSE:
                return web.Response(status=self.status, text=REFUSED)
            case Fault.CUT:
                self.cut(request)
            case Fault.STALL:
                await self.stall()
            case Fault.GARBLE:
                pass
        return web.Response(text="<html>welcome</html>")

    async def serve(
        self, request: web.Request, overload: int, work: Callable[["Socket"], Awaitable[None]]
    ) -> web.StreamResponse:
        """Take a WebSocket and let `work` talk to it; `overload` is the code of its refusals."""
        trouble = await self.handshake(request)
        if isinstance(trouble, web.Response):
            return trouble
        socket = Socket(self, request, trouble, overload, self.connections - 1)
        await socket.ws.prepare(request)
        try:
            with suppress(BrokenError, ConnectionError):
                await work(socket)
            await socket.ws.close()
        finally:
            self.left.put_nowait(socket.number)
        return socket.ws


@dataclass
class Socket:
    """One connection of a client, and what is to go wrong with it."""

    cloud: TencentCloud
    request: web.Request
    trouble: Trouble | None
    overload: int
    number: int
    """Index of the connection."""
    ws: web.WebSocketResponse = field(default_factory=web.WebSocketResponse)
    ids: dict[str, str] = field(default_factory=dict)
    """Fields of all its messages."""

    async def send(self, **fields: Any) -> None:
        """A message that all is well."""
        await self.ws.send_json({"code": 0, "message": "success", **self.ids, **fields})

    async def refuse(self, code: int, message: str) -> None:
        """A message that it is not; then the connection ends. Raises BrokenError."""
        await self.ws.send_json({"code": code, "message": message, **self.ids})
        raise BrokenError

    async def reach(self, stage: Stage) -> None:
        """The connection has come to `stage`. Raises BrokenError when something was to go wrong there."""
        if self.trouble is None or self.trouble.stage is not stage:
            return
        self.cloud.reached.put_nowait(stage)
        match self.trouble.fault:
            case Fault.REFUSE:
                await self.refuse(self.overload, REFUSED)
            case Fault.CUT:
                self.cloud.cut(self.request)
            case Fault.STALL:
                await self.cloud.stall()
            case Fault.GARBLE:
                await self.ws.send_str("{garbage")
        raise BrokenError
