"""Messages between media workers and the speech process, as frames on a stream socket. Sans-I/O.

A frame is, in network byte order: length of what follows (u32), kind (u8), request (u32), body. Samples are s16le
mono, objects JSON. A request is begun by SPEAK or LISTEN and is over with DONE, FAILED or CANCEL; after CANCEL, what
was under way may still come.

=======  ======  ===========================================================================================
kind     from    body
=======  ======  ===========================================================================================
SPEAK    worker  option, rate, text (null: texts follow), so many samples may be sent
TEXT     worker  a part of the text (UTF-8)
LISTEN   worker  option, rate
AUDIO    worker  samples
VOICE    worker  a byte: 1 when the engine hears voice begin, 0 when it has ended
END      worker  empty: no text follows, or no audio
CANCEL   worker  empty: nobody wants the rest
CREDIT   worker  so many more samples may be sent (u32)
READY    speech  the catalogue; request 0
CHUNK    speech  samples
DONE     speech  who did it
HEARD    speech  a text
TROUBLE  speech  what went wrong; the request goes on
FAILED   speech  what went wrong; the request is over
=======  ======  ===========================================================================================
"""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any

from control.errors import SpeechError

MAX_FRAME = 4_194_304
_HEAD = struct.Struct("!IBI")
_LENGTH = 4
_CREDIT = struct.Struct("!I")


class Kind(IntEnum):
    """Kind of a frame."""

    SPEAK = 1
    TEXT = 2
    LISTEN = 3
    AUDIO = 4
    VOICE = 5
    END = 6
    CANCEL = 7
    CREDIT = 8
    READY = 9
    CHUNK = 10
    DONE = 11
    HEARD = 12
    TROUBLE = 13
    FAILED = 14


@dataclass(frozen=True, slots=True)
class Speak:
    """Make speech."""

    request: int
    option: dict[str, Any] = field(repr=False)
    """A `SynthesisOption`, only what was given; ``provider`` absent: the operator's choice."""
    rate: int
    """Hz of the samples: 8000 or 16000."""
    text: str | None
    """All of it, or None when it comes in parts."""
    credit: int
    """Samples that may be sent at first."""


@dataclass(frozen=True, slots=True)
class Text:
    """A part of the text."""

    request: int
    text: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Recognise speech."""

    request: int
    option: dict[str, Any] = field(repr=False)
    """A `TranscriptionOption`, only what was given."""
    rate: int
    """Hz of the samples that follow."""


@dataclass(frozen=True, slots=True)
class Audio:
    """What is heard."""

    request: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Voice:
    """The engine hears that somebody begins to speak, or has stopped."""

    request: int
    speaking: bool


@dataclass(frozen=True, slots=True)
class End:
    """No text or audio follows."""

    request: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody wants the rest."""

    request: int


@dataclass(frozen=True, slots=True)
class Credit:
    """So many more samples may be sent."""

    request: int
    samples: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A provider, as a worker needs to know it."""

    kind: str
    """``asr`` or ``tts``."""
    name: str
    streams: bool = False
    """Whether it speaks a text while more of it comes."""
    missing: tuple[str, ...] = ()
    """Keys of the option that a bot must give: neither settings nor environment have them."""
    reason: str | None = None
    """Why it cannot be used at all; None: it can."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The speech process serves."""

    offers: tuple[Offer, ...]
    asr: str
    """The provider of those who name none."""
    tts: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Speech."""

    request: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The request is carried out."""

    request: int
    provider: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A text; times in ms of the audio of the whole request."""

    request: int
    provider: str
    index: int
    text: str
    start: int
    end: int
    final: bool
    confidence: float | None = None
    task: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something went wrong and is being mended."""

    request: int
    message: str
    code: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The request cannot be carried out."""

    request: int
    message: str
    code: int


Order = Speak | Text | Listen | Audio | Voice | End | Cancel | Credit
Report = Ready | Chunk | Done | Heard | Trouble | Failed
Message = Order | Report

_Object = Speak | Listen | Done | Heard | Trouble | Failed

_OBJECTS: dict[Kind, type[_Object]] = {
    Kind.SPEAK: Speak,
    Kind.LISTEN: Listen,
    Kind.DONE: Done,
    Kind.HEARD: Heard,
    Kind.TROUBLE: Trouble,
    Kind.FAILED: Failed,
}
_KINDS = {kind: number for number, kind in _OBJECTS.items()}


def encode(message: Message) -> bytes:
    """One frame. Raises SpeechError when the message is too long for one."""
    match message:
        case Text(request, text):
            return _frame(Kind.TEXT, request, text.encode("utf-8", "replace"))
        case Audio(request, pcm):
            return _frame(Kind.AUDIO, request, pcm)
        case Voice(request, speaking):
            return _frame(Kind.VOICE, request, bytes([speaking]))
        case End(request):
            return _frame(Kind.END, request)
        case Cancel(request):
            return _frame(Kind.CANCEL, request)
        case Credit(request, samples):
            return _frame(Kind.CREDIT, request, _CREDIT.pack(samples))
        case Chunk(request, pcm):
            return _frame(Kind.CHUNK, request, pcm)
        case Ready():
            return _frame(Kind.READY, 0, _json(asdict(message)))
        case Speak() | Listen() | Done() | Heard() | Trouble() | Failed():
            fields = asdict(message)
            return _frame(_KINDS[type(message)], fields.pop("request"), _json(fields))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _frame(kind: Kind, request: int, body: bytes = b"") -> bytes:
    length = _HEAD.size - _LENGTH + len(body)
    if length > MAX_FRAME:
        raise SpeechError(
            f"that is too long for the speech process: {len(body)} bytes, at most {MAX_FRAME}", 413
        )
    return _HEAD.pack(length, kind, request) + body


class Decoder:
    """Takes a stream apart into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes. Raises SpeechError when the stream is no such stream."""
        self._buffer += data
        start = 0
        messages = []
        while len(self._buffer) - start >= _HEAD.size:
            length, kind, request = _HEAD.unpack_from(self._buffer, start)
            if not _HEAD.size - _LENGTH <= length <= MAX_FRAME:
                raise SpeechError(f"speech protocol: a frame of {length} bytes")
            end = start + _LENGTH + length
            if len(self._buffer) < end:
                break
            messages.append(_message(kind, request, bytes(self._buffer[start + _HEAD.size : end])))
            start = end
        del self._buffer[:start]
        return iter(messages)


def _message(kind: int, request: int, body: bytes) -> Message:
    try:
        return _PARSERS[kind](request, body)
    except (struct.error, ValueError, TypeError, KeyError) as error:
        raise SpeechError(f"speech protocol: a broken frame of kind {kind}, {len(body)} bytes") from error


def _object(message: type[_Object], request: int, body: bytes) -> Message:
    return message(request=request, **json.loads(body))


def _ready(offers: list[dict[str, Any]], asr: str, tts: str) -> Ready:
    known = tuple(Offer(**{**offer, "missing": tuple(offer["missing"])}) for offer in offers)
    return Ready(known, asr, tts)


def _samples(body: bytes) -> bytes:
    return body if len(body) % 2 == 0 else _bad()


def _bad() -> Any:
    raise ValueError


_PARSERS: dict[int, Callable[[int, bytes], Message]] = {
    Kind.AUDIO: lambda request, body: Audio(request, _samples(body)),
    Kind.CHUNK: lambda request, body: Chunk(request, _samples(body)),
    Kind.TEXT: lambda request, body: Text(request, body.decode()),
    Kind.VOICE: lambda request, body: Voice(request, bool(body[0]) if len(body) == 1 else _bad()),
    Kind.END: lambda request, _: End(request),
    Kind.CANCEL: lambda request, _: Cancel(request),
    Kind.CREDIT: lambda request, body: Credit(request, *_CREDIT.unpack(body)),
    Kind.READY: lambda _, body: _ready(**json.loads(body)),
    **{kind: partial(_object, message) for kind, message in _OBJECTS.items()},
}
"""How the body of each kind becomes a message, given the request."""
