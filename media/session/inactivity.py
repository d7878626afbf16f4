"""``inactivityTimeout``: a far end that sends no audio for too long is gone."""

import asyncio
from collections.abc import Callable

CHECK_SECONDS = 1.0


class Inactivity:
    """Looks every second whether packets came; `expired` is called once, after `seconds` without any.

    `packets` counts what came so far; None while none are expected (the far end has put us on hold).
    """

    def __init__(
        self, seconds: float, packets: Callable[[], int | None], expired: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds, self._packets, self._expired = seconds, packets, expired
        self._seen = packets()
        self._since = self._loop.time()
        self._timer = self._loop.call_later(min(CHECK_SECONDS, seconds), self._look)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        now, packets = self._loop.time(), self._packets()
        if packets is None or packets != self._seen:
            self._seen, self._since = packets, now
        left = self._since + self._seconds - now
        if left <= 0:
            self._expired()
        else:
            self._timer = self._loop.call_later(min(CHECK_SECONDS, left), self._look)
