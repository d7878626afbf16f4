"""Tells windows that may hold speech from the noise of a line, by their power alone."""

import numpy as np

from media.engine.arrays import Ints, Mask, Pcm
from media.engine.onnx import Floats

OPENING = 1.5
"""Power above the noise, as a factor, that may be speech."""
_LEARNING = 0.1
"""Weight of a new window in the power of the noise."""
_SILENCE = 16.0
"""Mean square below which nobody speaks: -78 dB of full scale."""
_UNKNOWN = -1.0


class Gate:
    """The power of the noise of each slot, learnt from windows without voice; unknown at first."""

    def __init__(self, capacity: int) -> None:
        self._noise: Floats = np.full(capacity, _UNKNOWN, np.float32)

    def reset(self, slot: int) -> None:
        """Forget the noise of `slot`."""
        self._noise[slot] = _UNKNOWN

    @staticmethod
    def power(window: Pcm) -> Floats:
        """Mean square of each window, without what is constant in it: int16 (n, samples) to float32 (n,)."""
        samples = window.astype(np.float32)
        mean = samples @ np.full(samples.shape[1], 1 / samples.shape[1], np.float32)
        power: Floats = np.vecdot(samples, samples) / samples.shape[1] - np.square(mean)
        return power

    def opens(self, slots: Ints, power: Floats) -> Mask:
        """Whether there is more than noise."""
        opens: Mask = power > np.maximum(self._noise[slots] * OPENING, _SILENCE)
        return opens

    def learn(self, slots: Ints, power: Floats) -> None:
        """These windows of `slots` were noise."""
        noise = self._noise[slots]
        self._noise[slots] = np.where(noise < 0, power, noise + _LEARNING * (power - noise))
