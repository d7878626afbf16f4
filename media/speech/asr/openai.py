"""Speech recognition by OpenAI, or by servers with the same API."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp

from control.errors import ProviderError
from media import wav
from media.api.options import TranscriptionOption
from media.speech import openai_access as access
from media.speech.asr.base import Heard
from media.speech.asr.duplex import duplex
from media.speech.asr.endpointer import Begun, Ended, Endpointer, Spoken
from media.speech.asr.openai_option import RATE, Way, Wish, wish
from media.speech.asr.openai_realtime import Continuous, Cut, Message, Transcript, Uplink
from media.speech.link import Link, parse, post, websocket
from media.speech.provider import About, Context

WAITING = 4
"""Utterances that may wait for a request; beyond, audio is not taken."""


class OpenAi:
    """Recognition over the realtime WebSocket, or utterance by utterance (``POST /audio/transcriptions``).

    ``model`` decides: those of the vendor (``gpt-...``) are realtime, any other is asked per utterance;
    ``mode`` in ``extra`` (``realtime``, ``utterance``) decides otherwise. See `media.speech.asr.openai_option` for
    where the parameters of ``extra`` go.
    """

    name: ClassVar[str] = access.NAME
    about: ClassVar[About] = About(
        "OpenAI, or a server with the same API: realtime or per utterance", reads=(access.KEY,)
    )

    def __init__(self, context: Context) -> None:
        self._http = context.http

    def check(self, option: TranscriptionOption) -> None:
        """Raise ProviderError (400, 401; no retry) when `option` cannot be followed."""
        access.check(option)
        wish(option)

    def rate(self, option: TranscriptionOption) -> int:  # noqa: ARG002 (all take the same)
        """16000 Hz; it is made 24000 where that is wanted."""
        return RATE

    async def recognise(
        self, option: TranscriptionOption, audio: AsyncIterator[bytes]
    ) -> AsyncGenerator[Heard, None]:
        """What is understood of `audio`; one connection, or a request for each utterance. Raises ProviderError."""
        asked = wish(option)
        work = _requests if asked.way is Way.REQUEST else _realtime
        with access.discreet(option):
            async with aclosing(work(self._http, option, asked, audio)) as results:
                async for heard in results:
                    yield heard

    async def close(self) -> None:
        """Nothing is kept."""


async def _realtime(
    http: aiohttp.ClientSession, option: TranscriptionOption, asked: Wish, audio: AsyncIterator[bytes]
) -> AsyncGenerator[Heard, None]:
    # A model in the address would make it a conversation; see `openai_option` for where it goes.
    url = access.address(option, "realtime", socket=True).update_query(intent="transcription")
    async with websocket(http, access.NAME, str(url), access.headers(option)) as link:
        await _expect(link, "session.created")
        await link.send_json({"type": "session.update", "session": asked.parameters})
        await _expect(link, "session.updated")
        transcript = Transcript()
        server = asked.way is Way.SERVER_VAD
        uplink = Continuous(transcript) if server else Cut(transcript, asked.endpointing)
        messages = duplex(access.NAME, lambda: _send(link, uplink, audio), link.receive_json)
        async with aclosing(messages):
            async for message in messages:
                for heard in transcript.feed(message):
                    yield heard
                if transcript.done:
                    return


async def _expect(link: Link, kind: str) -> None:
    """Wait for a message. Raises ProviderError when an error comes in its place."""
    while (message := await link.receive_json()).get("type") != kind:
        if message.get("type") == "error":
            raise access.refusal(message.get("error"))


async def _send(link: Link, uplink: Uplink, audio: AsyncIterator[bytes]) -> None:
    async for pcm in audio:
        await _send_all(link, uplink.feed(pcm))
    await _send_all(link, uplink.end())


async def _send_all(link: Link, messages: list[Message]) -> None:
    for message in messages:
        await link.send_json(message)


@dataclass(frozen=True, slots=True)
class _Utterance:
    """What one request is made for."""

    index: int
    start: int
    end: int
    pcm: bytes


async def _requests(
    http: aiohttp.ClientSession, option: TranscriptionOption, asked: Wish, audio: AsyncIterator[bytes]
) -> AsyncGenerator[Heard, None]:
    waiting: asyncio.Queue[_Utterance | None] = asyncio.Queue(WAITING)

    async def ask() -> Heard | None:
        """The next utterance's text; None: there is none any more."""
        utterance = await waiting.get()
        return None if utterance is None else await _ask(http, option, asked, utterance)

    results = duplex(access.NAME, lambda: _cut(asked, audio, waiting), ask)
    async with aclosing(results):
        async for heard in results:
            if heard is None:
                return
            if heard.text:
                yield heard


async def _cut(asked: Wish, audio: AsyncIterator[bytes], waiting: asyncio.Queue[_Utterance | None]) -> None:
    """Put the utterances of `audio` into `waiting`, and None behind them."""
    endpointer = Endpointer(RATE, asked.endpointing)
    count, spoken = 0, bytearray()

    async def put(found: list[Begun | Spoken | Ended]) -> None:
        nonlocal count
        for item in found:
            match item:
                case Begun():
                    spoken.clear()
                case Spoken(pcm):
                    spoken.extend(pcm)
                case Ended(start, end):
                    await waiting.put(_Utterance(count, start, end, bytes(spoken)))
                    count += 1

    async for pcm in audio:
        await put(endpointer.feed(pcm))
    await put(endpointer.end())
    await waiting.put(None)


async def _ask(
    http: aiohttp.ClientSession, option: TranscriptionOption, asked: Wish, utterance: _Utterance
) -> Heard:
    url = str(access.address(option, "audio/transcriptions"))
    answer = post(http, access.NAME, url, headers=access.headers(option), data=_form(asked, utterance.pcm))
    async with aclosing(answer):
        body = b"".join([piece async for piece in answer])
    text = parse(access.NAME, body).get("text")
    if not isinstance(text, str):
        raise ProviderError(f"{access.NAME}: its answer has no text")
    return Heard(utterance.index, text.strip(), utterance.start, utterance.end, final=True)


def _form(asked: Wish, pcm: bytes) -> aiohttp.FormData:
    """The request for an utterance: a WAV file and the parameters, lists as ``key[]`` again and again."""
    form = aiohttp.FormData()
    for key, value in asked.parameters.items():
        if isinstance(value, list):
            for part in value:
                form.add_field(f"{key}[]", _field(part))
        else:
            form.add_field(key, _field(value))
    data = wav.header(RATE, 1, len(pcm) // 2) + pcm
    form.add_field("file", data, filename="speech.wav", content_type="audio/wav")
    return form


def _field(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
