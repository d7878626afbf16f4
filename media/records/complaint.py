"""Trouble that lasts is told now and then, not each time."""

import logging
import time

EVERY = 60.0
"""Seconds between two lines about the same trouble."""


class Complaint:
    """One kind of trouble."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._quiet_until = 0.0

    def tell(self, message: str, *details: object) -> None:
        """Log a warning, unless one was logged less than EVERY seconds ago."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + EVERY
            self._log.warning(message, *details)
