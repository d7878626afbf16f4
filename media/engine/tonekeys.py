"""Keys as tones in the audio, for peers that take no telephone events; what is played waits meanwhile."""

from collections import deque
from typing import NamedTuple

import numpy as np

from control.errors import MediaError
from media.engine.arrays import TICKS, Ints, Pcm
from media.engine.keys import QUEUE, check
from media.engine.tones import dtmf

LONGEST_MS = 2000
"""Of a key, and of a pause: a tone is made whole, in the tick in which it begins."""


class _Key(NamedTuple):
    digit: str
    duration_ms: int
    gap_ms: int


class ToneKeys:
    """The keys that slots have still to send, at `rate` Hz; slots without any cost nothing."""

    def __init__(self, rate: int) -> None:
        self._rate, self._frame = rate, rate // TICKS
        self._queues: dict[int, deque[_Key]] = {}
        self._tones: dict[int, Pcm] = {}
        """What is left of the key that is being sent."""

    def press(self, slot: int, digits: str, duration_ms: int, gap_ms: int) -> None:
        """Send `digits` after those that wait; each with its pause is rounded up to 20 ms.

        Raises MediaError as `KeySender.press` does, and for a duration or pause above LONGEST_MS.
        """
        check(digits, duration_ms, gap_ms)
        if max(duration_ms, gap_ms) > LONGEST_MS:
            raise MediaError(
                f"a key of {duration_ms} ms and a pause of {gap_ms} ms as tones: {LONGEST_MS} are the most of either"
            )
        waiting = len(self._queues.get(slot, ()))
        if waiting + len(digits) > QUEUE:
            raise MediaError(f"{waiting} keys wait, {len(digits)} more exceed {QUEUE}: send them later")
        if digits:
            keys = (_Key(digit, duration_ms, gap_ms) for digit in digits)
            self._queues.setdefault(slot, deque()).extend(keys)

    def reset(self, slot: int) -> None:
        """Forget the keys of `slot`."""
        self._queues.pop(slot, None)
        self._tones.pop(slot, None)

    def run(self, slots: Ints) -> tuple[Ints, Pcm]:
        """Those of `slots` (ascending) that have keys to send, and their frames, int16 (n, frame)."""
        busy = self._queues.keys() | self._tones.keys()
        chosen = [slot for slot in sorted(busy) if slot in slots] if busy else []
        frames = np.empty((len(chosen), self._frame), np.int16)
        for row, slot in enumerate(chosen):
            tones = self._tones.pop(slot, None)
            if tones is None:
                tones = self._next(slot)
            frames[row] = tones[: self._frame]
            if len(tones) > self._frame:
                self._tones[slot] = tones[self._frame :]
        return np.array(chosen, np.int64), frames

    def _next(self, slot: int) -> Pcm:
        """The next key of `slot` in whole frames."""
        queue = self._queues[slot]
        key = queue.popleft()
        if not queue:
            del self._queues[slot]
        tones = dtmf(key.digit, self._rate, key.duration_ms, key.gap_ms)
        return np.concatenate((tones, np.zeros(-len(tones) % self._frame, np.int16)))
