"""The gate before the network: what it lets through."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from media.engine.arrays import Pcm
from media.engine.gate import Gate
from media.engine.onnx import Floats

SLOTS = np.array([1, 2])


def powers(*values: float) -> Floats:
    return np.array(values, np.float32)


@given(st.integers(-32768, 32767), st.integers(0, 5000))
def test_power_is_the_mean_square_without_the_constant_part(constant: int, level: int) -> None:
    window: Pcm = np.clip(constant + level * (-1) ** np.arange(256), -32768, 32767).astype(np.int16)
    expected = np.var(window.astype(np.float64))
    (power,) = Gate.power(window[None])
    assert abs(power - expected) <= 1e-5 * np.mean(window.astype(np.float64) ** 2)


def test_all_but_silence_passes_while_the_noise_is_unknown() -> None:
    gate = Gate(3)
    assert gate.opens(SLOTS, powers(0, 100)).tolist() == [False, True]


def test_only_what_exceeds_the_noise_passes() -> None:
    gate = Gate(3)
    gate.learn(SLOTS, powers(1000, 4000))
    assert gate.opens(SLOTS, powers(1400, 1400)).tolist() == [False, False]
    assert gate.opens(SLOTS, powers(1600, 6100)).tolist() == [True, True]
    gate.reset(2)
    assert gate.opens(SLOTS, powers(1400, 1400)).tolist() == [False, True]


def test_the_noise_is_followed() -> None:
    gate = Gate(3)
    gate.learn(SLOTS, powers(1000, 1000))
    for _ in range(60):
        gate.learn(SLOTS, powers(100, 10000))
    assert gate.opens(SLOTS, powers(200, 14000)).tolist() == [True, False]
