"""Key presses heard in the audio (ITU-T Q.24), of the slots where that is asked for."""

import numpy as np

from media.engine.arrays import Bytes, Ints, Pcm
from media.engine.decode import FRAMES
from media.engine.goertzel import HOPS, NO_KEY, KeyMeter
from media.engine.reports import DigitPressed, Event
from media.engine.tones import KEYPAD

GAP = 5
"""Ticks in a row without audio after which a key is taken to be released."""
PRESS = 5
"""Measurements in a row, 5 ms apart, that must agree on a key: 23 ms of it give three at most, 40 ms five."""
RELEASE = 8
"""Measurements in a row without it that end a key: a break of 10 ms gives five at most, one of 40 ms ten."""


class InbandDigits:
    """Detection on the slots where it is on; the others cost nothing.

    Frames pass a cheap first look, and only where one may hold a key it is measured every 5 ms. A key is reported
    once it has lasted about 30 ms, and can be pressed again after a pause of 40 ms, or at once after another key.

    A peer that sends telephone events may send the same keys as audio: turn detection off for it at the first
    event, or each key counts twice.
    """

    def __init__(self, capacity: int, rate: int) -> None:
        self._meter = KeyMeter(rate)
        self._on = np.full(capacity, fill_value=False)
        self._slots: Ints = np.flatnonzero(self._on)
        self._maybe = np.full(capacity, fill_value=False)
        self._missed, self._run, self._absent = (np.full(capacity, 0, np.int64) for _ in range(3))
        # Ticks without audio; measurements that agree on `heard`, and that disagree with `held`.
        self._heard, self._held = (np.full(capacity, NO_KEY, np.int64) for _ in range(2))
        self._before: Pcm = np.zeros((capacity, rate // 50), np.int16)

    def enable(self, slot: int) -> None:
        """Listen to `slot` from the next tick on, as if nothing had been heard before."""
        self._forget(slot)
        self._missed[slot] = 0
        self._switch(slot, on=True)

    def disable(self, slot: int) -> None:
        """Listen no more."""
        if self._on[slot]:
            self._switch(slot, on=False)

    def _switch(self, slot: int, *, on: bool) -> None:
        self._on[slot] = on
        self._slots = np.flatnonzero(self._on)

    def _forget(self, slots: Ints | int) -> None:
        self._before[slots] = 0
        self._maybe[slots] = False
        self._run[slots] = self._absent[slots] = 0
        self._heard[slots] = self._held[slots] = NO_KEY

    def run(self, frames: Pcm, fresh: Bytes, events: list[Event]) -> None:
        """Take the frames of this tick, int16 (capacity, FRAMES, frame), `fresh` (capacity,) of each slot new.

        Appends DigitPressed, once for each press.
        """
        slots = self._slots
        if not len(slots):
            return
        count = fresh[slots]
        missed = np.where(count, 0, self._missed[slots] + 1)
        self._missed[slots] = missed
        gone = slots[missed == GAP]
        if len(gone):
            self._forget(gone)
        for number in range(FRAMES):
            heard = slots if count.all() and not number else slots[count > number]
            if not len(heard):
                break
            self._listen(heard, frames[heard, number], events)

    def _listen(self, slots: Ints, frames: Pcm, events: list[Event]) -> None:
        """One frame for each of `slots`: int16 (n, frame)."""
        maybe = self._meter.screen(frames)
        near = maybe | self._maybe[slots] | (self._held[slots] != NO_KEY)
        self._maybe[slots] = maybe
        if near.any():
            self._measure(slots[near], frames[near], events)
        self._before[slots] = frames

    def _measure(self, slots: Ints, frames: Pcm, events: list[Event]) -> None:
        """Slots that may hear a key: frames int16 (n, frame)."""
        keys = self._meter.keys(np.concatenate([self._before[slots], frames], axis=1))
        sounds = (keys != NO_KEY).any(axis=1) | (self._held[slots] != NO_KEY)
        self._run[slots[~sounds]] = 0
        if sounds.any():
            slots, keys = slots[sounds], keys[sounds]
            for hop in range(HOPS):
                self._step(slots, keys[:, hop], events)

    def _step(self, slots: Ints, key: Ints, events: list[Event]) -> None:
        """The next measurement of `slots`; the only place where a key becomes pressed or released."""
        run = np.where(key == self._heard[slots], self._run[slots] + 1, 1)
        held = self._held[slots]
        absent = np.where(key == held, 0, self._absent[slots] + 1)
        held = np.where(absent < RELEASE, held, NO_KEY)
        pressed = (key != NO_KEY) & (key != held) & (run >= PRESS)
        self._heard[slots], self._run[slots], self._absent[slots] = key, run, np.where(pressed, 0, absent)
        self._held[slots] = np.where(pressed, key, held)
        for slot, index in zip(slots[pressed].tolist(), key[pressed].tolist(), strict=True):
            events.append(DigitPressed(slot, KEYPAD[index]))
