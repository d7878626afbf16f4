"""The server-side track of a session: plays become segments of its slot, and events for the bot."""

import asyncio
from typing import Protocol

from control.errors import MediaError
from media.api import events
from media.engine.arrays import RATE
from media.engine.engine import Engine
from media.engine.segment import Segment
from media.session.clock import now_ms
from media.session.play import Kind, Play


class Owner(Protocol):
    """What the track needs of its session."""

    def send(self, event: events.Event) -> None:
        """Tell the bot."""

    def hang_up(self, reason: str) -> None:
        """End the call."""


class Follower(Protocol):
    """Who else wants to know what is heard of us."""

    def play_started(self) -> None:
        """A play is heard from now on."""

    def play_ended(self) -> None:
        """It is not heard any more."""


class ServerSideTrack:
    """Output and listener of a `Player`.

    Before the session has a slot, segments wait. ``autoHangup`` and ``waitInputTimeout`` of a play act at its end.
    """

    def __init__(self, owner: Owner, engine: Engine, track_id: str) -> None:
        self.id = track_id
        self._owner = owner
        self._engine = engine
        self._slot: int | None = None
        self._held: list[Segment] = []
        self._paused = self._muted = False
        self._input_timer: asyncio.TimerHandle | None = None
        self._caller_speaks = False
        self.followers: list[Follower] = []

    def attach(self, slot: int) -> None:
        """Play into `slot` from now on."""
        self._slot = slot
        for segment in self._held:
            self._engine.enqueue(slot, segment)
        self._held.clear()
        if self._paused:
            self._engine.pause(slot)
        if self._muted:
            self._engine.mute_out(slot, muted=True)

    @property
    def rate(self) -> int:
        """Samples per second of the slot; 8000 before there is one."""
        return RATE if self._slot is None else self._engine.rate(self._slot)

    def close(self) -> None:
        """Forget the slot and stop waiting for input."""
        self._slot = None
        self.input_heard()

    def input_heard(self) -> None:
        """The caller did something (or we play): no ``silence`` event is due."""
        if self._input_timer is not None:
            self._input_timer.cancel()
            self._input_timer = None

    def caller_spoke(self, *, still: bool) -> None:
        """The caller has begun to speak (`still`), or has stopped; who speaks over a question has answered it."""
        self._caller_speaks = still
        self.input_heard()

    # Output

    def enqueue(self, segment: Segment) -> None:
        """Play `segment` after all that was enqueued before."""
        if self._slot is None:
            self._held.append(segment)
        else:
            self._engine.enqueue(self._slot, segment)

    def stop(self, fade_ms: int = 0) -> None:
        """Drop everything that was enqueued, at once or falling silent in `fade_ms`; a pause ends."""
        self._held.clear()
        self._paused = False
        if self._slot is not None:
            self._engine.stop(self._slot, fade_ms)

    def finish(self) -> None:
        """Drop everything but the segment that is being heard."""
        if self._slot is not None:
            self._engine.finish(self._slot)

    def pause(self) -> None:
        """Send nothing, and keep the position."""
        self._paused = True
        if self._slot is not None:
            self._engine.pause(self._slot)

    def resume(self) -> None:
        """Go on where the pause began."""
        self._paused = False
        if self._slot is not None:
            self._engine.resume(self._slot)

    def mute(self, *, muted: bool) -> None:
        """Send silence while everything goes on, or not any more."""
        self._muted = muted
        if self._slot is not None:
            self._engine.mute_out(self._slot, muted=muted)

    # Listener

    def play_started(self, play: Play) -> None:
        """Its first sample leaves."""
        self.input_heard()
        self._owner.send(events.TrackStart(track_id=self.id, timestamp=now_ms(), play_id=play.play_id))
        for follower in self.followers:
            follower.play_started()

    def play_ended(self, play: Play) -> None:
        """Its last sample has left, or it was cut after it started."""
        self._owner.send(
            events.TrackEnd(
                track_id=self.id,
                timestamp=now_ms(),
                duration=play.played_ms,
                ssrc=play.ssrc,
                play_id=play.play_id,
            )
        )
        for follower in self.followers:
            follower.play_ended()
        if play.auto_hangup:
            self._owner.hang_up("autohangup")
        elif play.wait_input and not self._caller_speaks:
            loop = asyncio.get_running_loop()
            self._input_timer = loop.call_later(play.wait_input, self._no_input, now_ms(), play.wait_input)

    def play_interrupted(self, play: Play) -> None:
        """It is cut, or ends with its present text; says how much of it was heard."""
        self._owner.send(interruption(self.id, play))

    def play_failed(self, play: Play, error: MediaError) -> None:
        """Some of its audio could not be made."""
        self._owner.send(
            events.Error(
                track_id=self.id,
                timestamp=now_ms(),
                sender=play.kind.value,
                error=str(error),
                code=error.code,
            )
        )

    def _no_input(self, since: int, seconds: float) -> None:
        self._input_timer = None
        self._owner.send(
            events.Silence(
                track_id=self.id, timestamp=now_ms(), start_time=since, duration=round(seconds * 1000)
            )
        )


def interruption(track_id: str, play: Play) -> events.Interruption:
    """The event of a cut play; `position` is the index of the word that was being spoken, by share of time."""
    spoken = play.kind is Kind.TTS
    return events.Interruption(
        track_id=track_id,
        timestamp=now_ms(),
        play_id=play.play_id,
        subtitle=play.subtitle if spoken else None,
        position=play.position if spoken else None,
        total_duration=play.total_ms,
        current=play.played_ms,
    )
