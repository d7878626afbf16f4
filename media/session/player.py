"""What one call plays: the order of plays, their events, and exactly how much of each was heard.

Audio reaches the engine as segments; the engine reports when the first sample of a segment leaves and when its last
has left. A play with another playId replaces the present one at once; the same playId continues it.

What is on may be paused and muted; both end with it, or when it is replaced.
"""

import logging
from contextlib import aclosing
from typing import Protocol

from control.errors import MediaError
from control.tasks import Tasks
from media.engine.segment import Segment, State
from media.session.play import Kind, Play, Source

log = logging.getLogger(__name__)


class Output(Protocol):
    """Where segments go: one slot of the engine."""

    @property
    def rate(self) -> int:
        """Samples per second that are best for it."""

    def enqueue(self, segment: Segment) -> None:
        """Play `segment` after all that was enqueued before."""

    def stop(self, fade_ms: int = 0) -> None:
        """Drop everything that was enqueued, at once or falling silent in `fade_ms`; a pause ends."""

    def finish(self) -> None:
        """Drop everything but the segment that is being heard."""

    def pause(self) -> None:
        """Send nothing, and keep the position."""

    def resume(self) -> None:
        """Go on where the pause began."""

    def mute(self, *, muted: bool) -> None:
        """Send silence while everything goes on, or not any more."""


class Listener(Protocol):
    """What happens to plays, told in order."""

    def play_started(self, play: Play) -> None:
        """Its first sample leaves."""

    def play_ended(self, play: Play) -> None:
        """Its last sample has left, or it was cut after it started."""

    def play_interrupted(self, play: Play) -> None:
        """It is cut, or will end with what is being heard; `play_ended` follows if it had started."""

    def play_failed(self, play: Play, error: MediaError) -> None:
        """Some of its audio could not be made; what was made is still played."""


class Player:
    """The server-side track of one call."""

    def __init__(self, output: Output, listener: Listener) -> None:
        self._output = output
        self._listener = listener
        self._current: Play | None = None
        self._leaving: Play | None = None
        """Interrupted, and heard to the end of a text."""
        self._paused = self._muted = False
        self._tasks = Tasks("player")

    @property
    def current(self) -> Play | None:
        """The play that is on, or about to start; not one that was interrupted."""
        return self._current

    @property
    def busy(self) -> bool:
        """Whether anything is on."""
        return self._current is not None or self._leaving is not None

    def say(self, text: str, source: Source, play_id: str | None, *, streaming: bool = False) -> Play:
        """Add speech to the play with this playId, replacing a play with another."""
        play = self._current
        if play is None or play.kind is not Kind.TTS or play.play_id != play_id:
            play = self._put(Play(Kind.TTS, play_id, streaming=streaming))
        play.texts.append(text)
        self._add(play, source)
        return play

    def play(self, source: Source, play_id: str) -> Play:
        """Replace what is on by a file."""
        play = self._put(Play(Kind.FILE, play_id))
        self._add(play, source)
        return play

    def interrupt(self, *, graceful: bool = False, fade_ms: int = 0) -> Play | None:
        """Cut what is on, within `fade_ms`; the play that was cut, or None.

        `graceful` lets a text end that is being heard, unless it is streamed or paused, and drops the rest.
        """
        heard = self._leaving or self._current
        if heard is None:
            return None
        if graceful and self._may_end(heard):
            return self._let_end(heard)
        return self._cut(0 if self._paused or self._muted else fade_ms)

    def pause(self) -> None:
        """Keep what is on where it is; pausing twice is pausing once."""
        if not self._paused:
            self._paused = True
            self._output.pause()

    def resume(self) -> None:
        """Go on after `pause`; nothing when not paused."""
        if self._paused:
            self._paused = False
            self._output.resume()

    def mute(self, *, muted: bool) -> None:
        """Let nobody hear what is on, or unmute it."""
        if self._muted is not muted:
            self._muted = muted
            self._output.mute(muted=muted)

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
        return next(
            (p for p in (self._leaving, self._current) if p is not None and segment in p.segments), None
        )

    def _put(self, play: Play) -> Play:
        """Make `play` the current one: behind one of the same playId that still ends, else at once."""
        leaving = self._leaving
        follows = leaving is not None and (leaving.kind, leaving.play_id) == (play.kind, play.play_id)
        if self._current is not None or (leaving is not None and not follows):
            self._cut(0)
        self._current = play
        return play

    def _may_end(self, play: Play) -> bool:
        return play.kind is Kind.TTS and not play.streaming and not self._paused and play.heard is not None

    def _let_end(self, heard: Play) -> Play | None:
        """Drop all but the text of `heard` that is being heard."""
        play, self._current = self._current, None
        if play is not None:
            self._listener.play_interrupted(play)
            play.forgo()
            segment = heard.heard if play is heard else None
            play.sources.clear()
            if segment is None or segment.closed:
                play.make_no_more()
            play.segments = [s for s in play.segments if s is segment or s.state is State.ENDED]
        self._leaving = heard
        self._output.finish()
        return play

    def _cut(self, fade_ms: int) -> Play | None:
        """Drop everything; the play that was not interrupted before, if any."""
        leaving, self._leaving = self._leaving, None
        play, self._current = self._current, None
        for each in (leaving, play):
            if each is not None:
                each.make_no_more()
                each.forgo()
        self._output.stop(fade_ms)
        if leaving is not None:
            self._listener.play_ended(leaving)
        if play is not None:
            self._listener.play_interrupted(play)
            if play.started:
                self._listener.play_ended(play)
        self._free()
        return play

    def _free(self) -> None:
        """Nothing is on: what comes next is heard."""
        self.resume()
        self.mute(muted=False)

    def _add(self, play: Play, source: Source) -> None:
        play.sources.append(source)
        if play.maker is None:
            play.maker = self._tasks.spawn(self._make(play))

    async def _make(self, play: Play) -> None:
        """Turn the sources of `play` into audio, one after the other, each a segment."""
        while play.sources:
            source = play.sources.popleft()
            segment = Segment(rate=self._output.rate)
            play.segments.append(segment)
            self._output.enqueue(segment)
            try:
                async with aclosing(source(segment.rate)) as chunks:
                    async for chunk in chunks:
                        segment.append(chunk)
            except MediaError as error:
                self._listener.play_failed(play, error)
            segment.close()
        play.maker = None
        self._settle(play)

    def _settle(self, play: Play) -> None:
        """Report the end of `play` once everything was heard."""
        if play not in (self._current, self._leaving) or not play.finished:
            return
        if play is self._leaving:
            self._leaving = None
        else:
            self._current = None
        if not self.busy:
            self._free()
        if not play.started:
            # It made no sound at all: an empty text, or a failure that was reported.
            self._listener.play_started(play)
        self._listener.play_ended(play)
