"""The whole chain on a part of the set of greetings: it keeps its accuracy. ``bench/amd.py`` has all of it."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from media.speech import say
from media.speech.amd.detector import Beep, Result
from media.speech.voice import Samples, Voice
from tests.support.amdjudge import TIMEOUT_MS, Outcome, judged
from tests.support.callees import facts, render
from tests.support.greetings import greetings

EVERY = 2
"""Of the greetings that are held out."""
NOISES = (None, 15)
ACCURACY, BEEPS = 0.85, 0.8
BEEP_ERROR_MS = 40


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """The part, judged. A process of its own speaks: the synthesiser is for one use in a process."""
    chosen = [greeting for greeting in greetings() if greeting.held_out][::EVERY]
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:

        def speak(text: str, voice: Voice, rate: int) -> Samples:
            return pool.submit(say.speak, text, voice, rate).result()

        calls = [
            render(greeting, NOISES[number % len(NOISES)], speak) for number, greeting in enumerate(chosen)
        ]
    return judged(calls, facts(calls))


def test_most_are_judged_right(outcomes: list[Outcome]) -> None:
    wrong = [outcome for outcome in outcomes if not outcome.right]
    assert len(wrong) <= (1 - ACCURACY) * len(outcomes), [
        (outcome.call.greeting, outcome.verdict) for outcome in wrong
    ]


def test_all_are_judged_in_time(outcomes: list[Outcome]) -> None:
    assert max(outcome.at for outcome in outcomes) <= TIMEOUT_MS


def test_beeps_are_heard_when_they_end(outcomes: list[Outcome]) -> None:
    beeps = [
        (outcome.call.beep, outcome.after)
        for outcome in outcomes
        if outcome.verdict.result is Result.MACHINE and outcome.call.beep is not None
    ]
    right = [
        isinstance(after, Beep) and abs(after.at - beep) <= BEEP_ERROR_MS
        for beep, after in beeps
        if beep is not None
    ]
    assert sum(right) >= BEEPS * len(right) > 0
