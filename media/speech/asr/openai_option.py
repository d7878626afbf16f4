"""What an option asks of OpenAI's recognition: which of its three ways, and with which parameters."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech.asr.endpointer import Endpointing
from media.speech.openai_access import NAME
from media.speech.provider import extras

LIVE = "gpt-live-transcribe"
"""Model where none is named: recognises while one speaks; only over the realtime socket."""
RECORDED = "gpt-transcribe"
"""The same for requests of one utterance."""
RATE = 16_000
"""Hz of the audio that comes from the call."""
_OWN_VAD = ("gpt-4o", "whisper")
"""Beginnings of models whose utterances the server finds. To others ``turn_detection`` is refused, or is accepted and
does nothing."""
_TRANSCRIPTION = ("language", "languages", "keywords", "prompt", "delay")
_DETECTION = ("type", "threshold", "prefix_padding_ms", "silence_duration_ms", "eagerness", "idle_timeout_ms")
_LISTS = ("languages", "keywords", "include")
_MAX_UTTERANCE_MS = 30_000


class Way(Enum):
    """How utterances get to the service."""

    SERVER_VAD = "server_vad"
    """Realtime socket; the service finds them."""
    COMMIT = "commit"
    """Realtime socket; we find them, and say when one is over."""
    REQUEST = "request"
    """We find them, and each is sent in a request of its own."""


@dataclass(frozen=True, slots=True)
class Wish:
    """An option, understood."""

    way: Way
    endpointing: Endpointing
    """Where we find the utterances."""
    parameters: dict[str, Any]
    """The session of ``session.update``; with REQUEST the fields of the form."""


def wish(option: TranscriptionOption) -> Wish:
    """What `option` asks for. Raises ProviderError (400, no retry) for parameters that make no sense."""
    extra = {key: _listed(value) if key in _LISTS else value for key, value in extras(option).items()}
    mode = extra.pop("mode", None)
    if mode not in (None, "realtime", "utterance"):
        raise _refuse("mode in extra must be realtime or utterance")
    named = str(extra.pop("model", option.model or ""))
    realtime = mode == "realtime" if mode else (named or LIVE).startswith("gpt-")
    model = named or (LIVE if realtime else RECORDED)
    way = _way(realtime, model, extra)
    detection = _detection(way, extra)
    endpointing = _endpointing(extra) if way is not Way.SERVER_VAD else Endpointing()
    described = {"model": model} | _language(option, model, extra)
    if way is Way.REQUEST:
        return Wish(way, endpointing, described | {"response_format": "json"} | extra)
    audio = {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "transcription": described | _taken(extra, _TRANSCRIPTION),
        "turn_detection": detection,
    } | _taken(extra, ("noise_reduction",))
    return Wish(way, endpointing, {"type": "transcription", "audio": {"input": audio}} | extra)


def _way(realtime: bool, model: str, extra: dict[str, Any]) -> Way:
    if not realtime:
        return Way.REQUEST
    if "turn_detection" in extra:
        return Way.SERVER_VAD if extra["turn_detection"] else Way.COMMIT
    return Way.SERVER_VAD if model.startswith(_OWN_VAD) else Way.COMMIT


def _detection(way: Way, extra: dict[str, Any]) -> dict[str, Any] | None:
    """``turn_detection``, taken out of `extra`: an object, or its parameters by themselves."""
    whole = extra.pop("turn_detection", None)
    if way is Way.SERVER_VAD:
        named = whole if isinstance(whole, dict) else {}
        parts = {key: _number(value) for key, value in _taken(extra, _DETECTION).items()}
        return {"type": "server_vad"} | named | parts
    for key in ("type", "threshold", "eagerness", "idle_timeout_ms"):
        if key in extra:
            raise _refuse(f"{key} in extra is for models with server_vad only")
    return None


def _endpointing(extra: dict[str, Any]) -> Endpointing:
    """How we cut, by the parameters of ``server_vad`` and ``max_utterance_ms``; taken out of `extra`."""
    usual = Endpointing()
    return Endpointing(
        padding=_ms(extra, "prefix_padding_ms", usual.padding, 0, 2000),
        silence=_ms(extra, "silence_duration_ms", usual.silence, 100, 5000),
        longest=_ms(extra, "max_utterance_ms", usual.longest, 1000, _MAX_UTTERANCE_MS),
    )


def _language(option: TranscriptionOption, model: str, extra: dict[str, Any]) -> dict[str, Any]:
    """ISO 639-1; newer models take a list, and refuse a message with both."""
    if not option.language or "language" in extra or "languages" in extra:
        return {}
    language = option.language.replace("_", "-").split("-")[0].lower()
    return (
        {"languages": [language]}
        if model.startswith(("gpt-live", "gpt-transcribe"))
        else {"language": language}
    )


def _ms(extra: dict[str, Any], key: str, usual: int, low: int, high: int) -> int:
    value = _number(extra.pop(key, usual))
    if type(value) is not int or not low <= value <= high:
        raise _refuse(f"{key} in extra must be {low} to {high} ms")
    return value


def _taken(extra: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: extra.pop(key) for key in keys if key in extra}


def _number(value: Any) -> Any:
    """Numbers as text become numbers: some clients have only texts in ``extra``."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _listed(value: Any) -> Any:
    """Text as a list, between commas: see `_number`."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _refuse(what: str) -> ProviderError:
    return ProviderError(f"{NAME}: {what}", 400, retry=False)
