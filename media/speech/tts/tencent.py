"""Speech synthesis by Tencent Cloud, over its two WebSockets.

A text that is there as a whole goes into the address of ``/stream_ws``; one that still comes goes part by part over
``/stream_wsv2``. Sources: cloud.tencent.com/document/product/1073/94308 and /1073/108595.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, ClassVar
from urllib.parse import quote

from control.errors import ProviderError
from media.api.options import SynthesisOption
from media.speech import tencent
from media.speech.asr.duplex import duplex
from media.speech.link import Link, parse, websocket
from media.speech.provider import About, Context
from media.speech.tencent import APP_ID, ONE_SHOT, SECRET_ID, SECRET_KEY, STREAMED, Subtitles
from media.speech.tts.base import Mark

VOICE = 101001
GLANCE_SECONDS = 0.005
"""How long the end of a text is looked for behind its first part, before it counts as one that is streamed."""
MAX_IN_URL = 4000
"""Bytes of text, encoded, that go into an address; longer ones are streamed."""


class Speech:
    """What the messages of one connection mean. Sans-I/O."""

    def __init__(self, name: str, text: str = "") -> None:
        self._name = name
        self._subtitles = Subtitles(text)
        self.ready = False
        """Whether texts may be sent; ``/stream_wsv2`` only."""
        self.complete = False
        """Whether all was spoken: no message follows."""

    def add(self, text: str) -> None:
        """`text` was sent."""
        self._subtitles.add(text)

    def feed(self, message: str | bytes) -> list[bytes | Mark]:
        """What `message` adds. Raises ProviderError when it is a refusal, or nothing of this protocol."""
        if isinstance(message, bytes):
            return [message] if message else []
        match parse(self._name, message):
            case {"code": int(code), **rest} if code != 0:
                raise tencent.refusal(self._name, code, rest.get("message", ""))
            case {"code": 0, **rest}:
                return self._note(rest)
            case _:
                raise ProviderError(f"{self._name}: sent a message without a code")

    def _note(self, message: dict[str, Any]) -> list[bytes | Mark]:
        self.ready = self.ready or message.get("ready") == 1
        self.complete = message.get("final") == 1
        result = message.get("result")
        return [*self._subtitles.marks(result.get("subtitles"))] if isinstance(result, dict) else []


class Text:
    """A text that still comes: its first part, a task that waits for the second, and the rest."""

    def __init__(self, first: str, second: asyncio.Task[str | None], rest: AsyncIterator[str]) -> None:
        self.first = first
        self._second = second
        self._taken = False
        self._rest = rest

    async def is_whole(self) -> bool:
        """Whether the first part is all, and short enough for an address."""
        await asyncio.wait({self._second}, timeout=GLANCE_SECONDS)
        ended = self._second.done() and self._second.result() is None
        return ended and len(quote(self.first, safe="")) <= MAX_IN_URL

    async def following(self) -> str | None:
        """The next part; None behind the last one."""
        if self._taken:
            return await _next(self._rest)
        self._taken = True
        return await self._second

    async def close(self) -> None:
        """Wait for no more."""
        self._second.cancel()
        await asyncio.gather(self._second, return_exceptions=True)


def parameters(option: SynthesisOption, now: int, session: str, rate: int) -> dict[str, object]:
    """What both addresses have in common, at `now` (s since 1970), for audio of `rate` Hz."""
    return {
        "AppId": option.app_id,
        "SecretId": option.secret_id,
        "Timestamp": now,
        "Expired": now + tencent.VALID_SECONDS,
        "SessionId": session,
        "ModelType": 1,
        "VoiceType": option.speaker or VOICE,
        "Codec": "pcm",
        "SampleRate": rate,
        "EnableSubtitle": option.subtitle is not False,
        **tencent.tuning(option),
    }


class Tencent:
    """Tencent Cloud's synthesis over WebSockets, which speaks a text while more of it comes.

    ``speaker`` is the number of a voice. ``volume`` and ``speed`` are mapped as `media.speech.tencent.tuning` says.
    ``extra`` overrides every parameter of the query.
    """

    name: ClassVar[str] = "tencent"
    about: ClassVar[About] = About(
        "Tencent Cloud, synthesis over WebSockets", needs=(APP_ID, SECRET_ID, SECRET_KEY)
    )
    streams: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        self._http = context.http

    def check(self, option: SynthesisOption) -> None:
        """Raise ProviderError when a key is missing, or voice, codec or endpoint are none of Tencent's."""
        tencent.check_keys(self.name, option, *self.about.needs)
        tencent.check_synthesis(self.name, option)
        tencent.signed_url(self.name, ONE_SHOT, option, {})

    def rate(self, option: SynthesisOption, wanted: int) -> int:
        """`wanted`, or ``samplerate`` where the option has one (Hz)."""
        return tencent.rate(option, wanted)

    async def synthesise(
        self, option: SynthesisOption, texts: AsyncIterator[str], rate: int
    ) -> AsyncGenerator[bytes | Mark, None]:
        """Speak `texts`: s16le mono at `rate`, and marks of words or characters. Raises ProviderError."""
        first = await anext(texts, None)
        if first is None:
            return
        text = Text(first, asyncio.create_task(_next(texts)), texts)
        try:
            whole = await text.is_whole()
            if whole and not first.strip():
                return
            spoken = self._one_shot(option, first, rate) if whole else self._streamed(option, text, rate)
            async with aclosing(spoken):
                async for piece in spoken:
                    yield piece
        finally:
            await text.close()

    async def close(self) -> None:
        """Nothing is kept between connections."""

    async def _one_shot(
        self, option: SynthesisOption, text: str, rate: int
    ) -> AsyncGenerator[bytes | Mark, None]:
        query = parameters(option, int(time.time()), str(uuid.uuid4()), rate)
        query |= {"Action": "TextToStreamAudioWS", "Text": text}
        speech = Speech(self.name, text)
        url = tencent.signed_url(self.name, ONE_SHOT, option, query)
        async with websocket(self._http, self.name, url) as link:
            while not speech.complete:
                for piece in speech.feed(await link.receive()):
                    yield piece

    async def _streamed(
        self, option: SynthesisOption, text: "Text", rate: int
    ) -> AsyncGenerator[bytes | Mark, None]:
        session = str(uuid.uuid4())
        query = parameters(option, int(time.time()), session, rate) | {"Action": "TextToStreamAudioWSv2"}
        speech = Speech(self.name)
        url = tencent.signed_url(self.name, STREAMED, option, query)
        async with websocket(self._http, self.name, url) as link:
            while not speech.ready:
                speech.feed(await link.receive())
            messages = duplex(self.name, lambda: _speak(link, speech, session, text), link.receive)
            async with aclosing(messages):
                async for message in messages:
                    for piece in speech.feed(message):
                        yield piece
                    if speech.complete:
                        return


async def _speak(link: Link, speech: Speech, session: str, text: "Text") -> None:
    """Send `text` part by part, and say when it has ended."""
    part: str | None = text.first
    while part is not None:
        if part:
            speech.add(part)
            await link.send_json(_order(session, "ACTION_SYNTHESIS", part))
        part = await text.following()
    await link.send_json(_order(session, "ACTION_COMPLETE", ""))


def _order(session: str, action: str, text: str) -> dict[str, str]:
    return {"session_id": session, "message_id": str(uuid.uuid4()), "action": action, "data": text}


async def _next(texts: AsyncIterator[str]) -> str | None:
    return await anext(texts, None)
