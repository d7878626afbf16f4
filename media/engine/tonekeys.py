"""Keys as tones in the audio, for peers that take no telephone events; what is played waits meanwhile."""

import numpy as np

from media.engine.arrays import TICKS, Ints, Pcm


class ToneKeys:
    """The tones that slots have still to send, at `rate` Hz; slots without any cost nothing."""

    def __init__(self, rate: int) -> None:
        self._frame = rate // TICKS
        self._waiting: dict[int, Pcm] = {}

    def press(self, slot: int, tones: Pcm) -> None:
        """Send `tones`, int16 (samples,), after those that wait; they end with the silence of their last frame."""
        padding = -len(tones) % self._frame
        before = self._waiting.get(slot, tones[:0])
        self._waiting[slot] = np.concatenate((before, tones, np.zeros(padding, np.int16)))

    def reset(self, slot: int) -> None:
        """Forget the tones of `slot`."""
        self._waiting.pop(slot, None)

    def run(self, slots: Ints) -> tuple[Ints, Pcm]:
        """Those of `slots` (ascending) that have tones, and their frames, int16 (n, frame)."""
        chosen = [slot for slot in sorted(self._waiting) if slot in slots] if self._waiting else []
        frames = np.empty((len(chosen), self._frame), np.int16)
        for row, slot in enumerate(chosen):
            tones = self._waiting.pop(slot)
            frames[row] = tones[: self._frame]
            if len(tones) > self._frame:
                self._waiting[slot] = tones[self._frame :]
        return np.array(chosen, np.int64), frames
