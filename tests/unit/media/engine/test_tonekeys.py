"""Keys as tones, frame by frame."""

import numpy as np
import pytest

from control.errors import MediaError
from media.engine.tonekeys import LONGEST_MS, ToneKeys
from media.engine.tones import dtmf

SLOTS = np.array([1, 4, 7])


def test_keys_come_frame_by_frame_each_in_whole_frames() -> None:
    keys = ToneKeys(8000)
    keys.press(4, "1", 50, 40)
    keys.press(4, "2", 40, 40)
    heard = []
    for _ in range(9):
        slots, frames = keys.run(SLOTS)
        assert slots.tolist() == [4]
        heard.append(frames[0])
    expected = np.concatenate((dtmf("1", 8000, 50, 40), np.zeros(80), dtmf("2", 8000, 40, 40)))
    assert np.concatenate(heard).tolist() == expected.tolist()
    assert keys.run(SLOTS)[0].tolist() == []


def test_slots_are_apart_and_those_that_do_not_send_wait() -> None:
    keys = ToneKeys(16_000)
    for slot in (7, 1, 5):
        keys.press(slot, "#", 40, 40)
    assert keys.run(SLOTS)[0].tolist() == [1, 7]
    slots, frames = keys.run(np.array([5]))
    assert (slots.tolist(), frames.shape) == ([5], (1, 320))


def test_what_is_forgotten_is_not_sent() -> None:
    keys = ToneKeys(8000)
    keys.press(1, "12", 40, 40)
    keys.run(SLOTS)
    keys.reset(1)
    keys.reset(1)
    assert keys.run(SLOTS)[0].tolist() == []


@pytest.mark.parametrize(
    ("digits", "duration", "gap", "reason"),
    [
        ("1x", 80, 80, "keys are 0 to 9"),
        ("1", LONGEST_MS + 1, 80, "are the most of either"),
        ("1", 80, LONGEST_MS + 1, "are the most of either"),
        ("1" * 200, 80, 80, "100 keys wait, 200 more exceed"),
    ],
)
def test_too_much_is_refused_and_what_waits_stays(digits: str, duration: int, gap: int, reason: str) -> None:
    keys = ToneKeys(8000)
    keys.press(1, "5" * 100, 40, 40)
    with pytest.raises(MediaError, match=reason):
        keys.press(1, digits, duration, gap)
    count = 0
    while len(keys.run(SLOTS)[0]):
        count += 1
    assert count == 400
