"""One playback: PCM that is played once, in order, and may still be growing while it plays."""

from collections import deque
from enum import Enum
from typing import Protocol

import numpy as np

from control.errors import MediaError
from media.engine.arrays import Pcm


class State(Enum):
    """Where a segment is on its way; only the playout moves it on."""

    NEW = "new"
    QUEUED = "queued"
    PLAYING = "playing"
    ENDED = "ended"
    """Closed, and all of it was sent."""
    STOPPED = "stopped"
    """Dropped by `Engine.stop` or `Engine.release`."""


class Player(Protocol):
    """What a segment needs of the playout it is queued in."""

    def wake(self, slot: int) -> None:
        """The queue of `slot` has changed: more audio, or an end."""

    def position(self, slot: int) -> int:
        """Samples sent from `slot` so far."""


class Segment:
    """PCM of one playback: int16, mono, 8000 Hz, any chunk sizes.

    `play` is whatever the owner wants to find again in the events about this segment.
    """

    def __init__(self, play: object = None) -> None:
        self.play = play
        self.state = State.NEW
        self.closed = False
        self.total = 0
        """Samples appended so far."""
        self._chunks: deque[Pcm] = deque()
        self._player: Player | None = None
        self._slot = -1
        self._begin: int | None = None
        self._played = 0

    def append(self, pcm: Pcm) -> None:
        """Add samples, int16 (n,); the array is kept, not copied: leave it unchanged.

        A segment that was stopped takes nothing more and says nothing: its source may learn it from
        `state`. Raises MediaError when the segment is closed or `pcm` is of another type or shape.
        """
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise MediaError(
                f"a segment takes int16 samples of one channel, not {pcm.dtype} {pcm.shape}: convert them"
            )
        if self.closed:
            raise MediaError("audio was appended to a segment after its close(): open a new segment")
        if self.state is State.STOPPED or not len(pcm):
            return
        self._chunks.append(pcm)
        self.total += len(pcm)
        self._wake()

    def close(self) -> None:
        """Say that no more audio follows; closing twice does nothing."""
        self.closed = True
        self._wake()

    @property
    def played(self) -> int:
        """Samples that were sent."""
        if self._player is None or self._begin is None:
            return self._played
        return max(0, min(self._player.position(self._slot) - self._begin, self.total))

    # The rest is the playout's side.

    def queue(self, player: Player, slot: int) -> None:
        """Bind the segment to its place; raises MediaError when it had one before."""
        if self.state is not State.NEW:
            raise MediaError(f"a segment is played once and this one is {self.state.value}: make a new one")
        self.state, self._player, self._slot = State.QUEUED, player, slot

    def begin(self, position: int) -> None:
        """Fix where the first sample stands in the samples of the slot; later calls change nothing."""
        if self._begin is None:
            self._begin = position

    def load(self, room: int) -> list[Pcm]:
        """Hand out the next samples, at most `room`, in one or more arrays."""
        pieces = []
        while self._chunks and room > 0:
            chunk = self._chunks.popleft()
            if len(chunk) > room:
                self._chunks.appendleft(chunk[room:])
                chunk = chunk[:room]
            pieces.append(chunk)
            room -= len(chunk)
        return pieces

    @property
    def pending(self) -> bool:
        """Whether there are samples that were not handed out."""
        return bool(self._chunks)

    @property
    def turn(self) -> int | None:
        """Position of the slot at which something is to be reported next: start or end; None if unknown."""
        if self._begin is None:
            return None
        end = self._begin + self.total if self.closed and not self._chunks else None
        if self.state is State.QUEUED:
            return self._begin if end == self._begin else self._begin + 1
        return end

    def start(self) -> None:
        """The first sample was sent."""
        self.state = State.PLAYING

    def finish(self, state: State) -> None:
        """Leave the playout as `state`: ENDED or STOPPED."""
        self._played = self.played
        self.state, self._player = state, None
        self._chunks.clear()

    def _wake(self) -> None:
        if self._player is not None:
            self._player.wake(self._slot)
