"""Connections to providers: a WebSocket, or an HTTP answer in pieces; every failure is a ProviderError.

No message of an error holds a URL's query or a header: they carry keys.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import WSMsgType

from control.errors import ProviderError

CONNECT_SECONDS = 5.0
SEND_SECONDS = 5.0
READ_SECONDS = 15.0
"""Between two pieces of an answer."""
PING_SECONDS = 10.0
"""Between pings; a provider that answers none for half of it is gone."""
MAX_MESSAGE = 4_194_304
_REFUSED = {400, 401, 402, 403, 404, 405, 410, 413, 415, 422, 426}
"""HTTP statuses that will be the same in a moment."""
_UNFIT = {1003, 1007, 1008, 1009}
"""Codes of WebSocket that find fault with what was sent (RFC 6455 section 7.4.1): the same will be refused again."""
_WORDS = "dg-error"
"""Header of a refused handshake in which a provider (Deepgram) says why."""
_SHOWN = 200


class Link:
    """A WebSocket to a provider."""

    def __init__(self, provider: str, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._provider = provider
        self._socket = socket

    async def send(self, message: str | bytes) -> None:
        """Send text or binary. Raises ProviderError when the provider does not take it."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                if isinstance(message, str):
                    await self._socket.send_str(message)
                else:
                    await self._socket.send_bytes(message)
        except TimeoutError:
            raise ProviderError(f"{self._provider}: it reads nothing for {SEND_SECONDS:g} s", 504) from None
        except (ConnectionError, aiohttp.ClientError) as error:
            raise ProviderError(f"{self._provider}: the connection is closed{self._why()}") from error

    async def send_json(self, message: Mapping[str, Any]) -> None:
        """Send an object as text."""
        await self.send(json.dumps(message, ensure_ascii=False))

    async def receive(self) -> str | bytes:
        """The next message. Raises ProviderError when the connection has ended, however that was."""
        message = await self._socket.receive()
        match message.type:
            case WSMsgType.TEXT | WSMsgType.BINARY:
                data: str | bytes = message.data
                return data
            case WSMsgType.ERROR:
                raise ProviderError(f"{self._provider}: the connection broke") from self._socket.exception()
            case WSMsgType.CLOSE:
                raise closed(self._provider, message.data, message.extra or "")
            case _:
                raise ProviderError(f"{self._provider}: the connection was closed{self._why()}")

    async def receive_json(self) -> dict[str, Any]:
        """The next message, which must be an object as text."""
        return self.parse(await self.receive())

    def parse(self, message: str | bytes) -> dict[str, Any]:
        """`message` as an object. Raises ProviderError for anything else."""
        return parse(self._provider, message)

    def _why(self) -> str:
        code = self._socket.close_code
        return "" if code is None else f" (code {code})"


def parse(provider: str, message: str | bytes) -> dict[str, Any]:
    """`message` as an object of JSON. Raises ProviderError for anything else."""
    try:
        value = json.loads(message)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ProviderError(f"{provider}: sent what is no JSON object ({len(message)} bytes)")
    return value


@asynccontextmanager
async def websocket(
    http: aiohttp.ClientSession, provider: str, url: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Link]:
    """A WebSocket to `url`, closed at the end. Raises ProviderError when there is none to be had."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await http.ws_connect(
                url, headers=headers, heartbeat=PING_SECONDS, max_msg_size=MAX_MESSAGE, autoclose=True
            )
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise failure(provider, error) from error
    try:
        yield Link(provider, socket)
    finally:
        # Not `close`: it would wait for an answer that a stalled provider never gives.
        await _hang_up(socket)


async def _hang_up(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Say goodbye and leave, without waiting for theirs."""
    try:
        async with asyncio.timeout(0.2):
            await socket.close()
    except TimeoutError:
        # aiohttp has closed the transport by now.
        return


async def post(
    http: aiohttp.ClientSession,
    provider: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    data: Any = None,
    method: str = "POST",
) -> AsyncGenerator[bytes, None]:
    """The answer to a request, piece by piece. Raises ProviderError, with the provider's words where it gave some."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    try:
        async with http.request(
            method, url, headers=headers, data=data, timeout=timeout, allow_redirects=False
        ) as response:
            if response.status != 200:
                words = (await response.content.read(4096)).decode("utf-8", "replace")
                raise refused(provider, response.status, words)
            while piece := await _piece(provider, response.content):
                yield piece
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise failure(provider, error) from error


async def _piece(provider: str, content: aiohttp.StreamReader) -> bytes:
    """What comes next of an answer; nothing at its end. Raises ProviderError."""
    try:
        # aiohttp drops its own time-out, and may wait for ever, when the framing of the answer is broken.
        async with asyncio.timeout(READ_SECONDS):
            return await content.readany()
    except TimeoutError:
        raise ProviderError(f"{provider}: its answer stopped for {READ_SECONDS:g} s", 504) from None
    except RuntimeError as error:
        # This is what aiohttp says when such an answer is read after the connection was closed.
        raise ProviderError(f"{provider}: its answer broke off") from error


def refused(provider: str, status: int, words: str = "") -> ProviderError:
    """What an HTTP status that is no success means."""
    code = 401 if status in (401, 403) else status if status in (400, 404, 408, 429) else 502
    said = " ".join(words.split())[:_SHOWN]
    message = f"{provider}: it answered {status}{f': {said}' if said else ''}"
    return ProviderError(message, code, retry=status not in _REFUSED)


def closed(provider: str, code: int, words: str = "") -> ProviderError:
    """What it means that the provider closed a WebSocket, with its own words."""
    said = " ".join(words.split())[:_SHOWN]
    message = f"{provider}: the connection was closed (code {code}){f': {said}' if said else ''}"
    return ProviderError(message, 400, retry=False) if code in _UNFIT else ProviderError(message)


def failure(provider: str, error: BaseException) -> ProviderError:
    """Why there is no connection, without addresses and keys."""
    match error:
        case aiohttp.WSServerHandshakeError(status=status) if status < 300:
            return ProviderError(f"{provider}: it answered {status} where a WebSocket was to begin")
        case aiohttp.WSServerHandshakeError(status=status, headers=headers):
            return refused(provider, status, headers.get(_WORDS, "") if headers else "")
        case TimeoutError():
            return ProviderError(f"{provider}: it did not answer within {CONNECT_SECONDS:g} s", 504)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return ProviderError(
                f"{provider}: it offers no valid TLS (certificate or protocol)", 502, retry=False
            )
        case aiohttp.InvalidURL():
            return ProviderError(f"{provider}: its endpoint is no URL", 400, retry=False)
        case aiohttp.ClientConnectorError(os_error=PermissionError()):
            return ProviderError(
                f"{provider}: its endpoint is not on the public internet: bots may not have us connect there",
                403,
                retry=False,
            )
        case aiohttp.ClientConnectorError():
            return ProviderError(f"{provider}: it cannot be reached", 503)
        case _:
            return ProviderError(f"{provider}: the connection broke")
