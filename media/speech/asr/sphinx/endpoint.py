"""Where an utterance begins and ends, by the energy of 20 ms frames against that of the noise. Sans-I/O.

It is the recogniser's own: it must be quick to end, and what it takes for speech in vain costs a rejected utterance.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

FRAME_MS = 20
ONSET_FRAMES, ONSET_WINDOW = 3, 5
"""So many loud frames of so many begin an utterance."""
LEAD_FRAMES = 12
"""Before the first loud frame: the engine wants some silence, and consonants are faint."""
SILENCE_MS = 280
"""Without a loud frame the utterance is over."""
MAX_FRAMES = 1000
"""The longest utterance; it is cut there."""
QUIETEST = 60.0
"""Root mean square, of 32768, below which nothing is loud."""
_UNKNOWN_NOISE = 1000.0
"""What noise may be at most while little was heard: then speech at the very beginning is heard."""
_BEGIN, _CONTINUE = 2.2, 1.6
"""Loud is what exceeds the noise by so much: 7 dB, and 4 dB within an utterance."""
_DYNAMIC = 1 / 40
"""Nor is loud within an utterance what is 32 dB below its peak."""
_SMOOTH, _MEMORY = 5, 100
"""Frames for a mean, and for the least of all means, which is the noise."""


class State(Enum):
    """What goes on."""

    QUIET = auto()
    SPEAKING = auto()


@dataclass(frozen=True, slots=True)
class Begun:
    """An utterance begins with the frame `start`; the first loud one is `loud`."""

    start: int
    loud: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The utterance is over with this frame: its last loud one is that before `end`."""

    end: int


class Endpointer:
    """Takes the root mean square of each frame of a stream."""

    def __init__(self, silence_ms: int = SILENCE_MS) -> None:
        self._hang = max(1, silence_ms // FRAME_MS)
        self._state = State.QUIET
        self._frame = 0
        """Frames so far."""
        self._start = 0
        self._free = 0
        """Frame before which no utterance begins: those before belong to the last one."""
        self._last_loud = 0
        self._peak = 0.0
        self._onset: deque[bool] = deque(maxlen=ONSET_WINDOW)
        self._recent: deque[float] = deque(maxlen=_SMOOTH)
        self._means: deque[float] = deque(maxlen=_MEMORY)

    @property
    def speaking(self) -> bool:
        """Whether an utterance goes on."""
        return self._state is State.SPEAKING

    @property
    def noise(self) -> float:
        """Root mean square of the noise."""
        if not self._means:
            return _UNKNOWN_NOISE
        least = min(self._means)
        return least if len(self._means) == _MEMORY else min(least, _UNKNOWN_NOISE)

    def feed(self, level: float) -> Begun | Ended | None:
        """The next frame."""
        self._recent.append(level)
        if len(self._recent) == _SMOOTH:
            self._means.append(sum(self._recent) / _SMOOTH)
        at, self._frame = self._frame, self._frame + 1
        return self._speaking(at, level) if self.speaking else self._quiet(at, level)

    def finish(self) -> Ended | None:
        """Nothing follows."""
        return self._end() if self.speaking else None

    def _quiet(self, at: int, level: float) -> Begun | None:
        self._onset.append(level > max(QUIETEST, _BEGIN * self.noise))
        if sum(self._onset) < ONSET_FRAMES:
            return None
        self._state = State.SPEAKING
        first = at - len(self._onset) + 1 + list(self._onset).index(True)
        self._start = max(self._free, first - LEAD_FRAMES)
        self._last_loud, self._peak = at, level
        return Begun(self._start, first)

    def _speaking(self, at: int, level: float) -> Ended | None:
        self._peak = max(self._peak, level)
        if level > max(QUIETEST, _CONTINUE * self.noise, self._peak * _DYNAMIC):
            self._last_loud = at
        if at - self._last_loud >= self._hang or self._frame - self._start >= MAX_FRAMES:
            return self._end()
        return None

    def _end(self) -> Ended:
        self._state = State.QUIET
        self._onset.clear()
        self._free = self._frame
        return Ended(self._last_loud + 1)
