"""Which addresses we listen on, which one we send from, and where a host name points to. IPv4 only."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from control.config import Settings, is_loopback
from control.errors import ConfigError, ResolveError

LOOPBACK = "127.0.0.1"
_ELSEWHERE = "203.0.113.1"
"""An address reserved for documentation (RFC 5737): the way to it is the default route."""


def primary_address() -> str:
    """Our address on the default route; 127.0.0.1 on a host without one. Nothing is sent."""
    # pyroute2 runs an event loop of its own, which must not meet the one of the calling thread.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(_preferred_source, _ELSEWHERE).result()


def _preferred_source(destination: str) -> str:
    try:
        with IPRoute() as netlink:
            routes = netlink.route("get", dst=destination)
            return next((str(address) for route in routes if (address := route.get("prefsrc"))), LOOPBACK)
    except NetlinkError:
        return LOOPBACK


def sip_addresses(settings: Settings) -> list[str]:
    """The addresses Kamailio listens on, loopback first.

    Raises ConfigError when ``sip.address`` is neither ``auto`` nor one IPv4 address of a host.
    """
    if settings.sip.address == "auto":
        return list(dict.fromkeys((LOOPBACK, primary_address())))
    try:
        address = ipaddress.IPv4Address(settings.sip.address)
    except ValueError:
        address = None
    if address is None or address.is_unspecified or address.is_multicast:
        raise ConfigError(
            f"sip.address: {settings.sip.address!r} is no address of a host: give one IPv4 address, or auto"
        )
    return [str(address)]


def source_for(destination: str, addresses: Sequence[str]) -> str:
    """Which of our listening `addresses` (at least one) sends to the IP address `destination`.

    Loopback reaches loopback; everything else needs an address that others can answer to.
    """
    local = is_loopback(destination)
    return next((address for address in addresses if is_loopback(address) == local), addresses[0])


async def resolve(host: str, port: int, transport: str) -> str:
    """The first IPv4 address of `host`, for `transport` ``udp`` or ``tcp``; an address is its own answer.

    Raises ResolveError.
    """
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=socket.AF_INET, type=kind)
    except (OSError, UnicodeError) as error:
        raise ResolveError(
            f"{host}: no IPv4 address found ({error}): check the name and the name servers"
        ) from error
    return str(found[0][4][0])
