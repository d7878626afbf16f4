"""Keeping the heap."""

import ctypes

import numpy as np
import pytest

from media.engine import arrays


def test_memory_of_a_temporary_stays_for_the_next_one() -> None:
    arrays.keep_heap()
    addresses = set()
    for _ in range(5):
        # Above glibc's own threshold of 128 kB, from which on memory goes back to the system.
        addresses.add(np.full(1 << 20, 1, np.uint8).ctypes.data)
    assert len(addresses) == 1


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    arrays.keep_heap()
