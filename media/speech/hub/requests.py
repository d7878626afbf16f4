"""What a worker has asked of the speech process, and is not done."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, Self

import numpy as np

from control.errors import SpeechError
from media.speech.hub import wire
from media.speech.service import Hearer
from media.speech.voice import Samples, Word

log = logging.getLogger(__name__)

CREDIT_SECONDS = 5
"""Audio that may be on its way to a worker."""


class Client(Protocol):
    """Who passes on what a request has to say."""

    def send(self, order: wire.Order) -> None:
        """Pass on `order`."""

    def cancel(self, request: int) -> None:
        """Nobody wants the rest of `request`."""


class Synthesis:
    """The audio of one text: an async iterator of chunks. Close it unless it was read to its end.

    Iterating raises SpeechError when the text cannot be spoken.
    """

    def __init__(self, client: Client, request: int, rate: int) -> None:
        self.request = request
        self.trouble: Callable[[str, int], None] = _nobody
        """Told (message, code) of what went wrong and was mended."""
        self.provider: str | None = None
        """Who has spoken, once it is done."""
        self._client = client
        self._refill = CREDIT_SECONDS * rate // 2
        self._taken = 0
        self._chunks: asyncio.Queue[Samples | Word | SpeechError | None] = asyncio.Queue()
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Samples | Word:
        if self._over:
            raise StopAsyncIteration
        item = await self._chunks.get()
        if isinstance(item, np.ndarray):
            self._take(item.size)
            return item
        if isinstance(item, Word):
            return item
        self._over = True
        if item is None:
            raise StopAsyncIteration
        raise item

    def _take(self, samples: int) -> None:
        self._taken += samples
        if self._taken >= self._refill:
            self._client.send(wire.Credit(self.request, self._taken))
            self._taken = 0

    def feed(self, text: str) -> None:
        """A part of a text that is streamed."""
        self._client.send(wire.Text(self.request, text))

    def end(self) -> None:
        """No part follows."""
        self._client.send(wire.End(self.request))

    async def aclose(self) -> None:
        """Want no more."""
        if not self._over:
            self._over = True
            self._client.cancel(self.request)
            self._chunks.put_nowait(None)

    def put(self, item: Samples | Word | SpeechError | None) -> None:
        """From the client: a chunk, when a word is spoken, why there will be no more, or None at the end."""
        self._chunks.put_nowait(item)


class Recognition:
    """Audio of one track on its way to a recogniser."""

    def __init__(self, client: Client, request: int, hearer: Hearer) -> None:
        self.request = request
        self.hearer = hearer
        self._client = client

    def audio(self, pcm: bytes) -> None:
        """More audio: s16le."""
        self._client.send(wire.Audio(self.request, pcm))

    def voice(self, *, speaking: bool) -> None:
        """The engine hears voice begin, or that it has ended."""
        self._client.send(wire.Voice(self.request, speaking))

    def close(self) -> None:
        """Want no more."""
        self._client.cancel(self.request)


def _nobody(message: str, code: int) -> None:
    """Nobody is told."""
    log.info("%s (%d)", message, code)
