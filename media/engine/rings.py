"""Rings of samples: about a second for each slot, read one frame per tick for all slots at once."""

import numpy as np
import numpy.typing as npt

from media.engine.arrays import RATE, Ints, Pcm
from media.engine.ramp import Levels, scaled

RING = 8192
"""Samples of a ring at 8 kHz; a power of two."""


class Rings:
    """Samples between two positions of each slot; positions count from the first sample on.

    ``head`` is where the next frame is read, ``tail`` where samples are added, ``final`` the end of the
    audio that may be sent although it fills no frame; all int64 (capacity,).
    """

    def __init__(self, capacity: int, rate: int) -> None:
        self.frame = rate // 50
        self.size = RING * rate // RATE
        self.head, self.tail, self.final = (np.full(capacity, 0, np.int64) for _ in range(3))
        # The first frame of a ring stands once more behind the last.
        self._row = self.size + self.frame
        self._rings = _blank((capacity, self._row), rate)
        # Every window of a frame as one item: a frame at any position is one index.
        self._item = f"V{2 * self.frame}"
        windows = self._rings.size - self.frame + 1
        self._windows = np.ndarray((windows,), self._item, self._rings.data, strides=(2,))
        self._out = _blank((capacity, self.frame), rate)

    def take(self, slots: Ints, waiting: Ints) -> tuple[Pcm, Ints, Ints]:
        """The next frame of each of `slots`, silence where there is none; `waiting` is tail - head.

        Gives int16 (n, frame), valid until the next time, and int64 (n,): how many samples are not
        padding, and the new heads.
        """
        out, frame = self._out[: len(slots)], self.frame
        head = self.head[slots]
        count = np.where(waiting >= frame, frame, np.maximum(self.final[slots] - head, 0))
        at = slots * self._row + (head & self.size - 1)
        if (count == frame).all():
            out.view(self._item)[:, 0] = self._windows[at]
        else:
            self._gather(out, at, count)
        head += count
        self.head[slots] = head
        return out, count, head

    def _gather(self, out: Pcm, at: Ints, count: Ints) -> None:
        """Copy whole frames, cut partial ones, silence the rest."""
        out[:] = 0
        some = np.flatnonzero(count)
        frames = self._windows[at[some]].view(np.int16).reshape(-1, self.frame)
        frames[np.arange(self.frame) >= count[some, None]] = 0
        out[some] = frames

    def room(self, slot: int) -> int:
        """Samples that can be added."""
        return self.size - int(self.tail[slot] - self.head[slot])

    def ready(self, slot: int) -> int:
        """Samples that would be sent if nothing were added."""
        waiting = int(self.tail[slot] - self.head[slot])
        return waiting if waiting >= self.frame else max(int(self.final[slot] - self.head[slot]), 0)

    def add(self, slot: int, samples: Pcm) -> None:
        """Append, at most `room` samples."""
        self._write(slot, int(self.tail[slot]), samples)
        self.tail[slot] += len(samples)

    def cut(self, slot: int, position: int) -> None:
        """Let the audio of `slot` end at `position`, which lies between head and tail."""
        self.tail[slot] = self.final[slot] = position

    def scale(self, slot: int, levels: Levels) -> None:
        """Multiply the next samples by `levels`."""
        head = int(self.head[slot])
        at = np.arange(head, head + len(levels)) & self.size - 1
        self._write(slot, head, scaled(self._rings[slot, at], levels))

    def _write(self, slot: int, position: int, samples: Pcm) -> None:
        ring, at = self._rings[slot], position & self.size - 1
        until_end = samples[: self.size - at]
        ring[at : at + len(until_end)] = until_end
        ring[: len(samples) - len(until_end)] = samples[len(until_end) :]
        ring[self.size :] = ring[: self.frame]


def _blank(shape: tuple[int, int], rate: int) -> npt.NDArray[np.int16]:
    """Zeros; the narrow band's are in memory from the start, the wide band's when they are first used."""
    return np.full(shape, 0, np.int16) if rate == RATE else np.zeros(shape, np.int16)
