"""Streaming sample rate conversion."""

import numpy as np
import soxr

from media.speech.voice import Samples


class Resampler:
    """Converts one stream. The first 120 ms give no output yet; nothing is lost: `last` gives the rest.

    Computes in float: with integers soxr adds dither, which makes noise of silence.
    """

    def __init__(self, source: int, target: int) -> None:
        self._stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="HQ")

    def push(self, samples: Samples, *, last: bool = False) -> Samples:
        """The samples that are ready after `samples`; with `last` all that remain."""
        converted = self._stream.resample_chunk(samples.astype(np.float32), last=last)
        return np.asarray(np.rint(np.clip(converted, -32768, 32767)), np.int16)
