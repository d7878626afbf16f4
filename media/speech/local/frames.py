"""Frames between the speech process and a child of it, on a stream socket. Sans-I/O.

A frame is, in network byte order: length of what follows (u32), kind (u8), stream (u32), body. Streams are numbered
from 1 by the parent, and no number is used twice on one connection. Kinds:

=======  ======  ============================================================================================
kind     from    body
=======  ======  ============================================================================================
OPEN     parent  parameters: a JSON object
DATA     both    bytes: what goes in (audio, text), and what comes out (audio)
FINISH   parent  empty: nothing more goes in
CANCEL   parent  empty: nothing more is wanted
CREDIT   parent  bytes (u32) of DATA that were taken: so many more may come
READY    child   empty, stream 0: the engine is loaded
OPENED   child   empty: the engine has taken the stream
TOLD     child   a JSON object
DONE     child   empty: everything that went in is worked off
FAILED   child   JSON: message, code, retry (of a ProviderError); stream 0: the engine cannot be loaded
=======  ======  ============================================================================================

A stream begins with a credit of CREDIT bytes. Nothing follows DONE or FAILED of a stream; after CANCEL, what was under
way may still come.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from control.errors import ProviderError, SpeechError

MAX_BODY = 1 << 20
CREDIT = 320_000
"""Bytes: 10 s of audio at 16 kHz."""

_HEAD = struct.Struct("!IBI")
_COUNT = struct.Struct("!I")
_LENGTH_ONLY = 4


class Kind(IntEnum):
    """Kind of a frame."""

    OPEN = 1
    DATA = 2
    FINISH = 3
    CANCEL = 4
    CREDIT = 5
    READY = 6
    OPENED = 7
    TOLD = 8
    DONE = 9
    FAILED = 10


@dataclass(frozen=True, slots=True)
class Open:
    """Begin a stream."""

    stream: int
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes that go in or come out."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing more goes in."""

    stream: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nothing more is wanted."""

    stream: int


@dataclass(frozen=True, slots=True)
class Credit:
    """So many bytes of Data were taken."""

    stream: int
    size: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine is loaded."""

    stream: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """The engine has taken the stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Told:
    """A result that is no audio: what JSON can hold."""

    stream: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """Everything that went in is worked off."""

    stream: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The stream has failed; stream 0: the engine cannot be loaded."""

    stream: int
    message: str
    code: int = 502
    retry: bool = True

    @classmethod
    def of(cls, stream: int, error: ProviderError) -> "Failed":
        """`error` as a frame."""
        return cls(stream, str(error), error.code, error.retry)

    @property
    def error(self) -> ProviderError:
        """The frame as an error."""
        return ProviderError(self.message, self.code, retry=self.retry)


Order = Open | Data | Finish | Cancel | Credit
Report = Data | Told | Done | Failed
Frame = Order | Report | Ready | Opened


def encode(frame: Frame) -> bytes:
    """`frame` in bytes; long Data in several frames. Raises SpeechError when anything else is too long."""
    match frame:
        case Open(stream, parameters):
            return _frame(Kind.OPEN, stream, json.dumps(dict(parameters)).encode())
        case Data(stream, data):
            parts = range(0, len(data), MAX_BODY) or (0,)
            return b"".join(_frame(Kind.DATA, stream, data[at : at + MAX_BODY]) for at in parts)
        case Finish(stream):
            return _frame(Kind.FINISH, stream)
        case Cancel(stream):
            return _frame(Kind.CANCEL, stream)
        case Credit(stream, size):
            return _frame(Kind.CREDIT, stream, _COUNT.pack(size))
        case Ready(stream):
            return _frame(Kind.READY, stream)
        case Opened(stream):
            return _frame(Kind.OPENED, stream)
        case Told(stream, fields):
            return _frame(Kind.TOLD, stream, json.dumps(dict(fields)).encode())
        case Done(stream):
            return _frame(Kind.DONE, stream)
        case Failed(stream, message, code, retry):
            said = {"message": message, "code": code, "retry": retry}
            return _frame(Kind.FAILED, stream, json.dumps(said).encode())


def _frame(kind: Kind, stream: int, body: bytes = b"") -> bytes:
    if len(body) > MAX_BODY:
        raise SpeechError(f"local engine: {len(body)} bytes are too long for a frame of {MAX_BODY}", 413)
    return _HEAD.pack(_HEAD.size - _LENGTH_ONLY + len(body), kind, stream) + body


class Decoder:
    """Takes a stream of bytes apart into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises SpeechError when the bytes are no such stream."""
        self._buffer += data
        frames: list[Frame] = []
        at = 0
        while len(self._buffer) - at >= _HEAD.size:
            length, kind, stream = _HEAD.unpack_from(self._buffer, at)
            size = length - (_HEAD.size - _LENGTH_ONLY)
            if not 0 <= size <= MAX_BODY:
                raise SpeechError(f"local engine: a frame of {length} bytes")
            end = at + _HEAD.size + size
            if len(self._buffer) < end:
                break
            frames.append(_parse(kind, stream, bytes(self._buffer[at + _HEAD.size : end])))
            at = end
        del self._buffer[:at]
        return frames


_EMPTY: dict[int, Callable[[int], Frame]] = {
    Kind.FINISH: Finish,
    Kind.CANCEL: Cancel,
    Kind.READY: Ready,
    Kind.OPENED: Opened,
    Kind.DONE: Done,
}


def _parse(kind: int, stream: int, body: bytes) -> Frame:
    try:
        match kind:
            case Kind.DATA:
                return Data(stream, body)
            case Kind.OPEN:
                return Open(stream, dict(json.loads(body)))
            case Kind.TOLD:
                return Told(stream, dict(json.loads(body)))
            case Kind.CREDIT:
                return Credit(stream, *_COUNT.unpack(body))
            case Kind.FAILED:
                said = json.loads(body)
                return Failed(stream, str(said["message"]), int(said["code"]), bool(said["retry"]))
            case _ if kind in _EMPTY and not body:
                return _EMPTY[kind](stream)
    except (struct.error, ValueError, TypeError, KeyError) as error:
        raise SpeechError(f"local engine: a broken frame of kind {kind}: {error}") from error
    raise SpeechError(f"local engine: a frame of kind {kind} with {len(body)} bytes")
