"""Where bots come in: the query, the upgrade, and the session behind it."""

import re
import uuid
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import hdrs, web

from control.config import Api, Token
from media.api.access import TOKEN
from media.api.calltype import CallType
from media.api.connection import Connection
from media.api.frames import Reader, accept_key
from media.api.gate import SERVER_SIDE_TRACK, Arrival, BotSession, Gate
from media.api.heartbeat import Heartbeats
from media.api.limits import AUDIO_BURST_SECONDS, AUDIO_RATE, Limiter
from media.api.outbox import Outbox
from media.api.refusals import RefusedError, refused

PATHS = {
    "/call": CallType.WEBSOCKET,
    # SDKs that put the type of the call behind a slash may leave it empty.
    "/call/": CallType.WEBSOCKET,
    "/call/webrtc": CallType.WEBRTC,
    "/call/sip": CallType.SIP,
}
SESSION_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")
TRACK_ID = re.compile(r"[A-Za-z0-9._~:-]{1,128}")
POOL = re.compile(r"[A-Za-z0-9_-]{1,32}")
SECONDS = re.compile(r"[0-9]{1,4}")
MAX_PING = 3600


class Door:
    """The handlers of PATHS; `add_to` puts them there."""

    def __init__(self, gate: Gate, settings: Api, heartbeats: Heartbeats) -> None:
        self._gate = gate
        self._settings = settings
        self._heartbeats = heartbeats

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve."""
        for path in PATHS:
            router.add_get(path, self._enter, allow_head=False)

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        arrival = read_arrival(request.query, PATHS[request.path], request.get(TOKEN), self._settings.ping)
        accept = _handshake(request)
        if (transport := request.transport) is None:
            raise ConnectionResetError("the bot has gone")
        if (refusal := await self._gate.refusal(arrival)) is not None:
            raise RefusedError(refusal)
        outbox = Outbox(transport, arrival.session_id)
        session = self._gate.session(arrival, outbox)
        try:
            # The bot may have gone while the gate was asked.
            if request.transport is not None:
                connection = self._connection(arrival, session, outbox)
                connection.take_over(transport)
                transport.write(_SWITCHING + accept.encode() + b"\r\n\r\n")
                session.open()
                await self._stay(connection, arrival.ping)
        finally:
            # Many may leave at once; the calls of the others go on meanwhile.
            self._gate.keep_time()
            await session.disconnected()
            outbox.drop("the worker stops")
        return _Upgraded()

    def _connection(self, arrival: Arrival, session: BotSession, outbox: Outbox) -> Connection:
        settings = self._settings
        rate = settings.commands_per_second
        if arrival.token is not None and arrival.token.commands_per_second is not None:
            rate = arrival.token.commands_per_second
        return Connection(
            arrival.session_id,
            session,
            outbox,
            Reader(settings.max_command),
            Limiter(rate),
            Limiter(AUDIO_RATE, AUDIO_BURST_SECONDS),
            self._gate.keep_time,
        )

    async def _stay(self, connection: Connection, ping: int) -> None:
        """Until the socket is closed; pings from the first moment."""
        if ping:
            connection.beat()
            self._heartbeats.add(connection, ping)
        try:
            await connection.gone
        finally:
            self._heartbeats.remove(connection)


class _Upgraded(web.StreamResponse):
    """What aiohttp is told when a connection that it has no part in any more is over: nothing is to be written."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing."""


_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)


def read_arrival(query: Mapping[str, str], call_type: CallType, token: Token | None, ping: int) -> Arrival:
    """What a bot asks for in its query; parameters that are not known do not matter. Raises RefusedError."""
    given = query.get("id", "")
    session_id = given or f"s.{uuid.uuid4()}"
    if not SESSION_ID.fullmatch(session_id):
        raise _bad("id", "1 to 128 letters, digits, '.', '_', '~' or '-'")
    track_id = query.get("serverSideTrack") or SERVER_SIDE_TRACK
    if not TRACK_ID.fullmatch(track_id):
        raise _bad("serverSideTrack", "1 to 128 letters, digits, '.', '_', '~', ':' or '-'")
    pool = query.get("route")
    if pool is not None and not POOL.fullmatch(pool):
        raise _bad("route", "1 to 32 letters, digits, '-' or '_'")
    dump = query.get("dump", "true")
    if dump not in ("true", "false"):
        raise _bad("dump", "true or false")
    seconds = query.get("ping", str(ping))
    if not SECONDS.fullmatch(seconds) or int(seconds) > MAX_PING:
        raise _bad("ping", f"whole seconds, 0 to {MAX_PING}; 0 sends no pings")
    arrival = Arrival(
        session_id=session_id,
        call_type=call_type,
        claims=bool(given),
        pool=pool,
        track_id=track_id,
        dump=dump == "true",
        ping=int(seconds),
        token=token,
    )
    if pool is not None and not arrival.may_wait:
        raise refused(HTTPStatus.FORBIDDEN, f"this token may not wait in the pool {pool}", "route")
    return arrival


def _bad(field: str, takes: str) -> RefusedError:
    return refused(HTTPStatus.BAD_REQUEST, f"{field} takes {takes}", field)


def _handshake(request: web.Request) -> str:
    """``Sec-WebSocket-Accept`` for a request that asks for the upgrade (RFC 6455 section 4.2). Raises RefusedError."""
    headers = request.headers
    upgrade = headers.get(hdrs.UPGRADE, "").lower() == "websocket"
    connection = (option.strip().lower() for option in headers.get(hdrs.CONNECTION, "").split(","))
    if not upgrade or "upgrade" not in connection or headers.get(hdrs.SEC_WEBSOCKET_VERSION) != "13":
        message = "this is for WebSockets: ask for the upgrade, version 13 (RFC 6455)"
        raise refused(HTTPStatus.UPGRADE_REQUIRED, message)
    accept = accept_key(headers.get(hdrs.SEC_WEBSOCKET_KEY, ""))
    if accept is None:
        message = "16 bytes in base64 are wanted (RFC 6455 section 4.1)"
        raise refused(HTTPStatus.BAD_REQUEST, message, hdrs.SEC_WEBSOCKET_KEY)
    return accept
