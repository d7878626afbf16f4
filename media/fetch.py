"""Fetching files over HTTP for bots, without lending them this machine's place in the network.

A bot may name any URL. Each host, of the URL and of every redirect, is resolved once; addresses that are
not public are dropped, and the connection goes to one of the rest, so that a name cannot change its address
between check and use.
"""

import asyncio
import errno
import ipaddress
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from control.errors import AudioFileError
from media.freshness import Freshness, freshness

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 65_536
_CODES = {401: 403, 403: 403, 404: 404, 408: 504, 410: 404, 504: 504}
"""What an answer means to the bot; all others that are no success: 502."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether `address` belongs to the public internet; False for text that is no address.

    An IPv6 address that carries an IPv4 one (mapped, 6to4, NAT64 of RFC 6052) is judged by that one.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast
    nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
    inner = ip.ipv4_mapped or ip.sixtofour or nat64
    if inner is not None:
        return inner.is_global and not inner.is_multicast
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_site_local)


class PublicResolver(AbstractResolver):
    """Passes on the public addresses of another resolver. Raises AudioFileError when there are none."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses that may be connected to."""
        found = [each for each in await self._resolver.resolve(host, port, family) if is_public(each["host"])]
        if not found:
            raise AudioFileError(f"{host} is not on the public internet: nothing is fetched from there", 403)
        return found

    async def close(self) -> None:
        """Close the other resolver."""
        await self._resolver.close()


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer."""

    body: bytes | None
    """None: it has not changed."""
    freshness: Freshness


class Fetcher:
    """Fetches http and https URLs; an async context manager (or `close` it)."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        max_bytes: int = 20_000_000,
        timeout: float = 15.0,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def fetch(self, url: str) -> bytes:
        """The body behind `url`, redirects followed. Raises AudioFileError with a reason fit for the bot."""
        return (await self.get(url)).body or b""

    async def get(self, url: str, known: Freshness | None = None) -> Fetched:
        """The body behind `url`, unless it is still the one that `known` came with; redirects are followed.

        Raises AudioFileError with a reason fit for the bot.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._follow(url, {} if known is None else known.conditions())
        except TimeoutError:
            raise AudioFileError(f"{_shown(url)}: not there after {self._timeout:g} s", 504) from None
        except (aiohttp.ClientError, ValueError) as error:
            raise AudioFileError(f"{_shown(url)}: {_reason(error)}", 502) from error

    async def _follow(self, url: str, conditions: dict[str, str]) -> Fetched:
        target = self._checked(url)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._opened().get(target, headers=conditions, allow_redirects=False) as response:
                if response.status in _REDIRECTS and (location := response.headers.get("Location")):
                    target = self._checked(location, target)
                    continue
                if response.status == 304 and conditions:
                    return Fetched(None, freshness(response.headers))
                if response.status != 200:
                    code = _CODES.get(response.status, 502)
                    raise AudioFileError(f"{_shown(url)}: the server answered {response.status}", code)
                return Fetched(await self._body(response, url), freshness(response.headers))
        raise AudioFileError(f"{_shown(url)}: more than {MAX_REDIRECTS} redirects", 502)

    async def _body(self, response: aiohttp.ClientResponse, url: str) -> bytes:
        too_large = AudioFileError(f"{_shown(url)}: larger than {self._max_bytes} bytes", 413)
        if (response.content_length or 0) > self._max_bytes:
            raise too_large
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._max_bytes:
                raise too_large
        return bytes(body)

    def _checked(self, url: str, base: URL | None = None) -> URL:
        return checked(url, base, allow_private=self._allow_private)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = guarded_session(
                timeout=self._timeout, allow_private=self._allow_private, resolver=self._resolver
            )
        return self._session


def checked(url: str, base: URL | None = None, *, allow_private: bool) -> URL:
    """`url`, which may be relative to `base`, as it may be connected to; host names are checked by `guarded_session`.

    Raises AudioFileError.
    """
    try:
        target = URL(url) if base is None else base.join(URL(url))
        scheme, host = target.scheme, target.raw_host
    except ValueError as error:
        raise AudioFileError(f"{_shown(url)}: not a URL", 400) from error
    if scheme not in ("http", "https") or not host:
        raise AudioFileError(f"{_shown(url)}: only http:// and https:// URLs are fetched", 400)
    if not allow_private and _skips_resolver(host) and not is_public(host):
        raise AudioFileError(f"{host} is not on the public internet: nothing is fetched from there", 403)
    return target


def guarded_session(
    *, timeout: float, allow_private: bool, resolver: AbstractResolver | None = None
) -> aiohttp.ClientSession:
    """A session for URLs that a bot names and `checked` has passed; the caller closes it, and follows no redirects.

    `timeout` in seconds. Requests raise AudioFileError for a host that has no public address.
    """
    inner = resolver or aiohttp.ThreadedResolver()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=inner if allow_private else PublicResolver(inner), use_dns_cache=False
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Not unpacked: a small answer must not become a huge one.
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "Sidecall"},
        timeout=aiohttp.ClientTimeout(total=timeout),
    )


def public_socket(address: AddrInfoType) -> socket.socket:
    """A socket for a connection to a public address, for a connector that may be told of any host.

    Raises PermissionError for other addresses, whether they came from a name, a URL or a redirect.
    """
    family, kind, protocol, _, where = address
    if not is_public(str(where[0])):
        raise PermissionError(errno.EACCES, "not on the public internet")
    return socket.socket(family, kind, protocol)


def _skips_resolver(host: str) -> bool:
    """Whether the connector takes `host` for an address: also ``127.1`` and ``2130706433``."""
    return ":" in host or host.replace(".", "").isdigit()


def _shown(url: str) -> str:
    """`url` for a message: user, password and query may be secrets, so they go."""
    try:
        parts = URL(url)
        return str(parts.with_user(None).with_query(None).with_fragment(None))[:200] or "the URL"
    except ValueError:
        return "the URL"


def _reason(error: aiohttp.ClientError | ValueError) -> str:
    """What went wrong, without the addresses and file names of this machine."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the host is not known"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "the server offers no valid TLS (certificate or protocol)"
        case aiohttp.ClientConnectorError():
            return "the server cannot be reached"
        case ValueError():
            return "not a URL"
        case _:
            return "the connection broke"
