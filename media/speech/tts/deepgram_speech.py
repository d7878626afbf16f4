"""How a text is given to Deepgram's synthesis, and what the answers mean. Sans-I/O.

Source: https://developers.deepgram.com/reference/text-to-speech/speak-streaming, and its page on flushing.
"""

import logging
from math import inf

from control.errors import ProviderError
from media.speech import deepgram_api as api
from media.speech.link import parse

log = logging.getLogger(__name__)

BURST, EVERY = 4, 4.0
"""Flushes at once, and seconds in which there is one more: no minute has more than 20, with the last one of the text.
Deepgram ignores those beyond."""

FLUSH = {"type": "Flush"}
CLOSE = {"type": "Close"}


class Flushes:
    """When a flush is within the limit. Times are seconds of any clock."""

    def __init__(self) -> None:
        self._full = -inf
        """When there will be BURST again."""

    def wait(self, now: float) -> float:
        """Seconds until there is one."""
        return max(0.0, self._full - (BURST - 1) * EVERY - now)

    def take(self, now: float) -> None:
        """One is sent."""
        self._full = max(self._full, now) + EVERY


class Speech:
    """One text on one connection.

    Deepgram speaks what it has when it is told to flush, and says when a flush is done. Parts that come too fast for
    the limit are flushed together.
    """

    def __init__(self) -> None:
        self._flushes = Flushes()
        self._owed = 0
        """Flushes that were not answered."""
        self._unflushed = False
        self._ended = False

    @property
    def done(self) -> bool:
        """Whether all of the text was spoken, and nothing follows."""
        return self._ended and not self._owed and not self._unflushed

    def say(self, part: str, now: float) -> list[dict[str, str]]:
        """The messages for the next part of the text, a clause or more."""
        if not part.strip():
            return []
        self._unflushed = True
        # Between parts there is a space, also where two are flushed together.
        return [{"type": "Speak", "text": f"{part.rstrip()} "}, *self.due(now)]

    def wait(self, now: float) -> float | None:
        """Seconds until something is `due`; None when nothing will be."""
        return self._flushes.wait(now) if self._unflushed else None

    def due(self, now: float) -> list[dict[str, str]]:
        """The messages that may be sent by now."""
        return [self._flush(now)] if self.wait(now) == 0 else []

    def end(self, now: float) -> list[dict[str, str]]:
        """The messages for the end of the text."""
        self._ended = True
        if self._unflushed:
            return [self._flush(now)]
        return [CLOSE] if self.done else []

    def feed(self, message: str | bytes) -> bytes:
        """The audio that `message` brings, if any. Raises ProviderError."""
        if isinstance(message, bytes):
            return message
        match said := parse(api.NAME, message):
            case {"type": "Flushed"}:
                self._owed = max(0, self._owed - 1)
            case {"type": "Error"} | {"err_msg": _}:
                raise api.refusal(said)
            case {"type": "Warning"}:
                log.warning("%s warns: %s", api.NAME, said.get("description") or said.get("warn_msg"))
            case {"type": str()}:
                pass
            case _:
                raise ProviderError(f"{api.NAME}: sent a message without a type")
        return b""

    def _flush(self, now: float) -> dict[str, str]:
        self._flushes.take(now)
        self._owed += 1
        self._unflushed = False
        return FLUSH
