"""How well, and how soon, it is told who answered a call: on greetings that are synthesised, half of them held out.

Speech by flite and espeak-ng, with beeps, music, faxes, carriers' tones, each without noise and with noise of three
levels, through mu-law, the engine's voice detection and the detection of tones. Needs `flite`.

    .venv/bin/python bench/amd.py --json
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in a media worker; read when numpy is imported

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # the set of greetings is no installed package

from bench.amdfit import fit
from media.engine.arrays import RATE, Pcm
from media.speech import say
from media.speech.amd.detector import Beep, GreetingEnd, Result
from media.speech.amd.tones import Tones
from tests.support.amdjudge import Outcome, judged, understood
from tests.support.callees import NOISES, Call, Fact, facts, render
from tests.support.greetings import greetings

PIECE = RATE // 25
NEAR_MS = 100
"""A beep told within this of its end is right."""


def accuracy(outcomes: Sequence[Outcome]) -> float:
    """Percent."""
    return round(100 * float(np.mean([outcome.right for outcome in outcomes])), 1)


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Figures of one half of the set."""
    figures = {"calls": float(len(outcomes)), "right_percent": accuracy(outcomes)}
    for noise in NOISES:
        chosen = [outcome for outcome in outcomes if outcome.call.noise == noise]
        figures[f"right_percent_{_noise(noise)}"] = accuracy(chosen)
    for truth in Result:
        chosen = [outcome for outcome in outcomes if outcome.call.greeting.truth is truth]
        figures[f"{truth}_right_percent"] = accuracy(chosen)
        figures |= _times(f"{truth}_", [outcome.at for outcome in chosen])
    return figures | _times("", [outcome.at for outcome in outcomes]) | beeps(outcomes)


def _noise(noise: int | None) -> str:
    return "no_noise" if noise is None else f"noise_{noise}_db"


def _times(prefix: str, values: Sequence[int]) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95])
    return {
        f"{prefix}decision_p50_ms": round(float(p50)),
        f"{prefix}decision_p95_ms": round(float(p95)),
        f"{prefix}decision_max_ms": max(values),
    }


def beeps(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Of machines that were taken for such: beeps found, missed, invented; ends of greetings without one."""
    waited = [
        outcome
        for outcome in outcomes
        if outcome.verdict.result is Result.MACHINE and not outcome.call.greeting.special
    ]
    beeping = [(outcome.call.beep, outcome.after) for outcome in waited if outcome.call.beep is not None]
    errors = [
        abs(after.at - beep)
        for beep, after in beeping
        if isinstance(after, Beep) and abs(after.at - beep) <= NEAR_MS
    ]
    heard = sum(isinstance(outcome.after, Beep) for outcome in waited)
    p50, p95 = np.percentile(errors, [50, 95])
    return {
        "beeps": len(beeping),
        "beeps_heard": len(errors),
        "beeps_invented": heard - len(errors),
        "beep_error_p50_ms": round(float(p50)),
        "beep_error_p95_ms": round(float(p95)),
        "beep_error_max_ms": max(errors),
        "greetings_without_beep": len(waited) - len(beeping),
        "greeting_ends_told": sum(
            isinstance(outcome.after, GreetingEnd) for outcome in waited if outcome.call.beep is None
        ),
    }


def table(outcomes: Sequence[Outcome]) -> str:
    """Confusion: truth by rows, verdicts by columns."""
    seen = Counter((outcome.call.greeting.truth, outcome.verdict.result) for outcome in outcomes)
    lines = [f"{'is / told':10}" + "".join(f"{told:>9}" for told in Result)]
    lines += [f"{truth:10}" + "".join(f"{seen[truth, told]:9}" for told in Result) for truth in Result]
    return "\n".join(lines)


def cost(audio: Pcm) -> float:
    """us of CPU that the tones in 40 ms of `audio` take, at the median."""
    listener, times = Tones(RATE), []
    for start in range(0, len(audio) - PIECE, PIECE):
        begin = time.thread_time_ns()
        listener.feed(audio[start : start + PIECE])
        times.append(time.thread_time_ns() - begin)
    return round(float(np.median(times)) / 1000, 1)


def heard(calls: Sequence[Call], known: Sequence[Sequence[Fact]]) -> list[list[Fact]]:
    """`known`, and what an ideal recogniser understands."""
    return [
        sorted([*facts, *understood(call)], key=lambda fact: fact.now)
        for call, facts in zip(calls, known, strict=True)
    ]


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fit", action="store_true", help="print the model that the first half gives")
    parser.add_argument("--wrong", action="store_true", help="list the calls that are judged wrong")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    calls = [render(greeting, noise, say.speak) for greeting in greetings() for noise in NOISES]
    known = facts(calls)
    if options.fit:
        pairs = [pair for pair in zip(calls, known, strict=True) if not pair[0].greeting.held_out]
        print(fit([call for call, _ in pairs], [facts for _, facts in pairs]))
        return
    halves: dict[str, list[Outcome]] = {"fitted": [], "held_out": []}
    for outcome in judged(calls, known):
        halves["held_out" if outcome.call.greeting.held_out else "fitted"].append(outcome)
    texts = judged(calls, heard(calls, known))
    halves["held_out_with_text"] = [outcome for outcome in texts if outcome.call.greeting.held_out]
    figures = {
        f"{name}_{key}": value for name, half in halves.items() for key, value in summary(half).items()
    }
    noisy = [call.audio for call in calls if call.noise == min(filter(None, NOISES))]
    figures["tones_us_per_40_ms"] = cost(np.concatenate(noisy[::5]))
    if options.json:
        print(json.dumps(figures))
        return
    for name, half in halves.items():
        print(f"{name}\n{table(half)}\n")
        if options.wrong:
            _list_wrong(half)
    print("\n".join(f"{key:48} {value}" for key, value in figures.items()))


def _list_wrong(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if not outcome.right:
            call, verdict = outcome.call, outcome.verdict
            print(
                call.greeting.number, call.noise, call.voice, call.greeting.parts, verdict.result, outcome.at
            )


if __name__ == "__main__":
    main()
