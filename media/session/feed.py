"""The audio of one track on its way to the speech process."""

from typing import Protocol

from media.api.options import TranscriptionOption
from media.engine.arrays import Pcm
from media.engine.taps import Reader, Side, Sink
from media.session.clock import now_ms
from media.speech.gate import Gate
from media.speech.service import Hearer, Recognition, Speech
from media.speech.timeline import Timeline

EVERY = 2
"""Ticks between two pieces of audio: 40 ms, which is what providers advise."""


class Tapped(Protocol):
    """What it needs of the engine."""

    def subscribe(self, slot: int, sides: tuple[Side, ...], *, every: int, rate: int, sink: Sink) -> Reader:
        """As `Taps.subscribe`."""

    def unsubscribe(self, reader: Reader) -> None:
        """As `Taps.unsubscribe`."""


class Feed:
    """Sends what is heard at `rate` Hz, and knows when it was heard. `hearer` gets what comes of it."""

    def __init__(
        self, engine: Tapped, speech: Speech, option: TranscriptionOption, rate: int, hearer: Hearer
    ) -> None:
        self._engine = engine
        self._speech = speech
        self._option = option
        self._rate = rate
        self._hearer = hearer
        self._reader: Reader | None = None
        self._work: Recognition | None = None
        self._timeline = Timeline(rate)
        self._gate = Gate(rate) if option.gate else None

    def start(self, slot: int) -> None:
        """Listen to `slot`, which has a stream; nothing changes when that is done already."""
        if self._reader is None:
            self.begin()
            self._reader = self._engine.subscribe(
                slot, (Side.HEARD,), every=EVERY, rate=self._rate, sink=self._take
            )

    def begin(self) -> None:
        """Ask the speech process, again when it has forgotten us."""
        self._timeline = Timeline(self._rate)
        self._work = self._speech.listen(self._option, self._rate, self._hearer)

    def forget(self) -> None:
        """Nobody wants audio any more."""
        self._work = None

    def stop(self) -> None:
        """Listen no more."""
        if self._reader is not None:
            self._engine.unsubscribe(self._reader)
            self._reader = None
        if self._work is not None:
            self._work.close()
            self._work = None

    def voice(self, *, speaking: bool) -> None:
        """The engine hears voice begin, or that it has ended."""
        if self._gate is not None:
            self._gate.voice(speaking=speaking)
        if self._work is not None:
            self._work.voice(speaking=speaking)

    def at(self, position: int) -> int:
        """When what stands at `position` (ms of the audio) was heard: ms since the epoch."""
        return self._timeline.at(position)

    def _take(self, pcm: Pcm, lost: int) -> None:  # noqa: ARG002 the timeline sees gaps by the clock
        if self._work is None:
            return
        data = pcm.astype("<i2", copy=False).tobytes()
        if self._gate is not None:
            data = self._gate.pass_on(data)
        if data:
            self._timeline.advance(len(data) // 2, now_ms())
            self._work.audio(data)
