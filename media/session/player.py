"""What one call plays: the order of plays, their events, and exactly how much of each was heard.

A *play* is what one ``play`` command, or all ``tts`` commands with one playId, put on the server-side track.
Audio reaches the engine as segments; the engine reports when the first sample of a segment leaves and when its last
has left. A play with another playId replaces the present one at once; the same playId continues it.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from control.errors import MediaError
from control.tasks import Tasks
from media.engine.segment import Segment
from media.speech.tts.base import Synthesis
from media.speech.voice import Samples

log = logging.getLogger(__name__)

SAMPLES_PER_MS = 8
Audio = Synthesis | AsyncGenerator[Samples, None]
"""Chunks of PCM, mono, 8 kHz; an error while they are made is a MediaError."""


class Output(Protocol):
    """Where segments go: one slot of the engine."""

    def enqueue(self, segment: Segment) -> None:
        """Play `segment` after all that was enqueued before."""

    def stop(self) -> None:
        """Drop everything that was enqueued; nothing of it leaves from the next tick on."""


class Kind(Enum):
    """What a play was made by."""

    TTS = "tts"
    FILE = "play"


@dataclass(slots=True, eq=False)
class Play:
    """One play on the server-side track."""

    kind: Kind
    play_id: str | None
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    auto_hangup: bool = False
    wait_input: float | None = None
    """Seconds to wait for the caller after the end; None or 0: not at all."""
    texts: list[str] = field(default_factory=list)
    """What it says, in order, so far."""
    sources: deque[Callable[[], Audio]] = field(default_factory=deque)
    """Audio still to be made."""
    segments: list[Segment] = field(default_factory=list)
    started: bool = False
    maker: asyncio.Task[None] | None = None
    """Makes its audio; None when all that was asked for is made."""

    @property
    def played_ms(self) -> int:
        """How much has been heard."""
        return sum(segment.played for segment in self.segments) // SAMPLES_PER_MS

    @property
    def total_ms(self) -> int:
        """How much audio there is so far."""
        return sum(segment.total for segment in self.segments) // SAMPLES_PER_MS

    @property
    def finished(self) -> bool:
        """Whether everything was made and heard."""
        return self.maker is None and all(s.closed and s.played >= s.total for s in self.segments)


class Listener(Protocol):
    """What happens to plays, told in order."""

    def play_started(self, play: Play) -> None:
        """Its first sample leaves."""

    def play_ended(self, play: Play) -> None:
        """Its last sample has left, or it was cut after it started."""

    def play_interrupted(self, play: Play) -> None:
        """It is cut; `play_ended` follows if it had started."""

    def play_failed(self, play: Play, error: MediaError) -> None:
        """Some of its audio could not be made; what was made is still played."""


class Player:
    """The server-side track of one call."""

    def __init__(self, output: Output, listener: Listener) -> None:
        self._output = output
        self._listener = listener
        self._current: Play | None = None
        self._tasks = Tasks("player")

    @property
    def current(self) -> Play | None:
        """The play that is on, or about to start."""
        return self._current

    def say(self, text: str, source: Callable[[], Audio], play_id: str | None) -> Play:
        """Add speech to the play with this playId, replacing a play with another."""
        play = self._current
        if play is None or play.kind is not Kind.TTS or play.play_id != play_id:
            play = self._replace(Play(Kind.TTS, play_id))
        play.texts.append(text)
        self._add(play, source)
        return play

    def play(self, source: Callable[[], Audio], play_id: str) -> Play:
        """Replace what is on by a file."""
        play = self._replace(Play(Kind.FILE, play_id))
        self._add(play, source)
        return play

    def interrupt(self) -> Play | None:
        """Cut what is on; the play that was cut, or None."""
        play, self._current = self._current, None
        if play is None:
            return None
        if play.maker is not None:
            play.maker.cancel()
        play.auto_hangup = False
        play.wait_input = None
        self._output.stop()
        self._listener.play_interrupted(play)
        if play.started:
            self._listener.play_ended(play)
        return play

    def segment_started(self, segment: Segment) -> None:
        """The engine sends the first frame of `segment`."""
        play = self._owner(segment)
        if play is not None and not play.started:
            play.started = True
            self._listener.play_started(play)

    def segment_ended(self, segment: Segment) -> None:
        """The engine has sent the last frame of `segment`."""
        play = self._owner(segment)
        if play is not None:
            self._settle(play)

    async def close(self) -> None:
        """Stop making audio."""
        await self._tasks.close()

    def _owner(self, segment: Segment) -> Play | None:
        play = self._current
        return play if play is not None and segment in play.segments else None

    def _replace(self, play: Play) -> Play:
        self.interrupt()
        self._current = play
        return play

    def _add(self, play: Play, source: Callable[[], Audio]) -> None:
        play.sources.append(source)
        if play.maker is None:
            play.maker = self._tasks.spawn(self._make(play))

    async def _make(self, play: Play) -> None:
        """Turn the sources of `play` into audio, one after the other."""
        segment = Segment()
        play.segments.append(segment)
        self._output.enqueue(segment)
        while play.sources:
            source = play.sources.popleft()
            try:
                async with aclosing(source()) as chunks:
                    async for chunk in chunks:
                        segment.append(chunk)
            except MediaError as error:
                self._listener.play_failed(play, error)
        play.maker = None
        segment.close()
        if segment.total == 0:
            self._settle(play)

    def _settle(self, play: Play) -> None:
        """Report the end of `play` once everything was heard."""
        if play is not self._current or not play.finished:
            return
        self._current = None
        if not play.started:
            # It made no sound at all: an empty text, or a failure that was reported.
            self._listener.play_started(play)
        self._listener.play_ended(play)
