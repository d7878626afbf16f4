"""One connection of a worker to the speech process."""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from control.errors import SpeechError
from media.speech.hub import wire

log = logging.getLogger(__name__)

STUCK_SECONDS = 10.0
"""A speech process that reads nothing for so long is taken for dead."""
STUCK_BYTES = 64_000_000
"""So is one that has so much left to read: 10 s of 200 calls. Less must do, as after an outage of a provider, for then
all calls of the worker begin anew at once, which keeps it even busier."""


class Connection(asyncio.Protocol):
    """A connection to a speech process."""

    def __init__(self, take: Callable[["Connection", wire.Message], None]) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._decoder = wire.Decoder()
        self._transport: asyncio.WriteTransport | None = None
        self._out = bytearray()
        self._written = 0
        self._behind: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Reports came."""
        try:
            for message in self._decoder.feed(data):
                self._take(self, message)
        except SpeechError as error:
            log.error("%s; connecting again", error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """It is closed."""
        self.resume_writing()
        self._transport = None
        if not self.over.done():
            self.over.set_result(None)

    def pause_writing(self) -> None:
        """The speech process is behind with reading."""
        self._behind = self._loop.call_later(STUCK_SECONDS, self._judge, self._read)

    def resume_writing(self) -> None:
        """It has read nearly all."""
        if self._behind is not None:
            self._behind.cancel()
            self._behind = None

    @property
    def _read(self) -> int:
        """Bytes that have gone to the speech process."""
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self._written - waiting

    def _judge(self, before: int) -> None:
        """It has been behind for a while, at whose beginning `before` bytes had gone."""
        if self._read > before:
            self.pause_writing()
        else:
            self._leave(f"has read nothing for {STUCK_SECONDS:g} s")

    def _leave(self, why: str) -> None:
        log.error("the speech process %s; connecting again", why)
        self.abort()

    def send(self, order: wire.Order) -> None:
        """Send with whatever else is sent in this moment. Raises SpeechError when it is too long."""
        frame = wire.encode(order)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += frame

    def abort(self) -> None:
        """Leave at once."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        out, self._out = self._out, bytearray()
        if self._transport is not None:
            self._transport.write(out)
            self._written += len(out)
            if (left := self._transport.get_write_buffer_size()) > STUCK_BYTES:
                self._leave(f"has {left} bytes left to read")
