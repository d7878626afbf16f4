"""Recognition without a key and without a download: pocketsphinx, whose English model comes with its package.

With a grammar (``digits``, ``yesno``, a few phrases, JSGF) it is of use on the telephone; without one it is poor.
Figures: docs/providers/local-recognition.md. Of ``extra`` it reads ``silence`` (ms after which an utterance is over,
280) and ``confidence`` (0 to 1; what is less certain is not told, 0.3; 0 tells everything).
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import ClassVar

from control.errors import ProviderError
from control.tasks import Tasks
from media.api.options import TranscriptionOption
from media.speech.asr.base import Heard
from media.speech.asr.local import heard, number
from media.speech.asr.sphinx import grammar
from media.speech.local.host import Host
from media.speech.provider import About, Context, extras

ENGINE = "media.speech.asr.sphinx.engine:PocketsphinxEngine"
SILENCE_MS, CONFIDENCE = 280, 0.3


class Pocketsphinx:
    """The provider ``pocketsphinx``. A phrase is told as the bot wrote it, all else in words of the grammar."""

    name: ClassVar[str] = "pocketsphinx"
    about: ClassVar[About] = About(
        "on this machine, English: digits, yes/no and short menus (with `grammar`); poor without",
        package="pocketsphinx",
        local=True,
    )

    def __init__(self, context: Context) -> None:  # noqa: ARG002
        self._host = Host(self.name, ENGINE)
        self._tasks = Tasks(self.name)
        self._tasks.spawn(self._host.warm())

    def check(self, option: TranscriptionOption) -> None:
        """Raise ProviderError (400) for another language, or a grammar that is none. Words are looked up later."""
        if option.language is not None and not option.language.lower().startswith("en"):
            message = f"pocketsphinx: it knows English only, not asr.language {option.language!r}"
            raise ProviderError(message, 400, retry=False)
        if option.grammar is not None:
            grammar.parse(option.grammar)
        _parameters(option)

    def rate(self, option: TranscriptionOption) -> int:  # noqa: ARG002
        """8000: its settings are for the band of the telephone."""
        return 8000

    async def recognise(
        self, option: TranscriptionOption, audio: AsyncIterator[bytes]
    ) -> AsyncGenerator[Heard, None]:
        """What is understood; one final text for each utterance."""
        phrases: dict[str, str] = {}
        if isinstance(option.grammar, list):
            phrases = {grammar.plain(phrase): phrase for phrase in option.grammar}
        async with aclosing(heard(self._host, _parameters(option), audio)) as results:
            async for result in results:
                yield replace(result, text=phrases.get(result.text, result.text))

    async def close(self) -> None:
        """End its processes."""
        await self._tasks.close()
        await self._host.close()


def _parameters(option: TranscriptionOption) -> dict[str, object]:
    extra = extras(option)
    return {
        "grammar": option.grammar,
        "silence": number(Pocketsphinx.name, extra, "silence", SILENCE_MS, 100, 3000),
        "confidence": number(Pocketsphinx.name, extra, "confidence", CONFIDENCE, 0, 1),
    }
