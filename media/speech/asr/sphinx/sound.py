"""Telephone audio as the acoustic model wants it: 16 kHz, at a known level, with a known cepstral mean.

The model was trained with 16 kHz audio. What is above 4 kHz is filled with the image of what is below (each sample is
repeated), and a little noise: an empty band is worse than a wrong one.
"""

import numpy as np
import numpy.typing as npt

LEVEL = 3100.0
"""Root mean square of the loud frames of speech, of 32768, for which `_MEANS` hold."""
_HISS = 100.0
"""Root mean square of the noise that is added: what seems clean is recognised worse."""
_MOST_GAIN = 30.0
_SNRS = (12.5, 22.5)
"""Speech over noise in dB, for the rows of `_MEANS`; measured on synthetic voices (see bench/recognition.py)."""
_MEANS = np.array(
    [
        [66.28, 0.82, -6.55, -9.27, 3.60, -28.09, 3.04, -14.22, -20.50, 10.40, -27.61, 6.27, -7.54],
        [60.97, 1.78, -3.34, -7.18, 1.57, -26.64, -0.21, -15.03, -20.22, 6.79, -25.09, 4.43, -7.59],
    ]
)

Samples = npt.NDArray[np.int16]
Cepstrum = npt.NDArray[np.float64]


def levels(samples: Samples) -> npt.NDArray[np.float64]:
    """Root mean square of each frame of 20 ms of 8 kHz audio, without its constant part; a rest is left out."""
    frames = samples[: samples.size // 160 * 160].reshape(-1, 160).astype(float)
    return np.asarray(frames.std(axis=1))


def speech_level(frames: npt.NDArray[np.float64], noise: float) -> float:
    """Root mean square of the loud ones among frames with these levels."""
    loud = frames[frames > max(2 * noise, frames.max(initial=0) / 10)]
    return float(np.sqrt(np.mean(loud**2))) if loud.size else float(frames.max(initial=1))


def gain(speech: float) -> float:
    """What brings speech of a level to `LEVEL`."""
    return float(np.clip(LEVEL / max(speech, 1.0), 1 / _MOST_GAIN, _MOST_GAIN))


def usual_mean(speech: float, noise: float) -> Cepstrum:
    """The mean of speech with so much noise, over all voices and lines."""
    snr = 20 * np.log10(max(speech, 1.0) / max(noise, 1.0))
    return np.array([np.interp(snr, _SNRS, _MEANS[:, index]) for index in range(_MEANS.shape[1])])


class Line:
    """How the mean of a caller on his line differs from the usual one: learnt from what was understood."""

    def __init__(self) -> None:
        self._difference: Cepstrum = np.zeros(_MEANS.shape[1])

    def mean(self, usual: Cepstrum) -> Cepstrum:
        """What is to be taken from each frame."""
        return usual + self._difference

    def learn(self, usual: Cepstrum, seen: Cepstrum) -> None:
        """Take over what a decoder made of `mean` in an utterance."""
        self._difference = seen - usual


def widened(samples: Samples, factor: float, rng: np.random.Generator) -> bytes:
    """8 kHz audio at 16 kHz, `factor` times as loud: s16le."""
    wide = np.repeat(samples * factor, 2) + rng.normal(0, _HISS, 2 * samples.size)
    return np.clip(wide, -32768, 32767).astype("<i2").tobytes()
