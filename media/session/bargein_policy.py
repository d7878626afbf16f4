"""What the caller's voice, words and keys do to what is playing. Sans-I/O.

Two things may happen when the caller speaks over a play: it is interrupted, or (with ``resume``) it is paused at once
and then either interrupted or, after a false start, resumed. What the bot does itself goes first: a play that the bot
has paused or resumed is left alone.

All times are ms of one clock that never goes back.
"""

from dataclasses import dataclass
from enum import Enum

from media.api.options import InterruptOption
from media.speech.eou.transcript import Transcript
from media.speech.sentences import words

LATE_WORDS = 1500
"""ms after the voice in which its words may still be recognised."""


class State(Enum):
    """What goes on."""

    IDLE = "idle"
    """Nothing plays."""
    PLAYING = "playing"
    """Nobody speaks over it."""
    VOICED = "voiced"
    """The caller speaks over it."""
    LATE = "late"
    """The voice has stopped; its words may still come."""
    PAUSED = "paused"
    """The caller speaks, and we have paused it."""
    WAITING = "waiting"
    """The voice has stopped; paused by us until its words come, or no more can come."""
    IGNORED = "ignored"
    """The bot has resumed it while the caller speaks: this voice changes nothing."""
    HELD = "held"
    """The bot has paused it."""


STEPS: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.PLAYING, State.VOICED, State.PAUSED}),
    State.PLAYING: frozenset({State.IDLE, State.VOICED, State.PAUSED, State.HELD}),
    State.VOICED: frozenset({State.IDLE, State.LATE, State.HELD}),
    State.LATE: frozenset({State.IDLE, State.PLAYING, State.VOICED, State.PAUSED, State.HELD}),
    State.PAUSED: frozenset({State.IDLE, State.WAITING, State.VOICED, State.IGNORED, State.HELD}),
    State.WAITING: frozenset({State.IDLE, State.PLAYING, State.PAUSED, State.HELD}),
    State.IGNORED: frozenset({State.IDLE, State.PLAYING, State.HELD}),
    State.HELD: frozenset({State.IDLE, State.PLAYING, State.IGNORED}),
}


class Action(Enum):
    """What is to be done to the play."""

    PAUSE = "pause"
    RESUME = "resume"
    INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True)
class Rules:
    """An `InterruptOption`, read."""

    voice: bool
    """Whether voice interrupts."""
    words: int | None
    """How many words do; None: words are of no interest."""
    keys: bool
    minimum: int
    resume: int

    @classmethod
    def of(cls, option: InterruptOption, *, recogniser: bool) -> "Rules":
        """`recogniser`: whether words can be expected at all."""
        kind, _, number = option.on.partition(":")
        needed = {"words": int(number or 1), "speech": 1}.get(kind)
        return cls(
            voice=kind == "speech",
            words=needed if recogniser else None,
            keys=kind == "dtmf",
            minimum=option.minimum,
            resume=option.resume,
        )

    @property
    def listens(self) -> bool:
        """Whether the caller's voice is of interest."""
        return self.voice or self.words is not None

    @property
    def patience(self) -> int:
        """ms of voice after which a pause of ours ends: with no words to wait for, the voice alone decides."""
        return self.minimum if self.words is None else self.minimum + self.resume


class Policy:
    """The state machine of one call. Each input returns what is to be done at once, if anything."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._state = State.IDLE
        self._voice: int | None = None
        """Since when the caller speaks, as far as it counts; None: silent."""
        self._stopped: int | None = None
        """When the voice stopped that words are waited for."""
        self._transcript = Transcript()

    @property
    def state(self) -> State:
        """What goes on."""
        return self._state

    # The caller

    def speaking(self, at: int) -> Action | None:
        """The caller speaks since `at`; told again, nothing changes."""
        if self._voice is not None:
            return None
        self._voice = at
        match self._state:
            case State.PLAYING:
                self._transcript.restart()
                return self._voiced()
            case State.LATE:
                return self._voiced()
            case State.WAITING:
                self._step(State.PAUSED)
        return None

    def silent(self, at: int) -> Action | None:
        """The caller does not speak any more, since `at`."""
        voice, self._voice = self._voice, None
        if voice is None:
            return None
        match self._state:
            case State.VOICED:
                self._stopped = at
                self._step(State.LATE)
            case State.PAUSED:
                # Noises after the voice do not make the pause longer and longer.
                if self._stopped is None or at - voice >= self._rules.minimum:
                    self._stopped = at
                self._step(State.WAITING)
            case State.IGNORED:
                self._step(State.PLAYING)
        return None

    def heard(self, text: str, *, final: bool) -> Action | None:
        """`text` of an utterance was recognised, all of it so far. Words count when there was a voice over the play."""
        self._transcript.heard(text, final=final)
        if self._state not in (State.VOICED, State.LATE, State.PAUSED, State.WAITING):
            return None
        needed = self._rules.words
        return self._interrupt() if needed and words(self._transcript.text) >= needed else None

    def pressed(self) -> Action | None:
        """The caller pressed a key."""
        if self._rules.keys and self._state not in (State.IDLE, State.HELD):
            return self._interrupt()
        return None

    # What plays

    def play_started(self, now: int) -> Action | None:
        """A play is heard from now on. Who speaks already is speaking over it from now on."""
        if self._state is not State.IDLE:
            return None
        self._transcript.restart()
        if self._voice is None or not self._rules.listens:
            self._step(State.PLAYING)
            return None
        self._voice = now
        return self._voiced()

    def play_ended(self) -> None:
        """Nothing plays any more."""
        if self._state is not State.IDLE:
            self._step(State.IDLE)

    def bot_paused(self) -> None:
        """The bot has paused what is playing."""
        if self._state not in (State.IDLE, State.HELD):
            self._step(State.HELD)

    def bot_resumed(self) -> None:
        """The bot has resumed it."""
        match self._state:
            case State.HELD | State.PAUSED:
                self._step(State.PLAYING if self._voice is None else State.IGNORED)
            case State.WAITING:
                self._step(State.PLAYING)

    # Time

    def due(self) -> int | None:
        """When something will happen by itself; None: it will not."""
        rules = self._rules
        match self._state:
            case State.VOICED if rules.voice and self._voice is not None:
                return self._voice + rules.minimum
            case State.PAUSED if self._voice is not None:
                return self._voice + rules.patience
            case State.LATE if self._stopped is not None:
                return self._stopped + LATE_WORDS
            case State.WAITING if self._stopped is not None:
                return self._stopped + rules.resume
        return None

    def expired(self, now: int) -> Action | None:
        """It is `now`: what is due, if anything."""
        due = self.due()
        if due is None or now < due:
            return None
        match self._state:
            case State.VOICED:
                return self._interrupt()
            case State.PAUSED if self._rules.voice:
                return self._interrupt()
            case State.PAUSED:
                self._step(State.VOICED)
                return Action.RESUME
            case State.WAITING:
                self._step(State.PLAYING)
                return Action.RESUME
        self._step(State.PLAYING)
        return None

    # Steps

    def _voiced(self) -> Action | None:
        """The caller speaks over the play."""
        if not self._rules.listens:
            return None
        self._stopped = None
        if self._rules.resume:
            self._step(State.PAUSED)
            return Action.PAUSE
        self._step(State.VOICED)
        return None

    def _interrupt(self) -> Action:
        self._step(State.IDLE)
        return Action.INTERRUPT

    def _step(self, state: State) -> None:
        """Change the state; the only place where it changes."""
        if state not in STEPS[self._state]:
            raise AssertionError(f"barge-in: {self._state.value} → {state.value}")
        self._state = state
