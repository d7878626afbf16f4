"""What a caller's voice, words and keys do to a play; times in ms of a clock that the test moves."""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from media.api.options import InterruptOption
from media.session.bargein_policy import LATE_WORDS, Action, Policy, Rules, State

PAUSE, RESUME, INTERRUPT = Action.PAUSE, Action.RESUME, Action.INTERRUPT


def policy(on: str = "speech", *, minimum: int = 200, resume: int = 0, words: bool = True) -> Policy:
    """A policy while a play has been on for a second."""
    found = Policy(Rules.of(InterruptOption(on=on, minimum=minimum, resume=resume), recogniser=words))
    found.play_started(0)
    return found


def after(policy: Policy, now: int) -> Action | None:
    """What happens by itself until `now`."""
    due = policy.due()
    return None if due is None or due > now else policy.expired(due)


def test_voice_interrupts_when_it_has_lasted() -> None:
    it = policy()
    assert it.speaking(1000) is None
    assert it.speaking(1100) is None
    assert it.due() == 1200
    assert it.expired(1199) is None
    assert it.expired(1200) is INTERRUPT
    it.play_ended()
    assert it.due() is None


def test_a_short_noise_does_not() -> None:
    it = policy()
    it.speaking(1000)
    assert it.silent(1150) is None
    assert after(it, 1150 + LATE_WORDS) is None
    assert it.state is State.PLAYING


def test_a_word_is_as_good_as_a_long_voice() -> None:
    it = policy()
    it.speaking(1000)
    it.silent(1150)
    assert it.heard("stop", final=False) is INTERRUPT


@pytest.mark.parametrize("on", ["none", "dtmf"])
def test_voice_does_nothing_unless_asked_for(on: str) -> None:
    it = policy(on, resume=500)
    it.speaking(1000)
    assert it.heard("stop now", final=True) is None
    assert it.due() is None
    it.silent(5000)
    assert it.state is State.PLAYING


def test_keys() -> None:
    assert policy("dtmf").pressed() is INTERRUPT
    assert policy("speech").pressed() is None
    idle = policy("dtmf")
    idle.play_ended()
    assert idle.pressed() is None


def test_words_are_counted_from_when_the_caller_speaks_over_the_play() -> None:
    it = policy("words:3")
    assert it.heard("I have said that before", final=False) is None
    it.speaking(1000)
    assert it.due() is None
    assert it.heard("I have said that before, but wait", final=False) is None
    assert it.heard("I have said that before, but wait please", final=True) is INTERRUPT


def test_words_may_come_after_the_voice_but_not_for_ever() -> None:
    it = policy("words:2")
    it.speaking(1000)
    it.heard("mhm", final=True)
    it.silent(1300)
    it.speaking(2000)
    it.silent(2200)
    assert after(it, 2200 + LATE_WORDS - 1) is None
    assert after(it, 2200 + LATE_WORDS) is None
    assert it.heard("okay", final=True) is None
    it.speaking(9000)
    assert it.heard("well", final=True) is None
    assert it.heard("listen", final=True) is INTERRUPT


def test_characters_without_spaces_are_words() -> None:
    it = policy("words:3")
    it.speaking(1000)
    assert it.heard("等一", final=False) is None
    assert it.heard("等一下", final=False) is INTERRUPT


def test_words_without_a_recogniser_interrupt_nothing() -> None:
    it = policy("words:1", words=False, resume=500)
    assert it.speaking(1000) is None
    assert it.due() is None


def test_a_false_start_pauses_and_goes_on() -> None:
    it = policy(resume=600)
    assert it.speaking(1000) is PAUSE
    assert it.silent(1700) is None
    assert it.due() == 2300
    assert it.expired(2300) is RESUME
    assert it.state is State.PLAYING


@pytest.mark.parametrize("stopped", [False, True])
def test_a_word_turns_a_pause_into_an_interruption(stopped: bool) -> None:
    it = policy(resume=600)
    it.speaking(1000)
    if stopped:
        it.silent(1100)
    assert it.heard("wait", final=False) is INTERRUPT


def test_who_speaks_on_without_a_word_interrupts() -> None:
    it = policy(resume=600)
    it.speaking(1000)
    assert it.due() == 1000 + 200 + 600
    assert it.expired(1800) is INTERRUPT


def test_without_a_recogniser_the_minimum_decides() -> None:
    it = policy(resume=600, words=False)
    it.speaking(1000)
    assert after(it, 1200) is INTERRUPT
    it.play_ended()
    it.silent(1500)
    it.play_started(2000)
    assert it.speaking(3000) is PAUSE
    it.silent(3100)
    assert after(it, 3700) is RESUME


def test_noises_do_not_make_a_pause_longer_and_longer() -> None:
    it = policy(resume=600)
    it.speaking(1000)
    it.silent(1500)
    it.speaking(1900)
    it.silent(2000)
    assert it.due() == 2100
    it.speaking(2050)
    it.silent(2400)
    assert it.due() == 3000


def test_a_long_voice_with_too_few_words_does_not_hold_the_play() -> None:
    it = policy("words:4", resume=600)
    assert it.speaking(1000) is PAUSE
    it.heard("uh huh", final=False)
    assert after(it, 1800) is RESUME
    assert it.due() is None
    assert it.heard("uh huh but I want", final=False) is INTERRUPT


def test_who_speaks_when_a_play_begins_speaks_over_it_from_then_on() -> None:
    it = policy()
    it.play_ended()
    it.speaking(1000)
    assert it.play_started(5000) is None
    assert it.due() == 5200
    assert it.play_started(5100) is None
    assert it.due() == 5200
    paused = policy(resume=500)
    paused.play_ended()
    paused.speaking(1000)
    assert paused.play_started(5000) is PAUSE


@pytest.mark.parametrize("state", [State.PLAYING, State.VOICED, State.LATE, State.PAUSED, State.WAITING])
def test_what_the_bot_has_paused_is_left_alone(state: State) -> None:
    it = policy("speech", resume=500 if state in (State.PAUSED, State.WAITING) else 0)
    if state is not State.PLAYING:
        it.speaking(1000)
    if state in (State.LATE, State.WAITING):
        it.silent(1100)
    assert it.state is state
    it.bot_paused()
    assert it.due() is None
    it.silent(1200)
    assert it.speaking(2000) is None
    assert it.heard("wait", final=True) is None
    assert it.due() is None
    it.bot_resumed()
    assert it.due() is None
    assert it.heard("wait", final=True) is None
    it.silent(3000)
    assert it.state is State.PLAYING
    it.speaking(4000)
    assert it.due() is not None


def test_the_bot_goes_on_while_the_caller_speaks() -> None:
    it = policy(resume=500)
    it.speaking(1000)
    it.bot_resumed()
    assert it.due() is None
    assert it.heard("wait", final=True) is None
    it.silent(2000)
    assert it.state is State.PLAYING


def test_the_bot_goes_on_before_we_do() -> None:
    it = policy(resume=500)
    it.speaking(3000)
    it.silent(3100)
    it.bot_resumed()
    it.bot_resumed()
    assert it.state is State.PLAYING
    assert it.due() is None


def test_a_key_of_a_play_that_the_bot_holds() -> None:
    it = policy("dtmf")
    it.bot_paused()
    assert it.pressed() is None


class Machine(RuleBasedStateMachine):
    """A player beside the policy: it is never resumed by us unless we paused it, and not after the bot did."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000
        self.policy: Policy | None = None
        self.on = ""
        self.playing = self.voice = False
        self.paused: str | None = None
        """Who has paused the player."""

    @precondition(lambda self: self.policy is None)
    @rule(
        on=st.sampled_from(["none", "speech", "words:1", "words:3", "dtmf"]),
        minimum=st.integers(0, 500),
        resume=st.sampled_from([0, 1, 400]),
        words=st.booleans(),
    )
    def begin(self, on: str, minimum: int, resume: int, words: bool) -> None:
        option = InterruptOption(on=on, minimum=minimum, resume=resume)
        self.on, self.policy = on, Policy(Rules.of(option, recogniser=words))
        self.resume_ms, self.words = resume, words

    def do(self, act: Callable[[Policy], Action | None]) -> None:
        """Let `act` happen, and see that what follows makes sense."""
        assert self.policy is not None
        match act(self.policy):
            case Action.PAUSE:
                assert self.playing
                assert self.paused is None
                assert self.resume_ms
                assert self.voice
                self.paused = "we"
            case Action.RESUME:
                assert self.paused == "we"
                self.paused = None
            case Action.INTERRUPT:
                assert self.playing
                assert self.paused != "bot"
                assert self.on != "none"
                self.end_play()

    def end_play(self) -> None:
        assert self.policy is not None
        self.policy.play_ended()
        self.playing, self.paused = False, None

    @precondition(lambda self: self.policy is not None)
    @rule(ms=st.integers(0, 1000))
    def pass_time(self, ms: int) -> None:
        assert self.policy is not None
        self.now += ms
        for _ in range(5):
            due = self.policy.due()
            if due is None or due > self.now:
                break
            self.do(lambda it: it.expired(self.now))
        assert (due := self.policy.due()) is None or due > self.now

    @precondition(lambda self: self.policy is not None)
    @rule(ago=st.integers(0, 250))
    def speak(self, ago: int) -> None:
        self.voice = True
        self.do(lambda it: it.speaking(self.now - ago))

    @precondition(lambda self: self.policy is not None)
    @rule(ago=st.integers(0, 250))
    def fall_silent(self, ago: int) -> None:
        self.voice = False
        self.do(lambda it: it.silent(self.now - ago))

    @precondition(lambda self: self.policy is not None)
    @rule(text=st.sampled_from(["", "no", "well I am", "stop it now please"]), final=st.booleans())
    def hear(self, text: str, final: bool) -> None:
        self.do(lambda it: it.heard(text, final=final))

    @precondition(lambda self: self.policy is not None)
    @rule()
    def press(self) -> None:
        playing, paused = self.playing, self.paused
        self.do(lambda it: it.pressed())
        if self.on == "dtmf" and playing and paused is None:
            assert not self.playing

    @precondition(lambda self: self.policy is not None)
    @rule()
    def start_play(self) -> None:
        self.playing = True
        self.do(lambda it: it.play_started(self.now))

    @precondition(lambda self: self.playing)
    @rule()
    def stop_play(self) -> None:
        self.end_play()

    @precondition(lambda self: self.playing)
    @rule()
    def bot_pauses(self) -> None:
        assert self.policy is not None
        self.policy.bot_paused()
        self.paused = "bot"

    @precondition(lambda self: self.playing)
    @rule()
    def bot_resumes(self) -> None:
        assert self.policy is not None
        self.policy.bot_resumed()
        self.paused = None

    @invariant()
    def states_fit(self) -> None:
        if self.policy is None:
            return
        state = self.policy.state
        assert (state is State.IDLE) is not self.playing
        assert (state is State.HELD) is (self.paused == "bot")
        assert (state in (State.PAUSED, State.WAITING)) is (self.paused == "we")
        if state in (State.PAUSED, State.WAITING):
            # Whatever the caller does, a pause of ours ends.
            assert self.policy.due() is not None
        if state in (State.VOICED, State.PAUSED, State.IGNORED):
            assert self.voice
        if state in (State.LATE, State.WAITING):
            assert not self.voice


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
