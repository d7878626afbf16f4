"""What a provider of speech recognition is."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from media.api.options import TranscriptionOption
from media.speech.provider import About, Context


@dataclass(frozen=True, slots=True)
class Heard:
    """What was understood of one utterance, so far or for good."""

    index: int
    """Number of the utterance on this connection, from 0; all texts of one utterance have the same."""
    text: str
    start: int
    """When it was begun: ms of the audio that went into this connection."""
    end: int
    """Up to where it goes. All audio before the end of a final text is settled: it is never sent again."""
    final: bool
    """Whether the text does not change any more."""
    confidence: float | None = None
    """0 to 1."""
    task: str | None = None
    """The provider's own name for its work."""


class Recogniser(Protocol):
    """A provider of speech recognition.

    Reconnecting, time-outs on silence of the provider, buffers and fallbacks are not its business: each call of
    `recognise` is one connection, and whatever goes wrong there is raised.
    """

    name: ClassVar[str]
    about: ClassVar[About]

    def __init__(self, context: Context) -> None: ...

    def check(self, option: TranscriptionOption) -> None:
        """Raise ProviderError (400, 401, 501; no retry) when `option` cannot be followed."""

    def rate(self, option: TranscriptionOption) -> int:
        """Hz of the audio it wants: 8000 or 16000."""

    def recognise(
        self, option: TranscriptionOption, audio: AsyncIterator[bytes]
    ) -> AsyncGenerator[Heard, None]:
        """What is understood of `audio`: s16le mono at `rate`, about 40 ms a piece, as it is spoken.

        When `audio` ends, the rest is recognised and the generator ends. One that ends before has lost its connection.
        Closing the generator ends the connection. Empty texts are left out. Raises ProviderError.
        """

    async def close(self) -> None:
        """Leave nothing behind: the speech process ends."""
