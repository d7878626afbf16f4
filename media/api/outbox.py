"""Events and audio to one bot: frames written straight to its transport, whose buffer is the queue."""

import asyncio
import logging

from media.api.frames import CloseCode, Opcode, close_frame, frame

log = logging.getLogger(__name__)

MAX_UNREAD_AUDIO = 1 << 20
"""Bytes that a bot may leave unread, beyond what kernels keep, before it gets no more audio: 30 s of 16 kHz PCM."""
MAX_UNREAD_EVENTS = 4 << 20
"""The same for events: these still fit when audio does not."""
CLOSE_SECONDS = 5.0
"""How long a bot may take to read what is left once its socket is to close."""

_heads: dict[int, bytes] = {}
"""Head of a binary frame of each size: audio has but few."""


def _head(size: int) -> bytes:
    whole = frame(Opcode.BINARY, bytes(size))
    return whole[: len(whole) - size]


class Outbox:
    """Strictly ordered, nothing dropped; a bot that stops reading is cut off."""

    def __init__(self, transport: asyncio.Transport, session_id: str) -> None:
        self.closed_because: str | None = None
        """Why nothing more goes out."""
        self._transport = transport
        self._session_id = session_id
        self._open = True
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether what is sent now goes out."""
        return self._open

    def send(self, text: str) -> None:
        """Send one event as JSON; after `close` nothing is taken."""
        if self._open:
            self._write(Opcode.TEXT, text.encode(), MAX_UNREAD_EVENTS)

    def send_audio(self, data: bytes) -> None:
        """Send one binary frame, behind the events that were sent before; after `close` nothing is taken."""
        if not self._open:
            return
        transport = self._transport
        if transport.get_write_buffer_size() <= MAX_UNREAD_AUDIO:
            size = len(data)
            head = _heads.get(size) or _heads.setdefault(size, _head(size))
            transport.write(head + data)
        else:
            self._unread(MAX_UNREAD_AUDIO)

    def control(self, opcode: Opcode, payload: bytes) -> None:
        """Send a ping or pong."""
        if self._open:
            self._write(opcode, payload, MAX_UNREAD_EVENTS)

    def _write(self, opcode: Opcode, payload: bytes, most: int) -> None:
        if self._transport.get_write_buffer_size() <= most:
            self._transport.write(frame(opcode, payload))
        else:
            self._unread(most)

    def _unread(self, most: int) -> None:
        reason = f"the bot does not read: more than {most} bytes are unread"
        log.warning("session %s: %s", self._session_id, reason)
        self.close(CloseCode.POLICY_VIOLATION, reason)

    def close(self, code: int, reason: str) -> None:
        """Close the socket behind what was sent; after CLOSE_SECONDS without it."""
        if self._open:
            self._open = False
            self.closed_because = reason
            self._transport.write(close_frame(code, reason))
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(CLOSE_SECONDS, self._transport.abort)

    def finish(self, code: int) -> None:
        """The bot closes with `code`, or answers our close: nothing more is to come."""
        if self._open:
            self.close(code, "")
            self.closed_because = f"the bot has closed its socket ({code})"
        self._transport.close()

    def drop(self, reason: str) -> None:
        """Close the connection without a word: the bot would not hear it."""
        self._open = False
        self.closed_because = self.closed_because or reason
        self._transport.abort()

    def lost(self) -> None:
        """The connection is gone."""
        self._open = False
        self.closed_because = self.closed_because or "the connection broke"
        if self._deadline is not None:
            self._deadline.cancel()
