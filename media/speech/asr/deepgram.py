"""Speech recognition by Deepgram: its WebSocket ``/v1/listen`` (Nova models).

Source: https://developers.deepgram.com/reference/speech-to-text/listen-streaming, and its pages on Finalize,
KeepAlive and CloseStream.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import ClassVar

from media.api.options import TranscriptionOption
from media.speech import deepgram_api as api
from media.speech.asr.base import Heard
from media.speech.asr.deepgram_transcript import State, Transcript
from media.speech.asr.duplex import duplex
from media.speech.link import Link, websocket
from media.speech.provider import About, Context, extras, given

_MODEL = "nova-3"
_OURS = ("encoding", "sample_rate", "channels", "multichannel", "callback", "callback_method")
"""Parameters that say how the audio comes and where results go."""
_UNSPACED = ("ja", "th", "zh")
"""Languages that are written without spaces between words."""
PAUSE_SECONDS = 0.5
"""Without audio, which comes every 40 ms: what was sent so far is to be understood as it is."""
KEEP_ALIVE_SECONDS = 4.0
"""Deepgram hangs up when it gets nothing for 10 s."""

FINALIZE = {"type": "Finalize"}
KEEP_ALIVE = {"type": "KeepAlive"}
CLOSE_STREAM = {"type": "CloseStream"}


class Quiet:
    """Tells what to send while no audio comes. Sans-I/O: times are seconds of any clock."""

    def __init__(self, now: float) -> None:
        self._last = now
        self._fresh = False

    def audio(self, now: float) -> None:
        """Audio is sent."""
        self._last = now
        self._fresh = True

    def due(self, now: float) -> dict[str, str] | None:
        """The message to send now, if any."""
        if self.wait(now) > 0:
            return None
        self._last = now
        fresh, self._fresh = self._fresh, False
        return FINALIZE if fresh else KEEP_ALIVE

    def wait(self, now: float) -> float:
        """Seconds until something may be due."""
        return self._last + (PAUSE_SECONDS if self._fresh else KEEP_ALIVE_SECONDS) - now


class Deepgram:
    """The provider. ``model`` is one of Deepgram's (nova-3 when absent), ``language`` its language.

    ``language`` ``auto`` asks for ``multi``. All other parameters of Deepgram can be given in ``extra``, except
    those about the form of the audio.
    """

    name: ClassVar[str] = api.NAME
    about: ClassVar[About] = About("Deepgram, speech recognition in the cloud", needs=(api.KEY,))

    def __init__(self, context: Context) -> None:
        self._http = context.http

    def check(self, option: TranscriptionOption) -> None:
        """Raise ProviderError when the key is missing or a parameter cannot be passed on."""
        api.check(option, option.model or _MODEL, _OURS)
        self._address(option)

    def rate(self, option: TranscriptionOption) -> int:
        """8000 when the option asks for it, else 16000."""
        return 8000 if given(option, "samplerate") and option.samplerate == 8000 else 16_000

    async def recognise(
        self, option: TranscriptionOption, audio: AsyncIterator[bytes]
    ) -> AsyncGenerator[Heard, None]:
        """One connection to ``/v1/listen``."""
        transcript = Transcript("" if (option.language or "").lower().startswith(_UNSPACED) else " ")
        async with websocket(self._http, api.NAME, self._address(option), api.headers(option)) as link:

            async def send() -> None:
                await _send(link, audio)
                transcript.end()
                await link.send_json(CLOSE_STREAM)

            async with aclosing(duplex(api.NAME, send, link.receive_json)) as messages:
                async for message in messages:
                    for heard in transcript.feed(message):
                        yield heard
                    if transcript.state is State.DONE:
                        return

    async def close(self) -> None:
        """Nothing stays open between calls."""

    def _address(self, option: TranscriptionOption) -> str:
        query: dict[str, object] = {
            "model": option.model or _MODEL,
            "language": "multi" if option.language == "auto" else option.language,
            "encoding": "linear16",
            "sample_rate": self.rate(option),
            "channels": 1,
            "interim_results": True,
            "endpointing": 300,
            "utterance_end_ms": 1000,
            "smart_format": True,
        }
        query.update(extras(option))
        if str(query["interim_results"]).lower() == "false":
            # Deepgram refuses it without interim results.
            query["utterance_end_ms"] = None
        return api.address(option, "ws", "/v1/listen", query)


async def _send(link: Link, audio: AsyncIterator[bytes]) -> None:
    """Send `audio` to its end, and what keeps the connection in its pauses."""
    clock = asyncio.get_running_loop().time
    quiet = Quiet(clock())
    async with _kept(link, quiet):
        async for piece in audio:
            # An empty message would end the connection.
            if piece:
                quiet.audio(clock())
                await link.send(piece)


@asynccontextmanager
async def _kept(link: Link, quiet: Quiet) -> AsyncIterator[None]:
    """Meanwhile `link` is kept alive."""
    task = asyncio.create_task(_keep(link, quiet))
    try:
        yield
    finally:
        task.cancel()
        # A connection that broke in it breaks for who sends and receives, too.
        await asyncio.gather(task, return_exceptions=True)


async def _keep(link: Link, quiet: Quiet) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(max(0.0, quiet.wait(clock())))
        if message := quiet.due(clock()):
            await link.send_json(message)
