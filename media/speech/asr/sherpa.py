"""Streaming recognition by sherpa-onnx: a model of any language, as a folder of files.

https://k2-fsa.github.io/sherpa/onnx/pretrained_models/index.html lists them ("online" ones are meant: streaming
transducers, and CTC models of the kind zipformer2).
"""

import importlib.util
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import ClassVar

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech.asr.base import Heard
from media.speech.asr.local import heard, model_folder
from media.speech.local.host import Host
from media.speech.provider import About, Context

ENGINE = "media.speech.asr.sherpa_engine:SherpaEngine"
_PARTS = ("encoder", "decoder", "joiner")


class Sherpa:
    """The provider ``sherpa``. ``model`` names a folder in speech.models; ``grammar`` is not followed."""

    name: ClassVar[str] = "sherpa"
    about: ClassVar[About] = About(
        "sherpa-onnx, on this machine: streaming recognition of many languages; needs a model in speech.models",
        package="sherpa_onnx",
        local=True,
        extra="sherpa",
    )

    def __init__(self, context: Context) -> None:
        self._models = context.models
        self._hosts: dict[Path, Host] = {}

    def check(self, option: TranscriptionOption) -> None:
        """Raise ProviderError: 501 without the package or with a grammar, 404 without the model."""
        if importlib.util.find_spec("sherpa_onnx") is None:
            message = "sherpa: its package is not installed: pip install 'sidecall[sherpa]'"
            raise ProviderError(message, 501, retry=False)
        if option.grammar is not None:
            raise ProviderError("sherpa: it takes no asr.grammar; pocketsphinx does", 501, retry=False)
        files(model_folder(self.name, self._models, option.model))

    def rate(self, option: TranscriptionOption) -> int:  # noqa: ARG002 all models are for this rate
        """16000."""
        return 16_000

    async def recognise(
        self, option: TranscriptionOption, audio: AsyncIterator[bytes]
    ) -> AsyncGenerator[Heard, None]:
        """What is understood; an utterance ends after 0.7 s of silence. Raises ProviderError."""
        folder = model_folder(self.name, self._models, option.model)
        if folder not in self._hosts:
            self._hosts[folder] = Host(self.name, ENGINE, files(folder))
        async with aclosing(heard(self._hosts[folder], {}, audio)) as results:
            async for result in results:
                yield result

    async def close(self) -> None:
        """End its processes."""
        for host in self._hosts.values():
            await host.close()


def files(folder: Path) -> dict[str, str]:
    """The files of a model, by their part; of a part's files that with smaller numbers (int8) is taken.

    Raises ProviderError (404) when it is no such model.
    """
    tokens = folder / "tokens.txt"
    parts = {part: path for part in _PARTS if (path := _smallest(folder, f"*{part}*.onnx")) is not None}
    if len(parts) < len(_PARTS):
        ctc = _smallest(folder, "*ctc*.onnx") or _smallest(folder, "model*.onnx")
        parts = {} if ctc is None or parts else {"ctc": ctc}
    if not parts or not tokens.is_file():
        message = (
            f"sherpa: the model {folder.name} lacks tokens.txt, or encoder, decoder and joiner (or one CTC model) as"
            " .onnx: a streaming transducer or zipformer2 CTC model is needed"
        )
        raise ProviderError(message, 404, retry=False)
    return {"tokens": str(tokens)} | {part: str(path) for part, path in parts.items()}


def _smallest(folder: Path, pattern: str) -> Path | None:
    found = sorted(folder.glob(pattern), key=lambda path: (".int8." not in path.name, path.name))
    return found[0] if found else None
