"""What one call plays: the order of plays, their events, and exactly how much of each was heard.

Audio reaches the engine as segments; the engine reports when the first sample of a segment leaves and when its last
has left. A play with another playId replaces the present one at once; the same playId continues it.

A play ends when all that was asked for was heard. One whose text is streamed waits for more until its end is told;
when it is silent and nothing comes for STALL_SECONDS, it is ended.

What is on may be paused and muted; both end with it, or when it is replaced.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from control.errors import MediaError, SpeechError
from control.tasks import Tasks
from media.engine.segment import Segment
from media.session.making import Maker
from media.session.play import Continuous, Kind, Piece, Play, Source, Stream

STALL_SECONDS = 10
"""A streamed text that is silent for so long, with nothing new, has been forgotten by its sender."""


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
        self._maker = Maker(output, self._tasks, listener.play_failed, self.settle)
        self._stall: asyncio.TimerHandle | None = None

    @property
    def current(self) -> Play | None:
        """The play that is on, or about to start; not one that was interrupted."""
        return self._current

    @property
    def busy(self) -> bool:
        """Whether anything is on."""
        return self._current is not None or self._leaving is not None

    def speaking(self, play_id: str | None) -> Play | None:
        """The play that a text with this playId continues, if any."""
        play = self._current
        return play if play is not None and play.kind is Kind.TTS and play.play_id == play_id else None

    def say(self, play_id: str | None, stream: Callable[[Play], Stream | None] = lambda _: None) -> Play:
        """The play of speech with this playId; a new one, which replaces what is on, where there is none.

        `stream` makes that of a new play whose texts are pieces of one text. `settle` it when all is added.
        """
        play = self.speaking(play_id)
        if play is None:
            play = self._put(Play(Kind.TTS, play_id))
            play.stream = stream(play)
        return play

    def play(self, source: Source, play_id: str) -> Play:
        """Replace what is on by a file."""
        play = self._put(Play(Kind.FILE, play_id))
        self._maker.add(play, [Piece("", source)])
        return play

    def add(self, play: Play, text: str, source: Source | None) -> None:
        """Go on with `text` in `play`, which is not streamed; without a source it makes no sound."""
        play.texts.append(text)
        if source is not None:
            self._maker.add(play, [Piece(text, source)])

    def feed(self, play: Play, stream: Stream, text: str, *, end: bool) -> None:
        """Go on with a piece of the streamed text of `play`; `end`: it is the last."""
        self._be_patient()
        play.texts.append(text)
        self._maker.add(play, stream.feed(text))
        if end:
            self._maker.add(play, stream.end())
        elif isinstance(stream, Continuous) and stream.open:
            self._wait_for_more(play, stream, STALL_SECONDS)

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
        # One that could not be made has nothing to be heard: the next one begins the play.
        if play is not None and not play.started and segment.total:
            play.started = True
            self._listener.play_started(play)

    def segment_ended(self, segment: Segment) -> None:
        """The engine has sent the last frame of `segment`."""
        play = self._owner(segment)
        if play is not None:
            play.retire()
            self.settle(play)

    async def close(self) -> None:
        """Stop making audio."""
        self._be_patient()
        await self._maker.close()

    def _owner(self, segment: Segment) -> Play | None:
        return next((p for p in (self._leaving, self._current) if p is not None and p is segment.play), None)

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
            kept = heard.heard if play is heard else None
            self._maker.stop(play, kept)
            play.pieces = deque(piece for piece in play.pieces if piece is kept)
        self._leaving = heard
        self._output.finish()
        return play

    def _cut(self, fade_ms: int) -> Play | None:
        """Drop everything; the play that was not interrupted before, if any."""
        leaving, self._leaving = self._leaving, None
        play, self._current = self._current, None
        self._be_patient()
        for each in (leaving, play):
            if each is not None:
                self._maker.stop(each)
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

    def _be_patient(self) -> None:
        """The streamed text goes on, or is over: nobody waits for it now."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _wait_for_more(self, play: Play, stream: Stream, seconds: float) -> None:
        self._stall = asyncio.get_running_loop().call_later(seconds, self._stalled, play, stream)

    def _stalled(self, play: Play, stream: Stream) -> None:
        """The streamed text of `play` does not go on: say what there is of it, and end."""
        self._stall = None
        if (unheard := play.total_ms - play.played_ms) > 0:
            self._wait_for_more(play, stream, STALL_SECONDS + unheard / 1000)
            return
        self._listener.play_failed(
            play,
            SpeechError(
                f"no text came for {STALL_SECONDS} s after all was spoken: the stream is ended; "
                'send "endOfStream": true with the last text',
                408,
            ),
        )
        self._maker.add(play, stream.end())
        self.settle(play)

    def settle(self, play: Play) -> None:
        """Report the end of `play` if all was heard that was asked for."""
        if play not in (self._current, self._leaving) or not play.idle:
            return
        if play.stream is not None and play.stream.open:
            if self._stall is None:
                self._wait_for_more(play, play.stream, STALL_SECONDS)
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
