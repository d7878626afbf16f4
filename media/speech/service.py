"""What a session needs of the speech process."""

from collections.abc import Callable
from typing import Protocol, Self

from media.api.options import Provider, SynthesisOption, TranscriptionOption
from media.speech.hub.wire import Heard
from media.speech.voice import Samples, Word


class Synthesis(Protocol):
    """The audio of one text: an async iterator of chunks, and of words where their times are known.

    SpeechError is raised while iterating.
    """

    trouble: Callable[[str, int], None]
    """Told (message, code) of what went wrong and was mended."""

    @property
    def provider(self) -> str | None:
        """Who has spoken, once it is done."""

    def __aiter__(self) -> Self:
        """Itself."""

    async def __anext__(self) -> Samples | Word:
        """The next chunk, or when the next word is spoken."""

    def feed(self, text: str) -> None:
        """A part of a text that is streamed."""

    def end(self) -> None:
        """No part follows."""

    async def aclose(self) -> None:
        """Want no more; needed unless it was read to its end."""


class Hearer(Protocol):
    """What becomes of audio that is recognised."""

    def heard(self, text: Heard) -> None:
        """Something was understood; times in ms of the audio."""

    def trouble(self, message: str, code: int) -> None:
        """Something went wrong and is being mended."""

    def failed(self, message: str, code: int) -> None:
        """Nothing more will be understood."""

    def lost(self, message: str) -> None:
        """The speech process is gone, and will be back: ask again."""


class Recognition(Protocol):
    """Audio of one track on its way to a recogniser."""

    def audio(self, pcm: bytes) -> None:
        """More audio: s16le."""

    def voice(self, *, speaking: bool) -> None:
        """The engine hears voice begin, or that it has ended."""

    def close(self) -> None:
        """Want no more."""


class Speech(Protocol):
    """Speech recognition and synthesis."""

    def name(self, kind: str, option: Provider | None) -> str:
        """The provider that `option` means; `kind` is ``asr`` or ``tts``."""

    def check(self, kind: str, option: Provider | None) -> None:
        """Raise SpeechError (401, 501) when it is known that `option` cannot be followed."""

    def streams(self, option: SynthesisOption | None) -> bool:
        """Whether the provider speaks a text while more of it comes."""

    def synthesise(self, text: str | None, option: SynthesisOption | None, rate: int) -> Synthesis:
        """Speak `text`, or with None what is fed, as mono PCM at `rate` Hz. Raises SpeechError."""

    def listen(self, option: TranscriptionOption, rate: int, hearer: Hearer) -> Recognition:
        """Recognise audio at `rate` Hz."""
