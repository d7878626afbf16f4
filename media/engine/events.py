"""Telephone events received: key presses (RFC 4733)."""

import numpy as np

from media.engine.arrays import Ints, Mask
from media.engine.rtp import sequence_ahead, timestamp_ahead

DIGITS = "0123456789*#ABCD"
"""Key of each event code 0..15 (RFC 4733 section 3.2)."""
EVENT_SIZE = 4
"""Bytes of an event's payload (section 2.3)."""
_END = 0x80
_SEGMENT = 0xFFFF
"""Longest duration of one segment; a longer event goes on in a new one (section 2.5.1.3)."""
_OLD_PACKETS, _OLD_SAMPLES = 1000, 40000
"""How far back (5 s) a packet may lie and still be a straggler rather than a sender that started anew."""


class KeyPresses:
    """The latest event of every slot; tells new presses from updates and repeated ends.

    A press is known by the timestamp of its beginning, which all its packets carry. Senders that never
    change the timestamp are understood as well: another code, or a packet that follows the end and is
    none itself, is a new press.
    """

    def __init__(self, capacity: int) -> None:
        self._known = np.full(capacity, fill_value=False)
        self._ended = np.full(capacity, fill_value=False)
        self._ssrc, self._sequence, self._timestamp, self._code = (
            np.full(capacity, 0, np.int64) for _ in range(4)
        )

    def reset(self, slot: int) -> None:
        """Forget the last event of `slot`."""
        self._known[slot] = False

    def receive(
        self, slots: Ints, ssrc: Ints, sequence: Ints, timestamp: Ints, code: Ints, flags: Ints
    ) -> Mask:
        """Take one event packet for each of `slots` (all different); return which begin a press of a key.

        `code` and `flags` are the first two bytes of the payload. Events above 15 are no keys.
        """
        end = flags & _END != 0
        same_source = self._known[slots] & (self._ssrc[slots] == ssrc)
        newer = sequence_ahead(sequence, self._sequence[slots])
        later = timestamp_ahead(timestamp, self._timestamp[slots])
        old = ((newer <= 0) & (newer > -_OLD_PACKETS)) | ((later < 0) & (later > -_OLD_SAMPLES))
        same_key = same_source & (code == self._code[slots])
        update = same_key & (later == 0) & (end | ~self._ended[slots])
        next_segment = same_key & (later == _SEGMENT) & ~self._ended[slots]
        current = ~(same_source & old)
        kept = slots[current]
        self._known[kept] = True
        self._ssrc[kept], self._sequence[kept] = ssrc[current], sequence[current]
        self._timestamp[kept], self._code[kept] = timestamp[current], code[current]
        self._ended[kept] = end[current]
        pressed: Mask = current & ~update & ~next_segment & (code < len(DIGITS))
        return pressed
