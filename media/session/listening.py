"""What is said on one track, as text: audio goes to the speech process, texts go to the bot."""

from collections.abc import Callable
from typing import Protocol

from control.errors import SpeechError
from media.api import events
from media.api.options import TranscriptionOption
from media.engine.arrays import WIDE
from media.session.clock import now_ms
from media.session.feed import Feed, Tapped
from media.speech.hub.wire import Heard
from media.speech.service import Speech


class Owner(Protocol):
    """What listening needs of its session."""

    def send(self, event: events.Event) -> None:
        """Tell the bot."""

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        """Tell the bot that something went wrong; the call goes on."""


class Listening:
    """Recognition of one track, from its first audio to its end; errors wait until the call is answered."""

    def __init__(
        self,
        owner: Owner,
        engine: Tapped,
        speech: Speech,
        option: TranscriptionOption,
        track_id: str,
        told: Callable[[str, bool, int], None] = lambda text, final, start: None,  # noqa: ARG005
    ) -> None:
        self._owner = owner
        self._speech = speech
        self._option = option
        self._track = track_id
        self._told = told
        self._feed = Feed(engine, speech, option, WIDE, self)
        self._base = 0
        """Utterances that earlier requests have settled."""
        self._next = 0
        self._begun: set[int] = set()
        """Utterances whose first text has come."""
        self._answered = False
        self._waiting: list[tuple[str, int]] = []

    def start(self, slot: int) -> None:
        """Listen to `slot`, which has a stream; what cannot be had is told."""
        try:
            self._speech.check("asr", self._option)
        except SpeechError as error:
            self.trouble(str(error), error.code)
            return
        self._feed.start(slot)

    def stop(self) -> None:
        """Listen no more."""
        self._feed.stop()

    def answered(self) -> None:
        """The bot knows that the call stands: what went wrong before can be told."""
        self._answered = True
        for message, code in self._waiting:
            self._owner.error("asr", message, code)
        self._waiting.clear()

    def speaking(self, start: int) -> None:  # noqa: ARG002
        """Voice has begun."""
        self._feed.voice(speaking=True)

    def silent(self, since: int) -> None:  # noqa: ARG002
        """Voice has ended."""
        self._feed.voice(speaking=False)

    # From the speech process

    def heard(self, text: Heard) -> None:
        """Something was understood."""
        index = self._base + text.index
        now = now_ms()
        start, end = self._feed.at(text.start), min(now, self._feed.at(text.end))
        kind = events.AsrFinal if text.final else events.AsrDelta
        self._owner.send(
            kind(
                track_id=self._track,
                timestamp=now,
                index=index,
                start_time=min(start, end),
                end_time=end,
                text=text.text,
                task_id=text.task,
                confidence=None if text.confidence is None else round(text.confidence, 3),
            )
        )
        if index not in self._begun:
            self._begun.add(index)
            self._measure("ttfb", text, index, now - start, now - end)
        if text.final:
            self._next = max(self._next, index + 1)
            self._begun = {each for each in self._begun if each >= self._next}
            self._measure("completed", text, index, now - start, now - end)
        self._told(text.text, text.final, min(start, end))

    def trouble(self, message: str, code: int) -> None:
        """Something went wrong and is being mended."""
        if self._answered:
            self._owner.error("asr", message, code)
        else:
            self._waiting.append((message, code))

    def failed(self, message: str, code: int) -> None:
        """Nothing more will be understood."""
        self._feed.forget()
        self.trouble(message, code)

    def lost(self, message: str) -> None:
        """The speech process is gone, and will be back."""
        self.trouble(message, 503)
        self._base = self._next
        self._feed.begin()

    def _measure(self, what: str, text: Heard, index: int, duration: int, late: int) -> None:
        data = {"index": index, "provider": text.provider, "model": text.model, "latency": max(0, late)}
        self._owner.send(
            events.Metrics(
                timestamp=now_ms(),
                key=f"{what}.asr.{text.provider}",
                duration=max(0, duration),
                data={name: value for name, value in data.items() if value is not None},
            )
        )
