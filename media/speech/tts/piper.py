"""Piper: natural voices on this machine, a pair of files each. Its package, piper-tts, is GPL-3.0 and optional.

https://github.com/OHF-Voice/piper1-gpl describes the voices: ``NAME.onnx``, and ``NAME.onnx.json`` that tells rate,
speakers and neutral length.
"""

import importlib.util
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from control.errors import ProviderError
from control.models.config import is_plain
from media.api.options import SynthesisOption
from media.speech.local.host import Host
from media.speech.provider import About, Context, extras, given
from media.speech.tts.base import Mark

ENGINE = "media.speech.tts.piper_engine:PiperEngine"
SLOWEST, FASTEST = 0.25, 4.0
NEUTRAL_VOLUME, LOUDEST = 5.0, 10.0
_SUFFIX = ".onnx"
_PHONEMES = ("espeak", "text")
"""Other ways to phonemes need packages and downloads of their own."""
_LIMITS = {
    "length_scale": (0.1, 10.0),
    "noise_scale": (0.0, 2.0),
    "noise_w_scale": (0.0, 2.0),
    "volume": (0.0, 2.0),
}
"""Numbers in ``extra``. Length and its noise decide how much memory a sentence takes."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that is installed."""

    path: Path
    rate: int
    """Hz."""
    length: float
    """Its own length_scale: neutral speed."""
    count: int
    """Speakers, from 0."""
    speakers: Mapping[str, int]
    """Those that have names."""


class Piper:
    """The provider ``piper``.

    ``model`` names the voice; without it ``speaker`` does. With both, ``speaker`` is one of the voice's own speakers,
    by name or number. ``speed`` 0.25 to 4 divides the voice's length_scale. ``volume`` 0 to 10 multiplies by 0 to 2;
    each sentence is at full scale when it is neutral (5), so more is clipped. ``extra``: noise_scale, noise_w_scale,
    length_scale, volume (a factor), speaker_id, normalize_audio, as the package has them.
    """

    name: ClassVar[str] = "piper"
    about: ClassVar[About] = About(
        "Piper, on this machine: natural voices; needs a voice (model) in speech.models, and a package (GPL-3.0)",
        package="piper",
        extra="piper",
        local=True,
    )
    streams: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self._models = context.models
        self._voices: dict[str, Voice] = {}
        self._hosts: dict[Path, Host] = {}

    def check(self, option: SynthesisOption) -> None:
        """Raise ProviderError when the package or the voice is missing, or a parameter is none."""
        if importlib.util.find_spec("piper") is None:
            raise ProviderError(
                "piper: its package is not installed: pip install 'sidecall[piper]'", 501, retry=False
            )
        parameters(option, self._voice(option))

    def rate(self, option: SynthesisOption, wanted: int) -> int:  # noqa: ARG002 a voice has one rate
        """That of the voice."""
        return self._voice(option).rate

    async def synthesise(
        self,
        option: SynthesisOption,
        texts: AsyncIterator[str],
        rate: int,  # noqa: ARG002 it is the voice's
    ) -> AsyncGenerator[bytes | Mark, None]:
        """Speak `texts`, a sentence at a time. Raises ProviderError."""
        voice = self._voice(option)
        if voice.path not in self._hosts:
            self._hosts[voice.path] = Host(self.name, ENGINE, {"voice": str(voice.path)})
        stream = self._hosts[voice.path].run(parameters(option, voice), _encoded(texts))
        async with aclosing(stream) as results:
            async for result in results:
                if isinstance(result, bytes):
                    yield result

    async def close(self) -> None:
        """End the processes."""
        for host in self._hosts.values():
            await host.close()

    def _voice(self, option: SynthesisOption) -> Voice:
        name = option.model or option.speaker
        if not name:
            raise ProviderError(
                "piper: no voice is named: set model to one in speech.models", 400, retry=False
            )
        if name not in self._voices:
            self._voices[name] = _read(find(self._models, name), name)
        return self._voices[name]


async def _encoded(texts: AsyncIterator[str]) -> AsyncIterator[bytes]:
    async for text in texts:
        yield text.encode("utf-8", "replace")


def find(models: Path, name: str) -> Path:
    """The voice `name`: NAME.onnx in `models`, or the only .onnx in its folder NAME. Raises ProviderError."""
    parts = name.removesuffix(_SUFFIX).split("/")
    if all(map(is_plain, parts)):
        path = models.joinpath(*parts)
        file = path.with_name(path.name + _SUFFIX)
        found = [file] if file.is_file() else sorted(path.glob(f"*{_SUFFIX}"))
        if len(found) == 1:
            return found[0]
    raise ProviderError(
        f"piper: there is no voice {name[:60]!r} in speech.models: fetch it (`sidecall models`), or put NAME.onnx and"
        " NAME.onnx.json there",
        404,
        retry=False,
    )


def _read(path: Path, name: str) -> Voice:
    try:
        data = path.with_name(f"{path.name}.json").read_bytes()
    except OSError as error:
        message = f"piper: the voice {name[:60]!r} has no {path.name}.json beside it ({error.strerror})"
        raise ProviderError(message, 404, retry=False) from error
    return describe(path, data)


def describe(path: Path, data: bytes) -> Voice:
    """What a voice's JSON `data` says. Raises ProviderError: 500 when it is none, 501 for phonemes of other kinds."""
    try:
        fields = json.loads(data)
        phonemes = fields.get("phoneme_type", "espeak")
        rate, count = fields["audio"]["sample_rate"], fields["num_speakers"]
        speakers = {str(name): int(number) for name, number in fields.get("speaker_id_map", {}).items()}
        length = float(fields.get("inference", {}).get("length_scale", 1.0))
        voice = Voice(path, int(rate), length, int(count), speakers)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _unusable(path, type(error).__name__) from error
    if not (4000 <= voice.rate <= 192_000 and 0.01 <= voice.length <= 100):
        raise _unusable(path, "a number is out of range")
    if phonemes not in _PHONEMES:
        message = (
            f"piper: the voice {path.name} takes phonemes of the kind {str(phonemes)[:20]!r}: not offered"
        )
        raise ProviderError(message, 501, retry=False)
    return voice


def _unusable(path: Path, why: str) -> ProviderError:
    return ProviderError(
        f"piper: {path.name}.json describes no voice ({why}): fetch it again", 500, retry=False
    )


def parameters(option: SynthesisOption, voice: Voice) -> dict[str, Any]:
    """`option` as fields of the package's SynthesisConfig. Raises ProviderError (400)."""
    chosen: dict[str, Any] = {}
    if option.model and option.speaker:
        chosen["speaker_id"] = _speaker(option.speaker, voice)
    if given(option, "speed"):
        chosen["length_scale"] = voice.length / min(FASTEST, max(SLOWEST, option.speed))
    if given(option, "volume"):
        chosen["volume"] = min(LOUDEST, max(0.0, option.volume)) / NEUTRAL_VOLUME
    return chosen | {name: _extra(name, value, voice) for name, value in extras(option).items()}


def _speaker(text: str, voice: Voice) -> int:
    if text in voice.speakers:
        return voice.speakers[text]
    if text.isascii() and text.isdigit() and int(text[:9]) < voice.count:
        return int(text)
    known = ", ".join([*voice.speakers][:20]) or f"0 to {voice.count - 1}"
    raise ProviderError(
        f"piper: the voice {voice.path.stem} has no speaker {text[:60]!r}; it has {known}", 400, retry=False
    )


def _extra(name: str, value: object, voice: Voice) -> object:
    match value:
        case bool():
            if name == "normalize_audio":
                return value
        case int() if name == "speaker_id" and 0 <= value < voice.count:
            return value
        case int() | float() if name in _LIMITS and _LIMITS[name][0] <= value <= _LIMITS[name][1]:
            return float(value)
    names = ", ".join((*_LIMITS, "speaker_id", "normalize_audio"))
    raise ProviderError(
        f"piper: extra.{name[:60]} is no parameter, or out of range; there are {names}", 400, retry=False
    )
