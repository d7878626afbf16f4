"""Muting what is received."""

import numpy as np

from media.engine.mute import Mute


def test_only_muted_slots_are_silent_and_only_as_long_as_they_are() -> None:
    mute = Mute(4)
    sound = np.arange(1, 4 * 2 * 160 + 1, dtype=np.int16).reshape(4, 2, 160)
    for muted in ([], [1], [1, 3], [3], []):
        for slot in range(4):
            mute.set(slot, muted=slot in muted)
        frames = sound.copy()
        mute.run(frames)
        for slot in range(4):
            assert (frames[slot] == (0 if slot in muted else sound[slot])).all()
