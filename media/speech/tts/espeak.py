"""espeak-ng: built in, offline, no keys; robotic but quick (0.2 % of a core per voice)."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import ClassVar

from control.tasks import Tasks
from media.api.options import SynthesisOption
from media.speech.local.host import Host
from media.speech.provider import About, Context

DEFAULT_VOICE = "en-us"


class Espeak:
    """The provider ``espeak``: `speaker` is one of ``python -m media.speech.say --voices``.

    `speed` and `volume` are espeak's own scale times the API's: 1.0 and 5 are neutral.
    """

    name: ClassVar[str] = "espeak"
    about: ClassVar[About] = About(
        "espeak-ng, built in: about 130 languages, robotic, quick; needs nothing", local=True
    )
    streams: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:  # noqa: ARG002 it needs nothing
        self._host = Host(self.name, "media.speech.tts.espeak_engine:EspeakEngine")
        self._tasks = Tasks(self.name)
        self._tasks.spawn(self._host.warm())

    def check(self, option: SynthesisOption) -> None:
        """Whatever is asked for can be tried."""

    def rate(self, option: SynthesisOption, wanted: int) -> int:  # noqa: ARG002
        """As wanted."""
        return wanted

    async def synthesise(
        self, option: SynthesisOption, texts: AsyncIterator[str], rate: int
    ) -> AsyncGenerator[bytes, None]:
        """Speak `texts` one after another. Raises ProviderError for a voice that does not exist."""
        voice = {"speaker": option.speaker or DEFAULT_VOICE, "speed": option.speed, "volume": option.volume}
        async for text in texts:
            async with aclosing(self._host.run({"rate": rate, **voice}, _encoded(text))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, bytes):
                        yield piece

    async def close(self) -> None:
        """End its processes."""
        await self._tasks.close()
        await self._host.close()


async def _encoded(text: str) -> AsyncGenerator[bytes, None]:
    yield text.encode("utf-8", "replace")
