"""Speech that is made before a call needs it: ``POST /precache``."""

import asyncio
from contextlib import aclosing

from control.errors import CommandError, SpeechError
from media.api.commands import Command, Tts
from media.engine.arrays import RATE, WIDE
from media.speech.cache import SpeechCache
from media.speech.service import Speech
from media.speech.text import clean
from media.speech.voice import Samples, Word

AT_ONCE = 2
"""Texts that are made at the same time: calls go first."""


class Precache:
    """Makes and keeps what later ``tts`` commands of the same text and option find in the cache."""

    def __init__(self, speech: Speech, cache: SpeechCache) -> None:
        self._speech = speech
        self._cache = cache
        self._room = asyncio.Semaphore(AT_ONCE)

    async def fill(self, command: Command) -> int:
        """Keep the speech of `command`, for narrow and wide calls; how long it is, ms.

        Raises CommandError for what is never cached, and SpeechError when it cannot be made.
        """
        if not isinstance(command, Tts):
            raise CommandError('only "tts" commands are cached')
        if command.streaming or command.base64:
            raise CommandError('"streaming" texts and "base64" audio are not cached')
        if not clean(command.text):
            raise CommandError('"text" holds nothing to say')
        if not self._cache.largest:
            raise CommandError('nothing is cached here: the operator has set "media.cache_bytes" to 0', 501)
        option = command.spoken(None)
        self._speech.check("tts", option)
        async with self._room:
            return max([await self._make(command, rate) for rate in (RATE, WIDE)])

    async def _make(self, command: Tts, rate: int) -> int:
        option = command.spoken(None)
        provider = self._speech.name("tts", option)
        key = self._cache.key(provider, command.text, option, rate, command.cache_key)
        samples = await self._cache.get(key)
        if samples is not None:
            return samples.size * 1000 // rate
        chunks: list[Samples] = []
        size = 0
        async with aclosing(self._speech.synthesise(command.text, option, rate)) as speech:
            async for chunk in speech:
                if isinstance(chunk, Word):
                    continue
                chunks.append(chunk)
                size += chunk.size
                if size * 2 > self._cache.largest:
                    raise SpeechError(
                        f"the speech is longer than what is cached: {self._cache.largest} bytes", 413
                    )
        if not chunks:
            raise SpeechError(f'tts provider "{provider}" made no sound of this text', 502)
        self._cache.put(key, chunks)
        return size * 1000 // rate
