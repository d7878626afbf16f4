"""G.711 of one call where it is not at home: in the wide band, or sampled at 16 kHz (PCMU/16000).

At 8 kHz in the narrow band, where nearly all calls are, it is done for all of them at once (`media.engine.g711`).
"""

import numpy as np

from media.engine import g711, halfband
from media.engine.arrays import Pcm
from media.engine.codecs.base import MAX_MS, Payload


class G711:
    """A `Coder` for samples at `clock` Hz in the band of `rate` Hz, each 8000 or 16000.

    Losses are filled with the last 20 ms heard, each time at half the level.
    """

    def __init__(self, rate: int, clock: int, *, alaw: bool) -> None:
        self._rate, self._clock = rate, clock
        self._decode = g711.ALAW_DECODE if alaw else g711.ULAW_DECODE
        self._encode = g711.ALAW_ENCODE if alaw else g711.ULAW_ENCODE
        self._arriving, self._leaving = history(clock), history(rate)
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
        self._heard = self._heard + (self._heard < 0) >> 1  # towards zero
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


def history(rate: int) -> Pcm:
    """What stands before the first samples of `rate` Hz that are converted: silence."""
    return np.zeros(halfband.HISTORY[rate] + _block(rate), np.int16)


def convert(pcm: Pcm, rate: int, wanted: int, before: Pcm) -> tuple[Pcm, Pcm]:
    """Samples of `rate` Hz, of any whole number of ms, as samples of `wanted` Hz; and `before` for the next call."""
    if rate == wanted:
        return pcm, before
    line = np.concatenate([before, pcm])
    # The filter takes whole blocks: the first one may begin in what was converted before.
    whole = -(-len(pcm) // _block(rate)) * _block(rate)
    out = halfband.convert(line[None, -halfband.HISTORY[rate] - whole :], rate)[0]
    return out[len(out) - len(pcm) * wanted // rate :], line[-len(before) :]


def _block(rate: int) -> int:
    return halfband.BLOCK * rate // halfband.NARROW
