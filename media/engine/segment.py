"""One playback: PCM that is played once, in order, and may still be growing while it plays."""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Protocol

import numpy as np

from control.errors import MediaError
from media.engine.arrays import RATE, Pcm
from media.resampler import Resampler


class State(Enum):
    """Where a segment is on its way; only the playout moves it on."""

    NEW = "new"
    QUEUED = "queued"
    PLAYING = "playing"
    ENDED = "ended"
    """Closed, and all of it was sent."""
    STOPPED = "stopped"
    """Dropped by `Engine.stop`, `Engine.finish` or `Engine.release`."""


class Player(Protocol):
    """What a segment needs of the playout it is queued in."""

    @property
    def rate(self) -> int:
        """Samples per second of all slots."""

    def wake(self, slot: int) -> None:
        """The queue of `slot` has changed: more audio, or an end."""

    def position(self, slot: int) -> int:
        """Samples sent from `slot` so far."""


class Segment:
    """PCM of one playback: int16, mono, `rate` Hz, any chunk sizes.

    `play` is whatever the owner wants to find again in the events about this segment. Where the playout has
    another rate, samples are converted while they are loaded; the filter holds up to 120 ms back until more
    follow or the segment is closed. `loaded` is called when samples were taken: a source that makes them faster
    than they are heard may wait for it.
    """

    def __init__(
        self, play: object = None, rate: int = RATE, loaded: Callable[[], None] | None = None
    ) -> None:
        self.play = play
        self.rate = rate
        self._on_load = loaded
        self.state = State.NEW
        self.closed = False
        self.total = 0
        """Samples appended so far."""
        self._chunks: deque[Pcm] = deque()
        self._player: Player | None = None
        self._slot = -1
        self.at: int | None = None
        """Position of the slot where the first sample stands; None until it is known."""
        self._loaded = 0
        """Samples handed out, in the playout's rate as `at` is."""
        self._played = 0
        self._converter: _Converter | None = None

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
        if self._player is None or self.at is None:
            return self._played
        sent = self._player.position(self._slot) - self.at
        if self._exhausted and sent >= self._loaded:
            return self.total
        return max(0, min(sent * self.rate // self._player.rate, self.total))

    # The rest is the playout's side.

    def queue(self, player: Player, slot: int) -> None:
        """Bind the segment to its place; raises MediaError when it had one before."""
        if self.state is not State.NEW:
            raise MediaError(f"a segment is played once and this one is {self.state.value}: make a new one")
        self.state, self._player, self._slot = State.QUEUED, player, slot
        if player.rate != self.rate:
            self._converter = _Converter(self.rate, player.rate)

    def begin(self, position: int) -> None:
        """Fix where the first sample stands in the samples of the slot; later calls change nothing."""
        if self.at is None:
            self.at = position

    def load(self, room: int) -> list[Pcm]:
        """Hand out the next samples, at most `room`, in one or more arrays."""
        if self._converter is None:
            pieces = _take(self._chunks, room)
        else:
            pieces = self._converter.load(self._chunks, room, last=self.closed)
        self._loaded += sum(map(len, pieces))
        if pieces and self._on_load is not None:
            self._on_load()
        return pieces

    @property
    def pending(self) -> bool:
        """Whether there are samples that were not handed out."""
        return bool(self._chunks) or (self._converter is not None and self._converter.pending(self.closed))

    @property
    def turn(self) -> int | None:
        """Position of the slot at which something is to be reported next: start or end; None if unknown."""
        if self.at is None:
            return None
        end = self.at + self._loaded if self._exhausted else None
        if self.state is State.QUEUED:
            return self.at if end == self.at else self.at + 1
        return end

    def start(self) -> None:
        """The first sample was sent."""
        self.state = State.PLAYING

    def finish(self, state: State) -> None:
        """Leave the playout as `state`: ENDED or STOPPED."""
        self._played = self.played
        self.state, self._player, self._converter = state, None, None
        self._chunks.clear()

    @property
    def _exhausted(self) -> bool:
        """Whether everything was handed out and nothing follows."""
        return self.closed and not self.pending

    def _wake(self) -> None:
        if self._player is not None:
            self._player.wake(self._slot)


class _Converter:
    """Samples of one rate in, of another out; half a second at a time, so that no tick takes long."""

    def __init__(self, source: int, target: int) -> None:
        self._source, self._target = source, target
        self._most = target // 2
        self._resampler: Resampler | None = Resampler(source, target)
        """None when its last samples were fetched."""
        self._ready: deque[Pcm] = deque()

    def load(self, chunks: deque[Pcm], room: int, *, last: bool) -> list[Pcm]:
        """Convert no more of `chunks` than `room` asks for; `last`: no other chunks follow."""
        room = min(room, self._most)
        lacking = room - sum(map(len, self._ready))
        if self._resampler is not None:
            for chunk in _take(chunks, -(-lacking * self._source // self._target)):
                self._ready.append(self._resampler.push(chunk))
            if last and not chunks:
                self._ready.append(self._resampler.push(np.empty(0, np.int16), last=True))
                self._resampler = None
        return _take(self._ready, room)

    def pending(self, last: bool) -> bool:
        """Whether there is something to load although no chunk is there."""
        return any(map(len, self._ready)) or (last and self._resampler is not None)


def _take(chunks: deque[Pcm], room: int) -> list[Pcm]:
    """Move the first `room` samples out of `chunks`, or all there are."""
    pieces = []
    while chunks and room > 0:
        chunk = chunks.popleft()
        if len(chunk) > room:
            chunks.appendleft(chunk[room:])
            chunk = chunk[:room]
        pieces.append(chunk)
        room -= len(chunk)
    return pieces
