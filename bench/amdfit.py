"""Weights and limits of the detection of answering machines, from calls whose truth is known."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt

from media.engine.arrays import RATE
from media.engine.reports import SpeechStarted, SpeechStopped
from media.speech.amd.detector import Model, Result
from tests.support.amdjudge import TIMEOUT_MS, judged
from tests.support.callees import Call, Fact

STEP_MS = 100
RIDGE = 0.01
PER_SECOND = 0.02
"""Part of the calls that may be judged wrong for a decision one second sooner."""
MACHINE, HUMAN = np.arange(0.6, 2.5, 0.2), np.arange(-3.3, -0.9, 0.3)
"""Limits that are tried."""
_PER_MS = RATE // 1000


def fit(calls: Sequence[Call], facts: Sequence[Sequence[Fact]]) -> Model:
    """The model for `calls`: of those in which somebody speaks, without special information tones."""
    pairs = [
        (call, known)
        for call, known in zip(calls, facts, strict=True)
        if call.spoken and not call.greeting.special
    ]
    weights = np.round(_logistic(*_samples(pairs)), 2)
    chosen, known = [call for call, _ in pairs], [facts for _, facts in pairs]
    model = Model(*weights.tolist())
    limits = [
        replace(model, machine=round(float(high), 2), human=round(float(low), 2))
        for high, low in product(MACHINE, HUMAN)
    ]
    return max(limits, key=lambda tried: _worth(chosen, known, tried))


def _worth(calls: Sequence[Call], facts: Sequence[Sequence[Fact]], model: Model) -> float:
    outcomes = judged(calls, facts, model)
    right = float(np.mean([outcome.right for outcome in outcomes]))
    return right - PER_SECOND * float(np.mean([outcome.at for outcome in outcomes])) / 1000


def _samples(
    pairs: Sequence[tuple[Call, Sequence[Fact]]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What is known of each call every STEP_MS until the time limit, and whether a machine answered."""
    rows: list[tuple[float, float, float]] = []
    truth: list[bool] = []
    for call, facts in pairs:
        found = [_features(facts, now) for now in range(0, TIMEOUT_MS + 1, STEP_MS)]
        kept = [row for row in found if row is not None]
        rows += kept
        truth += [call.greeting.truth is Result.MACHINE] * len(kept)
    return np.array(rows), np.array(truth, np.float64)


def _features(facts: Sequence[Fact], now: int) -> tuple[float, float, float] | None:
    """1, seconds of speech, and less seconds of pause; None before anybody spoke."""
    spoken, since, silent = 0, None, None
    for fact in facts:
        if fact.now > now:
            break
        match fact.what:
            case SpeechStarted(ago=ago):
                since = fact.now - ago // _PER_MS
            case SpeechStopped(silence=silence, speech=speech):
                silent = fact.now - silence // _PER_MS
                spoken, since = spoken + speech // _PER_MS, None
    if since is not None:
        return 1.0, (spoken + now - since) / 1000, 0.0
    return None if silent is None else (1.0, spoken / 1000, (silent - now) / 1000)


def _logistic(rows: npt.NDArray[np.float64], truth: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weights of a logistic regression, by Newton's method."""
    weights = np.zeros(rows.shape[1])
    for _ in range(30):
        likely = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (truth - likely) - RIDGE * weights
        bend = (rows * (likely * (1 - likely))[:, None]).T @ rows + RIDGE * np.eye(len(weights))
        weights = weights + np.linalg.solve(bend, slope)
    return weights
