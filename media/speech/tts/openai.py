"""Speech synthesis by OpenAI, or by any server with the same ``POST /audio/speech``.

https://developers.openai.com/api/reference/resources/audio/subresources/speech
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import ClassVar

from aiohttp import JsonPayload

from control.errors import ProviderError
from media.api.options import SynthesisOption
from media.speech import openai_access as access
from media.speech.link import post
from media.speech.provider import About, Context, extras, given
from media.speech.sentences import Sentences
from media.speech.tts.base import Mark

MODEL = "gpt-4o-mini-tts"
VOICE = "alloy"
RATE = 24_000
"""Hz of OpenAI's ``pcm``: s16le, mono, no header."""
MAX_TEXT = 4096
"""Characters that one request takes."""
SLOWEST, FASTEST = 0.25, 4.0


class OpenAi:
    """Speech by ``POST /audio/speech``, which is played while it still comes.

    ``speaker`` is their ``voice``, ``speed`` (0.25 to 4, 1 neutral) the same there; ``emotion`` is told as
    ``instructions``. There is no volume. ``extra`` goes into the request: ``instructions``, or for servers of others
    ``sample_rate``, which then is the rate of what they make.
    """

    name: ClassVar[str] = access.NAME
    about: ClassVar[About] = About(
        "OpenAI, or a server with the same API: speech by HTTP", reads=(access.KEY,)
    )
    streams: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self._http = context.http

    def check(self, option: SynthesisOption) -> None:
        """Raise ProviderError (400, 401; no retry) when `option` cannot be followed."""
        access.check(option)
        if given(option, "speed") and not SLOWEST <= option.speed <= FASTEST:
            raise _refuse(f"speed must be {SLOWEST} to {FASTEST:g}, got {option.speed:g}")
        extra = extras(option)
        if extra.get("response_format", "pcm") != "pcm" or "stream_format" in extra:
            raise _refuse("extra must not choose response_format or stream_format: only pcm can be played")
        _rate(option)

    def rate(self, option: SynthesisOption, wanted: int) -> int:  # noqa: ARG002 (it makes one rate only)
        """24000 Hz, or ``sample_rate`` of ``extra``."""
        return _rate(option)

    async def synthesise(
        self,
        option: SynthesisOption,
        texts: AsyncIterator[str],
        rate: int,  # noqa: ARG002 (see `rate`)
    ) -> AsyncGenerator[bytes | Mark, None]:
        """Speak `texts` put together; one request, or several for more than MAX_TEXT characters."""
        text = "".join([part async for part in texts])
        url, headers = str(access.address(option, "audio/speech")), access.headers(option)
        with access.discreet(option):
            for piece in _pieces(text):
                answer = post(
                    self._http, self.name, url, headers=headers, data=JsonPayload(_request(option, piece))
                )
                async with aclosing(answer):
                    async for pcm in answer:
                        yield pcm

    async def close(self) -> None:
        """Nothing is kept."""


def _request(option: SynthesisOption, text: str) -> dict[str, object]:
    """The body of a request."""
    request: dict[str, object] = {
        "model": option.model or MODEL,
        "input": text,
        "voice": option.speaker or VOICE,
        "response_format": "pcm",
    }
    if given(option, "speed"):
        request["speed"] = option.speed
    if option.emotion:
        request["instructions"] = option.emotion
    return request | extras(option)


def _rate(option: SynthesisOption) -> int:
    value = extras(option).get("sample_rate", RATE)
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if type(value) is not int or not 8000 <= value <= 48_000:
        raise _refuse("sample_rate in extra must be 8000 to 48000")
    return value


def _pieces(text: str) -> Iterator[str]:
    """`text` in as few parts of whole sentences as the vendor's limit allows; none when there is nothing to say."""
    cutter, piece = Sentences(), ""
    parts = [text] if len(text) <= MAX_TEXT else [*cutter.feed(text), *cutter.flush()]
    for part in parts:
        if len(piece) + len(part) > MAX_TEXT:
            yield piece
            piece = ""
        piece += part
    if piece.strip():
        yield piece


def _refuse(what: str) -> ProviderError:
    return ProviderError(f"{access.NAME}: {what}", 400, retry=False)
