"""The local rule: when a turn is over, in ms of a clock that the test moves."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from media.speech.eou.rule import Pause, Rule, State, TurnEnd, Verdict, Waits

WAITS = Waits(complete=300, plain=700, open=1500, digits=1200, unheard=1000, alone=800)
DECIDED, LIMITED = TurnEnd(completed=True), TurnEnd(completed=False)


def listening(*, words: bool = True, limit: int = 3000, digits: tuple[int, ...] = ()) -> Rule:
    return Rule(WAITS, limit=limit, words=words, language="en", digits=digits)


def paused(text: str = "", *, words: bool = True, limit: int = 3000, digits: tuple[int, ...] = ()) -> Rule:
    """A rule that has heard speech from 1000 to 2000 with `text`."""
    listener = listening(words=words, limit=limit, digits=digits)
    listener.speech_began(1000)
    if text:
        listener.heard(1900, text, final=False, start=1000)
    listener.speech_ended(2000)
    return listener


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("Where is my parcel?", WAITS.complete),
        ("yes", WAITS.complete),
        ("where is my parcel", WAITS.plain),
        ("where is the", WAITS.open),
        ("my number is 0 1 7", WAITS.digits),
        ("", WAITS.unheard),
    ],
)
def test_how_the_text_ends_decides_how_long_the_pause_is(text: str, wait: int) -> None:
    listener = paused(text)
    assert listener.due() == 2000 + wait
    assert listener.expired(1999 + wait) is None
    assert listener.expired(2000 + wait) == DECIDED


def test_without_a_recogniser_pauses_alone_decide() -> None:
    assert paused(words=False).due() == 2000 + WAITS.alone


def test_a_short_noise_before_any_text_is_no_reason_to_wait_for_text() -> None:
    listener = listening()
    listener.speech_began(1000)
    listener.speech_ended(1000 + WAITS.noticeable - 1)
    assert listener.due() == 1000 + WAITS.noticeable - 1 + WAITS.alone


def test_a_turn_ends_once() -> None:
    listener = paused("yes")
    assert listener.expired(9000) == DECIDED
    assert listener.expired(9001) is None
    assert listener.due() is None
    assert listener.state is State.IDLE


def test_the_limit_ends_a_turn_in_any_case() -> None:
    listener = paused("where is the", limit=900)
    assert listener.due() == 2900
    assert listener.expired(2900) == LIMITED


def test_a_limit_as_long_as_the_wait_is_not_what_ended_it() -> None:
    assert paused("yes", limit=WAITS.complete).expired(9000) == DECIDED


def test_a_caller_who_goes_on_has_not_finished() -> None:
    listener = paused("I want to")
    listener.speech_began(2800)
    assert listener.due() is None
    assert listener.expired(9000) is None
    listener.heard(3500, "I want to know.", final=False, start=1000)
    listener.speech_ended(3600)
    assert listener.due() == 3600 + WAITS.complete


def test_text_that_comes_in_the_pause_changes_its_length() -> None:
    listener = paused("I want to")
    first = listener.candidate
    listener.heard(2200, "I want to know.", final=True, start=1000)
    assert listener.due() == 2000 + WAITS.complete
    assert listener.candidate != first
    listener.heard(2210, "A parcel", final=True, start=1000)
    assert listener.due() == 2000 + WAITS.plain


def test_text_of_earlier_speech_does_not_complete_later_one() -> None:
    listener = paused("Yes.")
    listener.speech_began(2200)
    listener.speech_ended(3200)
    assert listener.due() == 3200 + WAITS.unheard
    listener.heard(3300, "Yes. I want to", final=False, start=1000)
    assert listener.due() == 3200 + WAITS.open


def test_a_voice_that_may_be_noise_keeps_the_turn_open_for_a_moment() -> None:
    listener = paused("yes")
    listener.stirred(2250)
    assert listener.due() == 2250 + WAITS.hold
    listener.speech_began(2190)
    listener.speech_ended(2300)
    assert listener.due() == 2300 + WAITS.complete


def test_late_text_of_a_turn_that_is_over_begins_no_other() -> None:
    listener = paused("yes please")
    assert listener.expired(2300) == DECIDED
    listener.heard(2400, "Yes, please do.", final=True, start=1000)
    listener.heard(2500, "once more", final=True)
    assert listener.state is State.IDLE
    listener.speech_began(5000)
    listener.heard(5500, "and the", final=False, start=5000)
    listener.speech_ended(6000)
    assert listener.pause(6100) == Pause(text="and the", silence=100, speech=1000)


def test_an_utterance_that_spans_two_turns_counts_in_the_second_with_its_rest() -> None:
    listener = paused("yes")
    listener.expired(2300)
    listener.speech_began(3000)
    listener.heard(3500, "yes and then", final=False, start=1000)
    listener.speech_ended(4000)
    assert listener.pause(4000).text == "and then"


def test_an_utterance_whose_end_was_never_told_does_not_hide_the_next_one() -> None:
    listener = paused("yes")
    listener.expired(2300)
    listener.speech_began(5000)
    listener.heard(5500, "yes", final=False, start=5000)
    listener.speech_ended(6000)
    assert listener.pause(6000).text == "yes"


def test_text_alone_makes_a_turn_where_voice_detection_heard_nothing() -> None:
    listener = listening()
    listener.heard(500, "no", final=False, start=200)
    assert listener.state is State.PAUSING
    assert listener.due() == 500 + WAITS.complete
    listener.speech_began(450)
    listener.speech_ended(900)
    assert listener.pause(1000) == Pause(text="no", silence=100, speech=450)


def test_the_length_of_a_number_may_be_known() -> None:
    assert paused("0 1 7", digits=(3,)).due() == 2000 + WAITS.complete


def test_what_voice_detection_repeats_changes_nothing() -> None:
    listener = listening()
    listener.speech_ended(500)
    assert listener.state is State.IDLE
    listener.speech_began(1000)
    listener.speech_began(1500)
    listener.speech_ended(2000)
    listener.speech_ended(2500)
    assert listener.due() == 2000 + WAITS.unheard


@pytest.mark.parametrize(
    ("verdict", "due", "end"),
    [
        (0, 2000, DECIDED),
        (1800, 3800, DECIDED),
        (5000, 5000, LIMITED),
        (Verdict.LIMIT, 5000, LIMITED),
        (Verdict.RULE, 2300, DECIDED),
    ],
)
def test_somebody_else_may_decide_about_a_pause(verdict: int | Verdict, due: int, end: TurnEnd) -> None:
    listener = paused("yes")
    listener.leave(verdict)
    assert listener.due() == due
    assert listener.expired(due) == end


def test_a_verdict_is_about_one_pause() -> None:
    listener = paused("yes")
    listener.leave(Verdict.LIMIT)
    listener.speech_began(2500)
    listener.heard(2600, "yes sure.", final=False, start=1000)
    listener.speech_ended(3000)
    assert listener.due() == 3300


class Callers(RuleBasedStateMachine):
    """Whatever happens, turns end once, never while the caller speaks, and by the limit at the latest."""

    LIMIT = 2000

    def __init__(self) -> None:
        super().__init__()
        self.rule = Rule(WAITS, limit=self.LIMIT, words=True)
        self.now = 0
        self.speaking = False
        self.open = False
        """Whether a turn is on."""

    @rule(ms=st.integers(0, 3000))
    def pass_time(self, ms: int) -> None:
        self.now += ms
        before, due = self.rule.state, self.rule.due()
        end = self.rule.expired(self.now)
        assert (end is not None) is (due is not None and due <= self.now)
        if end is not None:
            assert before is State.PAUSING
            assert not self.speaking
            self.open = False

    @rule(ago=st.integers(0, 300))
    def speak(self, ago: int) -> None:
        self.rule.speech_began(self.now - ago)
        self.speaking = self.open = True

    @rule(ago=st.integers(0, 300))
    def fall_silent(self, ago: int) -> None:
        self.rule.speech_ended(self.now - ago)
        self.speaking = False

    @rule()
    def stir(self) -> None:
        self.rule.stirred(self.now)

    @rule(
        text=st.sampled_from(["yes", "I want to", "0 1 7", "Okay.", "", "where is my bag"]),
        final=st.booleans(),
        start=st.none() | st.integers(0, 5000),
    )
    def hear(self, text: str, final: bool, start: int | None) -> None:
        before = self.rule.state
        since = None if start is None else self.now - start
        self.rule.heard(self.now, text, final=final, start=since)
        if before is not self.rule.state:
            assert (before, self.rule.state) == (State.IDLE, State.PAUSING)
            assert since is not None
            self.open = True

    @rule(verdict=st.integers(0, 5000) | st.sampled_from(Verdict))
    def leave(self, verdict: int | Verdict) -> None:
        self.rule.leave(verdict)

    @invariant()
    def states_fit(self) -> None:
        assert (self.rule.state is State.SPEAKING) is self.speaking
        assert (self.rule.state is not State.IDLE) is self.open
        due = self.rule.due()
        assert (due is None) is (self.rule.candidate is None)
        if due is not None:
            assert due <= self.now + max(self.LIMIT, WAITS.hold)


TestCallers = Callers.TestCase
TestCallers.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
