"""Transcription over OpenAI's realtime WebSocket (session type ``transcription``): the protocol without sockets.

https://developers.openai.com/api/docs/guides/realtime-transcription and
https://developers.openai.com/api/reference/resources/realtime (client events, server events).
"""

import math
from base64 import b64encode
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from control.errors import ProviderError
from media.resampler import Resampler
from media.speech.asr.base import Heard
from media.speech.asr.endpointer import Begun, Ended, Endpointer, Endpointing, Spoken
from media.speech.asr.openai_option import RATE
from media.speech.openai_access import NAME, refusal

WIRE_RATE = 24_000
"""Hz of ``audio/pcm`` there."""
_COMMIT = {"type": "input_audio_buffer.commit"}
_CLEAR = {"type": "input_audio_buffer.clear"}
_TRANSCRIPTION = "conversation.item.input_audio_transcription."

Message = dict[str, Any]


@dataclass(slots=True)
class _Utterance:
    """One item of their conversation."""

    index: int
    start: int
    end: int | None = None
    """None while it goes on."""
    item: str | None = None
    """Their id; unknown until they first tell of it."""
    text: str = ""
    """Deltas put together."""
    final: str | None = None
    confidence: float | None = None
    silent: bool = False
    """Whether their detector found no speech in it; what is understood of silence is made up."""


class Transcript:
    """What was understood on one connection.

    Utterances come to be when they are told of: by `begin` where we find them, else by their events. Final texts come
    in the order in which the utterances were spoken, since each settles all audio before it.
    """

    def __init__(self) -> None:
        self._ms = 0
        self._count = 0
        self._pending: deque[_Utterance] = deque()
        self._open: _Utterance | None = None
        self._settled = 0
        self._closing = False
        self._cleared = False

    @property
    def done(self) -> bool:
        """Whether all is understood: `close` was called, and nothing will come any more."""
        return self._cleared and not self._pending

    def sent(self, ms: int) -> None:
        """So much more audio was heard of, whether or not it was passed on."""
        self._ms += ms

    def begin(self, start: int) -> None:
        """We found that an utterance begins; `start` in ms."""
        self._open = self._add(start)

    def commit(self, end: int) -> None:
        """The utterance that was begun is over."""
        if self._open is not None:
            self._open.end, self._open = end, None

    def close(self) -> None:
        """Nothing follows but the answer to ``input_audio_buffer.clear``."""
        self._closing = True

    def feed(self, event: Message) -> list[Heard]:
        """What a message of theirs adds. Raises ProviderError for an error, or for what is no such message."""
        match event.get("type"):
            case "input_audio_buffer.speech_started":
                self._of(event).start = _number(event, "audio_start_ms")
            case "input_audio_buffer.speech_stopped":
                self._of(event).end = _number(event, "audio_end_ms")
            case "input_audio_buffer.committed":
                self._committed(event)
            case "input_audio_buffer.cleared":
                self._cleared = self._closing
            case "conversation.item.input_audio_transcription.delta":
                return self._delta(event)
            case "conversation.item.input_audio_transcription.completed":
                utterance = self._of(event)
                utterance.final = _text(event, "transcript")
                utterance.confidence = _confidence(event.get("logprobs"))
            case "conversation.item.input_audio_transcription.failed":
                raise refusal(event.get("error"))
            case "error":
                self._refused(event.get("error"))
            case str():
                return []
            case _:
                raise ProviderError(f"{NAME}: sent a message without a type")
        return self._finals()

    def _committed(self, event: Message) -> None:
        known = len(self._pending)
        utterance = self._of(event)
        utterance.silent = self._closing and len(self._pending) > known
        if utterance.end is None:
            utterance.end = self._ms

    def _delta(self, event: Message) -> list[Heard]:
        utterance = self._of(event)
        utterance.text += _text(event, "delta")
        text = utterance.text.strip()
        return [self._heard(utterance, text, final=False)] if text and not utterance.silent else []

    def _refused(self, error: object) -> None:
        """An error; only one is none: what we committed was too short to hold anything."""
        if not isinstance(error, dict) or error.get("code") != "input_audio_buffer_commit_empty":
            raise refusal(error)
        for utterance in self._pending:
            if utterance.item is None and utterance.end is not None:
                utterance.final = ""
                return

    def _finals(self) -> list[Heard]:
        """All utterances that are understood and have none before them that is not."""
        found = []
        while self._pending and self._pending[0].final is not None:
            utterance = self._pending.popleft()
            text = (utterance.final or "").strip()
            if text and not utterance.silent:
                found.append(self._heard(utterance, text, final=True))
            self._settled = max(self._settled, utterance.end or 0)
        return found

    def _heard(self, utterance: _Utterance, text: str, *, final: bool) -> Heard:
        end = self._ms if utterance.end is None else utterance.end
        return Heard(
            utterance.index,
            text,
            utterance.start,
            max(end, utterance.start),
            final,
            utterance.confidence,
            utterance.item,
        )

    def _of(self, event: Message) -> _Utterance:
        """The utterance that `event` is about: known, or the first one that they have not told of yet, or a new one."""
        item = _text(event, "item_id")
        known = (utterance for utterance in self._pending if utterance.item == item)
        begun = (
            utterance for utterance in self._pending if utterance.item is None and utterance.final is None
        )
        utterance = next(known, None) or next(begun, None) or self._add(self._reach)
        utterance.item = item
        return utterance

    @property
    def _reach(self) -> int:
        """Up to where the utterances go: ms."""
        return max([self._settled, *(utterance.end or utterance.start for utterance in self._pending)])

    def _add(self, start: int) -> _Utterance:
        utterance = _Utterance(self._count, start)
        self._count += 1
        self._pending.append(utterance)
        return utterance


class Uplink(Protocol):
    """What is sent for the audio that comes."""

    def feed(self, pcm: bytes) -> list[Message]:
        """Messages for `pcm`: s16le at RATE."""

    def end(self) -> list[Message]:
        """Messages for the end of all audio."""


class Continuous:
    """All audio is sent; the service finds the utterances.

    What it has not committed by the end, we do; it is refused when there is nothing.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._voice = _Encoder()

    def feed(self, pcm: bytes) -> list[Message]:
        """Messages for `pcm`: s16le at RATE."""
        self._transcript.sent(_ms(pcm))
        return self._voice.append(pcm)

    def end(self) -> list[Message]:
        """Messages for the end of all audio."""
        self._transcript.close()
        return [*self._voice.append(b"", last=True), _COMMIT, _CLEAR]


class Cut:
    """Only utterances are sent; we find and commit them."""

    def __init__(self, transcript: Transcript, how: Endpointing) -> None:
        self._transcript = transcript
        self._endpointer = Endpointer(RATE, how)
        self._voice = _Encoder()

    def feed(self, pcm: bytes) -> list[Message]:
        """Messages for `pcm`: s16le at RATE."""
        self._transcript.sent(_ms(pcm))
        return [message for found in self._endpointer.feed(pcm) for message in self._messages(found)]

    def end(self) -> list[Message]:
        """Messages for the end of all audio."""
        messages = [message for found in self._endpointer.end() for message in self._messages(found)]
        self._transcript.close()
        return [*messages, _CLEAR]

    def _messages(self, found: Begun | Spoken | Ended) -> list[Message]:
        match found:
            case Begun(start):
                self._voice = _Encoder()
                self._transcript.begin(start)
                return []
            case Spoken(pcm):
                return self._voice.append(pcm)
            case Ended(end=end):
                self._transcript.commit(end)
                return [*self._voice.append(b"", last=True), _COMMIT]


class _Encoder:
    """Makes messages of audio, resampled without gaps."""

    def __init__(self) -> None:
        self._resampler = Resampler(RATE, WIRE_RATE)
        self._odd = b""

    def append(self, pcm: bytes, *, last: bool = False) -> list[Message]:
        data = self._odd + pcm
        whole = len(data) - len(data) % 2
        self._odd = data[whole:]
        wire = self._resampler.push(np.frombuffer(data[:whole], "<i2"), last=last).astype("<i2").tobytes()
        return [{"type": "input_audio_buffer.append", "audio": b64encode(wire).decode()}] if wire else []


def _ms(pcm: bytes) -> int:
    return len(pcm) * 1000 // (2 * RATE)


def _text(event: Message, key: str) -> str:
    value = event.get(key)
    if not isinstance(value, str):
        raise ProviderError(f"{NAME}: sent {event['type']} without {key}")
    return value


def _number(event: Message, key: str) -> int:
    value = event.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProviderError(f"{NAME}: sent {event['type']} without {key}")
    return round(value)


def _confidence(logprobs: object) -> float | None:
    """Of a whole text, where the session includes ``item.input_audio_transcription.logprobs``: the mean of tokens."""
    if not isinstance(logprobs, list) or not logprobs:
        return None
    values = [entry["logprob"] for entry in logprobs if isinstance(entry, dict) and "logprob" in entry]
    return math.exp(min(0.0, sum(values) / len(values))) if values else None
