"""The API port: bots' WebSockets and health, on aiohttp."""

import asyncio
import hmac
import json
import re
import uuid
from http import HTTPStatus

from aiohttp import WSCloseCode, WSMsgType, hdrs, web
from aiohttp.typedefs import Handler, Middleware

from control.config import Api
from media.api.gate import SERVER_SIDE_TRACK, Arrival, BotSession, Gate
from media.api.outbox import Outbox

MAX_MESSAGE = 1 << 20
SESSION_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")
POOL = re.compile(r"[A-Za-z0-9_-]{1,32}")


def make_app(settings: Api, gate: Gate) -> web.Application:
    """The aiohttp application of one worker."""

    async def call_sip(request: web.Request) -> web.StreamResponse:
        arrival = _arrival(request)
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=settings.ping or None)
        if not socket.can_prepare(request) or request.transport is None:
            raise _error(HTTPStatus.BAD_REQUEST, "this is for WebSockets: ask for the upgrade (RFC 6455)")
        if (refusal := await gate.refusal(arrival)) is not None:
            raise _error(refusal.status, refusal.message, refusal.field)
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
    return Arrival(
        session_id=session_id,
        claims=bool(given),
        pool=pool,
        track_id=query.get("serverSideTrack") or SERVER_SIDE_TRACK,
        dump=query.get("dump", "true") == "true",
    )


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
