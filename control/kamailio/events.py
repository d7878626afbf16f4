"""What Kamailio tells us: SIP messages and timeouts, as events on one TCP connection (module evapi).

Each event is a netstring around one JSON object; ``kamailio/README.md`` documents its keys.
`NetstringDecoder` and `decode_event` do no I/O; `EventChannel` holds the connection.
"""

import asyncio
import json
import logging
import socket
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, cast

from control.errors import KamailioError

log = logging.getLogger(__name__)

MAX_EVENT = 1 << 20
"""Bytes; Kamailio refuses messages long before."""
_MAX_DIGITS = len(str(MAX_EVENT))

HEARTBEAT_SECONDS = 1.0
"""Kamailio closes its gate to new calls after 3 s without a heartbeat."""
FIRST_DELAY = 0.1
LONGEST_DELAY = 2.0
"""Seconds between two attempts to connect."""


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a SIP message's way; written ``udp:192.0.2.7:5060``."""

    transport: str
    """``udp`` or ``tcp``."""
    host: str
    """IPv4 address."""
    port: int

    def __str__(self) -> str:
        return f"{self.transport}:{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        transport, host, port = str(text).split(":")
        return cls(transport, host, int(port))


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """A request waits for our reply; Kamailio absorbs its retransmissions."""

    transaction: str
    """``index:label``, what `control.kamailio.rpc.KamailioRpc.reply` takes."""
    method: str
    source: Address
    destination: Address
    """Ours: the address the request was sent to."""
    message: bytes


@dataclass(frozen=True, slots=True)
class AckEvent:
    """An ACK, for a 2xx or for any other final reply of ours; comes with each retransmission."""

    source: Address
    destination: Address
    message: bytes


@dataclass(frozen=True, slots=True)
class CancelEvent:
    """An INVITE is cancelled; the CANCEL itself is answered, the INVITE waits for our 487."""

    source: Address
    destination: Address
    message: bytes


@dataclass(frozen=True, slots=True)
class ReplyEvent:
    """A reply to a request of ours; a provisional one may come after the final one."""

    code: int
    cseq: int
    source: Address
    destination: Address
    message: bytes


@dataclass(frozen=True, slots=True)
class UasTimeoutEvent:
    """We gave no final reply in time: Kamailio answered the request itself."""

    transaction: str
    method: str
    source: Address
    destination: Address
    message: bytes
    """The request."""


@dataclass(frozen=True, slots=True)
class UacTimeoutEvent:
    """No final reply to a request of ours came in time."""

    code: int
    """408."""
    cseq: int
    message: bytes
    """The request, as it was sent."""


@dataclass(frozen=True, slots=True)
class AliveEvent:
    """Kamailio has taken our heartbeat: from the first on, events are sent to us."""


Event = RequestEvent | AckEvent | CancelEvent | ReplyEvent | UasTimeoutEvent | UacTimeoutEvent
"""What concerns a SIP message."""
Frame = AliveEvent | Event


class NetstringDecoder:
    """Cuts a byte stream into netstrings (``5:hello,``), however it arrives in pieces."""

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The netstrings that `data` completes, in order.

        Raises KamailioError when the stream is not netstrings of at most `limit` bytes; it cannot be
        followed any further.
        """
        self._buffer += data
        frames = []
        start = 0
        while (frame := self._frame(start)) is not None:
            begin, end = frame
            frames.append(bytes(self._buffer[begin:end]))
            start = end + 1
        del self._buffer[:start]
        return frames

    def _frame(self, start: int) -> tuple[int, int] | None:
        """Bounds of the content of the netstring at `start`; None while it is incomplete."""
        colon = self._buffer.find(b":", start, start + _MAX_DIGITS + 1)
        digits = bytes(self._buffer[start : colon if colon >= 0 else start + _MAX_DIGITS + 1])
        if (digits and not digits.isdigit()) or (colon < 0 and len(digits) > _MAX_DIGITS) or colon == start:
            raise KamailioError(f"evapi: {digits[:20]!r} is not the length of a netstring")
        if colon < 0:
            return None
        size = int(digits)
        if size > self._limit:
            raise KamailioError(f"evapi: an event of {size} bytes is over the limit of {self._limit}")
        end = colon + 1 + size
        if len(self._buffer) <= end:
            return None
        if self._buffer[end] != ord(","):
            raise KamailioError(f"evapi: a netstring of {size} bytes does not end with a comma")
        return colon + 1, end


def decode_event(frame: bytes) -> Frame:
    """What is in one netstring. Raises KamailioError."""
    try:
        return _event(json.loads(frame))
    except (ValueError, LookupError, TypeError) as error:
        raise KamailioError(f"evapi: not an event we know ({error!r}): {frame[:200]!r}") from error


def _event(fields: dict[str, Any]) -> Frame:
    kind = fields["ev"]
    if kind == "alive":
        return AliveEvent()
    message = b64decode(fields["msg"], validate=True)
    if kind == "reply_timeout":
        return UacTimeoutEvent(int(fields["code"]), int(fields["cseq"]), message)
    source, destination = Address.parse(fields["src"]), Address.parse(fields["dst"])
    match kind:
        case "request":
            return RequestEvent(str(fields["tid"]), str(fields["method"]), source, destination, message)
        case "ack":
            return AckEvent(source, destination, message)
        case "cancel":
            return CancelEvent(source, destination, message)
        case "reply":
            return ReplyEvent(int(fields["code"]), int(fields["cseq"]), source, destination, message)
        case "request_timeout":
            return UasTimeoutEvent(str(fields["tid"]), str(fields["method"]), source, destination, message)
        case _:
            raise LookupError(kind)


class EventChannel:
    """The connection to evapi: heartbeats out, events in; reconnects until it is closed.

    `on_event` gets every event in the order of arrival; what it raises goes to the event loop's exception
    handler and costs no other event. The heartbeat holds `slot` (0 or 1) for the control process `name`.
    """

    def __init__(
        self, port: int, slot: int, name: str, on_event: Callable[[Event], None], host: str = "127.0.0.1"
    ) -> None:
        self.connected = asyncio.Event()
        """Set while Kamailio sends us events: from its answer to our first heartbeat."""
        self._host = host
        self._port = port
        content = b"H %d %s" % (slot, name.encode())
        # Kamailio loses a netstring whose length is cut by a read: each goes out in one write.
        self._heartbeat = b"%d:%s," % (len(content), content)
        self._on_event = on_event
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and stay connected."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End the connection; no event comes afterwards."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _receive(self, event: Frame) -> None:
        if isinstance(event, AliveEvent):
            self.connected.set()
        else:
            self._on_event(event)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY
        while True:
            try:
                transport, protocol = await loop.create_connection(
                    lambda: _Connection(self._receive), self._host, self._port
                )
            except OSError as error:
                level = logging.WARNING if delay == FIRST_DELAY else logging.DEBUG
                log.log(level, "kamailio: evapi %s:%d: %s; trying again", self._host, self._port, error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
                continue
            delay = FIRST_DELAY
            reason = await self._hold(transport, protocol)
            log.warning("kamailio: evapi connection lost (%s); connecting again", reason or "closed")

    async def _hold(self, transport: asyncio.Transport, connection: "_Connection") -> Exception | None:
        """Send heartbeats until the connection is lost; return why, None when the far end closed it."""
        try:
            while not connection.lost.done():
                transport.write(self._heartbeat)
                await asyncio.wait([connection.lost], timeout=HEARTBEAT_SECONDS)
            return connection.lost.result()
        finally:
            self.connected.clear()
            connection.closing = True
            transport.abort()


class _Connection(asyncio.Protocol):
    """One TCP connection to evapi."""

    def __init__(self, on_event: Callable[[Frame], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[Exception | None] = self._loop.create_future()
        self.closing = False
        self._on_event = on_event
        self._decoder = NetstringDecoder()
        self._transport: asyncio.Transport
        self._socket: socket.socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._socket = transport.get_extra_info("socket")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._acknowledge_at_once()

    def data_received(self, data: bytes) -> None:
        self._acknowledge_at_once()
        try:
            frames = self._decoder.feed(data)
        except KamailioError:
            log.exception("kamailio: connecting again")
            self._transport.abort()
            return
        for frame in frames:
            self._deliver(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(exc)

    def _deliver(self, frame: bytes) -> None:
        try:
            event = decode_event(frame)
        except KamailioError:
            log.exception("kamailio: an event is lost")
            return
        self._loop.call_soon(self._hand_over, event)

    def _hand_over(self, event: Frame) -> None:
        if not self.closing:
            self._on_event(event)

    def _acknowledge_at_once(self) -> None:
        """evapi's side sends with Nagle: a delayed ACK would hold back its next event for 40 ms.

        The kernel takes the option back by itself: it is set again for each reception.
        """
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
