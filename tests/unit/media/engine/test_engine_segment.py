"""A segment by itself; how it is played is test_playout's."""

import numpy as np
import pytest

from control.errors import MediaError
from media.engine.segment import Segment, State


def test_a_new_segment() -> None:
    segment = Segment("greeting")
    assert (segment.play, segment.state, segment.closed) == ("greeting", State.NEW, False)
    assert (segment.total, segment.played, segment.turn, segment.pending) == (0, 0, None, False)


def test_it_counts_what_is_appended() -> None:
    segment = Segment()
    segment.append(np.full(100, 1, np.int16))
    segment.append(np.full(0, 1, np.int16))
    segment.append(np.full(17, 1, np.int16))
    assert segment.total == 117
    segment.close()
    segment.close()
    assert segment.closed


@pytest.mark.parametrize(
    "pcm", [np.full(10, 0.5, np.float32), np.full((10, 2), 1, np.int16), np.full(10, 1, ">i2")]
)
def test_other_than_int16_mono_is_refused(pcm: np.ndarray) -> None:
    with pytest.raises(MediaError, match="int16 samples of one channel"):
        Segment().append(pcm)


def test_appending_after_the_close_is_an_error() -> None:
    segment = Segment()
    segment.close()
    with pytest.raises(MediaError, match="after its close"):
        segment.append(np.full(1, 1, np.int16))


def test_loading_hands_out_the_samples_in_order_up_to_the_room() -> None:
    segment = Segment()
    segment.append(np.arange(10, dtype=np.int16))
    segment.append(np.arange(10, 15, dtype=np.int16))
    assert [piece.tolist() for piece in segment.load(4)] == [[0, 1, 2, 3]]
    assert [piece.tolist() for piece in segment.load(8)] == [[4, 5, 6, 7, 8, 9], [10, 11]]
    assert segment.load(0) == []
    assert segment.pending
    assert [piece.tolist() for piece in segment.load(100)] == [[12, 13, 14]]
    assert not segment.pending
