"""Playing segments: sample-exact queues of PCM, one frame per slot and tick.

Each slot has a ring of about a second that Python refills from the segments when it runs low; a tick
reads it for all slots at once. Positions count the samples of a slot from its first one on, so that a
segment's samples, heard or waiting, are a difference of positions.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from media.engine.arrays import FRAME, Ints, Pcm
from media.engine.reports import Event, SegmentEnded, SegmentStarted
from media.engine.segment import Segment, State

RING = 8192
"""Samples of a ring; a power of two. The first FRAME stand once more behind the last."""
LOW = 2 * FRAME
"""Samples below which a ring must be refilled: above a frame, so that an end is known before it is sent."""
SPARE = RING // 4
"""Samples below which a ring may be refilled, a few of them in each tick: calls that began together would
otherwise all be refilled in the same tick, second for second."""
_ROW = RING + FRAME
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Stopped:
    """What `stop` cut off."""

    segment: Segment | None
    """The segment that was being heard; None when none had begun."""
    played: int
    """Samples of it that were sent."""
    dropped: tuple[Segment, ...]
    """Segments of which nothing was heard, in order."""


class Playout:
    """The queues of all slots."""

    def __init__(self, capacity: int) -> None:
        self._head, self._tail, self._final = (np.full(capacity, 0, np.int64) for _ in range(3))
        # Read and write positions; end of the audio that may be sent although it fills no frame.
        self._turn = np.full(capacity, _NEVER, np.int64)
        self._spares = capacity // 8 + 1
        self._hungry = np.full(capacity, fill_value=False)
        self._rings = np.full((capacity, _ROW), 0, np.int16)
        # Every window of FRAME samples as one item: a frame at any position is one index.
        windows = self._rings.size - FRAME + 1
        self._windows = np.ndarray((windows,), f"V{2 * FRAME}", self._rings.data, strides=(2,))
        self._out = np.full((capacity, FRAME), 0, np.int16)
        self._loading: list[deque[Segment]] = [deque() for _ in range(capacity)]
        self._playing: list[deque[Segment]] = [deque() for _ in range(capacity)]

    def enqueue(self, slot: int, segment: Segment) -> None:
        """Play `segment` after those queued before; raises MediaError when it was queued before."""
        segment.queue(self, slot)
        self._loading[slot].append(segment)
        self.wake(slot)

    def wake(self, slot: int) -> None:
        """Look at the queue of `slot` as soon as its ring is low."""
        self._hungry[slot] = True

    def position(self, slot: int) -> int:
        """Samples sent from `slot` so far."""
        return int(self._head[slot])

    def stop(self, slot: int) -> Stopped | None:
        """Drop all segments of `slot` at once; None when there are none."""
        playing, loading = self._playing[slot], self._loading[slot]
        segments = [*playing, *(segment for segment in loading if segment not in playing)]
        if not segments:
            return None
        current = segments.pop(0) if segments[0].state is State.PLAYING else None
        for segment in (current, *segments):
            if segment is not None:
                segment.finish(State.STOPPED)
        playing.clear()
        loading.clear()
        self._tail[slot] = self._final[slot] = self._head[slot]
        self._turn[slot], self._hungry[slot] = _NEVER, False
        return Stopped(current, current.played if current else 0, tuple(segments))

    def run(self, slots: Ints, events: list[Event]) -> Pcm:
        """Take the next frame of each of `slots` (all different): int16 (n, FRAME), valid until the next run.

        Silence where nothing is queued or an open segment has not enough for a frame. Appends what
        started and ended to `events`.
        """
        out = self._out[: len(slots)]
        waiting = self._tail[slots] - self._head[slots]
        hungry = self._hungry[slots] & (waiting < SPARE)
        if hungry.any():
            low = hungry & (waiting < LOW)
            spare = np.flatnonzero(hungry & ~low)[: self._spares]
            for slot in [*slots[low].tolist(), *slots[spare].tolist()]:
                self._refill(slot)
            waiting = self._tail[slots] - self._head[slots]
        head = self._head[slots]
        count = np.where(waiting >= FRAME, FRAME, np.maximum(self._final[slots] - head, 0))
        at = slots * _ROW + (head & RING - 1)
        if (count == FRAME).all():
            out.view(f"V{2 * FRAME}")[:, 0] = self._windows[at]
        else:
            self._gather(out, at, count)
        head += count
        self._head[slots] = head
        crossed = head >= self._turn[slots]
        if crossed.any():
            for slot in slots[crossed].tolist():
                self._report(slot, events)
        return out

    def _gather(self, out: Pcm, at: Ints, count: Ints) -> None:
        """Copy whole frames, cut partial ones, silence the rest."""
        out[:] = 0
        some = np.flatnonzero(count)
        frames = self._windows[at[some]].view(np.int16).reshape(-1, FRAME)
        frames[np.arange(FRAME) >= count[some, None]] = 0
        out[some] = frames

    def _refill(self, slot: int) -> None:
        """Copy samples from the segments into the ring of `slot` until it is full or they have no more."""
        loading, playing = self._loading[slot], self._playing[slot]
        head, tail = int(self._head[slot]), int(self._tail[slot])
        while loading:
            segment = loading[0]
            segment.begin(tail)
            if not playing or playing[-1] is not segment:
                playing.append(segment)
            for samples in segment.load(RING - (tail - head)):
                self._write(slot, tail, samples)
                tail += len(samples)
            if segment.pending or not segment.closed:
                break
            loading.popleft()
            self._final[slot] = tail
        self._tail[slot] = tail
        self._hungry[slot] = bool(loading) and loading[0].pending
        self._set_turn(slot)

    def _write(self, slot: int, position: int, samples: Pcm) -> None:
        ring, at = self._rings[slot], position & RING - 1
        until_end = samples[: RING - at]
        ring[at : at + len(until_end)] = until_end
        ring[: len(samples) - len(until_end)] = samples[len(until_end) :]
        ring[RING:] = ring[:FRAME]

    def _report(self, slot: int, events: list[Event]) -> None:
        """Move segments on whose start or end was reached."""
        playing, head = self._playing[slot], int(self._head[slot])
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
