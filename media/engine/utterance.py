"""When callers begin and stop to speak: one state machine per slot, all of them as arrays.

Time is counted in samples of each slot's own audio; 0 is when its detection was turned on. A slot is silent until
voice is heard; that makes an *utterance*, which pauses shorter than the silence padding do not end. It counts once
voice is still heard after the speech padding; one that ends before has never been.
"""

import numpy as np

from media.engine.arrays import RATE, Ints, Mask
from media.engine.reports import Event, SilencePassed, SpeechStarted, SpeechStopped

_NONE = -1
_NEVER = 1 << 62
_PER_MS = RATE // 1000


class Utterances:
    """The state machines of all slots; `reset` makes one ready."""

    def __init__(self, capacity: int) -> None:
        def slots(value: int) -> Ints:
            return np.full(capacity, value, np.int64)

        self._position = slots(0)
        self._begin, self._pause = slots(_NONE), slots(_NONE)
        # Where the utterance began, and the pause in it that lasts still.
        self._speaking: Mask = np.full(capacity, fill_value=False)
        self._silence, self._due = slots(0), slots(_NEVER)
        # Where the silence began; when it is to be told next that it lasts.
        self._speech_padding, self._silence_padding, self._timeout = slots(0), slots(0), slots(0)

    def reset(
        self, slot: int, speech_padding: int, silence_padding: int, timeout: int, lead: int = 0
    ) -> None:
        """Start anew, silent. Paddings and timeout (0: none) in ms.

        The first `lead` samples that will be judged lie before the audio: they take no time.
        """
        self._position[slot] = -lead
        self._begin[slot] = self._pause[slot] = _NONE
        self._speaking[slot] = False
        self._speech_padding[slot] = speech_padding * _PER_MS
        self._silence_padding[slot] = silence_padding * _PER_MS
        self._timeout[slot] = timeout * _PER_MS
        self._silence[slot] = 0
        self._due[slot] = self._timeout[slot] or _NEVER

    def advance(
        self, slots: Ints, span: Ints | int, voice: Mask, pending: Ints | int, events: list[Event]
    ) -> None:
        """The next `span` samples of `slots` (all different) were voice or not; append what follows.

        `pending` is the number of samples that have arrived behind those.
        """
        begin = self._position[slots]
        end = begin + span
        self._position[slots] = end
        self._voiced(slots[voice], begin[voice], end[voice], (end + pending)[voice], events)
        if not voice.all():
            self._unvoiced(slots[~voice], begin[~voice], end[~voice], events)

    def _voiced(self, slots: Ints, begin: Ints, end: Ints, now: Ints, events: list[Event]) -> None:
        self._pause[slots] = _NONE
        since = self._begin[slots]
        since = np.where(since == _NONE, np.maximum(begin, 0), since)
        self._begin[slots] = since
        starts = ~self._speaking[slots] & (end - since >= self._speech_padding[slots])
        if starts.any():
            self._speaking[slots[starts]] = True
            ago = (now - since)[starts]
            events.extend(map(SpeechStarted, slots[starts].tolist(), ago.tolist()))

    def _unvoiced(self, slots: Ints, begin: Ints, end: Ints, events: list[Event]) -> None:
        uttering = self._begin[slots] != _NONE
        if uttering.any():
            self._pauses(slots[uttering], begin[uttering], end[uttering], events)
        due = (end >= self._due[slots]) & (self._begin[slots] == _NONE)
        if due.any():
            late, end = slots[due], end[due]
            events.extend(map(SilencePassed, late.tolist(), (end - self._silence[late]).tolist()))
            self._remind(late, end)

    def _pauses(self, slots: Ints, begin: Ints, end: Ints, events: list[Event]) -> None:
        """Slots with an utterance are not voiced in this span."""
        pause = self._pause[slots]
        pause = np.where(pause == _NONE, begin, pause)
        self._pause[slots] = pause
        over = end - pause >= self._silence_padding[slots]
        stops = over & self._speaking[slots]
        if stops.any():
            silent, since, now = slots[stops], pause[stops], end[stops]
            speech = since - self._begin[silent]
            events.extend(map(SpeechStopped, silent.tolist(), (now - since).tolist(), speech.tolist()))
            self._silence[silent] = since
            self._due[silent] = np.where(self._timeout[silent] > 0, since + self._timeout[silent], _NEVER)
            told = silent[self._due[silent] <= now]
            self._remind(told, self._position[told])
            self._speaking[silent] = False
        self._begin[slots[over]] = self._pause[slots[over]] = _NONE

    def _remind(self, slots: Ints, now: Ints) -> None:
        """Move what is due on to the first multiple of the timeout after `now`."""
        timeout, due = self._timeout[slots], self._due[slots]
        self._due[slots] = due + ((now - due) // timeout + 1) * timeout
