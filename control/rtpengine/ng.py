"""Client of rtpengine's ng protocol: bencoded dictionaries over UDP, matched by a cookie.

A datagram is ``COOKIE SPACE DICTIONARY`` in both directions. rtpengine answers a cookie it has seen with the
answer it gave before, so that sending a command again is safe. `NgTransactions` knows the messages,
`NgClient` the socket and the time.
"""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import bencodepy

from control.errors import NgError, NgTimeoutError

log = logging.getLogger(__name__)

SCHEDULE: Final = (0.25, 0.5, 1.0, 1.5)
"""Seconds to wait after each send of a command; after the last one it has failed."""
MAX_DATAGRAM: Final = 65_507
"""Bytes; what UDP over IPv4 takes."""

Reply = dict[str, Any]
"""A reply: int, list, dict and text values; bytes where a value is not UTF-8."""

_codec = bencodepy.Bencode(encoding="utf-8", encoding_fallback="all")


@dataclass(frozen=True, slots=True)
class Request:
    """A command under way."""

    cookie: bytes
    command: str
    call_id: str | None
    datagram: bytes

    def __str__(self) -> str:
        return f"{self.command} of call {self.call_id}" if self.call_id else self.command


class NgTransactions:
    """Commands under way and their replies; no socket, no time."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count()
        self._pending: dict[bytes, Request] = {}
        self.strays = 0
        """Datagrams that matched no command under way: late, repeated, or not ours."""

    def __len__(self) -> int:
        return len(self._pending)

    def begin(self, command: str, fields: Mapping[str, Any]) -> Request:
        """Make the request to send, and expect its reply until `forget`.

        Raises NgError when a value cannot be encoded or the datagram is too long.
        """
        call_id = fields.get("call-id")
        cookie = f"{self._prefix}_{next(self._numbers)}".encode()
        try:
            datagram = cookie + b" " + _codec.encode({**fields, "command": command})
        except (KeyError, TypeError, UnicodeEncodeError) as error:
            raise NgError(f"rtpengine {command} of call {call_id!r} cannot be encoded: {error!r}") from error
        if len(datagram) > MAX_DATAGRAM:
            raise NgError(
                f"rtpengine {command} of call {call_id}: {len(datagram)} bytes are more than {MAX_DATAGRAM}"
            )
        request = Request(cookie, command, call_id, datagram)
        self._pending[cookie] = request
        return request

    def forget(self, request: Request) -> None:
        """Expect no reply any more; a later one is a stray."""
        self._pending.pop(request.cookie, None)

    def match(self, datagram: bytes) -> tuple[Request, Reply | NgError] | None:
        """The request that `datagram` answers, with the reply or the refusal; None for a stray."""
        cookie, _, body = datagram.partition(b" ")
        request = self._pending.pop(cookie, None)
        if request is None:
            self.strays += 1
            return None
        return request, _outcome(request, body)


def _outcome(request: Request, body: bytes) -> Reply | NgError:
    try:
        reply = _codec.decode(body)
    except bencodepy.BencodeDecodeError as error:
        return NgError(f"rtpengine answered {request} with bytes that are not bencode: {error}")
    if not isinstance(reply, dict):
        return NgError(f"rtpengine answered {request} with no dictionary")
    result = reply.get("result")
    if result not in ("ok", "pong"):
        return NgError(f"rtpengine refused {request}: {reply.get('error-reason', result)}")
    return reply


@dataclass(slots=True)
class _Flight:
    """A request in the air."""

    request: Request
    reply: "asyncio.Future[Reply]"
    sends: int = 0
    timer: asyncio.TimerHandle | None = None


class NgClient(asyncio.DatagramProtocol):
    """Sends commands over one UDP socket, any number at a time."""

    def __init__(self, peer: str, schedule: tuple[float, ...] = SCHEDULE) -> None:
        self._peer = peer
        self._schedule = schedule
        self._loop = asyncio.get_running_loop()
        self._transactions = NgTransactions()
        self._flights: dict[bytes, _Flight] = {}
        self._transport: asyncio.DatagramTransport

    @classmethod
    async def open(cls, host: str, port: int, *, schedule: tuple[float, ...] = SCHEDULE) -> Self:
        """Client of the rtpengine at `host`:`port`, which need not run yet.

        Raises NgError when the address cannot be used.
        """
        peer = f"{host}:{port}"
        try:
            _transport, client = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: cls(peer, schedule), remote_addr=(host, port)
            )
        except OSError as error:
            raise NgError(
                f"rtpengine at {peer} cannot be reached: {error}; check host and ng_port"
            ) from error
        return client

    @property
    def strays(self) -> int:
        """Datagrams that matched no command under way."""
        return self._transactions.strays

    @property
    def in_flight(self) -> int:
        """Commands that wait for their reply."""
        return len(self._flights)

    async def command(self, command: str, /, **fields: Any) -> Reply:
        """Carry out one command; `fields` are named and typed as in rtpengine's documentation.

        Returns the reply. Raises NgError when rtpengine refuses or the client is closed, and NgTimeoutError
        when no reply came: then it is unknown whether the command was carried out.
        """
        if self._transport.is_closing():
            raise NgError(f"rtpengine {command}: the client of {self._peer} is closed")
        request = self._transactions.begin(command, fields)
        flight = _Flight(request, self._loop.create_future())
        self._flights[request.cookie] = flight
        try:
            self._send(flight)
            reply = await flight.reply
        finally:
            self._land(flight)
        if "warning" in reply:
            log.warning("rtpengine warns about %s: %s", request, reply["warning"])
        return reply

    async def ping(self) -> None:
        """Check that rtpengine answers; raises NgError and NgTimeoutError like `command`."""
        await self.command("ping")

    def close(self) -> None:
        """Close the socket; commands under way raise NgError. Closing twice does nothing."""
        self._transport.close()
        for flight in self._flights.values():
            if not flight.reply.done():
                flight.reply.set_exception(NgError(f"rtpengine {flight.request}: the client was closed"))

    def _send(self, flight: _Flight) -> None:
        """Send for the first or another time, or give up."""
        if flight.reply.done():
            return
        if flight.sends == len(self._schedule):
            waited = f"{flight.request} in {sum(self._schedule):g} s"
            flight.reply.set_exception(
                NgTimeoutError(f"rtpengine at {self._peer} did not answer {waited}; check that it runs")
            )
            return
        self._transport.sendto(flight.request.datagram)
        flight.timer = self._loop.call_later(self._schedule[flight.sends], self._send, flight)
        flight.sends += 1

    def _land(self, flight: _Flight) -> None:
        del self._flights[flight.request.cookie]
        self._transactions.forget(flight.request)
        if flight.timer is not None:
            flight.timer.cancel()

    # asyncio.DatagramProtocol

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Keep the transport."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Give a reply to the command that waits for it."""
        matched = self._transactions.match(data)
        if matched is None:
            log.debug("rtpengine at %s sent a reply that no command waits for", addr)
            return
        request, outcome = matched
        reply = self._flights[request.cookie].reply
        if reply.done():
            return
        if isinstance(outcome, NgError):
            reply.set_exception(outcome)
        else:
            reply.set_result(outcome)

    def error_received(self, error: Exception) -> None:
        """Nothing: rtpengine may be starting, and the command is sent again."""
        log.debug("rtpengine at %s: %s", self._peer, error)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail what is under way when the socket is lost."""
        if error is not None:
            log.error("rtpengine at %s: the socket is lost: %s", self._peer, error)
        self.close()
