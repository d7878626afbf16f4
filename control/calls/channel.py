"""Carries out what the SIP machines ask of Kamailio, and keeps their timers."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from control.errors import KamailioError, ResolveError, SipError, UnreachableError
from control.kamailio.events import Address
from control.kamailio.rpc import KamailioRpc
from control.network import resolve, source_for
from control.sip.effects import CancelInvite, Reply, Send, StartTimer, StopTimer, Timer
from control.sip.uri import SipUri, parse_uri

log = logging.getLogger(__name__)


DEFAULT_PORT = 5060
LOST_SECONDS = 40.0
"""Longer than Kamailio waits for the answer to a request of ours (timer F, 32 s)."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a request goes, and which of our addresses it leaves from."""

    transport: str
    address: str
    """IPv4 address of the next hop."""
    port: int
    local: str
    """Our SIP address that the peer sees."""

    @property
    def uri(self) -> str:
        """The next hop as Kamailio wants it: no name to look up."""
        suffix = ";transport=tcp" if self.transport == "tcp" else ""
        return f"sip:{self.address}:{self.port}{suffix}"


class SipChannel:
    """Sends requests and replies through Kamailio."""

    def __init__(self, rpc: KamailioRpc, addresses: Sequence[str], port: int) -> None:
        self._rpc = rpc
        self._addresses = addresses
        self._port = port

    async def carry_out(self, command: Reply | Send | CancelInvite) -> None:
        """Hand `command` to Kamailio. Raises UnreachableError when a request cannot go.

        A reply that lost against CANCEL, or a CANCEL that lost against the final reply, is no fault.
        """
        try:
            match command:
                case Reply():
                    await self._rpc.reply(
                        command.transaction,
                        command.code,
                        command.reason,
                        command.to_tag,
                        command.headers,
                        command.body,
                    )
                case Send():
                    await self._send(command)
                case CancelInvite():
                    await self._rpc.cancel(command.call_id, command.cseq)
        except (KamailioError, ResolveError, SipError) as error:
            if isinstance(command, Send):
                raise UnreachableError(f"{command.method} {command.uri}: {error}") from error
            log.info("%s: %s", type(command).__name__, error)

    @property
    def domain(self) -> str:
        """Host part of our URIs where nothing else is configured."""
        return self._addresses[-1]

    async def locate(self, uri: SipUri) -> Location:
        """Where a request to `uri` goes. Raises ResolveError."""
        transport = (uri.param("transport") or "udp").lower()
        if transport not in ("udp", "tcp"):
            raise ResolveError(f"{uri}: transport {transport} is not offered; use udp or tcp")
        address = await resolve(uri.host, uri.port or DEFAULT_PORT, transport)
        return Location(transport, address, uri.port or DEFAULT_PORT, source_for(address, self._addresses))

    async def _send(self, command: Send) -> None:
        location = await self.locate(parse_uri(command.next_hop or command.uri))
        source = Address(location.transport, location.local, self._port)
        await self._rpc.start(
            command.method,
            command.uri,
            location.uri,
            source,
            command.headers,
            command.body,
            command.fr_timer,
            command.fr_inv_timer,
        )


class Timers:
    """The timers of one machine; `fired` is called with the timer that went off."""

    def __init__(self, fired: Callable[[Timer], None]) -> None:
        self._fired = fired
        self._handles: dict[Timer, asyncio.TimerHandle] = {}

    def carry_out(self, command: StartTimer | StopTimer) -> None:
        """Start or stop a timer."""
        if (handle := self._handles.pop(command.timer, None)) is not None:
            handle.cancel()
        if isinstance(command, StartTimer):
            loop = asyncio.get_running_loop()
            self._handles[command.timer] = loop.call_later(command.seconds, self._fire, command.timer)

    def close(self) -> None:
        """Stop all."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _fire(self, timer: Timer) -> None:
        del self._handles[timer]
        self._fired(timer)
