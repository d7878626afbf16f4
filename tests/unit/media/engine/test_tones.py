"""Tones made: frequencies, levels, edges."""

import numpy as np
import pytest

from control.errors import MediaError
from media.engine.arrays import Pcm
from media.engine.tones import HIGH, KEYPAD, LOW, MILLIWATT, dtmf, tone


def level(pcm: Pcm, frequency: float, rate: int) -> float:
    """dBm0 of a frequency."""
    time = np.arange(len(pcm)) / rate
    peak = 2 * abs((pcm * np.exp(-2j * np.pi * frequency * time)).mean())
    return float(20 * np.log10(peak / MILLIWATT))


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("digit", KEYPAD)
def test_a_key_is_its_two_tones_the_high_one_2_db_louder(digit: str, rate: int) -> None:
    pcm = dtmf(digit, rate, 1000, 0)
    assert len(pcm) == rate
    row, column = divmod(KEYPAD.index(digit), 4)
    assert level(pcm, LOW[row], rate) == pytest.approx(-8, abs=0.1)
    assert level(pcm, HIGH[column], rate) == pytest.approx(-6, abs=0.1)
    others = [frequency for frequency in LOW + HIGH if frequency not in {LOW[row], HIGH[column]}]
    assert all(level(pcm, frequency, rate) < -50 for frequency in others)


def test_the_keypad_is_that_of_a_telephone() -> None:
    assert [KEYPAD[row : row + 4] for row in range(0, 16, 4)] == ["123A", "456B", "789C", "*0#D"]


def test_keys_follow_each_other_with_pauses() -> None:
    pcm = dtmf("55", 8000, 100, 60)
    assert len(pcm) == 2 * (800 + 480)
    assert not pcm[800:1280].any()
    np.testing.assert_array_equal(pcm[:1280], pcm[1280:])
    assert len(dtmf("", 8000)) == 0


def test_edges_are_soft() -> None:
    pcm = tone({1000: 0.0}, 8000, 100).astype(int)
    # A sine's own steepest step, and no sample above its envelope of 2 ms.
    steepest = MILLIWATT * 2 * np.pi * 1000 / 8000
    assert np.abs(np.diff(pcm, prepend=0, append=0)).max() <= steepest
    assert np.abs(pcm[:4]).max() < MILLIWATT * 0.25
    assert np.abs(pcm[-4:]).max() < MILLIWATT * 0.25
    assert np.abs(pcm[16:-16]).max() == pytest.approx(MILLIWATT, rel=0.01)


def test_a_mixture_has_each_of_its_tones() -> None:
    pcm = tone({350: -13.0, 440: -16.0}, 16000, 1000)
    assert level(pcm, 350, 16000) == pytest.approx(-13, abs=0.1)
    assert level(pcm, 440, 16000) == pytest.approx(-16, abs=0.1)
    assert not tone({}, 8000, 20).any()
    assert len(tone({440: 0.0}, 8000, 0)) == 0


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(MediaError, match="between 0 and 4000"):
        tone({4000: 0.0}, 8000, 100)
    with pytest.raises(MediaError, match="negative"):
        tone({400: 0.0}, 8000, -1)
    with pytest.raises(MediaError, match="full scale"):
        tone({400: 0.0, 500: 0.0}, 8000, 100)
    with pytest.raises(MediaError, match="'x' is no key"):
        dtmf("1x", 8000)
    with pytest.raises(MediaError, match="pause -1"):
        dtmf("1", 8000, 100, -1)
