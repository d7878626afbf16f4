"""Noise suppression of the caller's audio, for the calls that ask for it (WebRTC's, which works at 16 kHz)."""

import numpy as np
from webrtc_noise_gain import AudioProcessor

from media.engine import halfband
from media.engine.arrays import Bytes, Ints, Pcm

LEVEL = 2
"""Of 1 to 4: 12 dB less noise. More of it harms speech."""
_NO_GAIN = 0
_BLOCK = 160
"""Samples of 10 ms at 16 kHz: what the library takes."""


class Denoiser:
    """Suppression on the slots where it is on, `rate` 8000 or 16000 Hz; the others cost nothing.

    Each slot is computed on its own and its audio comes out 6 ms late, at 8 kHz 9 ms: the filters that
    bring it to 16 kHz and back.
    """

    def __init__(self, capacity: int, rate: int) -> None:
        self.frame, self._rate = rate // 50, rate
        self._processors: dict[int, AudioProcessor] = {}
        self.slots: Ints = np.full(0, 0, np.int64)
        """Where it is on, ascending."""
        self._before: Pcm = np.zeros((capacity, halfband.HISTORY[halfband.NARROW]), np.int16)
        self._cleaned: Pcm = np.zeros((capacity, halfband.HISTORY[halfband.WIDE]), np.int16)
        # The last samples that were converted, on the way to 16 kHz and back.

    def enable(self, slot: int) -> None:
        """Begin with `slot`; nothing changes when it is on."""
        if slot in self._processors:
            return
        self._processors[slot] = AudioProcessor(_NO_GAIN, LEVEL)
        self._before[slot] = self._cleaned[slot] = 0
        self._select()

    def disable(self, slot: int) -> None:
        """No more of `slot`; nothing when it is off."""
        if self._processors.pop(slot, None) is not None:
            self._select()

    def _select(self) -> None:
        self.slots = np.array(sorted(self._processors), np.int64)

    def run(self, frames: Pcm, fresh: Bytes) -> None:
        """Clean, in place, what the decoder brought: int16 (capacity, 2, frame), ``fresh[slot]`` of it new."""
        slots = self.slots
        for number in range(frames.shape[1]):
            slots = slots[fresh[slots] > number]
            if not len(slots):
                return
            noisy = frames[slots, number]
            frames[slots, number] = (
                self._clean(slots, noisy) if self._rate == halfband.WIDE else self._clean_narrow(slots, noisy)
            )

    def _clean_narrow(self, slots: Ints, noisy: Pcm) -> Pcm:
        """By way of 16 kHz."""
        wide = _converted(self._before, slots, noisy, halfband.NARROW)
        return _converted(self._cleaned, slots, self._clean(slots, wide), halfband.WIDE)

    def _clean(self, slots: Ints, noisy: Pcm) -> Pcm:
        """One frame of 16 kHz for each of `slots`."""
        clean = np.empty_like(noisy)
        for slot, source, target in zip(slots.tolist(), noisy, clean, strict=True):
            process = self._processors[slot].Process10ms
            for start in range(0, len(source), _BLOCK):
                block = process(source[start : start + _BLOCK].tobytes())
                target[start : start + _BLOCK] = np.frombuffer(block.audio, np.int16)
        return clean


def _converted(history: Pcm, slots: Ints, pcm: Pcm, rate: int) -> Pcm:
    """`pcm` (n, samples) at the other rate than `rate`, with what came before it in `history`."""
    joined = np.concatenate((history[slots], pcm), axis=1)
    history[slots] = joined[:, -history.shape[1] :]
    return halfband.convert(joined, rate)
