"""From packets to frames: decodes what the jitter buffers give, conceals losses, evens out durations.

Packets of 20 ms become a frame directly. Those of 10, 30, 40, 50 and 60 ms go through a small queue of
10 ms blocks per slot.
"""

from collections.abc import Mapping

import numpy as np

from media.engine import g711
from media.engine.arrays import TICKS, Ints, Mask, Pcm
from media.engine.codecs.base import Coder
from media.engine.jitter import Jitter, Taken

FRAMES = 2
"""Most frames of a slot in one tick: packets that came around a tick must not stay behind for good."""
_FRAME_BLOCKS, _PACKET_BLOCKS = 2, 6
_QUEUE = _FRAME_BLOCKS + _PACKET_BLOCKS


class Decoder:
    """Received audio of the slots of one band, `rate` samples per second.

    ``frames`` int16 (capacity, FRAMES, frame) and ``fresh`` uint8 (capacity,): after `run`, the first
    ``fresh[slot]`` frames of a slot are new. Slots with a coder have it decode; the others are G.711
    at 8 kHz by the law in ``alaw``, all at once.
    """

    def __init__(self, capacity: int, rate: int, jitter: Jitter, coders: Mapping[int, Coder]) -> None:
        self._jitter, self._coders = jitter, coders
        self._frame, self._block = rate // TICKS, rate // TICKS // _FRAME_BLOCKS
        self._longest = _PACKET_BLOCKS * self._block
        self.frames: Pcm = np.full((capacity, FRAMES, self._frame), 0, np.int16)
        self.fresh = np.full(capacity, 0, np.uint8)
        self.alaw: Mask = np.full(capacity, fill_value=False)
        self.coded: Mask = np.full(capacity, fill_value=False)
        """Slots that have a coder."""
        self._rows: Pcm = self.frames.reshape(capacity * FRAMES, self._frame)
        self._latest = np.full(capacity, 0, np.int64)
        self._queue = np.full((capacity, _QUEUE, self._block), 0, np.int16)
        self._queued = np.full(capacity, 0, np.int64)
        self._duration = np.full(capacity, self._frame, np.int64)
        self._pcm = np.full((capacity, self._frame), 0, np.int16)

    def reset(self, slot: int) -> None:
        """Forget the audio of `slot`."""
        self.frames[slot], self.fresh[slot] = 0, 0
        self._latest[slot], self._queued[slot] = 0, 0
        self._duration[slot] = self._frame

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
        if self._bring(taken):
            self._bring(self._jitter.take(slots[self._queued[slots] == 1], now))
            queue_used = True
        if queue_used:
            ready = slots[self._queued[slots] >= _FRAME_BLOCKS]
            self._emit(ready, self._queue[ready, :_FRAME_BLOCKS].reshape(-1, self._frame))
            self._queue[ready, :-_FRAME_BLOCKS] = self._queue[ready, _FRAME_BLOCKS:]
            self._queued[ready] -= _FRAME_BLOCKS

    def _bring(self, taken: Taken) -> bool:
        """Decode; packets of one frame become it, the others go to the queue. Whether there were others."""
        slots = taken.slots
        pcm, samples = self._decode(taken)
        whole = (samples == self._frame) & (self._queued[slots] == 0)
        if whole.all():
            self._emit(slots, pcm[:, : self._frame])
            return False
        self._emit(slots[whole], pcm[whole, : self._frame])
        self._enqueue(slots[~whole], pcm[~whole], samples[~whole])
        return True

    def _decode(self, taken: Taken) -> tuple[Pcm, Ints]:
        """Samples of each packet, int16 (n, width), of which the first (n,) count."""
        slots, size = taken.slots, taken.size
        coded = self.coded[slots]
        if coded.any():
            return self._decode_each(taken, coded)
        if (size <= self._frame).all():
            pcm = g711.decode(taken.payload[:, : self._frame], self.alaw[slots], self._pcm[: len(slots)])
        else:
            pcm = np.empty((len(slots), self._longest), np.int16)
            g711.decode(taken.payload[:, : self._longest], self.alaw[slots], pcm)
        if taken.lost.any():
            self._conceal(taken, pcm)
        return pcm, size

    def _decode_each(self, taken: Taken, coded: Mask) -> tuple[Pcm, Ints]:
        """As `_decode` where some have coders."""
        pcm = np.full((len(coded), self._longest), 0, np.int16)
        samples = np.full(len(coded), 0, np.int64)
        if not coded.all():
            plain = Taken._make(field[~coded] for field in taken)
            decoded, samples[~coded] = self._decode(plain)
            pcm[~coded, : decoded.shape[1]] = decoded
        for row in np.flatnonzero(coded).tolist():
            slot = int(taken.slots[row])
            coder = self._coders[slot]
            if taken.lost[row]:
                result = coder.conceal(int(self._duration[slot]), self._jitter.following(slot))
            else:
                result = coder.decode(taken.payload[row, : taken.size[row]])
            count = min(len(result), self._longest)
            samples[row] = count - count % self._block
            pcm[row, :count] = result[:count]
            self._duration[slot] = samples[row] or self._frame
        return pcm, samples

    def _conceal(self, taken: Taken, pcm: Pcm) -> None:
        """Stand in for lost packets: the last frame at half its level, so that a run of losses fades out."""
        lost = taken.lost
        slots = taken.slots[lost]
        last = self._rows[slots * FRAMES + self._latest[slots]]
        faded = last + (last < 0) >> 1
        pcm[lost] = np.tile(faded, pcm.shape[1] // self._frame)

    def _enqueue(self, slots: Ints, pcm: Pcm, samples: Ints) -> None:
        for block in range(_PACKET_BLOCKS):
            start = block * self._block
            has = samples > start
            at = slots[has]
            if not len(at):
                break
            self._queue[at, self._queued[at]] = pcm[has, start : start + self._block]
            self._queued[at] += 1

    def _emit(self, slots: Ints, pcm: Pcm) -> None:
        place = self.fresh[slots].astype(np.int64)
        self._rows[slots * FRAMES + place] = pcm
        self._latest[slots] = place
        self.fresh[slots] += 1
