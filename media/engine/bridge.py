"""What is heard on one slot, played on another of the same engine."""

from media.engine.arrays import Pcm
from media.engine.engine import Engine
from media.engine.segment import Segment, State
from media.engine.taps import Side

MOST_MS = 40
"""Audio that waits to be played. More comes only while the target plays nothing of it: then the oldest is dropped."""


class Live(Segment):
    """A segment of what goes on just now: at most `most` samples wait, of more the oldest are dropped."""

    def __init__(self, play: object, rate: int, most: int) -> None:
        super().__init__(play, rate)
        self._most = most

    def append(self, pcm: Pcm) -> None:
        """As `Segment.append`; samples that the playout has taken already are never dropped."""
        super().append(pcm)
        excess = self.total - self.played - self._most
        while excess > 0 and self._chunks:
            chunk = self._chunks.popleft()
            if len(chunk) > excess:
                self._chunks.appendleft(chunk[excess:])
            dropped = min(len(chunk), excess)
            self.total -= dropped
            excess -= dropped


class Bridge:
    """Plays the caller of slot `source` on slot `target`, evenly, one frame a tick, from the next tick on.

    The target's queue is used: what was queued before is played first. On a clean line a sample is played 40 ms
    (2 frames) after it was heard; 60 ms once the target has played nothing of it for a while. The bridge ends by
    `close`, and when the source is released, or the target is stopped or released. Raises MediaError for slots that
    are not connected.
    """

    def __init__(self, engine: Engine, source: int, target: int) -> None:
        self._engine = engine
        engine.home(source)
        rate = engine.home(target).rate
        self._segment = Live(self, rate, MOST_MS * rate // 1000)
        engine.enqueue(target, self._segment)
        self._reader = engine.subscribe(source, (Side.EVEN,), every=1, rate=rate, sink=self._take)

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self._reader.open and self._segment.state is not State.STOPPED and not self._segment.closed

    def close(self) -> None:
        """End it; what waits is still played. Closing twice does nothing."""
        self._segment.close()
        self._engine.unsubscribe(self._reader)

    def _take(self, pcm: Pcm, lost: int) -> None:  # noqa: ARG002
        if self._segment.closed:
            return
        if self._segment.state is State.STOPPED:
            self.close()
        else:
            self._segment.append(pcm.copy())
