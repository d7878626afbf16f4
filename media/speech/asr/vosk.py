"""Streaming recognition by Vosk: a model of any language, as a folder (https://alphacephei.com/vosk/models)."""

import importlib.util
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import ClassVar

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech.asr.base import Heard
from media.speech.asr.local import heard, model_folder
from media.speech.asr.sphinx.grammar import plain
from media.speech.local.host import Host
from media.speech.provider import About, Context

ENGINE = "media.speech.asr.vosk_engine:VoskEngine"
_NAMED = {
    "digits": ["zero oh one two three four five six seven eight nine"],
    "yesno": ["yes", "no"],
}


class Vosk:
    """The provider ``vosk``. ``model`` names a folder in speech.models.

    ``grammar`` may be ``digits``, ``yesno`` or phrases, and needs a model with a dynamic graph (the small ones).
    """

    name: ClassVar[str] = "vosk"
    about: ClassVar[About] = About(
        "Vosk, on this machine: streaming recognition of many languages; needs a model in speech.models",
        package="vosk",
        local=True,
        extra="vosk",
    )

    def __init__(self, context: Context) -> None:
        self._models = context.models
        self._hosts: dict[Path, Host] = {}

    def check(self, option: TranscriptionOption) -> None:
        """Raise ProviderError: 501 without the package or with JSGF, 404 without the model."""
        if importlib.util.find_spec("vosk") is None:
            message = "vosk: its package is not installed: pip install 'sidecall[vosk]'"
            raise ProviderError(message, 501, retry=False)
        phrases(option)
        self._folder(option)

    def rate(self, option: TranscriptionOption) -> int:  # noqa: ARG002 it is told to the recogniser
        """16000."""
        return 16_000

    async def recognise(
        self, option: TranscriptionOption, audio: AsyncIterator[bytes]
    ) -> AsyncGenerator[Heard, None]:
        """What is understood; where utterances end is the model's choice. Raises ProviderError."""
        folder = self._folder(option)
        if folder not in self._hosts:
            self._hosts[folder] = Host(self.name, ENGINE, {"model": str(folder)})
        async with aclosing(heard(self._hosts[folder], {"phrases": phrases(option)}, audio)) as results:
            async for result in results:
                yield result

    async def close(self) -> None:
        """End its processes."""
        for host in self._hosts.values():
            await host.close()

    def _folder(self, option: TranscriptionOption) -> Path:
        folder = model_folder(self.name, self._models, option.model)
        if not any((folder / file).is_file() for file in ("am/final.mdl", "final.mdl")):
            message = f"vosk: the model {folder.name} holds no am/final.mdl: unpack a model of Vosk there"
            raise ProviderError(message, 404, retry=False)
        return folder


def phrases(option: TranscriptionOption) -> list[str] | None:
    """All that may be said. Raises ProviderError (501) for JSGF."""
    match option.grammar:
        case None:
            return None
        case str(name) if name.strip().lower() in _NAMED:
            return _NAMED[name.strip().lower()]
        case str():
            message = (
                f"vosk: asr.grammar may be {', '.join(_NAMED)} or a list of phrases; pocketsphinx takes JSGF"
            )
            raise ProviderError(message, 501, retry=False)
        case given:
            return [plain(phrase) for phrase in given]
