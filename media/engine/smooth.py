"""An even flow: exactly one frame per slot and tick out of the 0, 1 or 2 that the decoder brings.

The decoder hands on what it has at once, which is right for those who judge; recordings and bridges need every
sample at its time. A slot keeps as many frames waiting as frames were late of late: its target. Where that was not
enough there is silence. A pause of the sender (DTX) comes out as long as it was; whether a gap was one or the
network's delay shows when it is over, for what was delayed comes two frames a tick. Clocks that differ, and a target
that changes, are followed by leaving out or repeating a frame where it is quiet, or anywhere when it is never quiet.
"""

import numpy as np

from media.engine.arrays import Bytes, Ints, Mask, Pcm

CELLS = 16
"""Frames that fit in the ring of a slot; a power of two."""
LEAST, MOST = 1, 10
"""Frames that wait on a clean line, and at most: 20 and 200 ms."""
HOLD = 500
"""Ticks after which the target is one frame less, when no frame was so late again."""
SETTLE = 5
"""Ticks of one frame each after which a gap was a pause and no delay."""
WINDOW = 50
"""Ticks over which the fullest moment of a ring is found; below the target, a frame is to be repeated."""
EARLY, PATIENCE, SLACK = 5, 50, 4
"""Above the target for this many ticks, a frame is left out where it is quiet; for so many, wherever it is; so many
frames above it, at once."""
QUIET = 200
"""Mean of the absolute samples below which nobody misses a frame."""


class Smoother:
    """The evened out frames of the slots where it is on, `rate` 8000 or 16000 Hz; the others cost nothing.

    In each tick first `push`, then `pull`.
    """

    def __init__(self, capacity: int, rate: int) -> None:
        self.frame = rate // 50
        self._on: Mask = np.full(capacity, fill_value=False)
        self.slots: Ints = np.flatnonzero(self._on)
        """Where it is on, ascending."""
        self._rows: Pcm = np.zeros((capacity * CELLS, self.frame), np.int16)
        self._out: Pcm = np.zeros((capacity, self.frame), np.int16)
        self._playing, self._lacking = (np.full(capacity, fill_value=False) for _ in range(2))
        self._head, self._tail, self._age, self._debt, self._calm, self._peak, self._high, self._over = (
            np.full(capacity, 0, np.int64) for _ in range(8)
        )
        # Read and write positions; ticks that the first frame has waited, or is late; frames not come that one tick
        # each would have brought; ticks of one frame since; lateness of late (in 1 / HOLD frames); fullest since the
        # window began; ticks above the target.
        self._tick = 0

    def enable(self, slot: int) -> None:
        """Begin with `slot`, as if nothing had come before; nothing changes when it is on."""
        if self._on[slot]:
            return
        for state in (self._head, self._tail, self._age, self._debt, self._calm, self._over):
            state[slot] = 0
        self._peak[slot] = LEAST * HOLD
        self._playing[slot] = self._lacking[slot] = False
        self._switch(slot, on=True)

    def disable(self, slot: int) -> None:
        """No more of `slot`; nothing when it is off."""
        if self._on[slot]:
            self._switch(slot, on=False)

    def _switch(self, slot: int, *, on: bool) -> None:
        self._on[slot] = on
        self.slots = np.flatnonzero(self._on)

    def target(self, slot: int) -> int:
        """Frames that are to wait in `slot`."""
        return int(_target(self._peak[slot]))

    def push(self, frames: Pcm, fresh: Bytes) -> None:
        """Take what the decoder brought: int16 (capacity, 2, frame), of which the first ``fresh[slot]`` are new."""
        slots = self.slots
        count = fresh[slots]
        self._learn(slots, count)
        for number in range(frames.shape[1]):
            some = slots[count > number] if number or not count.all() else slots
            if not len(some):
                break
            tail = self._tail[some]
            self._head[some] = np.maximum(self._head[some], tail + 1 - CELLS)
            self._rows[some * CELLS + tail % CELLS] = frames[some, number]
            self._tail[some] = tail + 1

    def _learn(self, slots: Ints, count: Bytes) -> None:
        """Follow how late frames come."""
        self._peak[slots] = np.maximum(self._peak[slots] - 1, LEAST * HOLD)
        if (count == 1).all() and not self._debt[slots].any():
            return
        debt = self._debt[slots]
        surplus = count > 1
        late = np.where(surplus & (debt <= MOST), debt, 0)
        self._peak[slots] = np.maximum(self._peak[slots], late * HOLD)
        self._age[slots] = np.maximum(self._age[slots], late)  # means something only while waiting
        calm = np.where(count == 1, self._calm[slots] + 1, 0)
        self._calm[slots] = calm
        debt = np.where(count == 0, np.minimum(debt + 1, MOST + 1), debt - surplus)
        debt[(calm >= SETTLE) | surplus & (late == 0)] = 0
        self._debt[slots] = debt

    def pull(self) -> Pcm:
        """One frame for each of `slots`: int16 (n, frame), valid until the next `pull`."""
        slots = self.slots
        level = self._tail[slots] - self._head[slots]
        target = _target(self._peak[slots])
        playing = self._playing[slots]
        if not playing.all() or not level.all():
            playing = self._begin_or_end(slots, level, target, playing)
        out = self._take(slots, playing)
        left = level - playing
        self._head[slots] += playing
        self._high[slots] = np.maximum(self._high[slots], left)
        self._leave_out(slots, left, target, playing)
        self._repeat(slots, target, playing)
        self._tick += 1
        return out

    def _begin_or_end(self, slots: Ints, level: Ints, target: Ints, playing: Mask) -> Mask:
        """Which slots play in this tick."""
        age = self._age[slots]
        begin = ~playing & (level > 0) & ((age >= target) | (level > target))
        end = playing & (level == 0)
        self._age[slots] = np.where(playing, 0, age + (level > 0))
        playing = (playing | begin) & ~end
        self._playing[slots] = playing
        self._high[slots[begin]] = target[begin]  # no verdict over a window that began in between
        self._lacking[slots[end]] = False
        self._over[slots[end]] = 0
        return playing

    def _take(self, slots: Ints, playing: Mask) -> Pcm:
        """Copy the first frames."""
        out = self._out[: len(slots)]
        np.take(self._rows, self._cell(slots), axis=0, out=out, mode="clip")
        if not playing.all():
            out[~playing] = 0
        return out

    def _leave_out(self, slots: Ints, left: Ints, target: Ints, playing: Mask) -> None:
        """Drop the next frame where too many wait."""
        above = playing & (left > target)
        if not above.any():
            self._over[slots] = 0
            return
        over = np.where(above, self._over[slots] + 1, 0)
        self._over[slots] = over
        drop = above & ((over >= PATIENCE) | (left > target + SLACK))
        maybe = np.flatnonzero(above & ~drop & (over >= EARLY))
        drop[maybe] = self._quiet(slots[maybe])
        dropped = slots[drop]
        self._head[dropped] += 1
        self._over[dropped] = 0

    def _repeat(self, slots: Ints, target: Ints, playing: Mask) -> None:
        """Play a frame that was just played again in the next tick where too few wait."""
        if self._tick % WINDOW == WINDOW - 1:
            self._lacking[slots] = playing & (self._high[slots] < target)
            self._high[slots] = 0
        lacking = self._lacking[slots]
        if not lacking.any():
            return
        some = slots[lacking]
        self._head[some] -= 1
        quiet = self._quiet(some)
        self._head[some[~quiet]] += 1
        self._lacking[some[quiet]] = False

    def _quiet(self, slots: Ints) -> Mask:
        """Whether the first frame is quiet."""
        samples = self._rows[self._cell(slots)].astype(np.int32)
        answer: Mask = np.abs(samples).sum(axis=1) < QUIET * self.frame
        return answer

    def _cell(self, slots: Ints) -> Ints:
        cell: Ints = slots * CELLS + self._head[slots] % CELLS
        return cell


def _target(peak: Ints) -> Ints:
    target: Ints = -(-peak // HOLD)
    return target
