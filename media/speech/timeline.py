"""When audio was heard: positions in a stream with gaps become times of the clock. Sans-I/O."""

from collections import deque

DRIFT_MS = 100
"""A difference to the clock up to which audio counts as continuous: it comes in pieces, and those jitter."""
KEPT = 256
"""Gaps that are remembered."""


class Timeline:
    """Where each sample of a stream belongs in time."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._samples = 0
        self._anchors: deque[tuple[int, int]] = deque(maxlen=KEPT)
        """(position, what is added to positions behind it), in ms."""

    @property
    def position(self) -> int:
        """How long the stream is, ms."""
        return self._samples * 1000 // self._rate

    def advance(self, samples: int, now: int) -> None:
        """So many samples came, the last of them at `now`, in ms."""
        start = self.position
        self._samples += samples
        offset = now - self.position
        if not self._anchors or abs(offset - self._anchors[-1][1]) > DRIFT_MS:
            self._anchors.append((start, offset))

    def at(self, position: int) -> int:
        """When the sample at `position` (ms) was heard: ms of the clock; before any audio came, `position` itself."""
        offset = 0
        for start, added in reversed(self._anchors):
            offset = added
            if start <= position:
                break
        return position + offset
