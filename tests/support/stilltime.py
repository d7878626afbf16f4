"""Time that stands still until a test moves it: the loop's and the wall clock's together."""

import asyncio


class StillTime:
    """Replaces the time of an event loop; `now_ms` is to be put in the place of the wall clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        began = loop.time()
        self._ahead = 0.0
        loop.time = lambda: began + self._ahead  # type: ignore[method-assign]
        # In debug mode a step that lets time pass would count as a slow one.
        loop.slow_callback_duration = float("inf")

    def now_ms(self) -> int:
        """Milliseconds since an epoch of its own."""
        return 1_000_000 + round(self._ahead * 1000)

    async def advance(self, ms: float) -> None:
        """Let `ms` pass; timers go off, and what they started gets as far as it can without waiting."""
        self._ahead += ms / 1000
        for _ in range(6):
            await asyncio.sleep(0)
