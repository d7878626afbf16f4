"""What a session needs of speech synthesis."""

from typing import Protocol, Self

from media.api.options import SynthesisOption
from media.speech.voice import Samples


class Synthesis(Protocol):
    """The audio of one text: an async iterator of chunks; SpeechError is raised while iterating."""

    def __aiter__(self) -> Self:
        """Itself."""

    async def __anext__(self) -> Samples:
        """The next chunk."""

    async def aclose(self) -> None:
        """Want no more; needed unless it was read to its end."""


class Tts(Protocol):
    """A speech provider."""

    name: str
    """As in ``option.provider`` and in the keys of metrics."""

    def check(self, option: SynthesisOption | None) -> None:
        """Raise SpeechError (501 for another provider) when `option` cannot be followed."""

    def synthesise(self, text: str, option: SynthesisOption | None, sample_rate: int) -> Synthesis:
        """Speak `text` as mono PCM at `sample_rate` Hz. Raises SpeechError for options it cannot follow."""
