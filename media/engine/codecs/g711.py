"""G.711 of one call where it is not at home: in the wide band, or sampled at 16 kHz (PCMU/16000).

At 8 kHz in the narrow band, where nearly all calls are, it is done for all of them at once (`media.engine.g711`).
"""

import numpy as np

from media.engine import g711
from media.engine.arrays import RATE, WIDE, Pcm
from media.engine.codecs.base import MAX_MS, Payload
from media.engine.halfband import outer

_OUTER = outer()
_HISTORY = len(_OUTER) - 1
_DELAY = _HISTORY // 2
"""Samples at 8 kHz by which the middle coefficient delays."""


class G711:
    """A `Coder` for samples at `clock` Hz in the band of `rate` Hz, each 8000 or 16000.

    Losses are filled with the last 20 ms heard, each time at half the level.
    """

    def __init__(self, rate: int, clock: int, *, alaw: bool) -> None:
        self._rate, self._clock = rate, clock
        self._decode = g711.ALAW_DECODE if alaw else g711.ULAW_DECODE
        self._encode = g711.ALAW_ENCODE if alaw else g711.ULAW_ENCODE
        self._arriving, self._leaving = (np.zeros(2 * _HISTORY + 2) for _ in range(2))
        self._heard: Pcm = np.zeros(rate // 50, np.int16)
        self.errors = 0

    def decode(self, payload: Payload) -> Pcm:
        """As `Coder.decode`; a malformed packet lasts 20 ms."""
        if not self.samples(payload):
            self.errors += 1
            return self.conceal(len(self._heard))
        pcm = self._decode[np.frombuffer(payload, np.uint8)]
        pcm, self._arriving = convert(pcm, self._clock, self._rate, self._arriving)
        self._heard = np.concatenate([self._heard, pcm])[-len(self._heard) :]
        return pcm

    def conceal(self, samples: int, following: Payload | None = None) -> Pcm:  # noqa: ARG002
        """As `Coder.conceal`; `following` is of no use here."""
        self._heard //= 2
        return np.resize(self._heard, samples)

    def encode(self, frame: Pcm) -> bytes:
        """As `Coder.encode`."""
        pcm, self._leaving = convert(frame, self._rate, self._clock, self._leaving)
        packet: bytes = self._encode[pcm.view(np.uint16)].tobytes()
        return packet

    def samples(self, payload: Payload) -> int:
        """As `Coder.samples`."""
        size = len(payload)
        return size * self._rate // self._clock if size <= MAX_MS * self._clock // 1000 else 0


def convert(
    pcm: Pcm, rate: int, wanted: int, history: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> tuple[Pcm, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Samples of `rate` Hz as samples of `wanted` Hz, an even number of them, and the history for the next call."""
    if rate == wanted:
        return pcm, history
    line = np.concatenate([history, pcm])
    if (rate, wanted) == (RATE, WIDE):
        now = line[-len(pcm) - _HISTORY :]
        out = np.empty(2 * len(pcm))
        out[::2] = np.convolve(now, _OUTER, "valid")
        out[1::2] = line[-len(pcm) - _DELAY : len(line) - _DELAY]
    else:
        count = len(pcm) // 2
        even, odd = line[::2], line[1::2]
        out = np.convolve(even[-count - _HISTORY :], _OUTER, "valid")
        out += odd[-count - _DELAY - 1 : len(odd) - _DELAY - 1]
        out /= 2
    return np.clip(np.rint(out), -32768, 32767).astype(np.int16), line[-len(history) :]
