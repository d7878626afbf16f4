"""Keys as tones, frame by frame."""

import numpy as np

from media.engine.tonekeys import ToneKeys

SLOTS = np.array([1, 4, 7])


def ramp(size: int, start: int = 1) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    return np.arange(start, start + size, dtype=np.int16)


def test_tones_come_frame_by_frame_and_end_in_silence() -> None:
    keys = ToneKeys(8000)
    keys.press(4, ramp(200))
    keys.press(4, ramp(10, 500))
    heard = []
    for _ in range(3):
        slots, frames = keys.run(SLOTS)
        assert slots.tolist() == [4]
        heard.append(frames[0])
    expected = np.concatenate((ramp(200), np.zeros(120), ramp(10, 500), np.zeros(150)))
    assert np.concatenate(heard).tolist() == expected.tolist()
    assert keys.run(SLOTS)[0].tolist() == []


def test_slots_are_apart_and_those_that_do_not_send_wait() -> None:
    keys = ToneKeys(16_000)
    for slot in (7, 1, 5):
        keys.press(slot, ramp(320, slot))
    slots, frames = keys.run(SLOTS)
    assert (slots.tolist(), frames[:, 0].tolist()) == ([1, 7], [1, 7])
    assert keys.run(np.array([5]))[0].tolist() == [5]


def test_what_is_forgotten_is_not_sent() -> None:
    keys = ToneKeys(8000)
    keys.press(1, ramp(160))
    keys.reset(1)
    keys.reset(1)
    assert keys.run(SLOTS)[0].tolist() == []
