"""What the detection of answering machines makes of calls whose truth is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from media.engine.arrays import RATE
from media.engine.reports import SpeechStarted, SpeechStopped
from media.speech.amd.detector import MODEL, Beep, Detector, Finding, GreetingEnd, Model, Verdict
from media.speech.amd.tones import Tone
from tests.support.callees import Call, Fact, Understood

TIMEOUT_MS, BEEP_MS = 4000, 30_000
LAG_MS = 500
"""How late an ideal recogniser understands a word."""
_PER_MS = RATE // 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call judged; times in ms from the answer."""

    call: Call
    verdict: Verdict
    at: int
    """When the verdict fell."""
    after: Beep | GreetingEnd | None
    """What followed it."""

    @property
    def right(self) -> bool:
        return self.verdict.result is self.call.greeting.truth


def judged(calls: Sequence[Call], facts: Sequence[Sequence[Fact]], model: Model = MODEL) -> list[Outcome]:
    """Every one of `calls`, of which `facts` are known."""
    return [_outcome(call, known, model) for call, known in zip(calls, facts, strict=True)]


def understood(call: Call) -> Iterator[Fact]:
    """What an ideal recogniser says of `call`: word by word, LAG_MS late."""
    for text, start, end in call.spoken:
        words = text.split() if " " in text else list(text)
        for number in range(1, len(words)):
            said = " ".join(words[:number]) if " " in text else text[:number]
            yield Fact(start + (end - start) * number // len(words) + LAG_MS, Understood(said, final=False))
        yield Fact(end + LAG_MS, Understood(text, final=True))


def _outcome(call: Call, facts: Sequence[Fact], model: Model) -> Outcome:
    found = list(_play(facts, Detector(TIMEOUT_MS, BEEP_MS, model)))
    match found:
        case [(at, Verdict() as verdict)]:
            return Outcome(call, verdict, at, None)
        case [(at, Verdict() as verdict), (_, (Beep() | GreetingEnd()) as after)]:
            return Outcome(call, verdict, at, after)
    raise AssertionError(f"one verdict, and after it one beep or end at most: {found}")


def _play(facts: Sequence[Fact], detector: Detector) -> Iterator[tuple[int, Finding]]:
    """Findings with when they were made; between the facts time passes."""
    for fact in facts:
        yield from _wait(detector, fact.now)
        for finding in _feed(detector, fact):
            yield fact.now, finding
    yield from _wait(detector, BEEP_MS)


def _wait(detector: Detector, until: int) -> Iterator[tuple[int, Finding]]:
    while (due := detector.due()) is not None and due <= until:
        for finding in detector.expired(due):
            yield due, finding


def _feed(detector: Detector, fact: Fact) -> list[Finding]:
    now = fact.now
    match fact.what:
        case SpeechStarted(ago=ago):
            return detector.speaking(now - ago // _PER_MS, now)
        case SpeechStopped(silence=silence):
            return detector.silent(now - silence // _PER_MS, now)
        case Tone(name=name, start=start, end=end):
            return detector.tone(name, start, end, now)
        case Understood(text=text, final=final):
            return detector.heard(text, now, final=final)
