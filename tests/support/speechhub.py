"""A speech process without a process: its server on a socket, with providers made for tests."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import numpy as np

from control.config import Settings
from control.errors import ProviderError
from media.api.options import SynthesisOption, TranscriptionOption
from media.speech.asr.base import Heard
from media.speech.catalogue import Catalogue, Entry, Kind
from media.speech.hub import wire
from media.speech.hub.client import SpeechHub
from media.speech.hub.providers import Providers
from media.speech.hub.server import Server
from media.speech.provider import About, Context
from media.speech.tts.base import Mark

WORD = 1600
"""Samples of one word of `Counter`: 100 ms."""


@dataclass
class Script:
    """What the test's providers do; shared by all of them."""

    cuts: deque[int] = field(default_factory=deque)
    """After so many bytes of audio, or pieces of speech, a connection is lost; one each."""
    refusals: deque[ProviderError] = field(default_factory=deque)
    """Raised at once by the next connections."""
    asked: list[Any] = field(default_factory=list)
    """Options, in the order of connections."""
    running: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, nothing comes back."""

    def __post_init__(self) -> None:
        self.gate.set()
        self._idle = asyncio.Event()

    @contextmanager
    def connection(self, option: object) -> Iterator[None]:
        """One connection begins, and ends."""
        self.asked.append(option)
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()

    async def idle(self) -> None:
        """Wait until no connection is left."""
        async with asyncio.timeout(10):
            while self.running:
                self._idle.clear()
                await self._idle.wait()


def counter(script: Script, called: str = "counter") -> type:
    """A recogniser that understands which samples it was sent: audio whose words are constant values.

    A text is final when the next word has begun; so the last word is settled at the end only.
    """

    class Counter:
        name: ClassVar[str] = called
        about: ClassVar[About] = About("for tests")

        def __init__(self, context: Context) -> None:
            pass

        def check(self, option: TranscriptionOption) -> None:
            if option.language == "bad":
                raise ProviderError(f"{called}: no such language", 400, retry=False)

        def rate(self, option: TranscriptionOption) -> int:
            return 16_000

        async def recognise(
            self, option: TranscriptionOption, audio: AsyncIterator[bytes]
        ) -> AsyncGenerator[Heard, None]:
            with script.connection(option):
                if script.refusals:
                    raise script.refusals.popleft()
                async for heard in self._understand(audio):
                    await script.gate.wait()
                    yield heard

        async def _understand(self, audio: AsyncIterator[bytes]) -> AsyncGenerator[Heard, None]:
            left = script.cuts.popleft() if script.cuts else None
            samples, index, start = np.zeros(0, np.int16), 0, 0
            at = 0
            async for piece in audio:
                if left is not None and (left := left - len(piece)) < 0:
                    raise ProviderError(f"{called}: cut")
                samples = np.concatenate([samples, np.frombuffer(piece, "<i2")])
                while (end := first_change(samples)) is not None:
                    at += end
                    yield Heard(index, str(samples[0]), start, at // 16, final=True)
                    index, start, samples = index + 1, at // 16, samples[end:]
                if samples.size:
                    yield Heard(index, f"{samples[0]}?", start, (at + samples.size) // 16, final=False)
            if samples.size:
                yield Heard(index, str(samples[0]), start, (at + samples.size) // 16, final=True)

        async def close(self) -> None:
            assert script.running == 0

    return Counter


def first_change(samples: np.ndarray[Any, np.dtype[np.int16]]) -> int | None:
    """Index of the first sample that differs from the one before it."""
    changes = np.flatnonzero(np.diff(samples))
    return int(changes[0]) + 1 if changes.size else None


def speller(script: Script, called: str = "speller", *, streaming: bool = False, hertz: int = 0) -> type:
    """A synthesiser that speaks each character as ten samples of its code."""

    class Speller:
        name: ClassVar[str] = called
        about: ClassVar[About] = About("for tests")
        streams: ClassVar[bool] = streaming

        def __init__(self, context: Context) -> None:
            pass

        def check(self, option: SynthesisOption) -> None:
            if option.speaker == "nobody":
                raise ProviderError(f"{called}: no such voice", 400, retry=False)

        def rate(self, option: SynthesisOption, wanted: int) -> int:
            return hertz or wanted

        async def synthesise(
            self, option: SynthesisOption, texts: AsyncIterator[str], rate: int
        ) -> AsyncGenerator[bytes | Mark, None]:
            left = script.cuts.popleft() if script.cuts else None
            with script.connection(option):
                if script.refusals:
                    raise script.refusals.popleft()
                async for text in texts:
                    for number, character in enumerate(text):
                        await script.gate.wait()
                        if left is not None and (left := left - 1) < 0:
                            raise ProviderError(f"{called}: cut")
                        yield Mark(number, 1, number, number + 1)
                        data = np.full(10, ord(character), "<i2").tobytes()
                        yield data[:7]
                        yield data[7:]

        async def close(self) -> None:
            assert script.running == 0

    return Speller


def spelled(samples: np.ndarray[Any, np.dtype[np.int16]]) -> str:
    """The text in what a speller has spoken."""
    assert samples.size % 10 == 0
    return "".join(map(chr, samples[::10]))


@asynccontextmanager
async def hub(
    folder: Path,
    settings: dict[str, Any] | None = None,
    *,
    asr: dict[str, type] | None = None,
    tts: dict[str, type] | None = None,
) -> AsyncIterator["Hub"]:
    """A speech process with these providers, and a client that is connected."""
    given = Settings.model_validate({"run_dir": folder, **(settings or {})})
    catalogue = Catalogue(given, {})
    for kind, made in ((Kind.ASR, asr or {}), (Kind.TTS, tts or {})):
        catalogue.entries.update(
            {(kind, name): Entry(kind, name, each.about, each) for name, each in made.items()}  # type: ignore[attr-defined]
        )
    place = Hub(given, catalogue)
    await place.start()
    client = place.client = SpeechHub(given.speech_socket)
    client.start()
    try:
        await place.connected()
        yield place
    finally:
        await client.stop()
        await place.stop()


class Hub:
    """The server, and how to stop and start it."""

    client: SpeechHub

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue

    async def start(self) -> None:
        self._providers = Providers(self._catalogue, lambda trusted: aiohttp.ClientSession())
        self._server = Server(self._providers, self._settings.speech.stall_seconds)
        await self._server.start(self._settings.speech_socket)

    async def stop(self) -> None:
        await self._server.close()
        await self._providers.close()

    async def connected(self) -> None:
        async with asyncio.timeout(10):
            await self.client.ready()


@dataclass
class Ears:
    """What becomes of recognised audio."""

    texts: list[wire.Heard] = field(default_factory=list)
    troubles: list[tuple[str, int]] = field(default_factory=list)
    failures: list[tuple[str, int]] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def heard(self, text: wire.Heard) -> None:
        self.texts.append(text)
        self.news.set()

    def trouble(self, message: str, code: int) -> None:
        self.troubles.append((message, code))
        self.news.set()

    def failed(self, message: str, code: int) -> None:
        self.failures.append((message, code))
        self.news.set()

    def lost(self, message: str) -> None:
        self.losses.append(message)
        self.news.set()

    @property
    def finals(self) -> list[str]:
        """Texts that do not change."""
        return [text.text for text in self.texts if text.final]

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait for something to become true."""
        async with asyncio.timeout(20):
            while not ready():
                self.news.clear()
                await self.news.wait()
