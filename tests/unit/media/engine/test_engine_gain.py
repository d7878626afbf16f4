"""Gain by itself; how it sounds is test_playout_controls'."""

import numpy as np

from media.engine.gain import Gain


def test_it_has_work_only_while_a_factor_is_not_one() -> None:
    gain, slots = Gain(3, 8000), np.array([0, 2])
    pcm = np.full((2, 160), 1000, np.int16)
    assert gain.idle
    gain.set(2, 0.5)
    assert not gain.idle
    gain.run(slots, pcm)
    assert (pcm[0] == 1000).all()
    assert pcm[1, -1] == 500
    gain.set(2, 1)
    gain.run(slots, pcm)
    assert gain.idle


def test_a_factor_that_is_taken_back_before_the_next_frame_was_never_there() -> None:
    gain = Gain(1, 16000)
    gain.set(0, 0)
    gain.set(0, 1)
    assert gain.idle


def test_slots_that_do_not_send_keep_their_change_for_later() -> None:
    gain = Gain(2, 8000)
    gain.set(1, 0)
    pcm = np.full((1, 160), 1000, np.int16)
    gain.run(np.array([0]), pcm)
    assert (pcm == 1000).all()
    gain.run(np.array([1]), pcm)
    assert pcm[0, 0] > 900
    assert pcm[0, -1] == 0


def test_reset_is_at_once() -> None:
    gain = Gain(1, 8000)
    gain.set(0, 0)
    gain.run(np.array([0]), np.full((1, 160), 1000, np.int16))
    gain.reset(0)
    assert gain.idle
