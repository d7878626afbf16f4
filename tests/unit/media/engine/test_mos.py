"""The E-model: points computed by hand, and what must hold everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.engine.mos import PACKET_MS, Model, delay_impairment, mos, one_way_ms

LOSS = st.floats(0, 1)
DELAY = st.floats(0, 2000)
MODEL = st.sampled_from(list(Model))


def rate(model: Model, loss: float, delay_ms: float) -> float:
    return float(mos(np.array([model]), np.array([loss]), np.array([delay_ms]))[0])


@pytest.mark.parametrize(
    ("model", "loss", "delay", "expected"),
    [
        # R = 93.2
        (Model.G711, 0.0, 0.0, 4.409),
        # Id = 0.024 * 50 = 1.2, R = 92.0
        (Model.G711, 0.0, 50.0, 4.385),
        # Ie,eff = 95 * 5 / 30.1 = 15.781, R = 76.219
        (Model.G711, 0.05, 50.0, 3.873),
        # Id = 0.024 * 300 + 0.11 * 122.7 = 20.697, R = 72.503
        (Model.G711, 0.0, 300.0, 3.712),
        # R = 116 / 1.29 = 89.922
        (Model.G722, 0.0, 0.0, 4.337),
        # Ie,eff = 13 + 82 * 10 / 20 = 54, R = (129 - 54 - 1.2) / 1.29 = 57.209
        (Model.G722, 0.10, 50.0, 2.954),
        # R = 124 / 1.29 = 96.124
        (Model.OPUS, 0.0, 0.0, 4.458),
    ],
)
def test_points_by_hand(model: Model, loss: float, delay: float, expected: float) -> None:
    assert rate(model, loss, delay) == pytest.approx(expected, abs=0.001)


def test_both_lines_of_the_delay() -> None:
    assert delay_impairment(np.array([0.0, 100.0, 177.3, 277.3])) == pytest.approx([0, 2.4, 4.2552, 17.6552])


def test_the_way_from_mouth_to_ear() -> None:
    assert one_way_ms(80.0, 30.0) == 40 + 30 + PACKET_MS
    assert one_way_ms(None, 30.0) == 30 + PACKET_MS


@given(MODEL, LOSS, LOSS, DELAY, DELAY)
def test_more_loss_or_delay_never_sounds_better(
    model: Model, loss: float, more_loss: float, delay: float, more_delay: float
) -> None:
    (loss, more_loss), (delay, more_delay) = sorted((loss, more_loss)), sorted((delay, more_delay))
    best = rate(model, loss, delay)
    assert 1 <= best <= 4.5
    assert rate(model, more_loss, delay) <= best + 1e-9
    assert rate(model, loss, more_delay) <= best + 1e-9


@given(st.lists(st.tuples(MODEL, LOSS, DELAY), max_size=8))
def test_calls_are_rated_each_for_itself(calls: list[tuple[Model, float, float]]) -> None:
    model, loss, delay = (np.array([call[column] for call in calls]) for column in range(3))
    together = mos(model.astype(np.int64), loss.astype(np.float64), delay.astype(np.float64))
    assert together.tolist() == [rate(*call) for call in calls]
