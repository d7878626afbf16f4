"""espeak-ng: built in, offline, no keys; robotic but quick (0.2 % of a core per voice)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import ClassVar

from control.errors import ProviderError, SpeechError
from media.api.options import SynthesisOption
from media.speech.client import SpeechClient
from media.speech.provider import About, Context
from media.speech.voice import Voice

DEFAULT_VOICE = "en-us"


class Espeak:
    """The provider ``espeak``; `speaker` is one of ``sidecall providers --voices espeak``."""

    name: ClassVar[str] = "espeak"
    about: ClassVar[About] = About("espeak-ng, built in: about 130 languages, robotic, quick; needs nothing")
    streams: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:  # noqa: ARG002 it needs nothing
        self._client = SpeechClient()
        self._started = asyncio.ensure_future(self._client.start())

    def check(self, option: SynthesisOption) -> None:
        """Whatever is asked for can be tried."""

    def rate(self, option: SynthesisOption, wanted: int) -> int:  # noqa: ARG002
        """As wanted."""
        return wanted

    async def synthesise(
        self, option: SynthesisOption, texts: AsyncIterator[str], rate: int
    ) -> AsyncGenerator[bytes, None]:
        """Speak `texts` one after another. Raises ProviderError for a voice that does not exist."""
        voice = Voice(option.speaker or DEFAULT_VOICE, option.speed, option.volume)
        try:
            await asyncio.shield(self._started)
            async for text in texts:
                async with aclosing(self._client.synthesise(text, voice, rate)) as chunks:
                    async for chunk in chunks:
                        yield chunk.tobytes()
        except SpeechError as error:
            raise ProviderError(f"espeak: {error}", error.code, retry=False) from error

    async def close(self) -> None:
        """End its process."""
        self._started.cancel()
        await asyncio.wait([self._started])
        await self._client.stop()
