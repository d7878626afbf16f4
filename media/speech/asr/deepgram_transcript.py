"""What the messages of Deepgram's recognition amount to. Sans-I/O.

Source: https://developers.deepgram.com/reference/speech-to-text/listen-streaming, and its pages on endpointing,
utterance end and Finalize.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from control.errors import ProviderError
from media.speech import deepgram_api as api
from media.speech.asr.base import Heard

Seconds = Annotated[float, Field(allow_inf_nan=False)]


class Word(BaseModel):
    """A word of a result; times in seconds of the audio of this connection."""

    start: Seconds
    end: Seconds


class Alternative(BaseModel):
    """A reading of the audio; the first one is the best."""

    transcript: str
    confidence: float | None = None
    words: list[Word] = []


class Channel(BaseModel):
    """Readings of one channel; ours is the only one."""

    alternatives: list[Alternative] = []


class Metadata(BaseModel):
    """About the request."""

    request_id: str | None = None


class Results(BaseModel):
    """What the audio from `start` on, `duration` long (both in seconds), was understood as."""

    start: Seconds
    duration: Seconds
    channel: Channel
    metadata: Metadata = Metadata()
    is_final: bool = False
    """This stretch of audio is settled."""
    speech_final: bool = False
    """A pause follows: the utterance is over."""
    from_finalize: bool = False
    """The stretch ends because of a Finalize."""


@dataclass(frozen=True, slots=True)
class Part:
    """The text of a stretch of audio; times in ms."""

    text: str
    start: int
    end: int
    words: int
    confidence: float | None

    @classmethod
    def of(cls, results: Results) -> "Part | None":
        """What `results` say; None when they hold no text."""
        alternatives = results.channel.alternatives
        if not alternatives or not (text := alternatives[0].transcript.strip()):
            return None
        words = alternatives[0].words
        start = words[0].start if words else results.start
        end = words[-1].end if words else results.start + results.duration
        first = _ms(start)
        return cls(text, first, max(first, _ms(end)), len(words) or 1, alternatives[0].confidence)


class State(Enum):
    """How far the work of a connection is."""

    LISTENING = "listening"
    ENDING = "ending"
    """No audio follows; the summary of the request is its last message."""
    DONE = "done"


class Transcript:
    """What the messages of one connection amount to. Sans-I/O.

    An utterance lasts until ``speech_final``, which noise can keep away: then until ``UtteranceEnd``, a gap between
    words. Deepgram settles a long one in parts (``is_final``); all of them together are its one final text.
    """

    def __init__(self, space: str = " ") -> None:
        self.state = State.LISTENING
        self._space = space
        self._index = 0
        self._settled: list[Part] = []
        self._open: Part | None = None
        self._told = ""
        self._task: str | None = None

    def end(self) -> None:
        """No audio follows."""
        self.state = State.ENDING

    def feed(self, message: Mapping[str, Any]) -> list[Heard]:
        """The texts that `message` brings: one or none. Raises ProviderError."""
        match message:
            case {"type": "Results"}:
                return self._results(_parsed(message))
            case {"type": "UtteranceEnd"}:
                return self._finish()
            case {"type": "Metadata"} if self.state is State.ENDING:
                self.state = State.DONE
                self._settle(self._open)
                return self._finish()
            case {"type": "Error"} | {"err_msg": _}:
                raise api.refusal(message)
            case {"type": str()}:
                return []
            case _:
                raise ProviderError(f"{api.NAME}: sent a message without a type")

    def _results(self, results: Results) -> list[Heard]:
        self._task = results.metadata.request_id or self._task
        part = Part.of(results)
        if not (results.is_final or results.speech_final):
            self._open = part
            return self._delta()
        self._settle(part)
        return self._finish() if results.speech_final or results.from_finalize else self._delta()

    def _settle(self, part: Part | None) -> None:
        self._open = None
        if part is not None:
            self._settled.append(part)

    def _delta(self) -> list[Heard]:
        parts = [*self._settled, self._open] if self._open else self._settled
        if not parts or (heard := self._heard(parts, final=False)).text == self._told:
            return []
        self._told = heard.text
        return [heard]

    def _finish(self) -> list[Heard]:
        if not self._settled:
            return []
        heard = self._heard(self._settled, final=True)
        self._settled, self._told = [], ""
        self._index += 1
        return [heard]

    def _heard(self, parts: list[Part], *, final: bool) -> Heard:
        return Heard(
            self._index,
            self._space.join(part.text for part in parts),
            parts[0].start,
            max(part.end for part in parts),
            final,
            _confidence(parts),
            self._task,
        )


def _parsed(message: Mapping[str, Any]) -> Results:
    try:
        return Results.model_validate(message)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, wrong["loc"])) for wrong in error.errors())
        raise ProviderError(f"{api.NAME}: sent a result that lacks or garbles {fields}"[:300]) from None


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _confidence(parts: list[Part]) -> float | None:
    """The mean over all words, since Deepgram's figure for a part is the mean over its words."""
    known = [(part.confidence, part.words) for part in parts if part.confidence is not None]
    if not known:
        return None
    return sum(confidence * words for confidence, words in known) / sum(words for _, words in known)
