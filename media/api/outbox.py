"""Events and audio to one bot."""

import asyncio
import logging
from collections.abc import Callable

from aiohttp import WSCloseCode, web

log = logging.getLogger(__name__)

MAX_QUEUED_EVENTS = 2000
CLOSE_SECONDS = 5.0
"""How long a bot may take to read what is left once its socket is to close."""
MAX_CLOSE_REASON = 123
"""Bytes (RFC 6455 section 5.5)."""


class Outbox:
    """Events to one bot: strictly ordered, never dropped; a bot that stops reading is cut off."""

    def __init__(self, socket: web.WebSocketResponse, abort: Callable[[], None]) -> None:
        self._socket = socket
        self._abort = abort
        self._queue: asyncio.Queue[str | bytes | tuple[int, str]] = asyncio.Queue()
        self._closing = False

    def send(self, text: str) -> None:
        """Send one event as JSON; after `close` nothing is taken."""
        self._put(text)

    def send_audio(self, data: bytes) -> None:
        """Send one binary frame, behind the events that were sent before; after `close` nothing is taken."""
        self._put(data)

    def _put(self, item: str | bytes) -> None:
        if self._closing:
            return
        if self._queue.qsize() >= MAX_QUEUED_EVENTS:
            log.warning("a bot does not read its events: cut off")
            self.close(WSCloseCode.POLICY_VIOLATION, f"{MAX_QUEUED_EVENTS} events are unread")
            return
        self._queue.put_nowait(item)

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
                case bytes(data):
                    try:
                        await self._socket.send_bytes(data)
                    except ConnectionError:
                        return


def _close_reason(text: str) -> bytes:
    """`text` as far as it fits into a close frame, in whole characters."""
    return text.encode("utf-8", "replace")[:MAX_CLOSE_REASON].decode("utf-8", "ignore").encode()
