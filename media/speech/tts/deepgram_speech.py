"""How a text is given to Deepgram's synthesis, within its limits, and what the answers mean. Sans-I/O.

Source: https://developers.deepgram.com/reference/text-to-speech/speak-streaming, and its pages on flushing and
chunking.
"""

import logging
from collections import deque

from control.errors import ProviderError
from media.speech import deepgram_api as api
from media.speech.link import parse
from media.speech.sentences import Sentences

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60.0
FLUSHES = 20
"""Flush messages that a connection takes in WINDOW_SECONDS; beyond that they are ignored."""
CHARACTERS = 2400
"""Characters that a connection takes in WINDOW_SECONDS, more than twice of what is spoken in that time; beyond that
it is cut."""

FLUSH = {"type": "Flush"}
CLOSE = {"type": "Close"}


class Window:
    """How much was done in the last WINDOW_SECONDS. Times are seconds of any clock."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._done: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, now: float, amount: int) -> None:
        """So much is done."""
        self._done.append((now, amount))
        self._sum += amount

    def wait(self, now: float, amount: int) -> float:
        """Seconds until `amount` more is within the limit; what alone is beyond it waits until nothing is left."""
        while self._done and self._done[0][0] + WINDOW_SECONDS <= now:
            self._sum -= self._done.popleft()[1]
        excess, free = self._sum + amount - self._limit, now
        for at, done in self._done:
            if excess <= 0:
                break
            excess -= done
            free = at + WINDOW_SECONDS
        return free - now


class Speech:
    """One text on one connection: what to send for it, and what the answers mean. Sans-I/O.

    Deepgram speaks what it has when it is told to flush, and says when a flush is done. One flush is kept for the end
    of the text, so sentences that come too fast are flushed together.
    """

    def __init__(self) -> None:
        self._flushes = Window(FLUSHES - 1)
        self._waiting = 0
        self._unflushed = False
        self._ended = False

    @property
    def done(self) -> bool:
        """Whether all of the text was spoken, and nothing follows."""
        return self._ended and not self._waiting and not self._unflushed

    def say(self, piece: str, now: float) -> list[dict[str, str]]:
        """The messages for the next piece of the text, a sentence or so."""
        speak = {"type": "Speak", "text": piece}
        self._unflushed = self._unflushed or bool(piece.strip())
        if not self._unflushed or self._flushes.wait(now, 1) > 0:
            return [speak]
        return [speak, self._flush(now)]

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
                self._waiting = max(0, self._waiting - 1)
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
        self._flushes.add(now, 1)
        self._waiting += 1
        self._unflushed = False
        return FLUSH


def portions(text: str, most: int) -> list[str]:
    """`text` in portions of at most `most` characters, cut between sentences where there are some; none if blank."""
    sentences = Sentences()
    found = [""]
    for piece in [*sentences.feed(text), *sentences.flush()]:
        for part in (piece[at : at + most] for at in range(0, len(piece), most)):
            if len(found[-1]) + len(part) > most:
                found.append("")
            found[-1] += part
    return [portion for portion in found if portion.strip()]
