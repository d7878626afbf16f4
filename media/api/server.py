"""The API port: bots' WebSockets and health, on aiohttp."""

import asyncio
import hmac
import json
import logging
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from aiohttp import WSCloseCode, WSMsgType, hdrs, web
from aiohttp.typedefs import Handler, Middleware

from control.config import Api
from media.api import events

log = logging.getLogger(__name__)

MAX_MESSAGE = 1 << 20
MAX_QUEUED_EVENTS = 2000
CLOSE_SECONDS = 5.0
"""How long a bot may take to read what is left once its socket is to close."""
MAX_CLOSE_REASON = 123
"""Bytes (RFC 6455 section 5.5)."""
SESSION_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")
POOL = re.compile(r"[A-Za-z0-9_-]{1,32}")


class BotSession(Protocol):
    """What the server needs of a session."""

    def open(self) -> None:
        """The socket is open: begin."""

    def receive(self, text: str) -> None:
        """A text frame came in."""

    def receive_binary(self, data: bytes) -> None:
        """A binary frame came in."""

    async def disconnected(self) -> None:
        """The socket is closed, whoever closed it: leave nothing behind."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a bot asked for when it connected."""

    session_id: str
    claims: bool
    """Whether the bot gave the id, which may then be that of a call it was told of."""
    pool: str | None
    """The ``route`` parameter; None when it was not given."""
    track_id: str
    """Name of the track that carries what we play."""


class Gate(Protocol):
    """Opens sessions; may refuse before the upgrade."""

    def refusal(self, arrival: Arrival) -> tuple[HTTPStatus, str] | None:
        """Why this bot cannot be served now, or None."""

    def session(self, arrival: Arrival, outbox: "Outbox") -> BotSession:
        """A session for a bot whose socket is about to open."""

    def ready(self) -> str | None:
        """Why this worker cannot take calls, or None when it can."""

    def metrics(self) -> tuple[bytes, str]:
        """Prometheus exposition and its content type."""


class Outbox:
    """Events to one bot: strictly ordered, never dropped; a bot that stops reading is cut off."""

    def __init__(self, socket: web.WebSocketResponse, abort: Callable[[], None]) -> None:
        self._socket = socket
        self._abort = abort
        self._queue: asyncio.Queue[str | tuple[int, str]] = asyncio.Queue()
        self._closing = False

    def send(self, event: events.Event) -> None:
        """Queue `event`; after `close` nothing is taken."""
        if self._closing:
            return
        if self._queue.qsize() >= MAX_QUEUED_EVENTS:
            log.warning("a bot does not read its events: cut off")
            self.close(WSCloseCode.POLICY_VIOLATION, f"{MAX_QUEUED_EVENTS} events are unread")
            return
        self._queue.put_nowait(events.encode(event))

    def close(self, code: int, reason: str) -> None:
        """Close the socket after what was queued; after CLOSE_SECONDS without it."""
        if not self._closing:
            self._closing = True
            self._queue.put_nowait((code, reason))
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._abort)

    async def run(self) -> None:
        """Write until the socket is closed."""
        while True:
            match await self._queue.get():
                case (int(code), str(reason)):
                    await self._socket.close(code=code, message=_close_reason(reason))
                    return
                case str(text):
                    try:
                        await self._socket.send_str(text)
                    except ConnectionError:
                        # The reader sees the same end and tells the session.
                        return


def make_app(settings: Api, gate: Gate) -> web.Application:
    """The aiohttp application of one worker."""

    async def call_sip(request: web.Request) -> web.StreamResponse:
        arrival = _arrival(request)
        if (refusal := gate.refusal(arrival)) is not None:
            raise _error(*refusal)
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=settings.ping or None)
        if not socket.can_prepare(request) or request.transport is None:
            raise _error(HTTPStatus.BAD_REQUEST, "this is for WebSockets: ask for the upgrade (RFC 6455)")
        outbox = Outbox(socket, request.transport.abort)
        await _serve(request, socket, gate.session(arrival, outbox), outbox)
        return socket

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        if (reason := gate.ready()) is not None:
            return web.json_response({"status": "not ready", "reason": reason}, status=503)
        return web.json_response({"status": "ready"})

    async def metrics(_: web.Request) -> web.Response:
        body, content_type = gate.metrics()
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    app = web.Application(middlewares=[_errors_as_json, _authentication(settings.tokens)])
    app.router.add_get("/call/sip", call_sip)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


async def _serve(
    request: web.Request, socket: web.WebSocketResponse, session: BotSession, outbox: Outbox
) -> None:
    """Upgrade, and run the session until its socket is closed."""
    try:
        await socket.prepare(request)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outbox.run())
            session.open()
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    session.receive(message.data)
                elif message.type is WSMsgType.BINARY:
                    session.receive_binary(message.data)
            outbox.close(WSCloseCode.OK, "")
    finally:
        await session.disconnected()


def _arrival(request: web.Request) -> Arrival:
    """Read the query. Raises HTTPBadRequest."""
    query = request.query
    given = query.get("id", "")
    session_id = given or f"s.{uuid.uuid4()}"
    if not SESSION_ID.fullmatch(session_id):
        raise _error(HTTPStatus.BAD_REQUEST, "id takes 1 to 128 letters, digits, '.', '_', '~' or '-'", "id")
    pool = query.get("route")
    if pool is not None and not POOL.fullmatch(pool):
        raise _error(HTTPStatus.BAD_REQUEST, "route takes 1 to 32 letters, digits, '-' or '_'", "route")
    if query.get("dump", "true") not in ("true", "false"):
        raise _error(HTTPStatus.BAD_REQUEST, "dump takes true or false", "dump")
    return Arrival(session_id, bool(given), pool, query.get("serverSideTrack") or "server-side-track")


def _close_reason(text: str) -> bytes:
    """`text` as far as it fits into a close frame, in whole characters."""
    return text.encode("utf-8", "replace")[:MAX_CLOSE_REASON].decode("utf-8", "ignore").encode()


def _error(status: HTTPStatus, message: str, field: str | None = None) -> web.HTTPException:
    """A refusal with the JSON body that every refusal has."""
    body = {"code": int(status), "message": message} | ({"field": field} if field else {})
    # A challenge belongs to every 401 (RFC 9110 section 11.6.1).
    headers = {hdrs.WWW_AUTHENTICATE: "Bearer"} if status is HTTPStatus.UNAUTHORIZED else None
    text = json.dumps({"error": body})
    return _STATUS[status](text=text, content_type="application/json", headers=headers)


_STATUS: dict[HTTPStatus, type[web.HTTPException]] = {
    HTTPStatus.BAD_REQUEST: web.HTTPBadRequest,
    HTTPStatus.UNAUTHORIZED: web.HTTPUnauthorized,
    HTTPStatus.CONFLICT: web.HTTPConflict,
    HTTPStatus.SERVICE_UNAVAILABLE: web.HTTPServiceUnavailable,
}


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or error.content_type == "application/json":
            raise
        message = f"{request.method} {request.path}: {error.reason}"
        error.text = json.dumps({"error": {"code": error.status, "message": message}})
        error.content_type = "application/json"
        raise


def _authentication(tokens: tuple[str, ...]) -> Middleware:
    """Ask for a bearer token on everything but /healthz, when tokens are configured."""

    def octets(token: str) -> bytes:
        # A header's octets that are no UTF-8 stand in its text as lone surrogates.
        return token.encode("utf-8", "surrogateescape")

    known = [octets(token) for token in tokens]

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if known and request.path != "/healthz":
            scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
            if scheme.lower() != "bearer":
                given = request.query.get("token", "")
            # Every token is compared, so that the time taken says nothing.
            if not sum(hmac.compare_digest(octets(given), token) for token in known):
                raise _error(HTTPStatus.UNAUTHORIZED, "send a valid token: Authorization: Bearer TOKEN")
        return await handler(request)

    return check
