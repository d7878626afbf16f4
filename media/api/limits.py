"""How much one connection may ask, sans-I/O: a leaky bucket, and patience with one that runs over."""

from enum import Enum

BURST_SECONDS = 2.0
"""What may come at once, in seconds of the rate."""
FLOOD_FACTOR = 5.0
"""Above so many times the rate, for FLOOD_SECONDS, it is a flood."""
FLOOD_SECONDS = 5.0

AUDIO_RATE = 4 * 32_000
"""Bytes per second: four times real time at 16 kHz, 16 bits."""
AUDIO_BURST_SECONDS = 10.0


class Verdict(Enum):
    """What becomes of something that came in."""

    TAKE = "take"
    REFUSE = "refuse"
    CUT_OFF = "cut off"


class Bucket:
    """Leaks `rate` a second and holds `capacity`; times are in seconds of any clock that does not go back."""

    def __init__(self, rate: float, capacity: float) -> None:
        self._rate = rate
        self._capacity = capacity
        self._level = 0.0
        self._at = 0.0

    def pour(self, now: float, amount: float) -> bool:
        """Pour `amount` in; whether it found room. What finds none is not in."""
        self._level = max(self._level - (now - self._at) * self._rate, 0.0)
        self._at = now
        if self._level + amount > self._capacity:
            return False
        self._level += amount
        return True


class Limiter:
    """Judges what one connection sends: `rate` a second, with a burst; a flood is cut off."""

    def __init__(self, rate: float, burst_seconds: float = BURST_SECONDS) -> None:
        self._allowed = Bucket(rate, max(rate * burst_seconds, 1.0))
        flood = rate * FLOOD_FACTOR
        self._bearable = Bucket(flood, max(flood * max(FLOOD_SECONDS, burst_seconds), 2.0))

    def judge(self, now: float, amount: float = 1.0) -> Verdict:
        """What becomes of `amount` that comes `now`."""
        if not self._bearable.pour(now, amount):
            return Verdict.CUT_OFF
        return Verdict.TAKE if self._allowed.pour(now, amount) else Verdict.REFUSE
