"""How much one connection may ask, sans-I/O: a leaky bucket, and patience with one that runs over."""

from enum import Enum

BURST_SECONDS = 2.0
"""What may come at once, in seconds of the rate."""
FLOOD_FACTOR = 5.0
FLOOD_SECONDS = 5.0
"""Who sends FLOOD_FACTOR times the rate for so long is cut off; who sends more, sooner."""

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
        level = self._level - (now - self._at) * self._rate
        level = amount if level < 0 else level + amount
        self._at = now
        fits = level <= self._capacity
        self._level = level if fits else level - amount
        return fits


class Limiter:
    """Judges what one connection sends: `rate` a second, with a burst; a flood is cut off."""

    def __init__(self, rate: float, burst_seconds: float = BURST_SECONDS) -> None:
        self._allowed = Bucket(rate, max(rate * burst_seconds, 1.0))
        excess = rate * (FLOOD_FACTOR - 1)
        self._bearable = Bucket(excess, max(excess * FLOOD_SECONDS, 1.0))
        """What was refused."""

    def judge(self, now: float, amount: float = 1.0) -> Verdict:
        """What becomes of `amount` that comes `now`."""
        if self._allowed.pour(now, amount):
            return Verdict.TAKE
        return Verdict.REFUSE if self._bearable.pour(now, amount) else Verdict.CUT_OFF
