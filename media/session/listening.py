"""What is said on one track, as text: audio goes to the speech process, texts go to the bot."""

from collections.abc import Callable
from typing import Protocol

from control.errors import SpeechError
from media.api import events
from media.api.options import TranscriptionOption
from media.engine.arrays import WIDE, Pcm
from media.engine.taps import Reader, Side, Sink
from media.session.clock import now_ms
from media.speech.gate import Gate
from media.speech.hub.wire import Heard
from media.speech.service import Recognition, Speech
from media.speech.timeline import Timeline

EVERY = 2
"""Ticks between two pieces of audio: 40 ms, which is what providers advise."""


class Tapped(Protocol):
    """What listening needs of the engine."""

    def subscribe(self, slot: int, sides: tuple[Side, ...], *, every: int, rate: int, sink: Sink) -> Reader:
        """As `Taps.subscribe`."""

    def unsubscribe(self, reader: Reader) -> None:
        """As `Taps.unsubscribe`."""


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
        told: Callable[[str, bool], None] = lambda text, final: None,  # noqa: ARG005
    ) -> None:
        self._owner = owner
        self._engine = engine
        self._speech = speech
        self._option = option
        self._track = track_id
        self._told = told
        self._reader: Reader | None = None
        self._work: Recognition | None = None
        self._timeline = Timeline(WIDE)
        self._gate = Gate(WIDE) if option.gate else None
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
        if self._reader is None:
            self._begin()
            self._reader = self._engine.subscribe(
                slot, (Side.HEARD,), every=EVERY, rate=WIDE, sink=self._take
            )

    def stop(self) -> None:
        """Listen no more."""
        if self._reader is not None:
            self._engine.unsubscribe(self._reader)
            self._reader = None
        if self._work is not None:
            self._work.close()
            self._work = None

    def answered(self) -> None:
        """The bot knows that the call stands: what went wrong before can be told."""
        self._answered = True
        for message, code in self._waiting:
            self._owner.error("asr", message, code)
        self._waiting.clear()

    def speaking(self, start: int) -> None:  # noqa: ARG002
        """Voice has begun."""
        self._voice(speaking=True)

    def silent(self, since: int) -> None:  # noqa: ARG002
        """Voice has ended."""
        self._voice(speaking=False)

    def _voice(self, *, speaking: bool) -> None:
        if self._gate is not None:
            self._gate.voice(speaking=speaking)
        if self._work is not None:
            self._work.voice(speaking=speaking)

    def _begin(self) -> None:
        self._timeline = Timeline(WIDE)
        self._base = self._next
        self._work = self._speech.listen(self._option, WIDE, self)

    def _take(self, pcm: Pcm, lost: int) -> None:  # noqa: ARG002 the timeline sees gaps by the clock
        if self._work is None:
            return
        data = pcm.astype("<i2", copy=False).tobytes()
        if self._gate is not None:
            data = self._gate.pass_on(data)
        if data:
            self._timeline.advance(len(data) // 2, now_ms())
            self._work.audio(data)

    # From the speech process

    def heard(self, text: Heard) -> None:
        """Something was understood."""
        index = self._base + text.index
        now = now_ms()
        start, end = self._timeline.at(text.start), min(now, self._timeline.at(text.end))
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
        self._told(text.text, text.final)

    def trouble(self, message: str, code: int) -> None:
        """Something went wrong and is being mended."""
        if self._answered:
            self._owner.error("asr", message, code)
        else:
            self._waiting.append((message, code))

    def failed(self, message: str, code: int) -> None:
        """Nothing more will be understood."""
        self._work = None
        self.trouble(message, code)

    def lost(self, message: str) -> None:
        """The speech process is gone, and will be back."""
        self.trouble(message, 503)
        self._begin()

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
