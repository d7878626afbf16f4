"""WebSocket frames of a server, sans-I/O (RFC 6455): bytes in, messages out; messages in, bytes out.

No extension is offered: audio does not compress, and a compressor costs 64 KiB for each connection.
"""

import base64
import hashlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MAX_CLOSE_REASON = 123
"""Bytes (RFC 6455 section 5.5)."""
_MAX_CONTROL = 125
_MASKED = 0x80
_FINAL = 0x80
_RESERVED = 0x70
_LONG = 512
"""Bytes from which arrays unmask faster than whole numbers do."""
_AUDIO = b"\x82\xfe"
_OPCODES = frozenset((0, 1, 2, 8, 9, 10))


class Opcode(IntEnum):
    """Kinds of frames (section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(IntEnum):
    """Why a connection is closed (section 7.4.1)."""

    OK = 1000
    PROTOCOL_ERROR = 1002
    NO_STATUS = 1005
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    RESTART = 1012


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with a pong of the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The peer closes; 1005 when it gives no code."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """The peer broke a rule: close with this code and reason."""

    code: CloseCode
    reason: str


Message = str | bytes | Ping | Pong | Close | Violation
"""What a peer sends: a text or binary message, or a control frame."""


def accept_key(key: str) -> str | None:
    """``Sec-WebSocket-Accept`` for a client's ``Sec-WebSocket-Key``; None when that is no key (section 4.2)."""
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            return None
    except ValueError:
        return None
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """One whole message, unmasked as a server's are."""
    size = len(payload)
    if size < 126:
        return bytes((_FINAL | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((_FINAL | opcode, 126, size >> 8, size & 0xFF)) + payload
    return bytes((_FINAL | opcode, 127)) + size.to_bytes(8) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to what fits, in whole characters. An empty one for 1005."""
    if code == CloseCode.NO_STATUS:
        return frame(Opcode.CLOSE, b"")
    text = reason.encode("utf-8", "replace")[:MAX_CLOSE_REASON].decode("utf-8", "ignore").encode()
    return frame(Opcode.CLOSE, code.to_bytes(2) + text)


class Reader:
    """Puts the frames of one client together; messages may have `max_message` bytes at most."""

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._partial = bytearray()
        """A frame that is not whole yet."""
        self._needed = 0
        """Bytes that `_partial` must have before it is worth another look."""
        self._skip = 0
        """Bytes of a frame that is too big, still to come."""
        self._kind: Opcode | None = None
        """Of the message of which fragments came."""
        self._fragments = bytearray()
        self._lost = False
        """Where frames begin is not known any more."""

    def feed(self, data: bytes) -> list[Message]:
        """What `data` completes. After a `Violation` only what is left to skip, or a `Close`, is of use."""
        found: list[Message] = []
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._partial:
            self._partial += data
            if len(self._partial) < self._needed:
                return found
            data = bytes(self._partial)
            self._partial.clear()
        at = 0
        while not self._lost and (after := self._frame(data, at, found)) is not None:
            at = after
        if at < len(data) and not self._lost:
            self._partial += data[at:]
        return found

    def audio(self, data: bytes) -> bytes | None:
        """What `data` holds when it is just one binary message of 126 bytes to 64 KiB, as audio mostly comes.

        None: it is something else, for `feed`.
        """
        if data[:2] != _AUDIO or self._partial or self._skip or self._kind is not None or self._lost:
            return None
        size = len(data) - 8
        if size != (data[2] << 8 | data[3] if size > 0 else 0) or size > self._max_message:
            return None
        return unmask(data[4:8], data[8:])

    def _frame(self, data: bytes, at: int, found: list[Message]) -> int | None:
        """Take the frame at `at`; where the next one begins, or None when this one is not whole."""
        have = len(data) - at
        if have < 2:
            self._needed = 2
            return None
        first, size = data[at], data[at + 1]
        masked, size = size & _MASKED, size & ~_MASKED
        payload = at + 6
        if size >= 126:
            wide = 2 if size == 126 else 8
            if have < 2 + wide:
                self._needed = 2 + wide
                return None
            size = int.from_bytes(data[at + 2 : at + 2 + wide])
            payload += wide
        end = payload + size
        if (fault := self._fault(first, masked, size)) is not None:
            found.append(fault)
            self._kind = None
            self._fragments.clear()
            self._lost = fault.code is not CloseCode.TOO_BIG
            self._skip = max(end - len(data), 0)
            return min(end, len(data))
        if len(data) < end:
            self._needed = end - at
            return None
        found.extend(self._message(first, unmask(data[payload - 4 : payload], data[payload:end])))
        return end

    def _fault(self, first: int, masked: int, size: int) -> Violation | None:
        """What is wrong with the head of a frame (section 5.2)."""
        opcode = first & 0x0F
        if first & _RESERVED or opcode not in _OPCODES:
            return Violation(CloseCode.PROTOCOL_ERROR, "a frame has reserved bits or an unknown opcode")
        if not masked:
            return Violation(CloseCode.PROTOCOL_ERROR, "frames of a client must be masked")
        if opcode >= Opcode.CLOSE:
            if size > _MAX_CONTROL or not first & _FINAL:
                return Violation(CloseCode.PROTOCOL_ERROR, "a control frame is fragmented or above 125 bytes")
            return None
        if (opcode == Opcode.CONTINUATION) is (self._kind is None):
            return Violation(CloseCode.PROTOCOL_ERROR, "fragments of messages are out of order")
        if len(self._fragments) + size > self._max_message:
            return Violation(CloseCode.TOO_BIG, f"a message may have {self._max_message} bytes at most")
        return None

    def _message(self, first: int, payload: bytes) -> tuple[Message, ...]:
        """What a frame completes."""
        match first & 0x0F:
            case Opcode.PING:
                return (Ping(payload),)
            case Opcode.PONG:
                return (Pong(payload),)
            case Opcode.CLOSE:
                return (_close(payload),)
            case opcode:
                kind = Opcode(opcode) if self._kind is None else self._kind
        if not first & _FINAL:
            self._kind = kind
            self._fragments += payload
            return ()
        if self._kind is not None:
            payload = bytes(self._fragments + payload)
            self._kind = None
            self._fragments.clear()
        return (payload if kind is Opcode.BINARY else _text(payload),)


def unmask(mask: bytes, payload: bytes) -> bytes:
    """`payload` as it was before the client masked it (section 5.3); `mask` has four bytes."""
    size = len(payload)
    if size < _LONG:
        masks = (mask * (size + 3 >> 2))[:size]
        return (int.from_bytes(payload, "little") ^ int.from_bytes(masks, "little")).to_bytes(size, "little")
    words = np.frombuffer(payload, np.uint32, size >> 2) ^ np.frombuffer(mask, np.uint32)
    rest = size & 3
    clear: bytes = words.tobytes()
    return clear + unmask(mask, payload[-rest:]) if rest else clear


def _text(payload: bytes) -> str | Violation:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        return Violation(CloseCode.INVALID_TEXT, f"text is not UTF-8 at byte {error.start}")


def _close(payload: bytes) -> Close | Violation:
    """Section 5.5.1 and 7.4."""
    if not payload:
        return Close(CloseCode.NO_STATUS)
    code = int.from_bytes(payload[:2])
    sendable = 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    if len(payload) < 2 or not sendable:
        return Violation(CloseCode.PROTOCOL_ERROR, "the close code is not one that may be sent")
    reason = _text(payload[2:])
    return reason if isinstance(reason, Violation) else Close(code, reason)
