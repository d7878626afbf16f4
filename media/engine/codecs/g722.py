"""G.722 at 64 kbit/s (ITU-T G.722 mode 1, RFC 3551 section 4.5.2) by the package G722.

A byte stands for two samples at 16 kHz: six bits for the lower half of the band, two for the upper one. At 8 kHz
only the lower half is coded, as samples of 8 kHz.
"""

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from control.errors import SetupError
from media.engine.arrays import Pcm
from media.engine.codecs.base import MAX_MS, Payload

_BITRATE = 64000
_BYTES_PER_MS = _BITRATE // 8000
_FADE = 0.5
"""Level of a concealment after each 20 ms."""


@cache
def library() -> Any:
    """The package's module; raises SetupError when it is missing."""
    try:
        return import_module("G722")
    except ImportError as error:
        raise SetupError(f"the package G722 cannot be used: {error}; run `make setup`") from error


class G722:
    """A `Coder`. Raises SetupError when the package is missing.

    Losses are filled with the last 20 ms heard, again and again, each time at half the level. Every payload is a
    valid one as long as it is neither empty nor longer than MAX_MS.
    """

    def __init__(self, rate: int) -> None:
        self._samples_per_byte = rate // 8000
        self._frame = rate // 50
        self._coder = library().G722(rate, _BITRATE, use_numpy=False)
        self._heard: Pcm = np.zeros(self._frame, np.int16)
        self._concealed = 0
        self.errors = 0

    def decode(self, payload: Payload) -> Pcm:
        """As `Coder.decode`; a malformed packet lasts 20 ms."""
        data = bytes(payload)
        if not self.samples(data):
            self.errors += 1
            return self.conceal(self._frame)
        pcm: Pcm = np.frombuffer(self._coder.decode(data), np.int16)
        count = len(pcm)
        if count < self._frame:
            self._heard[:-count] = self._heard[count:]
        self._heard[-count:] = pcm[-self._frame :]
        self._concealed = 0
        return pcm

    def conceal(self, samples: int, following: Payload | None = None) -> Pcm:  # noqa: ARG002
        """As `Coder.conceal`; `following` is of no use here."""
        at = self._concealed + np.arange(samples)
        self._concealed += samples
        pcm: Pcm = (self._heard.take(at, mode="wrap") * _FADE ** (at / self._frame)).astype(np.int16)
        return pcm

    def encode(self, frame: Pcm) -> bytes:
        """As `Coder.encode`: 160 bytes."""
        packet: bytes = self._coder.encode(np.ascontiguousarray(frame))
        return packet

    def samples(self, payload: Payload) -> int:
        """As `Coder.samples`."""
        size = len(payload)
        return size * self._samples_per_byte if size <= MAX_MS * _BYTES_PER_MS else 0
