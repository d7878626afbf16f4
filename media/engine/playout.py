"""Playing segments: sample-exact queues of PCM, one frame per slot and tick.

Each slot has a ring of about a second that Python refills from the segments when it runs low; a tick
reads it for all slots at once. Positions count the samples of a slot from its first one on, so that a
segment's samples, heard or waiting, are a difference of positions. Behind the rings stand gain, background
and mute, which change no position and cost nothing while nobody uses them.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from media.engine.arrays import RATE, Ints, Mask, Pcm
from media.engine.background import Background, Loop
from media.engine.gain import Gain
from media.engine.pauses import Pauses
from media.engine.ramp import falling
from media.engine.reports import Event, SegmentEnded, SegmentStarted
from media.engine.rings import Rings
from media.engine.segment import Segment, State

_LOW_FRAMES = 2
"""Frames below which a ring must be refilled: above one, so that an end is known before it is sent."""
_SPARE = 4
"""A ring may be refilled when less than one part in so many is left, a few rings in each tick: calls that
began together would otherwise all be refilled in the same tick, second for second."""
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Stopped:
    """What `stop` or `finish` cut off."""

    segment: Segment | None
    """The segment that was being heard; None when none had begun."""
    played: int
    """Samples of it that were sent, in its own rate; a fade that follows is not counted."""
    dropped: tuple[Segment, ...]
    """Segments of which nothing was heard, in order."""


class Playout:
    """The queues of all slots, at `rate` Hz: 8000 or 16000. A frame is 20 ms."""

    def __init__(self, capacity: int, rate: int = RATE) -> None:
        self.rate = rate
        self._rings = Rings(capacity, rate)
        self._low, self._spare = _LOW_FRAMES * self._rings.frame, self._rings.size // _SPARE
        self._turn = np.full(capacity, _NEVER, np.int64)
        self._spares = capacity // 8 + 1
        self._hungry = np.full(capacity, fill_value=False)
        self._loading: list[deque[Segment]] = [deque() for _ in range(capacity)]
        self._playing: list[deque[Segment]] = [deque() for _ in range(capacity)]
        self._pauses = Pauses(self._rings)
        self._gain, self._switch = Gain(capacity, rate), Gain(capacity, rate)
        self._background = Background(capacity, rate)
        self.busy: Mask = np.full(0, fill_value=False)
        """Of the slots of the last run, those that had something to play, muted or not; the others had silence."""

    def enqueue(self, slot: int, segment: Segment) -> None:
        """Play `segment` after those queued before; raises MediaError when it was queued before."""
        segment.queue(self, slot)
        self._loading[slot].append(segment)
        self.wake(slot)

    def wake(self, slot: int) -> None:
        """Look at the queue of `slot` as soon as its ring is low."""
        self._hungry[slot] = not self._pauses.frozen(slot)

    def position(self, slot: int) -> int:
        """Samples sent from `slot` so far."""
        return int(self._rings.head[slot])

    def stop(self, slot: int, fade: int = 0) -> Stopped | None:
        """Drop all segments of `slot` at once; None when there are none. A pause ends.

        With `fade` the segment that is being heard falls silent over so many samples, as far as they are
        there and a ring holds them (about a second), and what is enqueued afterwards follows them; a fade
        that has begun goes on. A paused slot is silent at once.
        """
        segments = self._segments(slot)
        current = segments.pop(0) if segments and segments[0].state is State.PLAYING else None
        end = self._fade(slot, current, fade) if fade > 0 else self.position(slot)
        self._drop([current, *segments] if current else segments)
        self._playing[slot].clear()
        self._loading[slot].clear()
        self._pauses.forget(slot)
        self._rings.cut(slot, end)
        self._turn[slot], self._hungry[slot] = _NEVER, False
        if current is None and not segments:
            return None
        return Stopped(current, current.played if current else 0, tuple(segments))

    def finish(self, slot: int) -> Stopped | None:
        """Let the segment that is being heard play to its end and drop those behind it.

        None, and nothing is done, when none is being heard. A segment that is still open goes on growing.
        """
        segments = self._segments(slot)
        if not segments or segments[0].state is not State.PLAYING:
            return None
        current, *later = segments
        self._playing[slot], self._loading[slot] = deque([current]), deque()
        if current.turn is None:
            self._loading[slot].append(current)
        else:
            self._pauses.cut(slot, current.turn)
        self._drop(later)
        return Stopped(current, current.played, tuple(later))

    def pause(self, slot: int) -> None:
        """Send one more frame, falling silent, then nothing, and keep the position; again: nothing changes.

        The background goes on. Segments may be queued and grow meanwhile.
        """
        self._pauses.pause(slot)

    def resume(self, slot: int) -> None:
        """Go on where the pause began, with a frame that rises from silence; nothing when not paused."""
        if self._pauses.resume(slot):
            self._hungry[slot] = bool(self._loading[slot])
            self._set_turn(slot)

    def gain(self, slot: int, factor: float) -> None:
        """Multiply what is played, but not the background, by 0 to 16, reached with the end of the next frame.

        Raises MediaError for other factors.
        """
        self._gain.set(slot, factor)

    def mute(self, slot: int, *, muted: bool) -> None:
        """Send silence instead of segments and background, or not any more; all positions go on."""
        self._switch.set(slot, 0 if muted else 1)

    def background(self, slot: int, loop: Loop | None, gain: float = 1, duck: float = 1) -> None:
        """Play `loop` for ever at level `gain`, and at `duck` while segments are heard; see `Background.set`."""
        self._background.set(slot, loop, gain, duck)

    def reset(self, slot: int) -> None:
        """Forget everything of `slot`, at once."""
        self.stop(slot)
        self._gain.reset(slot)
        self._switch.reset(slot)
        self._background.reset(slot)

    def run(self, slots: Ints, events: list[Event]) -> Pcm:
        """Take the next frame of each of `slots`, ascending: int16 (n, frame), valid until the next run.

        Silence where nothing is queued or an open segment has not enough for a frame. Appends what
        started and ended to `events`.
        """
        rings = self._rings
        waiting = rings.tail[slots] - rings.head[slots]
        hungry = self._hungry[slots] & (waiting < self._spare)
        if hungry.any():
            low = hungry & (waiting < self._low)
            spare = np.flatnonzero(hungry & ~low)[: self._spares]
            for slot in [*slots[low].tolist(), *slots[spare].tolist()]:
                self._refill(slot)
            waiting = rings.tail[slots] - rings.head[slots]
        out, count, head = rings.take(slots, waiting)
        crossed = head >= self._turn[slots]
        if crossed.any():
            for slot in slots[crossed].tolist():
                self._report(slot, events)
        if self._pauses.due:
            for slot in self._pauses.run(slots, out):
                self._turn[slot], self._hungry[slot] = _NEVER, False
        if not self._gain.idle:
            self._gain.run(slots, out)
        self.busy = count > 0
        if not self._background.idle:
            active = self._background.active(slots)
            self._background.run(slots, out, self.busy)
            self.busy |= active
        if not self._switch.idle:
            self._switch.run(slots, out)
        return out

    def _fade(self, slot: int, current: Segment | None, length: int) -> int:
        """Let `current` fall silent, or an earlier fade go on; the position where the slot is silent."""
        rings, head = self._rings, self.position(slot)
        if self._pauses.silent(slot):
            return head
        if current is None:
            playing = self._playing[slot]
            return int(rings.tail[slot]) if not playing or playing[0].at is None else playing[0].at
        self._refill(slot)
        length = min(length, rings.ready(slot))
        if current.turn is not None:
            length = min(length, current.turn - head)
        rings.scale(slot, falling(length))
        return head + length

    def _segments(self, slot: int) -> list[Segment]:
        playing = self._playing[slot]
        return [*playing, *(segment for segment in self._loading[slot] if segment not in playing)]

    def _drop(self, segments: list[Segment]) -> None:
        for segment in segments:
            segment.finish(State.STOPPED)

    def _refill(self, slot: int) -> None:
        """Copy samples from the segments into the ring of `slot` until it is full or they have no more."""
        rings, loading, playing = self._rings, self._loading[slot], self._playing[slot]
        while loading:
            segment = loading[0]
            segment.begin(int(rings.tail[slot]))
            if not playing or playing[-1] is not segment:
                playing.append(segment)
            for samples in segment.load(rings.room(slot)):
                rings.add(slot, samples)
            if segment.pending or not segment.closed:
                break
            loading.popleft()
            rings.final[slot] = rings.tail[slot]
        self._hungry[slot] = bool(loading) and loading[0].pending
        self._set_turn(slot)

    def _report(self, slot: int, events: list[Event]) -> None:
        """Move segments on whose start or end was reached."""
        playing, head = self._playing[slot], self.position(slot)
        while playing and (turn := playing[0].turn) is not None and head >= turn:
            segment = playing[0]
            if segment.state is State.QUEUED:
                segment.start()
                events.append(SegmentStarted(slot, segment))
            else:
                playing.popleft()
                segment.finish(State.ENDED)
                events.append(SegmentEnded(slot, segment))
        self._set_turn(slot)

    def _set_turn(self, slot: int) -> None:
        playing = self._playing[slot]
        turn = playing[0].turn if playing else None
        self._turn[slot] = _NEVER if turn is None else turn
