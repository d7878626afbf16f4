"""What a provider of speech synthesis is."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from media.api.options import SynthesisOption
from media.speech.provider import About, Context


@dataclass(frozen=True, slots=True)
class Mark:
    """When a part of the text is spoken."""

    at: int
    """Index of its first character in all texts put together."""
    length: int
    """Characters."""
    start: int
    """When it begins: ms of the audio."""
    end: int
    """When it ends."""


class Synthesiser(Protocol):
    """A provider of speech synthesis.

    Caching, resampling, fallbacks and time-outs on silence of the provider are not its business: each call of
    `synthesise` is one piece of work there, and whatever goes wrong is raised.
    """

    name: ClassVar[str]
    about: ClassVar[About]
    streams: ClassVar[bool]
    """Whether `synthesise` speaks a text while more of it comes. To others a text that is streamed comes sentence by
    sentence, each in a call of its own."""

    def __init__(self, context: Context) -> None: ...

    def check(self, option: SynthesisOption) -> None:
        """Raise ProviderError (400, 401, 501; no retry) when `option` cannot be followed."""

    def rate(self, option: SynthesisOption, wanted: int) -> int:
        """Hz of the audio it makes: `wanted` (8000 or 16000), or else what is next above it."""

    def synthesise(
        self, option: SynthesisOption, texts: AsyncIterator[str], rate: int
    ) -> AsyncGenerator[bytes | Mark, None]:
        """Speak `texts`, which are the parts of one text: s16le mono at `rate`, in any pieces, and marks if there are.

        A header of a WAV file at the front is taken away by others. Closing the generator ends the work. Raises
        ProviderError.
        """

    async def close(self) -> None:
        """Leave nothing behind: the speech process ends."""
