"""The state machines: by hand, and against one slot written down as the rules say it."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.engine.reports import Event, Interrupting, SilencePassed, SpeechStarted, SpeechStopped
from media.engine.utterance import Utterances

MS = 8
WINDOW = 256


@dataclass
class Reference:
    """One slot, rule by rule, in samples."""

    slot: int
    speech_padding: int
    silence_padding: int
    timeout: int
    interrupt_after: int | None
    position: int = 0
    begin: int | None = None
    pause: int | None = None
    speaking: bool = False
    interrupted: bool = False
    silence: int = 0
    told: int = 0
    """Multiples of the timeout that this silence has been reported for."""
    events: list[Event] = field(default_factory=list)

    def advance(self, span: int, *, voice: bool, pending: int) -> None:
        begin, self.position = self.position, self.position + span
        if voice:
            self.hear(max(begin, 0), pending)
        else:
            self.miss(begin)

    def hear(self, begin: int, pending: int) -> None:
        self.pause = None
        if self.begin is None:
            self.begin = begin
        lasted = self.position - self.begin
        if self.interrupt_after is not None and not self.interrupted and lasted >= self.interrupt_after:
            self.interrupted = True
            self.events.append(Interrupting(self.slot, lasted + pending))
        if not self.speaking and self.position - self.begin >= self.speech_padding:
            self.speaking = True
            self.events.append(SpeechStarted(self.slot, self.position + pending - self.begin))

    def miss(self, begin: int) -> None:
        if self.begin is not None:
            if self.pause is None:
                self.pause = begin
            if self.position - self.pause >= self.silence_padding:
                self.end()
        if self.begin is None and self.timeout:
            multiples = (self.position - self.silence) // self.timeout
            if multiples > self.told:
                self.told = multiples
                self.events.append(SilencePassed(self.slot, self.position - self.silence))

    def end(self) -> None:
        assert self.begin is not None
        assert self.pause is not None
        if self.speaking:
            lasted = self.position - self.pause
            self.events.append(SpeechStopped(self.slot, lasted, self.pause - self.begin))
            self.silence = self.pause
            # The event above told of this silence already.
            self.told = lasted // self.timeout if self.timeout else 0
        self.speaking, self.interrupted, self.begin, self.pause = False, False, None, None


padding = st.integers(0, 400)
slot_options = st.tuples(
    padding, padding, st.one_of(st.just(0), st.integers(1, 900)), st.sampled_from([0, 96, 224]),
    st.one_of(st.none(), padding),
)  # fmt: skip
spans = st.sampled_from([WINDOW, WINDOW, WINDOW, 160, 800])
# Stretches, so that paddings are reached; which slots take part; then for each slot whether it is voiced.
steps = st.tuples(
    st.integers(1, 12), spans, st.integers(0, 255), st.lists(st.booleans(), min_size=4, max_size=4),
    st.sets(st.integers(0, 3), min_size=1),
)  # fmt: skip


@given(st.lists(slot_options, min_size=4, max_size=4), st.lists(steps, max_size=20))
def test_all_slots_do_what_the_rules_say(
    options: list[tuple[int, int, int, int, int | None]],
    course: list[tuple[int, int, int, list[bool], set[int]]],
) -> None:
    machines = Utterances(4)
    references = []
    for slot, (speech, silence, timeout, lead, interrupt) in enumerate(options):
        machines.reset(slot, speech, silence, timeout, lead, interrupt)
        after = None if interrupt is None else interrupt * MS
        references.append(Reference(slot, speech * MS, silence * MS, timeout * MS, after, -lead))
    events: list[Event] = []
    for count, span, pending, voiced, chosen in course:
        slots = np.array(sorted(chosen))
        for _ in range(count):
            machines.advance(slots, span, np.array(voiced)[slots], pending, events)
            for slot in chosen:
                references[slot].advance(span, voice=voiced[slot], pending=pending)
    for reference in references:
        assert [event for event in events if event.slot == reference.slot] == reference.events
        idle = machines.idle(np.array([reference.slot]))
        assert idle.tolist() == [reference.begin is None]


class Course:
    """One slot and what it reports."""

    def __init__(
        self, speech: int = 250, silence: int = 100, timeout: int = 0, interrupt: int | None = None
    ) -> None:
        self.machines = Utterances(3)
        self.machines.reset(1, speech, silence, timeout, interrupt_after=interrupt)

    def windows(self, count: int, *, voice: bool) -> list[Event]:
        events: list[Event] = []
        for _ in range(count):
            self.machines.advance(np.array([1]), WINDOW, np.array([voice]), 0, events)
        return events


def test_speech_begins_once_voice_has_lasted_and_ends_once_silence_has() -> None:
    course = Course()
    assert course.windows(10, voice=False) == []
    assert course.windows(7, voice=True) == []
    assert course.windows(5, voice=True) == [SpeechStarted(1, 8 * WINDOW)]
    assert course.windows(3, voice=False) == []
    assert course.windows(9, voice=False) == [SpeechStopped(1, 4 * WINDOW, 12 * WINDOW)]


def test_a_short_pause_belongs_to_the_speech() -> None:
    course = Course()
    course.windows(8, voice=True)
    assert course.windows(3, voice=False) == []
    assert course.windows(1, voice=True) == []
    assert course.windows(4, voice=False) == [SpeechStopped(1, 4 * WINDOW, 12 * WINDOW)]


def test_a_blip_is_neither_speech_nor_an_end_of_silence() -> None:
    course = Course(timeout=32 * 10)
    assert course.windows(4, voice=False) == []
    assert course.windows(3, voice=True) == []
    assert course.windows(6, voice=False) == [SilencePassed(1, 11 * WINDOW)]
    assert course.windows(6, voice=False) == []
    assert course.windows(1, voice=False) == [SilencePassed(1, 20 * WINDOW)]


def test_silence_is_told_again_and_again_but_not_while_somebody_speaks() -> None:
    course = Course(timeout=32 * 20)
    assert course.windows(60, voice=False) == [SilencePassed(1, n * WINDOW) for n in (20, 40, 60)]
    assert course.windows(100, voice=True) == [SpeechStarted(1, 8 * WINDOW)]
    assert course.windows(41, voice=False) == [
        SpeechStopped(1, 4 * WINDOW, 100 * WINDOW),
        SilencePassed(1, 20 * WINDOW),
        SilencePassed(1, 40 * WINDOW),
    ]


def test_the_end_of_speech_counts_as_told() -> None:
    course = Course(silence=320, timeout=160)
    course.windows(8, voice=True)
    assert course.windows(11, voice=False) == [SpeechStopped(1, 10 * WINDOW, 8 * WINDOW)]
    assert course.windows(4, voice=False) == [SilencePassed(1, 15 * WINDOW)]


def test_each_utterance_interrupts_once_be_it_speech_or_not() -> None:
    course = Course(interrupt=60)
    for _ in range(2):
        assert course.windows(1, voice=True) == []
        assert course.windows(1, voice=True) == [Interrupting(1, 2 * WINDOW)]
        assert course.windows(2, voice=True) == []
        assert course.windows(3, voice=False) == []
        assert course.windows(1, voice=True) == [SpeechStarted(1, 8 * WINDOW)]
        assert len(course.windows(4, voice=False)) == 1
    assert course.windows(2, voice=True) == [Interrupting(1, 2 * WINDOW)]
    assert course.windows(4, voice=False) == []
    assert course.windows(2, voice=True) == [Interrupting(1, 2 * WINDOW)]


def test_one_window_that_is_no_speech_does_not_interrupt() -> None:
    course = Course(interrupt=60)
    for _ in range(3):
        assert course.windows(1, voice=True) == []
        assert course.windows(4, voice=False) == []


@pytest.mark.parametrize("voice", [True, False])
def test_reset_forgets_speech_and_silence(voice: bool) -> None:
    course = Course(timeout=1000)
    course.windows(20, voice=voice)
    course.machines.reset(1, 250, 100, 0)
    assert course.windows(100, voice=False) == []
