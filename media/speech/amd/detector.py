"""Who answered a call: decided from when somebody spoke, from what was understood, and from tones.

No audio, no clock: facts come in with their times, what they mean goes out. All times are ms since the answer.

People say a few words and wait. Machines talk on. So each second of speech makes a machine likelier, each second of the
pause after it a human; a phrase that machines use settles it, and so do tones. `Model` has the weights.
"""

import math
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from media.speech.amd import phrases
from media.speech.amd.tones import Name

END_OF_GREETING_MS = 3000
"""A machine that is silent for so long has said its greeting, and there is no beep."""
SPOKEN_MS = 150
"""Speech before a tone that shorter is no speech: the tone itself may be taken for it."""
CERTAIN, LIKELY = 0.97, 0.7
"""Confidence where a tone decides; where a beep was all that was heard."""
_ROUNDING = 1e-9
"""By which log odds may miss a limit at the very moment for which it was computed."""


class Result(StrEnum):
    """Who answered."""

    HUMAN = "human"
    MACHINE = "machine"
    """Also a menu, a queue, a carrier's announcement."""
    FAX = "fax"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who answered; comes once."""

    result: Result
    confidence: float
    """0 to 1; 0 for unknown."""
    start: int
    end: int
    """From where to where was listened."""
    text: str
    """What was understood so far."""
    tone: Name | None = None
    """The tone that decided, if one did."""


@dataclass(frozen=True, slots=True)
class Beep:
    """The machine's beep has ended: it records. Comes at most once, after the verdict; never with `GreetingEnd`."""

    verdict: Verdict
    at: int
    text: str
    """All that was understood."""


@dataclass(frozen=True, slots=True)
class GreetingEnd:
    """The machine has been silent for END_OF_GREETING_MS, and no beep came."""

    verdict: Verdict
    at: int
    """When it fell silent."""
    text: str


Finding = Verdict | Beep | GreetingEnd


@dataclass(frozen=True, slots=True)
class Model:
    """Log odds that a machine speaks, and where they suffice to decide."""

    bias: float = -0.34
    speech: float = 0.75
    """For each second of speech."""
    pause: float = 2.68
    """Taken off for each second of the pause that lasts."""
    machine_phrase: float = 5.0
    """For a phrase of machines; not fitted."""
    human_phrase: float = 2.0
    """Taken off for a phrase of people; not fitted."""
    machine: float = 1.8
    """A machine from here on: 2.9 s of speech."""
    human: float = -2.7
    """A human from here down, in a pause: 1.0 s after 0.5 s of speech, 1.4 s after 2 s."""


MODEL = Model()
"""Fitted by ``bench/amd.py --fit``."""


class _State(Enum):
    UNDECIDED = auto()
    GREETING = auto()
    """A machine; its beep is awaited."""
    DONE = auto()


class Detector:
    """Facts of one call in, findings out; `due` tells when `expired` wants to be called.

    The verdict falls at `timeout` at the latest; a beep is waited for until `beep`, 0: not at all.
    """

    def __init__(self, timeout: int = 4000, beep: int = 30_000, model: Model = MODEL) -> None:
        self._timeout, self._wait, self._model = timeout, beep, model
        self._state = _State.UNDECIDED
        self._spoken = 0
        """ms of speech that has ended."""
        self._since: int | None = None
        """When the speech that lasts began."""
        self._silent: int | None = None
        """When the last speech ended."""
        self._finals: list[str] = []
        self._partial = ""
        self._beep: int | None = None
        """End of a beep before anything was said."""
        self._machine: Verdict | None = None
        """The verdict whose beep is awaited."""

    @property
    def done(self) -> bool:
        """Whether no more findings will come."""
        return self._state is _State.DONE

    def speaking(self, start: int, now: int) -> list[Finding]:
        """Somebody speaks since `start`."""
        if self._since is None:
            self._since = max(0, min(start, now))
        return self.expired(now)

    def silent(self, start: int, now: int) -> list[Finding]:
        """Nobody speaks since `start`; may be told again."""
        if self._since is not None:
            end = min(start, now)
            if end > self._since:
                self._spoken += end - self._since
                self._silent = end
            self._since = None
        return self.expired(now)

    def heard(self, text: str, now: int, *, final: bool) -> list[Finding]:
        """`text` was understood: of an utterance so far, or for good."""
        if final:
            self._finals.append(text)
            self._partial = ""
        else:
            self._partial = text
        return self.expired(now)

    def tone(self, name: Name, start: int, end: int, now: int) -> list[Finding]:
        """A tone was heard."""
        if name is Name.CNG and self._speech(start) >= SPOKEN_MS:
            name = Name.BEEP
        match self._state, name:
            case _State.UNDECIDED, Name.CED | Name.CNG:
                return self._verdict(Result.FAX, CERTAIN, now, name)
            case _State.UNDECIDED, Name.SIT:
                return self._verdict(Result.MACHINE, CERTAIN, now, name)
            case _State.UNDECIDED, Name.BEEP if self._speech(start) < SPOKEN_MS:
                self._beep = end
            case _State.UNDECIDED, Name.BEEP:
                return [*self._verdict(Result.MACHINE, CERTAIN, now, name), *self._end(Beep, end)]
            case _State.GREETING, Name.BEEP:
                return self._end(Beep, end)
        return self.expired(now)

    def due(self) -> int | None:
        """When to call `expired`, if nothing happens before."""
        match self._state:
            case _State.UNDECIDED:
                return min(self._timeout, self._crossing())
            case _State.GREETING if self._since is None and self._silent is not None:
                return min(self._wait, self._silent + END_OF_GREETING_MS)
            case _State.GREETING:
                return self._wait
        return None

    def expired(self, now: int) -> list[Finding]:
        """It is `now`."""
        match self._state:
            case _State.UNDECIDED:
                return self._decide(now)
            case _State.GREETING if now >= self._wait:
                self._become(_State.DONE)
            case _State.GREETING if self._since is None and self._silent is not None:
                if now >= self._silent + END_OF_GREETING_MS:
                    return self._end(GreetingEnd, self._silent)
        return []

    def _decide(self, now: int) -> list[Finding]:
        odds = self._odds(now)
        late = now >= self._timeout
        if not self._speech(now) and not self._text:
            if late and self._beep is not None:
                return [*self._verdict(Result.MACHINE, LIKELY, now, Name.BEEP), *self._end(Beep, self._beep)]
            return self._verdict(Result.UNKNOWN, 0.0, now) if late else []
        if odds >= self._model.machine - _ROUNDING or (late and odds >= 0):
            return self._verdict(Result.MACHINE, _probability(odds), now)
        if late or (self._since is None and odds <= self._model.human + _ROUNDING):
            return self._verdict(Result.HUMAN, _probability(-odds), now)
        return []

    def _speech(self, now: int) -> int:
        """ms of speech until `now`."""
        return self._spoken + (max(0, now - self._since) if self._since is not None else 0)

    def _fixed(self) -> float:
        """Log odds apart from the time that passes."""
        model, text = self._model, self._text
        odds = model.bias + model.speech * self._spoken / 1000
        odds += model.machine_phrase * phrases.machine(text)
        return odds - model.human_phrase * phrases.human(text)

    def _odds(self, now: int) -> float:
        """Log odds that a machine speaks."""
        if self._since is not None:
            return self._fixed() + self._model.speech * max(0, now - self._since) / 1000
        pause = now - self._silent if self._silent is not None else 0
        return self._fixed() - self._model.pause * max(0, pause) / 1000

    def _crossing(self) -> int:
        """When time alone decides: by the speech or the pause that lasts."""
        if self._since is not None:
            seconds = (self._model.machine - self._fixed()) / self._model.speech
            return self._since + max(0, math.floor(1000 * seconds)) + 1
        if self._silent is not None:
            seconds = (self._fixed() - self._model.human) / self._model.pause
            return self._silent + max(0, math.floor(1000 * seconds)) + 1
        return self._timeout

    @property
    def _text(self) -> str:
        return " ".join(text for text in (*self._finals, self._partial) if text)

    def _verdict(
        self, result: Result, confidence: float, now: int, tone: Name | None = None
    ) -> list[Finding]:
        verdict = Verdict(result, round(confidence, 2), 0, now, self._text, tone)
        if result is Result.MACHINE and tone is not Name.SIT and self._wait > 0:
            self._machine = verdict
            self._become(_State.GREETING)
        else:
            self._become(_State.DONE)
        return [verdict]

    def _end(self, kind: type[Beep | GreetingEnd], at: int) -> list[Finding]:
        """The last finding, where one is waited for."""
        if self._state is not _State.GREETING or self._machine is None:
            return []
        self._become(_State.DONE)
        return [kind(self._machine, at, self._text)]

    def _become(self, state: _State) -> None:
        self._state = state


def _probability(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))
