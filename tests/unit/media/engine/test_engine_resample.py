"""Conversion between 8 and 16 kHz against direct convolution, and by what it lets through."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.engine.arrays import Pcm
from media.engine.resample import NARROW, ROWS, TAPS, WIDE, Downsampler, Upsampler, half_band

Wave = npt.NDArray[np.float64]
DELAY = 1 + TAPS // 2
"""Samples at 16 kHz, rounded up: what a filter needs to settle is twice that."""


def run(stage: Upsampler | Downsampler, pcm: Pcm, slots: npt.NDArray[np.int64] | None = None) -> Pcm:
    """All of `pcm` (n, samples), frame by frame."""
    slots = np.arange(len(pcm)) if slots is None else slots
    size = NARROW if isinstance(stage, Upsampler) else WIDE
    out = [stage.run(slots, pcm[:, at : at + size]).copy() for at in range(0, pcm.shape[1], size)]
    return np.concatenate(out, axis=1)


def up(pcm: Pcm) -> Pcm:
    return run(Upsampler(len(pcm)), pcm)


def down(pcm: Pcm) -> Pcm:
    return run(Downsampler(len(pcm)), pcm)


def round_off(wave: Wave) -> Wave:
    rounded: Wave = np.clip(np.rint(wave), -32768, 32767)
    return rounded


def reference_up(pcm: Pcm) -> Wave:
    wide = np.zeros(2 * len(pcm))
    wide[::2] = pcm
    return round_off(np.convolve(wide, 2 * half_band())[: len(wide)])


def reference_down(pcm: Pcm) -> Wave:
    return round_off(np.convolve(pcm, half_band())[: len(pcm) : 2])


def material(rows: int, samples: int, seed: int = 1) -> Pcm:
    """Noise from silent to clipping."""
    rng = np.random.default_rng(seed)
    wave = rng.normal(0, 1, (rows, samples)) * np.geomspace(1, 40000, rows)[:, None]
    pcm: Pcm = np.clip(wave, -32768, 32767).astype(np.int16)
    return pcm


def test_is_a_convolution() -> None:
    narrow, wide = material(9, 5 * NARROW), material(9, 5 * WIDE)
    above, below = up(narrow), down(wide)
    assert above.dtype == below.dtype == np.int16
    for row in range(9):
        # float32 may round a value in the middle between two the other way.
        assert np.abs(above[row] - reference_up(narrow[row])).max() <= 1
        assert np.abs(below[row] - reference_down(wide[row])).max() <= 1
        assert (above[row] != reference_up(narrow[row])).mean() < 0.01
        assert (below[row] != reference_down(wide[row])).mean() < 0.01


def test_too_loud_is_cut_off() -> None:
    square = np.repeat(np.array([[32767, -32768]], np.int16), 20, axis=1).repeat(16, axis=1)
    steps = up(square[:, : 4 * NARROW])
    assert steps.max() == 32767
    assert steps.min() == -32768
    assert np.abs(steps[0] - reference_up(square[0, : 4 * NARROW])).max() <= 1


def tone(frequency: float, rate: int) -> Pcm:
    pcm: Pcm = np.rint(16000 * np.sin(2 * np.pi * frequency * np.arange(rate) / rate)).astype(np.int16)
    return pcm[None]


def level(pcm: Pcm, frequency: float, rate: int) -> float:
    """Level of one frequency in the settled part, in dB over amplitude 16000."""
    part = pcm[0, rate // 10 : rate // 10 + rate // 2].astype(float)
    turn = np.exp(-2j * np.pi * frequency * np.arange(len(part)) / rate)
    return float(20 * np.log10(np.abs(part @ turn) / (8000 * len(part)) + 1e-9))


@pytest.mark.parametrize("frequency", [20, 300, 1000, 2000, 3000, 3400])
def test_the_band_of_speech_is_flat(frequency: int) -> None:
    assert level(up(tone(frequency, 8000)), frequency, 16000) == pytest.approx(0, abs=0.1)
    assert level(down(tone(frequency, 16000)), frequency, 8000) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("frequency", [20, 300, 1000, 2000, 3000, 3400])
def test_images_and_aliases_are_gone(frequency: int) -> None:
    mirrored = 8000 - frequency
    assert level(up(tone(frequency, 8000)), mirrored, 16000) < -60
    assert level(down(tone(mirrored, 16000)), frequency, 8000) < -60


def test_there_and_back() -> None:
    pcm = tone(1000, 8000)
    again = down(up(pcm))
    assert np.abs(again[:, 2 * DELAY :] - pcm[:, 2 * DELAY - TAPS // 2 : -(TAPS // 2)]).max() <= 20


@settings(max_examples=20)
@given(st.data())
def test_slots_have_their_own_history(data: st.DataObject) -> None:
    """Whichever slots take part, each one's output is that of its own input alone."""
    capacity = 6
    stages = Upsampler(capacity), Downsampler(capacity)
    alone = [(Upsampler(1), Downsampler(1)) for _ in range(capacity)]
    one = np.array([0])
    for seed in range(4):
        slots = np.array(sorted(data.draw(st.sets(st.integers(0, capacity - 1), min_size=1))))
        for number in range(2):
            frames = material(len(slots), (NARROW, WIDE)[number], seed)
            got = stages[number].run(slots, frames)
            for row, slot in enumerate(slots.tolist()):
                expected = alone[slot][number].run(one, frames[row : row + 1])
                assert np.abs(got[row : row + 1].astype(int) - expected).max() <= 1
        forgotten = data.draw(st.integers(0, capacity - 1))
        for number in range(2):
            stages[number].reset(forgotten)
            alone[forgotten][number].reset(0)


def test_more_rows_than_are_computed_at_once() -> None:
    rows = ROWS + 3
    narrow, wide = material(rows, NARROW), material(rows, WIDE)
    above, below = up(narrow), down(wide)
    for row in (0, ROWS - 1, ROWS, rows - 1):
        assert np.abs(above[row] - reference_up(narrow[row])).max() <= 1
        assert np.abs(below[row] - reference_down(wide[row])).max() <= 1


def test_no_slots() -> None:
    none = np.array([], np.int64)
    assert Upsampler(2).run(none, np.zeros((0, NARROW), np.int16)).shape == (0, WIDE)
    assert Downsampler(2).run(none, np.zeros((0, WIDE), np.int16)).shape == (0, NARROW)
