"""Speech synthesis by Deepgram (Aura voices): a text that is whole by one request, one that grows by WebSocket.

Source: https://developers.deepgram.com/reference/text-to-speech/speak-request and .../speak-streaming, and its page
on voice controls.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import ClassVar

from control.errors import ProviderError
from media.api.options import SynthesisOption
from media.speech import deepgram_api as api
from media.speech.asr.duplex import duplex
from media.speech.link import Link, post, websocket
from media.speech.provider import About, Context, extras, given
from media.speech.tts.base import Mark
from media.speech.tts.deepgram_speech import Speech

_VOICES = {
    "de": "aura-2-viktoria-de",
    "en": "aura-2-thalia-en",
    "es": "aura-2-celeste-es",
    "fr": "aura-2-agathe-fr",
    "it": "aura-2-livia-it",
    "ja": "aura-2-izanami-ja",
    "nl": "aura-2-rhea-nl",
}
"""The voice for a language, where none is named."""
_OURS = ("encoding", "sample_rate", "container", "bit_rate", "callback", "callback_method")
"""Parameters that say how the audio comes, and where to."""
SLOWEST, FASTEST = 0.7, 1.5
_RATES = (8000, 16_000, 24_000, 32_000, 48_000)


class Texts:
    """The parts of a text, which can be waited for without disturbing who makes them."""

    def __init__(self, texts: AsyncIterator[str]) -> None:
        self._texts = texts
        self._coming: asyncio.Task[str | None] | None = None
        self._seen: deque[str | None] = deque()

    async def whole(self) -> str | None:
        """The text, when it is known already that there is no second part; else None. Waits for the first part."""
        first = await self.next(None)
        if first is None:
            return ""
        try:
            # No time passes: only an end that is there already is seen.
            second = await self.next(0)
        except TimeoutError:
            self._seen.append(first)
            return None
        if second is None:
            return first
        self._seen.extend((first, second))
        return None

    async def next(self, seconds: float | None) -> str | None:
        """The next part, None at the end. Raises TimeoutError when none comes in `seconds`."""
        if self._seen:
            return self._seen.popleft()
        if self._coming is None:
            self._coming = asyncio.create_task(_next_of(self._texts))
        await asyncio.wait({self._coming}, timeout=seconds)
        if not self._coming.done():
            raise TimeoutError
        coming, self._coming = self._coming, None
        return coming.result()

    async def close(self) -> None:
        """Wait for nothing any more."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)


class Deepgram:
    """The provider. ``speaker`` (or ``model``) is the voice, such as ``aura-2-thalia-en``; else ``language`` chooses.

    ``speed`` goes from 0.7 to 1.5, and values beyond count as these. Deepgram has no ``volume``, no ``emotion`` and
    no times of words. All other parameters can be given in ``extra``, except those about the form of the audio.
    """

    name: ClassVar[str] = api.NAME
    about: ClassVar[About] = About("Deepgram, speech synthesis in the cloud", needs=(api.KEY,))
    streams: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        self._http = context.http

    def check(self, option: SynthesisOption) -> None:
        """Raise ProviderError when the key is missing, or there is no voice, or a parameter cannot be passed on."""
        api.check(option, _voice(option), _OURS)
        self._address(option, "http", _RATES[0])

    def rate(self, option: SynthesisOption, wanted: int) -> int:  # noqa: ARG002 (the protocol's signature)
        """`wanted`, or the next rate that there is."""
        return next((rate for rate in _RATES if rate >= wanted), _RATES[-1])

    async def synthesise(
        self, option: SynthesisOption, texts: AsyncIterator[str], rate: int
    ) -> AsyncGenerator[bytes | Mark, None]:
        """A request for a text that is whole at once, a connection to ``/v1/speak`` for any other."""
        parts = Texts(texts)
        try:
            whole = await parts.whole()
            spoken = (
                self._stream(option, parts, rate) if whole is None else self._request(option, whole, rate)
            )
            async with aclosing(spoken):
                async for pcm in spoken:
                    yield pcm
        finally:
            await parts.close()

    async def close(self) -> None:
        """Nothing stays open between calls."""

    async def _request(self, option: SynthesisOption, text: str, rate: int) -> AsyncGenerator[bytes, None]:
        if not text.strip():
            return
        url = self._address(option, "http", rate, container="none")
        headers = {**api.headers(option), "Content-Type": "application/json"}
        async with aclosing(
            post(self._http, api.NAME, url, headers=headers, data=json.dumps({"text": text}))
        ) as answer:
            async for pcm in answer:
                yield pcm

    async def _stream(self, option: SynthesisOption, texts: Texts, rate: int) -> AsyncGenerator[bytes, None]:
        speech = Speech()
        url = self._address(option, "ws", rate)
        async with websocket(self._http, api.NAME, url, api.headers(option)) as link:

            async def receive() -> str | bytes:
                try:
                    return await link.receive()
                except ProviderError:
                    if speech.done:
                        # It hangs up, as it was told to: all was spoken when the text ended.
                        return b""
                    raise

            async with aclosing(duplex(api.NAME, lambda: _send(link, speech, texts), receive)) as messages:
                async for message in messages:
                    if pcm := speech.feed(message):
                        yield pcm
                    if speech.done:
                        return

    def _address(self, option: SynthesisOption, scheme: str, rate: int, **further: str) -> str:
        query = {"model": _voice(option), "encoding": "linear16", "sample_rate": rate, **further}
        speed = min(max(option.speed, SLOWEST), FASTEST) if given(option, "speed") else 1.0
        if speed != 1.0:
            query["speed"] = f"{speed:g}"
        query.update(extras(option))
        return api.address(option, scheme, "/v1/speak", query)


async def _send(link: Link, speech: Speech, texts: Texts) -> None:
    """Send the text, part by part."""
    clock = asyncio.get_running_loop().time
    part: str | None = ""
    while part is not None:
        try:
            part = await texts.next(speech.wait(clock()))
        except TimeoutError:
            messages = speech.due(clock())
        else:
            messages = speech.end(clock()) if part is None else speech.say(part, clock())
        for message in messages:
            await link.send_json(message)


async def _next_of(texts: AsyncIterator[str]) -> str | None:
    return await anext(texts, None)


def _voice(option: SynthesisOption) -> str:
    """The voice to speak with. Raises ProviderError (501) when none is named and none is known for the language."""
    named = option.speaker or option.model
    if named:
        return named
    voice = _VOICES.get((option.language or "en").lower().split("-")[0].split("_")[0])
    if voice is None:
        raise ProviderError(
            f"{api.NAME}: no voice for language {option.language}: name one in speaker", 501, retry=False
        )
    return voice
