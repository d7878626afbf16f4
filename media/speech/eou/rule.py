"""The local rule for the end of a turn: after how much silence it is over depends on how its text ends. Sans-I/O.

All times are ms of one clock that never goes back, whatever its zero. A silence is counted from the moment when the
voice really ended, which voice detection tells a little later.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from media.speech.eou.endings import Ending, ending
from media.speech.eou.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Waits:
    """After how many ms of silence a turn is over. The defaults were fitted by ``bench/turns.py``."""

    complete: int = 300
    """The text is complete."""
    plain: int = 800
    """The text tells nothing either way."""
    open: int = 1500
    """The text goes on."""
    digits: int = 900
    """A number may have more digits."""
    unheard: int = 1000
    """A recogniser listens, and has told nothing yet of a speech that was longer than `noticeable`."""
    alone: int = 800
    """There is no text to go by."""
    noticeable: int = 400
    """ms of speech from which a text is expected of it."""
    hold: int = 300
    """ms for which a voice that may yet be a noise keeps a turn from ending."""


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """A turn is over."""

    completed: bool
    """Whether that was decided, and did not follow from the limit."""


@dataclass(frozen=True, slots=True)
class Pause:
    """What an external detector is asked about."""

    text: str
    silence: int
    """ms since the voice ended."""
    speech: int
    """ms from the beginning of the turn to the end of the voice, pauses in it included."""


class State(Enum):
    """Where the caller is."""

    IDLE = "idle"
    """No turn: nothing was said since the last one ended."""
    SPEAKING = "speaking"
    PAUSING = "pausing"
    """A turn that may be over."""


STEPS: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.SPEAKING, State.PAUSING}),
    State.SPEAKING: frozenset({State.PAUSING}),
    State.PAUSING: frozenset({State.SPEAKING, State.IDLE}),
}


class Verdict(Enum):
    """Who says when a pause ends the turn, besides a number of ms."""

    RULE = "rule"
    LIMIT = "limit"
    """Nobody does: only the limit ends it."""


class Rule:
    """The turns of one caller.

    `limit`: ms of silence after which a turn is over in any case. `words`: whether a recogniser listens. `language` and
    `digits` are those of `ending`.
    """

    def __init__(
        self,
        waits: Waits,
        *,
        limit: int,
        words: bool,
        language: str | None = None,
        digits: Collection[int] = (),
    ) -> None:
        self._waits = waits
        self._limit = limit
        self._words = words
        self._language = language
        self._digits = digits
        self._state = State.IDLE
        self._transcript = Transcript()
        self._begun = self._voice = self._since = 0
        """When the turn began, its last voice, and the silence after it."""
        self._told = 0
        """When there was text last."""
        self._held = 0
        """Before this time no turn ends."""
        self._over: int | None = None
        """When the voice of the last turn ended."""
        self._verdict: int | Verdict = Verdict.RULE
        self._candidate = 0

    @property
    def state(self) -> State:
        """Where the caller is."""
        return self._state

    @property
    def candidate(self) -> int | None:
        """Number of the present pause; another one when its text changes. None when there is no pause."""
        return self._candidate if self._state is State.PAUSING else None

    # What happens

    def stirred(self, at: int) -> None:
        """A voice is heard at `at` that may yet be a noise: the turn does not end within ``hold``."""
        self._held = at + self._waits.hold

    def speech_began(self, at: int) -> None:
        """The caller speaks since `at`."""
        match self._state:
            case State.IDLE:
                self._begin(at)
                self._step(State.SPEAKING)
            case State.PAUSING:
                self._begun = min(self._begun, at)
                self._step(State.SPEAKING)
            case State.SPEAKING:
                return
        self._voice, self._held = at, 0

    def speech_ended(self, at: int) -> None:
        """The caller does not speak since `at`. Speech that nobody told the beginning of is no turn."""
        if self._state is State.SPEAKING:
            self._pause(at)

    def heard(self, now: int, text: str, *, final: bool, start: int | None = None) -> None:
        """`text` of an utterance was recognised, all of it so far; it was begun at `start`, where that is known.

        What was said before the last turn ended belongs to no turn. Text without speech is a turn all the same: voice
        detection leaves out short words.
        """
        if not self._transcript.heard(text, final=final, old=self._old(start)):
            return
        if self._state is State.IDLE:
            self._begin(now)
            self._pause(now)
        elif self._state is State.PAUSING:
            self._consider()
        self._told = now

    def _old(self, start: int | None) -> bool:
        """Whether an utterance that was begun at `start` says nothing about the present turn."""
        idle = self._state is State.IDLE
        if start is None:
            return idle
        if self._over is None or start >= self._over:
            self._transcript.fresh()
            return False
        return idle or not self._transcript.within

    # What follows

    def due(self) -> int | None:
        """When the turn will be over if nothing happens; None when it will not."""
        if self._state is not State.PAUSING:
            return None
        return max(self._since + min(self._wait(), self._limit), self._held)

    def expired(self, now: int) -> TurnEnd | None:
        """It is `now`: the end of the turn, once, when that is due."""
        due = self.due()
        if due is None or now < due:
            return None
        end = TurnEnd(completed=self._wait() <= self._limit)
        self._step(State.IDLE)
        self._over = self._since
        self._transcript.restart()
        return end

    # An external detector

    def pause(self, now: int) -> Pause:
        """What there is to judge."""
        return Pause(self._transcript.text, now - self._since, self._since - self._begun)

    def leave(self, to: int | Verdict) -> None:
        """Who decides about the present pause: ms of silence from its beginning, the limit alone, or the rule."""
        self._verdict = to

    # The rule

    def _wait(self) -> int:
        """ms of silence after which the turn is over; more than the limit when nobody says so."""
        match self._verdict:
            case Verdict.RULE:
                return self._decide()
            case Verdict.LIMIT:
                return self._limit + 1
            case told:
                return told

    def _decide(self) -> int:
        waits = self._waits
        behind = self._told < self._voice and self._since - self._voice >= waits.noticeable
        match None if behind else ending(self._transcript.text, self._language, self._digits):
            case Ending.COMPLETE:
                return waits.complete
            case Ending.PLAIN:
                return waits.plain
            case Ending.OPEN:
                return waits.open
            case Ending.DIGITS:
                return waits.digits
            case None:
                return waits.unheard if behind and self._words else waits.alone

    def _begin(self, at: int) -> None:
        self._begun = self._voice = at
        self._held = 0
        self._told = at - 1

    def _pause(self, at: int) -> None:
        self._since = max(at, self._voice)
        self._held = 0
        self._step(State.PAUSING)
        self._consider()

    def _consider(self) -> None:
        """There is something new to judge."""
        self._candidate += 1
        self._verdict = Verdict.RULE

    def _step(self, state: State) -> None:
        """Change the state; the only place where it changes."""
        if state not in STEPS[self._state]:
            raise AssertionError(f"a turn cannot go from {self._state.value} to {state.value}")
        self._state = state
