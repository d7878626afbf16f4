"""Calls whose audio goes over a stream of bytes instead of RTP: what comes is fed in, what is played goes to a sink."""

import logging
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial

import numpy as np

from media.engine import g711
from media.engine.arrays import RATE, WIDE, Bytes, Ints, Mask, Pcm
from media.engine.codecs.base import MAX_MS, Coder
from media.engine.coders import Coders
from media.engine.intake import Decode, Intake
from media.engine.stats import Counter, Counters
from media.engine.stream import Codec

log = logging.getLogger(__name__)

MOST_MS = 10_000
"""Audio that waits to be heard, when nothing else is said."""
_G722_BYTES_PER_MS = 8


class Form(StrEnum):
    """How audio stands in the stream, in both directions; one channel."""

    PCM = "pcm"
    """16 kHz, 16 bits, little-endian."""
    PCMU = "pcmu"
    PCMA = "pcma"
    """G.711 at 8 kHz, a byte a sample."""
    G722 = "g722"
    """64 kbit/s."""


RATES = {Form.PCM: WIDE, Form.PCMU: RATE, Form.PCMA: RATE, Form.G722: WIDE}
"""Samples per second of the slots."""
_UNITS = {Form.PCM: (2, 1), Form.PCMU: (1, 1), Form.PCMA: (1, 1), Form.G722: (1, 2)}
"""So many bytes stand for so many samples."""


WireSink = Callable[[bytes], object]
"""Who takes what is played, 20 ms at a time, in the thread of the engine: it returns at once."""


class Wire:
    """The slots without RTP. `intakes` by sampling rate are where their audio goes in."""

    def __init__(
        self, capacity: int, counters: Counters, coders: Coders, intakes: Mapping[int, Intake]
    ) -> None:
        self._counters, self._coders, self._intakes = counters, coders, intakes
        self.forms: dict[int, Form] = {}
        """Of the slots that are attached."""
        self._sinks: dict[int, WireSink] = {}
        self.sends: Mask = np.full(capacity, fill_value=False)
        """Slots that have a sink."""
        self._law, self._alaw, self._linear = (np.full(capacity, fill_value=False) for _ in range(3))
        self._outbox: list[tuple[int, bytes]] = []
        self._sent: list[Ints] = []

    def __contains__(self, slot: int) -> bool:
        return slot in self.forms

    def attach(self, slot: int, form: Form, sink: WireSink, most_ms: int) -> None:
        """Begin with `slot`, of which at most `most_ms` wait to be heard.

        Raises MediaError when the library of the form is missing.
        """
        if form is Form.G722:
            self._coders.change(slot, Codec.G722, WIDE)
        intake = self._intakes[RATES[form]]
        intake.open(slot, self._decoder(slot, form), *_UNITS[form], most_ms)
        self.forms[slot], self._sinks[slot], self.sends[slot] = form, sink, True
        self._linear[slot], self._alaw[slot] = form is Form.PCM, form is Form.PCMA
        self._law[slot] = form in {Form.PCMU, Form.PCMA}

    def _decoder(self, slot: int, form: Form) -> Decode | None:
        match form:
            case Form.PCM:
                return None
            case Form.PCMU:
                return _ulaw
            case Form.PCMA:
                return _alaw
            case Form.G722:
                coder = self._coders[slot]
                return lambda data: _g722(coder, data)

    def detach(self, slot: int) -> None:
        """No more of `slot`; nothing when it was not attached."""
        form = self.forms.pop(slot, None)
        if form is not None:
            self._intakes[RATES[form]].close(slot)
            self._close(slot)

    def _close(self, slot: int) -> None:
        self._sinks.pop(slot, None)
        self.sends[slot] = False

    def feeder(self, slot: int) -> Callable[[bytes], int]:
        """`Intake.feed` of `slot`; KeyError when it is not attached."""
        return partial(self._intakes[RATES[self.forms[slot]]].feed, slot)

    def encode(self, slots: Ints, pcm: Pcm, busy: Mask) -> None:
        """Code what is played in those of `slots` that have a sink: int16 (n, frame), where `busy` (n,)."""
        mine = busy & self.sends[slots]
        if not mine.any():
            return
        if not mine.all():
            slots, pcm = slots[mine], pcm[mine]
        self._sent.append(slots)
        linear, law = self._linear[slots], self._law[slots]
        if linear.any():
            self._put(*_chosen(slots, pcm, linear))
        if law.any():
            rows, frames = _chosen(slots, pcm, law)
            self._put(rows, g711.encode(frames, self._alaw[rows], np.empty(frames.shape, np.uint8)))
        if len(self._coders):
            for slot, frame in zip(*_chosen(slots, pcm, ~(linear | law)), strict=True):
                self._outbox.append((int(slot), self._coders[int(slot)].encode(frame)))

    def _put(self, slots: Ints, frames: Pcm | Bytes) -> None:
        """The bytes of each row."""
        size = frames.shape[1] * frames.itemsize
        block = np.ascontiguousarray(frames).tobytes()
        self._outbox += [
            (slot, block[at : at + size])
            for slot, at in zip(slots.tolist(), range(0, len(block), size), strict=True)
        ]

    def send(self) -> bool:
        """Hand what was coded to the sinks; whether one failed: it gets no more."""
        if not self._outbox:
            return False
        outbox, self._outbox = self._outbox, []
        for slots in self._sent:
            self._counters.add(Counter.SENT, slots)
        self._sent.clear()
        failed = False
        for slot, data in outbox:
            sink = self._sinks.get(slot)
            if sink is None:
                continue  # another sink has ended this call
            try:
                sink(data)
            except Exception:
                # A fault in one sink must cost neither the tick nor other calls anything.
                log.exception("slot %d: the sink of its audio failed and is closed", slot)
                self._close(slot)
                self._counters.add(Counter.SENT, np.array([slot]), -1)
                self._counters.add(Counter.UNSENT, np.array([slot]))
                failed = True
        return failed


def _chosen(slots: Ints, pcm: Pcm, which: Mask) -> tuple[Ints, Pcm]:
    return (slots, pcm) if which.all() else (slots[which], pcm[which])


def _ulaw(data: bytes) -> Pcm:
    pcm: Pcm = g711.ULAW_DECODE.take(np.frombuffer(data, np.uint8))
    return pcm


def _alaw(data: bytes) -> Pcm:
    pcm: Pcm = g711.ALAW_DECODE.take(np.frombuffer(data, np.uint8))
    return pcm


def _g722(coder: Coder, data: bytes) -> Pcm:
    size = MAX_MS * _G722_BYTES_PER_MS
    return np.concatenate([coder.decode(data[at : at + size]) for at in range(0, len(data), size)])
