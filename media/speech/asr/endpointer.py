"""Finding utterances in audio by its energy, for recognisers that are given one utterance at a time. Sans-I/O.

A frame is loud when it stands out of the noise. The noise floor is the quietest frame of the last seconds (minimum
statistics): speech has gaps in which the floor shows, steady noise has none and becomes the floor.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np

FRAME_MS = 20
ONSET = 3
"""Loud frames in a row that begin an utterance: less is a click."""
BEGIN_DB, STAY_DB = 9.0, 6.0
"""How far a frame must stand out of the noise floor to be loud: in silence, and within an utterance."""
QUIETEST = -50.0
"""dBFS; nothing below is speech."""
ASSUMED = -45.0
"""dBFS; the floor is not believed to be higher until LEARNT frames were heard: they may all be speech."""
LEARNT, REMEMBERED = 50, 150
"""Frames."""


@dataclass(frozen=True, slots=True)
class Endpointing:
    """How utterances are cut; all in ms."""

    padding: int = 300
    """Audio before an utterance that belongs to it: soft sounds that were not loud yet."""
    silence: int = 500
    """Quiet that ends one."""
    longest: int = 15_000
    """Where one is cut although it goes on."""


@dataclass(frozen=True, slots=True)
class Begun:
    """An utterance has begun."""

    start: int
    """ms of all audio, padding included."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What belongs to the utterance that goes on: s16le."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The utterance is over; its audio may go on until the silence was long enough."""

    start: int
    end: int
    """Behind its last loud frame: ms of all audio."""


Found = Begun | Spoken | Ended


class _State(Enum):
    QUIET = "quiet"
    SPEAKING = "speaking"


class Endpointer:
    """Finds utterances in one stream of s16le mono at `rate` Hz.

    What comes is always ``Begun (Spoken)+ Ended``, again and again. No audio is part of two utterances.
    """

    def __init__(self, rate: int, how: Endpointing | None = None) -> None:
        self._how = how or Endpointing()
        self._size = rate * FRAME_MS // 1000 * 2
        self._floor = _Floor()
        self._state = _State.QUIET
        self._before: deque[bytes] = deque(maxlen=self._how.padding // FRAME_MS + ONSET)
        self._rest = b""
        self._ms = 0
        self._start = 0
        self._loud = 0
        self._loud_until = 0

    def feed(self, pcm: bytes) -> list[Found]:
        """What `pcm`, of any size, adds."""
        data = self._rest + pcm
        whole = len(data) - len(data) % self._size
        self._rest = data[whole:]
        found: list[Found] = []
        for at, level in zip(range(0, whole, self._size), _levels(data[:whole], self._size), strict=True):
            found += self._frame(data[at : at + self._size], level)
        return _joined(found)

    def end(self) -> list[Found]:
        """Nothing follows: what goes on ends here. What did not fill a frame is not looked at."""
        return [self._over()] if self._state is _State.SPEAKING else []

    def _frame(self, frame: bytes, level: float) -> list[Found]:
        """What one frame of audio adds."""
        self._ms += FRAME_MS
        loud = level > self._floor.heard(level) + (BEGIN_DB if self._state is _State.QUIET else STAY_DB)
        self._loud = self._loud + 1 if loud and level > QUIETEST else 0
        if self._loud:
            self._loud_until = self._ms
        if self._state is _State.QUIET:
            self._before.append(frame)
            return self._begin() if self._loud >= ONSET else []
        long = self._ms - self._start >= self._how.longest
        quiet = self._ms - self._loud_until >= self._how.silence
        return [Spoken(frame), self._over()] if long or quiet else [Spoken(frame)]

    def _begin(self) -> list[Found]:
        self._state = _State.SPEAKING
        self._start = self._ms - len(self._before) * FRAME_MS
        spoken = Spoken(b"".join(self._before))
        self._before.clear()
        return [Begun(self._start), spoken]

    def _over(self) -> Ended:
        self._state, self._loud = _State.QUIET, 0
        return Ended(self._start, self._loud_until)


class _Floor:
    """The level of the noise."""

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=REMEMBERED)

    def heard(self, level: float) -> float:
        """The floor, dBFS, after a frame of `level`."""
        self._levels.append(level)
        quietest = min(self._levels)
        return quietest if len(self._levels) >= LEARNT else min(quietest, ASSUMED)


def _levels(pcm: bytes, size: int) -> list[float]:
    """dBFS of each frame of `size` bytes; a constant offset does not count."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32).reshape(-1, size // 2)
    power = samples.var(axis=1) / 32768.0**2
    levels: list[float] = (10 * np.log10(power + 1e-9)).tolist()
    return levels


def _joined(found: list[Found]) -> list[Found]:
    """`found` with audio that follows audio made one."""
    joined: list[Found] = []
    for item in found:
        last = joined[-1] if joined else None
        if isinstance(item, Spoken) and isinstance(last, Spoken):
            joined[-1] = Spoken(last.pcm + item.pcm)
        else:
            joined.append(item)
    return joined
