"""Speech recognition by Tencent Cloud, over its real-time WebSocket.

Source: cloud.tencent.com/document/product/1093/48982.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, ClassVar

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech.asr.base import Heard
from media.speech.asr.duplex import duplex
from media.speech.link import Link, websocket
from media.speech.provider import About, Context
from media.speech.tencent import (
    APP_ID,
    SECRET_ID,
    SECRET_KEY,
    VALID_SECONDS,
    check_keys,
    recognition,
    refusal,
    signed_url,
)

MODEL = "16k_zh_en"
NARROW = "8k_"
"""How the names of models for telephone audio begin."""
FAST = 2.0
"""Seconds of audio sent in a second where there is a backlog; Tencent refuses more than 3 (code 4000)."""
AHEAD = 0.5
"""Seconds of audio that may go out at once."""
_FINAL = 2
"""``slice_type`` of a text that does not change any more."""


class Transcript:
    """What the messages of one connection mean. Sans-I/O."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.complete = False
        """Whether all audio was recognised: no message follows."""

    def feed(self, message: dict[str, Any]) -> list[Heard]:
        """What `message` adds. Raises ProviderError when it is a refusal, or nothing of this protocol."""
        match message:
            case {"code": int(code)} if code != 0:
                raise refusal(self._name, code, message.get("message", ""))
            case {"code": 0}:
                self.complete = message.get("final") == 1
                result = message.get("result")
                return self._heard(result, message.get("voice_id")) if isinstance(result, dict) else []
            case _:
                raise ProviderError(f"{self._name}: sent a message without a code")

    def _heard(self, result: dict[str, Any], voice: object) -> list[Heard]:
        match result:
            case {
                "slice_type": int(kind),
                "index": int(index),
                "start_time": int(start),
                "end_time": int(end),
                "voice_text_str": str(text),
            }:
                task = voice if isinstance(voice, str) else None
                return [Heard(index, text, start, end, kind == _FINAL, task=task)] if text.strip() else []
            case _:
                raise ProviderError(f"{self._name}: sent a result without text, index or times")


class Pace:
    """How fast audio may go out: AHEAD at once, then FAST times as fast as it was spoken. Sans-I/O."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ahead = 0.0
        self._last = clock()

    def wait(self, seconds: float) -> float:
        """How many seconds to wait before the next piece, when one of `seconds` has just gone out."""
        now = self._clock()
        self._ahead = max(0.0, self._ahead - (now - self._last) * FAST) + seconds
        self._last = now
        return max(0.0, self._ahead - AHEAD) / FAST


def parameters(option: TranscriptionOption, now: int, voice: str) -> dict[str, object]:
    """The query of a connection at `now` (s since 1970) whose audio is called `voice`."""
    return {
        "secretid": option.secret_id,
        "timestamp": now,
        "expired": now + VALID_SECONDS,
        "nonce": now,
        "engine_model_type": option.model or MODEL,
        "voice_id": voice,
        "voice_format": 1,
        "needvad": 1,
        "vad_silence_time": 700,
        "filter_modal": 0,
        "filter_punc": 0,
        "convert_num_mode": 1,
        "word_info": 1,
        "max_speak_time": 60_000,
    }


class Tencent:
    """Tencent Cloud's real-time recognition.

    ``model`` is its ``engine_model_type``; those that begin with ``8k_`` are for telephones and get 8 kHz. ``extra``
    overrides every parameter of the query.
    """

    name: ClassVar[str] = "tencent"
    about: ClassVar[About] = About(
        "Tencent Cloud, real-time recognition over a WebSocket", needs=(APP_ID, SECRET_ID, SECRET_KEY)
    )

    def __init__(self, context: Context) -> None:
        self._http = context.http

    def check(self, option: TranscriptionOption) -> None:
        """Raise ProviderError when a key is missing or the endpoint is none."""
        check_keys(self.name, option, *self.about.needs)
        self._url(option, "")

    def rate(self, option: TranscriptionOption) -> int:
        """8000 for models of telephone audio, else 16000 (Hz)."""
        extra = option.extra or {}
        model = str(extra.get("engine_model_type") or option.model or MODEL)
        narrow = model.startswith(NARROW) or str(extra.get("input_sample_rate")) == "8000"
        return 8000 if narrow else 16_000

    async def recognise(
        self, option: TranscriptionOption, audio: AsyncIterator[bytes]
    ) -> AsyncGenerator[Heard, None]:
        """What is understood of `audio` (s16le mono at `rate`): one connection. Raises ProviderError."""
        transcript = Transcript(self.name)
        async with websocket(self._http, self.name, self._url(option, str(uuid.uuid4()))) as link:
            transcript.feed(await link.receive_json())
            messages = duplex(self.name, lambda: _speak(link, audio, self.rate(option)), link.receive_json)
            async with aclosing(messages):
                async for message in messages:
                    for heard in transcript.feed(message):
                        yield heard
                    if transcript.complete:
                        return

    async def close(self) -> None:
        """Nothing is kept between connections."""

    def _url(self, option: TranscriptionOption, voice: str) -> str:
        query = parameters(option, int(time.time()), voice)
        return signed_url(self.name, recognition(option.app_id or ""), option, query)


async def _speak(link: Link, audio: AsyncIterator[bytes], rate: int) -> None:
    """Send `audio` no faster than Tencent takes it, and say when it has ended."""
    pace = Pace(time.monotonic)
    async for piece in audio:
        if piece:
            await link.send(piece)
            if (wait := pace.wait(len(piece) / (2 * rate))) > 0:
                await asyncio.sleep(wait)
    await link.send_json({"type": "end"})
