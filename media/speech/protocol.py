"""Messages between a media worker and its speech process, as frames on a stream socket. Sans-I/O.

A frame is, in network byte order: length of what follows (u32), kind (u8), request (u32), body. Samples are
s16le. Kinds and bodies:

===========  =========  ==========================================================================
kind         from       body
===========  =========  ==========================================================================
SYNTHESISE   worker     sample rate (u32), speed, volume, pitch (f64), length of speaker (u16),
                        speaker, text (UTF-8)
CANCEL       worker     empty
CREDIT       worker     samples (u32) that the worker has taken: so many more may be sent
READY        process    empty; request 0
CHUNK        process    samples
DONE         process    empty
FAILED       process    reason (UTF-8); request 0: the process cannot start
===========  =========  ==========================================================================

A request begins with a credit of CREDIT_SECONDS of audio and is not worked on while it has none. Nothing
follows DONE or FAILED of a request; after CANCEL, chunks that were under way may still come.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from control.errors import SpeechError
from media.speech.voice import Voice

SAMPLE_RATES = (8000, 16000)
CREDIT_SECONDS = 5
MAX_FRAME = 1 << 20

_HEAD = struct.Struct("!IBI")
_VOICE = struct.Struct("!IdddH")
_CREDIT = struct.Struct("!I")
_LENGTH_ONLY = 4


class Kind(IntEnum):
    """Kind of a frame."""

    SYNTHESISE = 1
    CANCEL = 2
    CREDIT = 3
    READY = 4
    CHUNK = 5
    DONE = 6
    FAILED = 7


@dataclass(frozen=True, slots=True)
class Synthesise:
    """Speak `text`."""

    request: int
    text: str
    voice: Voice
    sample_rate: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody wants the rest of this request."""

    request: int


@dataclass(frozen=True, slots=True)
class Credit:
    """The worker has taken so many samples."""

    request: int
    samples: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The process can synthesise."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples, s16le mono."""

    request: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The request is carried out."""

    request: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The request cannot be carried out."""

    request: int
    reason: str


Order = Synthesise | Cancel | Credit
Report = Ready | Chunk | Done | Failed
Message = Order | Report


def encode(message: Message) -> bytes:
    """One frame. Raises SpeechError when the message is too long for one."""
    match message:
        case Synthesise(request, text, voice, sample_rate):
            speaker = voice.speaker.encode("utf-8", "replace")[:0xFFFF]
            fixed = _VOICE.pack(sample_rate, voice.speed, voice.volume, voice.pitch, len(speaker))
            return _frame(Kind.SYNTHESISE, request, fixed + speaker + text.encode("utf-8", "replace"))
        case Cancel(request):
            return _frame(Kind.CANCEL, request)
        case Credit(request, samples):
            return _frame(Kind.CREDIT, request, _CREDIT.pack(samples))
        case Ready():
            return _frame(Kind.READY, 0)
        case Chunk(request, pcm):
            return _frame(Kind.CHUNK, request, pcm)
        case Done(request):
            return _frame(Kind.DONE, request)
        case Failed(request, reason):
            return _frame(Kind.FAILED, request, reason.encode("utf-8", "replace"))


def _frame(kind: Kind, request: int, body: bytes = b"") -> bytes:
    length = _HEAD.size - _LENGTH_ONLY + len(body)
    if length > MAX_FRAME:
        raise SpeechError(f"the text is too long to be spoken at once: {len(body)} bytes of {MAX_FRAME}")
    return _HEAD.pack(length, kind, request) + body


class Decoder:
    """Takes a stream apart into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Raises SpeechError when the stream is no such stream."""
        self._buffer += data
        messages: list[Message] = []
        start = 0
        while len(self._buffer) - start >= _HEAD.size:
            length, kind, request = _HEAD.unpack_from(self._buffer, start)
            end = start + _LENGTH_ONLY + length
            if not _HEAD.size - _LENGTH_ONLY <= length <= MAX_FRAME:
                raise SpeechError(f"speech protocol: a frame of {length} bytes")
            if len(self._buffer) < end:
                break
            messages.append(_message(kind, request, bytes(self._buffer[start + _HEAD.size : end])))
            start = end
        del self._buffer[:start]
        return messages


def _message(kind: int, request: int, body: bytes) -> Message:
    try:
        match kind:
            case Kind.SYNTHESISE:
                sample_rate, speed, volume, pitch, length = _VOICE.unpack_from(body)
                text = _VOICE.size + length
                voice = Voice(body[_VOICE.size : text].decode(), speed, volume, pitch)
                return Synthesise(request, body[text:].decode(), voice, sample_rate)
            case Kind.CANCEL:
                return Cancel(request)
            case Kind.CREDIT:
                return Credit(request, *_CREDIT.unpack(body))
            case Kind.READY:
                return Ready()
            case Kind.CHUNK if len(body) % 2 == 0:
                return Chunk(request, body)
            case Kind.DONE:
                return Done(request)
            case Kind.FAILED:
                return Failed(request, body.decode())
    except (struct.error, UnicodeDecodeError) as error:
        raise SpeechError(f"speech protocol: a broken frame of kind {kind}: {error}") from error
    raise SpeechError(f"speech protocol: a frame of kind {kind} with {len(body)} bytes")
