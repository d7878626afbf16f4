"""Tones of the far end, for the detection of answering machines."""

import logging
from collections.abc import Callable

from media.api.options import TranscriptionOption
from media.engine.arrays import RATE
from media.session.feed import Feed, Tapped
from media.speech.catalogue import TONES
from media.speech.hub.wire import Heard
from media.speech.service import Speech

log = logging.getLogger(__name__)


class Toning:
    """Tells each tone: its name, begin and end in ms since the epoch."""

    def __init__(self, engine: Tapped, speech: Speech, told: Callable[[str, int, int], None]) -> None:
        self._told = told
        self._feed = Feed(engine, speech, TranscriptionOption(provider=TONES), RATE, self)

    def start(self, slot: int) -> None:
        """Listen to `slot`, which has a stream."""
        self._feed.start(slot)

    def stop(self) -> None:
        """Listen no more."""
        self._feed.stop()

    # From the speech process

    def heard(self, text: Heard) -> None:
        """There was a tone."""
        self._told(text.text, self._feed.at(text.start), self._feed.at(text.end))

    def trouble(self, message: str, code: int) -> None:
        """Something went wrong and is being mended; the bot asked for no tones and is not bothered."""
        log.info("tones: %s (%d)", message, code)

    def failed(self, message: str, code: int) -> None:
        """No tone will be heard: voice and words are enough for most decisions."""
        log.warning("tones: %s (%d)", message, code)
        self._feed.forget()

    def lost(self, message: str) -> None:
        """The speech process is gone, and will be back."""
        log.info("tones: %s", message)
        self._feed.begin()
