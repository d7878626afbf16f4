"""A transcription session of the faked realtime service, without its socket."""

import base64
import binascii
import json
import re
from typing import Any, Protocol

from tests.support.clouds.base import QUIET_MS, SCRIPT, Ear, Said

REALTIME = ("gpt-live-transcribe", "gpt-realtime-whisper", "gpt-transcribe", "gpt-4o-transcribe")
REALTIME_MODELS = frozenset({*REALTIME, "gpt-4o-mini-transcribe", "whisper-1"})
NO_DETECTION = frozenset({"gpt-live-transcribe", "gpt-realtime-whisper"})
PLURAL = ("gpt-transcribe", "gpt-live-transcribe")
BYTES_A_MS = 48
MADE_UP = "Thank you for watching."
"""What such models understand of silence."""

Event = dict[str, Any]


class Failed(Exception):  # noqa: N818 (it is an answer)
    """An error in the vendor's shape."""

    def __init__(
        self, message: str, status: int = 400, code: str | None = None, param: str | None = None
    ) -> None:
        kind = {429: "requests", 500: "server_error"}.get(status, "invalid_request_error")
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        super().__init__(message)


class Desk(Protocol):
    """What a session needs of its service."""

    blank: set[int]

    def refuse(self, message: str, param: str | None = None) -> Failed:
        """A complaint, as an error."""


def body_of(text: str) -> Event | None:
    """The object in `text`, or None."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def language_fault(model: str, language: object, languages: object) -> str | None:
    """What is wrong with the hints of language."""
    if language is not None and languages is not None:
        return "language and languages cannot be given both"
    plural = model in PLURAL
    if (languages is not None and not plural) or (language is not None and plural):
        return f"{model} takes {'languages' if plural else 'language'}"
    given = languages if isinstance(languages, list) else [] if language is None else [language]
    if not all(isinstance(code, str) and re.fullmatch("[a-z]{2,3}", code) for code in given):
        return "Invalid language: ISO-639-1 is wanted"
    return None


class Session:
    """One session; `heard` takes its audio."""

    def __init__(self, desk: Desk, heard: bytearray) -> None:
        self._desk = desk
        self._heard = heard
        self._input: Event = {}
        self._events = 0
        self._committed = 0
        """Bytes of audio up to the last commit or clear."""
        self._items = 0
        self._item: str | None = None
        self._previous: str | None = None
        self._told = 0
        """Words of the utterance that goes on."""
        self._ear = Ear(24_000)

    def created(self) -> Event:
        """The first event."""
        return self._event("session.created", session=self._session({}))

    def feed(self, message: Event) -> list[Event]:
        """What is answered to `message`."""
        try:
            match message.get("type"):
                case "session.update":
                    return [self._update(message.get("session"))]
                case "input_audio_buffer.append" if self._input:
                    return self._append(message.get("audio"))
                case "input_audio_buffer.commit" if self._input:
                    return self._commit()
                case "input_audio_buffer.clear" if self._input:
                    self._committed = len(self._heard)
                    return [self._event("input_audio_buffer.cleared")]
                case kind:
                    raise self._desk.refuse(f"Invalid value: {kind!r} at this moment", "type")
        except Failed as failed:
            return [self._event("error", **failed.body)]

    def _update(self, session: Any) -> Event:
        self._check(session)
        self._input = session["audio"]["input"]
        return self._event("session.updated", session=self._session(self._input))

    def _check(self, session: Any) -> None:
        """The configuration, as the types of the vendor's package have it."""
        refuse = self._desk.refuse
        if not isinstance(session, dict) or session.get("type") != "transcription":
            raise refuse("Passing a session update of another type is not allowed", "session.type")
        if strange := set(session) - {"type", "audio", "include"}:
            raise refuse(f"Unknown parameter: {sorted(strange)}", "session")
        given = session.get("audio", {}).get("input", {})
        if strange := set(given) - {"format", "transcription", "turn_detection", "noise_reduction"}:
            raise refuse(f"Unknown parameter: {sorted(strange)}", "session.audio.input")
        if given.get("format") != {"type": "audio/pcm", "rate": 24_000}:
            raise refuse("the format must be audio/pcm at 24000", "session.audio.input.format")
        self._check_transcription(given.get("transcription") or {})
        self._check_detection(given.get("turn_detection"), given["transcription"]["model"])

    def _check_transcription(self, given: Event) -> None:
        model = given.get("model")
        if strange := set(given) - {"model", "language", "languages", "keywords", "prompt", "delay"}:
            raise self._desk.refuse(
                f"Unknown parameter: {sorted(strange)}", "session.audio.input.transcription"
            )
        if model not in REALTIME_MODELS:
            raise self._desk.refuse(f"Invalid value: {model!r}", "session.audio.input.transcription.model")
        if fault := language_fault(model, given.get("language"), given.get("languages")):
            raise self._desk.refuse(fault, "session.audio.input.transcription.language")
        if "keywords" in given and (model not in PLURAL or not isinstance(given["keywords"], list)):
            raise self._desk.refuse(
                "keywords are a list, for newer models", "session.audio.input.transcription"
            )

    def _check_detection(self, given: Any, model: str) -> None:
        where = "session.audio.input.turn_detection"
        if given is None:
            return
        if model in NO_DETECTION:
            raise self._desk.refuse("Turn detection is not supported for this transcription model", where)
        if model == "gpt-transcribe":
            raise self._desk.refuse("accepted by the real one, but nothing would be transcribed", where)
        limits = {"threshold": (0, 1), "prefix_padding_ms": (0, 5000), "silence_duration_ms": (0, 20_000)}
        if given.get("type") != "server_vad" or set(given) - {"type", *limits}:
            raise self._desk.refuse(f"Unknown turn detection: {given}", where)
        for key, (low, high) in limits.items():
            value = given.get(key, low)
            if isinstance(value, str | bool) or not low <= value <= high:
                raise self._desk.refuse(f"Invalid {key}: {value!r}", where)

    def _append(self, audio: Any) -> list[Event]:
        try:
            pcm = base64.b64decode(audio, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise self._desk.refuse("Invalid audio: no base64", "audio") from None
        if not pcm or len(pcm) % 2:
            raise self._desk.refuse("Invalid audio: no 16-bit samples", "audio")
        self._heard += pcm
        if self._input["turn_detection"] is not None:
            return [event for said in self._ear.feed(pcm) for event in self._detected(said)]
        return self._live()

    def _live(self) -> list[Event]:
        """The first word, while one still speaks, by models that can."""
        waiting = len(self._heard) - self._committed
        if (
            self._input["transcription"]["model"] not in NO_DETECTION
            or self._told
            or waiting < 300 * BYTES_A_MS
        ):
            return []
        return self._deltas(self._begun(), self._script()[:1])

    def _commit(self) -> list[Event]:
        """The client's commit."""
        waiting = (len(self._heard) - self._committed) / BYTES_A_MS
        if waiting < 100:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but "
                f"buffer only has {waiting:.2f}ms of audio."
            )
            raise Failed(message, code="input_audio_buffer_commit_empty")
        if self._input["turn_detection"] is None:
            return self._item_events(self._script())
        speaking = self._item is not None or bool(self._ear.end())
        return self._item_events(self._script() if speaking else MADE_UP.split())

    def _detected(self, said: Said) -> list[Event]:
        """What the service's own detection finds."""
        events = []
        item = self._item or self._begun()
        if self._told == 0:
            padding = self._input["turn_detection"].get("prefix_padding_ms", 300)
            start = max(0, said.start - padding)
            events.append(
                self._event("input_audio_buffer.speech_started", audio_start_ms=start, item_id=item)
            )
            self._told = -1
        if said.final:
            self._told = 0
            stopped = self._event(
                "input_audio_buffer.speech_stopped", audio_end_ms=said.end + QUIET_MS, item_id=item
            )
            events += [stopped, *self._item_events(self._script())]
        return events

    def _item_events(self, words: list[str]) -> list[Event]:
        """An item is committed, and understood."""
        item = self._begun()
        previous, self._previous = self._previous, item
        if self._items - 1 in self._desk.blank:
            words = []
        events = [
            self._event("input_audio_buffer.committed", previous_item_id=previous, item_id=item),
            self._event(
                "conversation.item.added",
                previous_item_id=previous,
                item={"id": item, "type": "message", "role": "user", "content": [{"type": "input_audio"}]},
            ),
            *self._deltas(item, words[max(0, self._told) :]),
            self._event(
                "conversation.item.input_audio_transcription.completed",
                item_id=item,
                content_index=0,
                transcript=" ".join(words),
                usage={"type": "duration", "seconds": 1},
            ),
        ]
        self._committed, self._item, self._told = len(self._heard), None, 0
        return events

    def _begun(self) -> str:
        if self._item is None:
            self._item = f"item_{self._items:03}"
            self._items += 1
        return self._item

    def _script(self) -> list[str]:
        return SCRIPT[max(0, self._items - (self._item is not None)) % len(SCRIPT)].split()

    def _deltas(self, item: str, words: list[str]) -> list[Event]:
        told = max(0, self._told)
        self._told = told + len(words)
        return [
            self._event(
                "conversation.item.input_audio_transcription.delta",
                item_id=item,
                content_index=0,
                delta=word if told == number == 0 else f" {word}",
            )
            for number, word in enumerate(words)
        ]

    def _event(self, kind: str, **fields: Any) -> Event:
        self._events += 1
        return {"type": kind, "event_id": f"event_{self._events:05}", **fields}

    def _session(self, given: Event) -> Event:
        return {
            "id": "sess_of_the_tests",
            "object": "realtime.transcription_session",
            "type": "transcription",
            "expires_at": 1_900_000_000,
            "audio": {"input": {"transcription": None, "turn_detection": None, **given}},
            "include": None,
        }
