"""How well the end of a caller's turn is told: the rule with text, without text, and a fixed pause.

Turns of several synthetic voices, some with pauses in them, pass the engine's voice detection; a recogniser is
simulated by the text as it was written. So the figures say what the rule does with a faultless text that comes 300 ms
late, and nothing about any recogniser. One half of the texts served to choose the defaults of `Waits` (`--fit` does it
anew), the other half is reported.

    .venv/bin/python -m bench.turns --json
"""

import argparse
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from operator import itemgetter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in a media worker; read when numpy is imported

import numpy as np

from bench.calls import percentile
from bench.utterances import TEXTS, Utterance, utterances
from media.engine.arrays import FRAME
from media.engine.reports import Event, Interrupting, SpeechStarted, SpeechStopped
from media.engine.voice import Voice, VoiceOptions
from media.speech.eou.rule import Rule, Waits

LIMIT = 3000
LATE = 1200
"""ms after the true end from which a turn's end is late."""
CUT = 2000
"""ms of delay that a cut-off turn is worth when parameters are chosen."""
SLOW = 800
"""ms by which a slow recogniser is late."""
GRID = {
    "complete": (300, 350, 400, 500),
    "plain": (500, 600, 700, 800, 900, 1000, 1100, 1200),
    "open": (900, 1000, 1100, 1200, 1300, 1400, 1500, 1600),
    "digits": (600, 700, 800, 900, 1000, 1100, 1200),
    "unheard": (700, 800, 900, 1000, 1200),
    "alone": (500, 600, 700, 800, 900, 1000, 1100, 1200),
}
FIXED = Waits(alone=700)


@dataclass(frozen=True, slots=True)
class Told:
    """Voice detection told something at `now`: that voice `stirred`, that speech `began` or `ended`, at `at`; in ms."""

    now: int
    what: str
    at: int


@dataclass(frozen=True, slots=True)
class Judge:
    """A way to tell the ends of turns."""

    name: str
    waits: Waits
    lag: int | None = 300
    """ms from the end of a word to its text; None: there is no text."""
    marks: bool = True
    digits: bool = False
    """Whether the length of numbers is known."""
    early: bool = True
    """Whether a voice is told before it is sure to be speech."""


@dataclass(frozen=True, slots=True)
class Case:
    """A turn, and what voice detection told of it."""

    utterance: Utterance
    voice: tuple[Told, ...]


def detected(turns: Sequence[Utterance]) -> list[Case]:
    """The engine's voice detection with its defaults on all turns at once."""
    voice = Voice(len(turns), 8000)
    for slot in range(len(turns)):
        voice.enable(slot, VoiceOptions(interrupt=True))
    told: list[list[Told]] = [[] for _ in turns]
    frames, fresh = np.zeros((len(turns), 2, FRAME), np.int16), np.ones(len(turns), np.uint8)
    audio = np.stack([turn.audio for turn in turns])
    for tick, start in enumerate(range(0, audio.shape[1] - FRAME + 1, FRAME), 1):
        frames[:, 0] = audio[:, start : start + FRAME]
        events: list[Event] = []
        voice.run(frames, fresh, events)
        for event in events:
            told[event.slot].append(_told(tick * 20, event))
    return [Case(turn, tuple(part)) for turn, part in zip(turns, told, strict=True)]


def _told(now: int, event: Event) -> Told:
    match event:
        case Interrupting():
            return Told(now, "stirred", now)
        case SpeechStarted(ago=ago):
            return Told(now, "began", now - ago // 8)
        case SpeechStopped(silence=silence):
            return Told(now, "ended", now - silence // 8)
    raise AssertionError(event)


def end(case: Case, judge: Judge) -> int | None:
    """When the first end of a turn was told that cuts the caller off, or else the first one behind the true end."""
    utterance = case.utterance
    digits = (utterance.digits,) if judge.digits and utterance.kind == "number" else ()
    rule = Rule(judge.waits, limit=LIMIT, words=judge.lag is not None, digits=digits)
    happened: list[tuple[int, Told | str]] = [
        (told.now, told) for told in case.voice if judge.early or told.what != "stirred"
    ]
    if judge.lag is not None:
        said = [word.text if judge.marks else word.text.strip(".,?") for word in utterance.words]
        texts = itertools.accumulate(said, lambda text, word: f"{text} {word}")
        happened += [
            (word.end + judge.lag, text) for word, text in zip(utterance.words, texts, strict=True) if text
        ]
    happened.sort(key=itemgetter(0))
    ends: list[int] = []
    for (now, what), (following, _) in itertools.pairwise([*happened, (1 << 40, "")]):
        match what:
            case str(text):
                rule.heard(now, text, final=False, start=0)
            case Told(what="stirred", at=at):
                rule.stirred(at)
            case Told(what="began", at=at):
                rule.speech_began(at)
            case Told(at=at):
                rule.speech_ended(at)
        due = rule.due()
        if due is not None and max(due, now) <= following:
            rule.expired(max(due, now))
            ends.append(max(due, now))
    return min(ends, default=None)


def verdict(case: Case, told: int | None) -> str:
    """What an end of the turn at `told` is."""
    if told is None:
        return "never"
    delay = told - case.utterance.end
    return "cut off" if delay < 0 else "late" if delay > LATE else "right"


def cost(cases: Iterable[Case], judges: Iterable[Judge]) -> float:
    """Mean delay in ms, with CUT for each turn that is cut off."""
    costs = []
    for case, judge in itertools.product(cases, judges):
        told = end(case, judge)
        delay = CUT if told is None else told - case.utterance.end
        costs.append(CUT if delay < 0 else delay)
    return float(np.mean(costs))


def fitted(cases: Sequence[Case]) -> Waits:
    """The parameters of GRID that cost least, one after the other until none gets better."""
    waits, best = Waits(), float("inf")
    while True:
        before = best
        for name, values in GRID.items():
            for value in values:
                tried = replace(waits, **{name: value})
                if (price := cost(cases, fit_judges(tried))) < best - 1:
                    waits, best = tried, price
        if best == before:
            return waits


def fit_judges(waits: Waits) -> list[Judge]:
    """What parameters are to be good for."""
    return [
        Judge("marks", waits),
        Judge("slow", waits, lag=SLOW),
        Judge("words", waits, marks=False),
        Judge("pauses", waits, lag=None),
    ]


def judges(waits: Waits) -> list[Judge]:
    """What is compared."""
    return [
        Judge("rule, text with marks", waits),
        Judge("rule, text with marks, length of numbers known", waits, digits=True),
        Judge("rule, text without marks", waits, marks=False),
        Judge(f"rule, text with marks, {SLOW} ms late", waits, lag=SLOW),
        Judge("rule, text with marks, voice told as speech only", waits, early=False),
        Judge("rule, no text", waits, lag=None),
        Judge("700 ms", FIXED, lag=None),
    ]


def measure(cases: Sequence[Case], judge: Judge) -> dict[str, float]:
    """Figures of one judge."""
    ends = [(case, end(case, judge)) for case in cases]
    counts = Counter((case.utterance.kind, verdict(case, told)) for case, told in ends)
    verdicts = ("right", "cut off", "late", "never")
    figures: dict[str, float] = {f"{kind} {each}": counts[kind, each] for kind in TEXTS for each in verdicts}
    delays = sorted(
        told - case.utterance.end for case, told in ends if told is not None and told >= case.utterance.end
    )
    figures |= {f"delay p{round(part * 100)} ms": percentile(delays, part) for part in (0.5, 0.95)}
    return figures


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--fit", action="store_true", help="choose parameters by the first half")
    parser.add_argument("--all", action="store_true", help="report the first half as well")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    cases = detected(utterances(arguments.seed))
    first = [case for case in cases if case.utterance.text % 2 == 0]
    waits = Waits()
    if arguments.fit:
        waits = fitted(first)
        print("fitted:", *(f"{each.name}={getattr(waits, each.name)}" for each in fields(waits)))
    reported = cases if arguments.all else [case for case in cases if case.utterance.text % 2]
    results = {judge.name: measure(reported, judge) for judge in judges(waits)}
    print(f"{len(reported)} turns")
    for name, figures in results.items():
        print(name)
        for kind in TEXTS:
            row = {each: int(figures[f"{kind} {each}"]) for each in ("right", "cut off", "late", "never")}
            print(f"  {kind:10}", "  ".join(f"{each} {count:3}" for each, count in row.items()))
        print(
            f"  after the true end: p50 {figures['delay p50 ms']:.0f} ms, p95 {figures['delay p95 ms']:.0f} ms"
        )
    if arguments.json:
        flat = {
            f"{name} {key}".replace(",", "").replace(" ", "_"): value
            for name, figures in results.items()
            for key, value in figures.items()
        }
        sys.stdout.write(json.dumps(flat) + "\n")


if __name__ == "__main__":
    main()
