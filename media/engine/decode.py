"""From packets to frames: decodes what the jitter buffers give, conceals losses, evens out durations.

Packets of 20 ms become a frame directly. Those of 10, 30, 40, 50 and 60 ms go through a small queue of
10 ms blocks per slot.
"""

import numpy as np

from media.engine import g711
from media.engine.arrays import BLOCK, FRAME, Ints, Mask, Pcm
from media.engine.jitter import PAYLOAD, Jitter, Taken

FRAMES = 2
"""Most frames of a slot in one tick: one in step with the clock, one to work off a backlog."""
_FRAME_BLOCKS = FRAME // BLOCK
_PACKET_BLOCKS = PAYLOAD // BLOCK
_QUEUE = _FRAME_BLOCKS + _PACKET_BLOCKS


class Decoder:
    """Received audio of all slots.

    ``frames`` int16 (capacity, FRAMES, FRAME) and ``fresh`` uint8 (capacity,): after `run`, the first
    ``fresh[slot]`` frames of a slot are new.
    """

    def __init__(self, capacity: int, jitter: Jitter) -> None:
        self._jitter = jitter
        self.frames: Pcm = np.full((capacity, FRAMES, FRAME), 0, np.int16)
        self.fresh = np.full(capacity, 0, np.uint8)
        self.alaw: Mask = np.full(capacity, fill_value=False)
        self._rows: Pcm = self.frames.reshape(capacity * FRAMES, FRAME)
        self._latest = np.full(capacity, 0, np.int64)
        self._queue = np.full((capacity, _QUEUE, BLOCK), 0, np.int16)
        self._queued = np.full(capacity, 0, np.int64)
        self._pcm = np.full((capacity, FRAME), 0, np.int16)

    def reset(self, slot: int) -> None:
        """Forget the audio of `slot`."""
        self.frames[slot], self.fresh[slot] = 0, 0
        self._latest[slot], self._queued[slot] = 0, 0

    def run(self, slots: Ints, now: int) -> None:
        """Bring the frames of this tick for `slots` (all different); `now` is the number of the tick."""
        self.fresh[slots] = 0
        self._round(slots, now)
        for _ in range(1, FRAMES):
            behind = slots[self._jitter.backlog(slots)]
            if not len(behind):
                break
            self._round(behind, now)

    def _round(self, slots: Ints, now: int) -> None:
        """Bring at most one frame for each of `slots`."""
        queued = self._queued[slots]
        queue_used = bool(queued.any())
        taken = self._jitter.take(slots[queued < _FRAME_BLOCKS] if queue_used else slots, now)
        whole = (taken.size == FRAME) & (self._queued[taken.slots] == 0)
        if whole.all():
            self._direct(taken)
        else:
            self._direct(_part(taken, whole))
            self._enqueue(_part(taken, ~whole))
            self._enqueue(self._jitter.take(slots[self._queued[slots] == 1], now))
            queue_used = True
        if queue_used:
            ready = slots[self._queued[slots] >= _FRAME_BLOCKS]
            self._emit(ready, self._queue[ready, :_FRAME_BLOCKS].reshape(-1, FRAME))
            self._queue[ready, :-_FRAME_BLOCKS] = self._queue[ready, _FRAME_BLOCKS:]
            self._queued[ready] -= _FRAME_BLOCKS

    def _direct(self, taken: Taken) -> None:
        """Packets of one frame each."""
        slots, lost = taken.slots, taken.lost
        pcm = g711.decode(taken.payload[:, :FRAME], self.alaw[slots], self._pcm[: len(slots)])
        if lost.any():
            pcm[lost] = self._conceal(slots[lost])
        self._emit(slots, pcm)

    def _enqueue(self, taken: Taken) -> None:
        """Packets of any duration: their blocks go to the queue."""
        slots, lost = taken.slots, taken.lost
        pcm = g711.decode(taken.payload, self.alaw[slots], np.empty((len(slots), PAYLOAD), np.int16))
        pcm[lost] = np.tile(self._conceal(slots[lost]), PAYLOAD // FRAME)
        for block in range(_PACKET_BLOCKS):
            has = taken.size > block * BLOCK
            at = slots[has]
            self._queue[at, self._queued[at]] = pcm[has, block * BLOCK : (block + 1) * BLOCK]
            self._queued[at] += 1

    def _conceal(self, slots: Ints) -> Pcm:
        """The last frame at half its level: a run of losses fades out by 6 dB per frame."""
        last = self._rows[slots * FRAMES + self._latest[slots]]
        faded: Pcm = last + (last < 0) >> 1
        return faded

    def _emit(self, slots: Ints, pcm: Pcm) -> None:
        place = self.fresh[slots].astype(np.int64)
        self._rows[slots * FRAMES + place] = pcm
        self._latest[slots] = place
        self.fresh[slots] += 1


def _part(taken: Taken, which: Mask) -> Taken:
    return Taken(taken.slots[which], taken.lost[which], taken.size[which], taken.payload[which])
