"""Telephone events to send: from digits to the payloads of a tick (RFC 4733)."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from control.errors import MediaError
from media.engine.arrays import Bytes, Ints, Mask
from media.engine.events import DIGITS, EVENT_SIZE
from media.engine.reports import DigitSent, Event

ENDS = 3
"""How often the last packet of an event, or of a segment of one, is sent (section 2.5.1.4)."""
SEGMENT = 0xFFFF
"""Longest duration that a packet can tell, in timestamp units (section 2.5.1.3)."""
SHORTEST_MS, LONGEST_MS = 40, 60000
"""Bounds of a key and of a pause: what every receiver hears (ITU-T Q.24), and what a mistake may block."""
QUEUE = 256
"""Most keys that wait in a slot."""
_TICK_MS = 20
_END = 0x80
_VOLUME = 10
"""-10 dBm0 (section 2.3.4)."""


@dataclass(frozen=True, slots=True)
class Sending:
    """The packets of telephone events of one tick; n of them, each instead of a slot's audio."""

    rows: Ints
    """Which of the slots asked for: indices, ascending, (n,)."""
    marker: Mask
    """The first packet of an event (n,)."""
    timestamp: Ints
    """When the event, or this segment of it, began (n,)."""
    payload: Bytes
    """uint8 (n, 4)."""


def check(digits: str, duration_ms: int, gap_ms: int) -> None:
    """Raise MediaError for a character that is no key, and for a duration or pause outside 40 to 60000 ms."""
    unknown = sorted(set(digits) - set(DIGITS))
    if unknown:
        raise MediaError(f"{''.join(unknown)!r} in digits {digits!r}: keys are 0 to 9, *, # and A to D")
    for name, value in (("duration", duration_ms), ("pause", gap_ms)):
        if not SHORTEST_MS <= value <= LONGEST_MS:
            raise MediaError(f"{name} {value} ms of a key: give {SHORTEST_MS} to {LONGEST_MS}")


@dataclass(frozen=True, slots=True)
class _Key:
    digit: str
    ticks: int
    gap: int


class KeySender:
    """The keys that slots have to send, one after the other.

    A key of n ticks is n packets, the last of which is its end; it is repeated in the two ticks after, at the
    interval of the updates as section 2.5.1.4 has it. Then audio goes on until the pause is over, so that equal
    keys never touch. All of a key's packets carry the timestamp of its beginning.

    A segment that is full is told three times too, and the next one begins then; an event never ends in the first
    packet of a segment.
    """

    def __init__(self, capacity: int) -> None:
        self._queues: list[deque[_Key]] = [deque() for _ in range(capacity)]
        self._busy = np.full(capacity, fill_value=False)
        self._tick, self._ticks, self._gap = (np.full(capacity, 0, np.int64) for _ in range(3))
        # Ticks since the key began; how many of them it lasts, and the pause behind it.
        self._code, self._begin = (np.full(capacity, 0, np.int64) for _ in range(2))
        self._step = np.full(capacity, 160, np.int64)

    def reset(self, slot: int, clock_rate: int = 8000) -> None:
        """Forget all keys of `slot`; its events will count time in units of `clock_rate` per second."""
        self._queues[slot].clear()
        self._busy[slot] = False
        self._tick[slot] = self._ticks[slot] = self._gap[slot] = 0
        self._step[slot] = clock_rate * _TICK_MS // 1000

    def press(self, slot: int, digits: str, duration_ms: int = 160, gap_ms: int = 80) -> None:
        """Send `digits` after those that wait; durations are rounded up to 20 ms.

        Raises MediaError for a character that is no key, a duration or pause outside 40 to 60000 ms, and more than
        256 waiting keys; then none of them is sent.
        """
        check(digits, duration_ms, gap_ms)
        queue = self._queues[slot]
        if len(queue) + len(digits) > QUEUE:
            raise MediaError(f"{len(queue)} keys wait, {len(digits)} more exceed {QUEUE}: send them later")
        ticks, gap = (-(-value // _TICK_MS) for value in (duration_ms, gap_ms))
        queue.extend(_Key(digit, ticks, gap) for digit in digits)
        self._busy[slot] |= bool(queue)

    def stop(self, slot: int) -> str:
        """Send no more: a key under way ends with the next packet. Returns the digits not begun."""
        queue = self._queues[slot]
        dropped = "".join(key.digit for key in queue)
        queue.clear()
        self._ticks[slot] = min(self._ticks[slot], self._tick[slot] + 1)
        return dropped

    def run(self, slots: Ints, timestamps: Ints, events: list[Event]) -> Sending:
        """The packets of this tick for `slots` (ascending, all different); time goes on for these only.

        `timestamps` int64 (capacity,): what a packet of audio would carry now, in units of the event clock.
        Appends DigitSent with the last packet of a key.
        """
        if not self._busy.any():
            return NO_KEYS
        rows = np.flatnonzero(self._busy[slots])
        here = slots[rows]
        over = self._tick[here] >= self._ticks[here] + self._gap[here]
        for slot in here[over].tolist():
            self._next(slot, int(timestamps[slot]))
        tick = self._tick[here]
        self._tick[here] = tick + 1
        telling = self._busy[here] & (tick < self._ticks[here] + ENDS - 1)
        done = here[telling & (tick == self._ticks[here] + ENDS - 2)]
        events.extend(DigitSent(slot, DIGITS[self._code[slot]]) for slot in done.tolist())
        return self._packets(rows[telling], here[telling], tick[telling])

    def _next(self, slot: int, now: int) -> None:
        """The key of `slot` and its pause are over: begin another one, or rest."""
        queue = self._queues[slot]
        self._busy[slot] = bool(queue)
        if queue:
            key = queue.popleft()
            self._code[slot], self._begin[slot] = DIGITS.index(key.digit), now
            self._tick[slot], self._ticks[slot], self._gap[slot] = 0, key.ticks, key.gap

    def _packets(self, rows: Ints, slots: Ints, tick: Ints) -> Sending:
        """One packet for each of `slots`, whose keys began `tick` ticks ago."""
        ticks, step = self._ticks[slots], self._step[slots]
        elapsed = np.minimum(tick + 1, ticks) * step
        # A segment is left ENDS packets after it is full, and not for the end of the event.
        left = np.minimum(elapsed, (ticks - 1) * step) - ENDS * step
        past = np.maximum(left, 0) // SEGMENT * SEGMENT
        duration = np.minimum(elapsed - past, SEGMENT)
        payload = np.empty((len(slots), EVENT_SIZE), np.uint8)
        payload[:, 0] = self._code[slots]
        payload[:, 1] = np.where(tick + 1 >= ticks, _END | _VOLUME, _VOLUME)
        payload[:, 2], payload[:, 3] = duration >> 8, duration & 0xFF
        return Sending(rows, tick == 0, self._begin[slots] + past & 0xFFFFFFFF, payload)


def _none() -> Sending:
    none = np.empty(0, np.int64)
    return Sending(none, none.astype(np.bool_), none, np.empty((0, EVENT_SIZE), np.uint8))


NO_KEYS = _none()
"""A tick without telephone events."""
