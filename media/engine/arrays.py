"""Array types of the engine and the sizes that all its stages share."""

import ctypes

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Pcm = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int64]
"""Slots, extended sequence numbers, timestamps, sample positions."""
Mask = npt.NDArray[np.bool_]

RATE = 8000
"""Samples per second of the narrow band: G.711 (RFC 3551 section 4.5.14)."""
WIDE = 16_000
"""Samples per second of the wide band: G.722, Opus."""
TICKS = 50
"""Ticks per second."""
FRAME = RATE // TICKS
"""Samples of one tick (20 ms) of the narrow band."""
BLOCK = FRAME // 2
"""Samples of 10 ms of the narrow band, the unit that packet durations are multiples of."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 32 << 20


def keep_heap() -> None:
    """Let freed blocks below 32 MB stay in the process (mallopt; glibc only).

    Otherwise every temporary array above 128 kB is unmapped when freed and its pages are faulted in again
    in the next tick, which costs five times the copy itself.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEEP)
        mallopt(_M_TRIM_THRESHOLD, 4 * _KEEP)
