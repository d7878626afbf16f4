"""Speech synthesis by Tencent Cloud with one HTTPS request a text: TextToVoice.

Source: cloud.tencent.com/document/product/1073/37995, signature v1.
"""

import base64
import binascii
import random
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import ClassVar

from control.errors import ProviderError
from media.api.options import SynthesisOption
from media.speech import tencent
from media.speech.link import parse, post
from media.speech.provider import About, Context
from media.speech.sentences import Sentences
from media.speech.tencent import BASIC, SECRET_ID, SECRET_KEY, Subtitles
from media.speech.tts.base import Mark

VOICE = 501004
MAX_BYTES = 450
"""UTF-8 bytes of text in one request: 150 Chinese characters, fewer letters than the 500 that Tencent takes."""
_UNBROKEN = MAX_BYTES // 4


def portions(text: str) -> list[str]:
    """`text` in parts of at most MAX_BYTES that end where sentences do; SSML stays whole."""
    if len(text.encode()) <= MAX_BYTES or text.lstrip().startswith("<speak"):
        return [text]
    cutter = Sentences()
    found = [""]
    for sentence in [*cutter.feed(text), *cutter.flush()]:
        for piece in _short(sentence):
            if len((found[-1] + piece).encode()) <= MAX_BYTES:
                found[-1] += piece
            else:
                found.append(piece)
    return [portion for portion in found if portion]


def _short(sentence: str) -> list[str]:
    """`sentence`, cut anywhere when it is too long for a request."""
    if len(sentence.encode()) <= MAX_BYTES:
        return [sentence]
    return [sentence[at : at + _UNBROKEN] for at in range(0, len(sentence), _UNBROKEN)]


def answer(name: str, body: bytes) -> tuple[bytes, object]:
    """The audio and the subtitles of an answer. Raises ProviderError when it is a refusal, or none at all."""
    match parse(name, body):
        case {"Response": {"Error": {"Code": str(code), **error}}}:
            raise tencent.refusal(name, code, error.get("Message", ""))
        case {"Response": {"Audio": str(audio), **rest}}:
            return _decoded(name, audio), rest.get("Subtitles")
        case _:
            raise ProviderError(f"{name}: sent an answer without audio")


def _decoded(name: str, audio: str) -> bytes:
    try:
        return base64.b64decode(audio, validate=True)
    except binascii.Error:
        raise ProviderError(f"{name}: sent audio that is no base64") from None


class TencentBasic:
    """Tencent Cloud's TextToVoice: audio comes when all of a text is spoken, and no account number is needed.

    ``speaker`` is the number of a voice. ``volume`` and ``speed`` are mapped as `media.speech.tencent.tuning` says.
    ``extra`` overrides every parameter of the query. A long text goes in several requests, one after the other.
    """

    name: ClassVar[str] = "tencent_basic"
    about: ClassVar[About] = About(
        "Tencent Cloud, synthesis by one HTTPS request a text", needs=(SECRET_ID, SECRET_KEY)
    )
    streams: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self._http = context.http

    def check(self, option: SynthesisOption) -> None:
        """Raise ProviderError when a key is missing, or voice, codec or endpoint are none of Tencent's."""
        tencent.check_keys(self.name, option, *self.about.needs)
        tencent.check_synthesis(self.name, option)
        tencent.signed_url(self.name, BASIC, option, {})

    def rate(self, option: SynthesisOption, wanted: int) -> int:
        """`wanted`, or ``samplerate`` where the option has one (Hz)."""
        return tencent.rate(option, wanted)

    async def synthesise(
        self, option: SynthesisOption, texts: AsyncIterator[str], rate: int
    ) -> AsyncGenerator[bytes | Mark, None]:
        """Speak `texts`: s16le mono at `rate`, and marks of words or characters. Raises ProviderError."""
        text = "".join([part async for part in texts])
        at = spoken = 0
        for portion in portions(text) if text.strip() else []:
            audio, subtitles = answer(self.name, await self._ask(option, portion, rate))
            for mark in Subtitles(portion).marks(subtitles, shift=spoken * 1000 // (2 * rate), at=at):
                yield mark
            yield audio
            at, spoken = at + len(portion), spoken + len(audio)

    async def close(self) -> None:
        """Nothing is kept between requests."""

    async def _ask(self, option: SynthesisOption, text: str, rate: int) -> bytes:
        url = tencent.signed_url(self.name, BASIC, option, parameters(option, int(time.time()), text, rate))
        async with aclosing(post(self._http, self.name, url, method="GET")) as pieces:
            return b"".join([piece async for piece in pieces])


def parameters(option: SynthesisOption, now: int, text: str, rate: int) -> dict[str, object]:
    """The query of a request at `now` (s since 1970) for audio of `rate` Hz."""
    query: dict[str, object] = {
        "Action": "TextToVoice",
        "Version": "2019-08-23",
        "SecretId": option.secret_id,
        "Timestamp": now,
        "Nonce": random.randint(1, 2**31 - 1),  # noqa: S311 (it need not be secret, only new)
        "SessionId": str(uuid.uuid4()),
        "Text": text,
        "ModelType": 1,
        "VoiceType": option.speaker or VOICE,
        "Codec": "pcm",
        "SampleRate": rate,
        "EnableSubtitle": option.subtitle is not False,
        **tencent.tuning(option),
    }
    return query | ({"Region": option.region} if option.region else {})
