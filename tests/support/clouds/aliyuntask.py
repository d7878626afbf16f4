"""What tasks on DashScope may ask for, and what its synthesis says: the parts of the fake that know no socket."""

import re
from collections.abc import Iterator
from typing import Any

from tests.support.clouds.base import spoken

_FUNCTIONS = {"asr": "recognition", "tts": "SpeechSynthesizer"}
FRAME = 2999
"""Bytes of one binary message of audio; odd, as a client has no right to whole samples."""
MS_PER_CHARACTER = 20
RECOGNISERS = (
    "paraformer-realtime-v1",
    "paraformer-realtime-v2",
    "paraformer-realtime-8k-v2",
    "fun-asr-realtime",
)
VOICES = {
    "cosyvoice-v1": {"longxiaochun"},
    "cosyvoice-v2": {"longyumi_v2", "longxiaochun_v2"},
    "cosyvoice-v3-flash": {"longanyang", "longyingjing_v3"},
    "cosyvoice-v3-plus": {"longanyang"},
}
_NUMBER = (int, float)
_ASR: dict[str, Any] = {
    "format": ("pcm", "wav", "mp3", "opus", "speex", "aac", "amr"),
    "sample_rate": int,
    "vocabulary_id": str,
    "disfluency_removal_enabled": bool,
    "language_hints": list,
    "semantic_punctuation_enabled": bool,
    "max_sentence_silence": range(200, 6001),
    "multi_threshold_mode_enabled": bool,
    "punctuation_prediction_enabled": bool,
    "heartbeat": bool,
    "inverse_text_normalization_enabled": bool,
}
_TTS: dict[str, Any] = {
    "text_type": ("PlainText",),
    "voice": str,
    "format": ("pcm", "wav", "mp3", "opus"),
    "sample_rate": (8000, 16_000, 22_050, 24_000, 44_100, 48_000),
    "volume": range(101),
    "rate": _NUMBER,
    "pitch": _NUMBER,
    "seed": range(65_536),
    "type": int,
    "enable_ssml": bool,
    "bit_rate": int,
    "word_timestamp_enabled": bool,
    "language_hints": list,
    "instruction": str,
    "enable_aigc_tag": bool,
}
_NEEDED = {"asr": {"format", "sample_rate"}, "tts": {"text_type", "voice", "format", "sample_rate"}}


class RefusedError(Exception):
    """The task fails: the vendor's code and words."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(code)
        self.code, self.words = code, words


def check(payload: dict[str, Any]) -> list[str]:
    """Complaints about the payload of ``run-task``. Raises RefusedError where the vendor takes no such task."""
    kind, model, given = str(payload.get("task")), str(payload.get("model")), payload.get("parameters", {})
    complaints = [] if payload["input"] == {} else ["input of run-task is not empty"]
    if payload.get("task_group") != "audio" or payload.get("function") != _FUNCTIONS.get(kind):
        raise RefusedError("InvalidParameter", "task_group, task or function is invalid")
    if model not in (RECOGNISERS if kind == "asr" else VOICES):
        raise RefusedError("ModelNotFound", f"Model not exist: {model}")
    known = _ASR if kind == "asr" else _TTS
    complaints += [f"unknown parameter {name}" for name in given if name not in known]
    for name in given.keys() & known.keys():
        if not _fits(given[name], known[name]):
            raise RefusedError("InvalidParameter", f"{name} is invalid")
    if missing := _NEEDED[kind] - set(given):
        raise RefusedError("InvalidParameter", f"Missing required parameter: {', '.join(sorted(missing))}")
    if kind == "asr" and "8k" in model and given["sample_rate"] != 8000:
        raise RefusedError("InvalidParameter", "sample_rate must be 8000")
    if kind == "tts" and given["voice"] not in VOICES[model]:
        raise RefusedError("InvalidParameter", "[tts:]Engine return error code: 418")
    if kind == "tts" and not 0.5 <= given.get("rate", 1.0) <= 2.0:
        raise RefusedError("InvalidParameter", "rate is invalid")
    return complaints


class Speech:
    """What is said of sentences, and their audio."""

    def __init__(self, parameters: dict[str, Any], *, relative: bool) -> None:
        self._rate = parameters["sample_rate"]
        self._step = int(MS_PER_CHARACTER / parameters.get("rate", 1.0))
        self._timed = parameters.get("word_timestamp_enabled", False)
        self._relative = relative
        self._index = 0
        self._ms = 0
        self._characters = 0

    def messages(self, text: str) -> Iterator[dict[str, Any] | bytes]:
        """Payloads and audio for one sentence."""
        words = self._words(text) if self._timed else []
        self._characters += weight(text)
        yield self._payload("sentence-begin", [], original_text=text)
        pcm = spoken(text, self._rate, self._step)
        for at in range(0, len(pcm), FRAME):
            yield self._payload("sentence-synthesis", words[: 1 + at // FRAME])
            yield pcm[at : at + FRAME]
        end = self._payload("sentence-end", words, original_text=text)
        yield end | {"usage": {"characters": self._characters}}
        self._index += 1
        self._ms += len(text) * self._step

    def _words(self, text: str) -> list[dict[str, Any]]:
        begin = 0 if self._relative else self._ms
        return [
            {
                "text": found[0],
                "begin_index": at,
                "end_index": at + 1,
                "begin_time": begin + found.start() * self._step,
                "end_time": begin + found.end() * self._step,
            }
            for at, found in enumerate(re.finditer(r"\S+", text))
        ]

    def _payload(self, kind: str, words: list[dict[str, Any]], **more: str) -> dict[str, Any]:
        return {"output": {"sentence": {"index": self._index, "words": words}, "type": kind, **more}}


def _fits(value: object, known: Any) -> bool:
    """Whether `value` is of a type, or in a range or tuple."""
    if isinstance(known, type) or known is _NUMBER:
        return isinstance(value, known)
    return value in known


def weight(text: str) -> int:
    """Characters as the vendor counts them."""
    return sum(2 if "\u4e00" <= character <= "\u9fff" else 1 for character in text)
