"""All that happens between decoding and encoding, for the slots of one sampling rate."""

from collections.abc import Mapping

import numpy as np

from media.engine.arrays import TICKS, Ints, Mask, Pcm
from media.engine.codecs.base import Coder
from media.engine.decode import Decoder
from media.engine.denoise import Denoiser
from media.engine.inband import InbandDigits
from media.engine.intake import Intake
from media.engine.jitter import Jitter
from media.engine.mute import Mute
from media.engine.playout import Playout
from media.engine.reports import Event
from media.engine.smooth import Smoother
from media.engine.stats import Counters
from media.engine.taps import Taps
from media.engine.tonekeys import ToneKeys
from media.engine.voice import Voice


class Band:
    """The stages of the slots that work at `rate` samples per second.

    A slot belongs to the band of its first codec for its whole life; a later codec of another rate is converted by
    its coder. Without slots a band costs nothing.
    """

    def __init__(
        self, capacity: int, rate: int, jitter: Jitter, counters: Counters, coders: Mapping[int, Coder]
    ) -> None:
        self.rate, self.frame = rate, rate // TICKS
        self.decoder = Decoder(capacity, rate, jitter, coders)
        self.intake = Intake(capacity, rate, counters)
        self.mute = Mute(capacity)
        self.denoiser = Denoiser(capacity, rate)
        self.inband = InbandDigits(capacity, rate)
        self.smoother = Smoother(capacity, rate)
        self.playout = Playout(capacity, rate)
        self.tones = ToneKeys(rate)
        self.voice = Voice(capacity, rate)
        self._mine: Mask = np.full(capacity, fill_value=False)
        self.slots: Ints = np.flatnonzero(self._mine)
        """Slots of the band that are connected to a stream of RTP, ascending."""
        self.playing: Ints = self.slots
        """Those of them that play: they send, or would if they were not shadows."""
        self._used = False
        self.busy: Mask = self._mine
        """Of the slots that `play` had last, those that had something to say; the others had silence."""
        self._sent_slots: Ints = self.slots
        self._sent: Pcm = np.full((0, self.frame), 0, np.int16)

    def join(self, slot: int) -> None:
        """`slot` belongs here."""
        self._mine[slot] = self._used = True

    def leave(self, slot: int) -> None:
        """`slot` is given back: forget all about it; its segments are stopped."""
        self._mine[slot] = False
        self._used = bool(self._mine.any())
        self.playout.reset(slot)
        self.tones.reset(slot)
        self.mute.set(slot, muted=False)
        self.denoiser.disable(slot)
        self.inband.disable(slot)
        self.smoother.disable(slot)
        self.voice.disable(slot)
        self.decoder.reset(slot)

    def select(self, connected: Mask, plays: Mask) -> None:
        """Some slots were connected or given back, or their direction has changed."""
        self.slots = np.flatnonzero(self._mine & connected)
        self.playing = np.flatnonzero(self._mine & plays)

    def hear(self, now: int, events: list[Event]) -> None:
        """Decode what has arrived; `now` is the number of the tick."""
        heard = self.decoder.frames, self.decoder.fresh
        if len(self.slots):
            self.decoder.run(self.slots, now)
        self.intake.run(*heard, events)
        if self._used:
            self.mute.run(self.decoder.frames)
            self.denoiser.run(*heard)

    def play(self, slots: Ints, events: list[Event]) -> Pcm:
        """The next frame of each of `slots`, some of those that play: int16 (n, frame), valid until the next tick."""
        toned, tones = self.tones.run(slots)
        if len(toned):
            pcm, silent = np.empty((len(slots), self.frame), np.int16), np.isin(slots, toned)
            pcm[silent] = tones
            pcm[~silent] = self.playout.run(slots[~silent], events)
            self.busy = silent.copy()
            self.busy[~silent] = self.playout.busy
        else:
            pcm = self.playout.run(slots, events)
            self.busy = self.playout.busy
        self._sent_slots, self._sent = slots, pcm
        return pcm

    def listen(self, events: list[Event]) -> None:
        """Find out what was heard."""
        if self._used:
            heard = self.decoder.frames, self.decoder.fresh
            self.voice.run(*heard, events)
            self.inband.run(*heard, events)

    def tap(self, taps: Taps) -> None:
        """Hand on what was heard and sent."""
        taps.hear(self.rate, self.decoder.frames, self.decoder.fresh)
        smoother = self.smoother
        if len(smoother.slots):
            smoother.push(self.decoder.frames, self.decoder.fresh)
            taps.step(self.rate, smoother.slots, smoother.pull(), self._sent_slots, self._sent)
