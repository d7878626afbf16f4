"""When callers begin and stop to speak: one state machine per slot, all of them as arrays.

Time is each slot's own, counted by its audio in 1/8000 s whatever the sampling rate; 0 is when its detection was
turned on. A slot is silent until
voice is heard; that makes an *utterance*, which pauses shorter than the silence padding do not end. It counts once
voice is still heard after the speech padding; one that ends before has never been. It interrupts once voice is still
heard after a time of its own, be it speech yet or not.
"""

import numpy as np

from media.engine.arrays import RATE, Ints, Mask
from media.engine.reports import Event, Interrupting, SilencePassed, SpeechStarted, SpeechStopped

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
        self._interrupt_after, self._interrupt_due = slots(_NEVER), slots(_NEVER)
        # How long voice must last to interrupt; the same while this utterance may still do so.
        self._silence, self._due = slots(0), slots(_NEVER)
        # Where the silence began; when it is to be told next that it lasts.
        self._speech_padding, self._silence_padding, self._timeout = slots(0), slots(0), slots(0)

    def reset(
        self,
        slot: int,
        speech_padding: int,
        silence_padding: int,
        timeout: int,
        lead: int = 0,
        interrupt_after: int | None = None,
    ) -> None:
        """Start anew, silent. Paddings, timeout (0: none) and the time to interrupt after (None: never) in ms.

        The first `lead` units of time that will be judged lie before the audio: they take none.
        """
        self._position[slot] = -lead
        self._begin[slot] = self._pause[slot] = _NONE
        self._speaking[slot] = False
        self._speech_padding[slot] = speech_padding * _PER_MS
        self._silence_padding[slot] = silence_padding * _PER_MS
        self._timeout[slot] = timeout * _PER_MS
        self._interrupt_after[slot] = _NEVER if interrupt_after is None else interrupt_after * _PER_MS
        self._interrupt_due[slot] = self._interrupt_after[slot]
        self._silence[slot] = 0
        self._due[slot] = self._timeout[slot] or _NEVER

    def idle(self, slots: Ints) -> Mask:
        """Which of `slots` have no utterance, counted or not."""
        idle: Mask = self._begin[slots] == _NONE
        return idle

    def advance(
        self, slots: Ints, span: Ints | int, voice: Mask, pending: Ints | int, events: list[Event]
    ) -> None:
        """The next `span` of time of `slots` (all different) was voice or not; append what follows.

        `pending` is how much has arrived behind that.
        """
        begin = self._position[slots]
        end = begin + span
        self._position[slots] = end
        if voice.any():
            self._voiced(slots[voice], begin[voice], end[voice], (end + pending)[voice], events)
        if not voice.all():
            self._unvoiced(slots[~voice], begin[~voice], end[~voice], events)

    def _voiced(self, slots: Ints, begin: Ints, end: Ints, now: Ints, events: list[Event]) -> None:
        self._pause[slots] = _NONE
        since = self._begin[slots]
        since = np.where(since == _NONE, np.maximum(begin, 0), since)
        self._begin[slots] = since
        lasted = end - since
        interrupts = lasted >= self._interrupt_due[slots]
        if interrupts.any():
            self._interrupt_due[slots[interrupts]] = _NEVER
            ago = (now - since)[interrupts]
            events.extend(map(Interrupting, slots[interrupts].tolist(), ago.tolist()))
        starts = ~self._speaking[slots] & (lasted >= self._speech_padding[slots])
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
        ended = slots[over]
        self._begin[ended] = self._pause[ended] = _NONE
        self._interrupt_due[ended] = self._interrupt_after[ended]

    def _remind(self, slots: Ints, now: Ints) -> None:
        """Move what is due on to the first multiple of the timeout after `now`."""
        timeout, due = self._timeout[slots], self._due[slots]
        self._due[slots] = due + ((now - due) // timeout + 1) * timeout
