"""The engine of `vosk`: one model, a recogniser for each stream; runs in a child (see `local`)."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import vosk

from media.speech.local.engine import Done, Engine, Parameters, Report, Settings, Told

RATE = 16_000
_UNKNOWN = "[unk]"


class VoskEngine(Engine):
    """Settings: ``model``, a folder. Parameters of a stream: ``phrases``, all that may be said, or None.

    Data is s16le at 16 kHz. Tells ``index, text, start, end, final, confidence``.
    """

    def __init__(self, settings: Settings) -> None:
        vosk.SetLogLevel(-1)
        self._model = vosk.Model(settings["model"])
        self._streams: dict[int, _Stream] = {}

    @property
    def busy(self) -> bool:
        """Never: each step decodes all that there is."""
        return False

    def open(self, stream: int, parameters: Parameters) -> None:
        """Begin a stream."""
        phrases = parameters.get("phrases")
        limits = () if phrases is None else (json.dumps([*phrases, _UNKNOWN]),)
        self._streams[stream] = _Stream(vosk.KaldiRecognizer(self._model, RATE, *limits))

    def data(self, stream: int, data: bytes) -> None:
        """Audio."""
        self._streams[stream].audio += data

    def finish(self, stream: int) -> None:
        """No more audio."""
        self._streams[stream].finished = True

    def cancel(self, stream: int) -> None:
        """Forget the stream."""
        del self._streams[stream]

    def step(self) -> Iterable[Report]:
        """Decode all that there is, one stream after the other: Vosk has no batches on a CPU."""
        for number, stream in list(self._streams.items()):
            for fields in stream.advance():
                yield Told(number, fields)
            if stream.finished:
                del self._streams[number]
                yield Done(number)


class _Stream:
    """One stream."""

    def __init__(self, recogniser: Any) -> None:
        recogniser.SetWords(True)
        self._recogniser = recogniser
        self.audio = bytearray()
        self.finished = False
        self._bytes = 0
        self._index = 0
        self._begin = 0
        self._text = ""

    @property
    def _now(self) -> int:
        return self._bytes * 1000 // (2 * RATE)

    def advance(self) -> Iterator[dict[str, Any]]:
        """Decode what is there; what is to be told."""
        whole = len(self.audio) // 2 * 2
        if whole:
            data = bytes(self.audio[:whole])
            del self.audio[:whole]
            self._bytes += whole
            if self._recogniser.AcceptWaveform(data):
                yield from self._final(self._recogniser.Result())
            else:
                yield from self._partial(self._recogniser.PartialResult())
        if self.finished:
            yield from self._final(self._recogniser.FinalResult())

    def _partial(self, result: str) -> Iterator[dict[str, Any]]:
        text = plain(json.loads(result).get("partial", ""))
        if text and text != self._text:
            self._text = text
            yield {"index": self._index, "text": text, "start": self._begin, "end": self._now, "final": False}

    def _final(self, result: str) -> Iterator[dict[str, Any]]:
        fields = final(json.loads(result), self._begin, self._now)
        self._begin, self._text = self._now, ""
        if fields is not None:
            yield {"index": self._index} | fields
            self._index += 1


def plain(text: str) -> str:
    """`text` without what Vosk did not understand."""
    return " ".join(word for word in text.split() if word != _UNKNOWN)


def final(result: dict[str, Any], begin: int, now: int) -> dict[str, Any] | None:
    """What is told of a result of Vosk; None when there is no word in it. Times of words count from the first audio."""
    text = plain(result.get("text", ""))
    if not text:
        return None
    words = [word for word in result.get("result", ()) if word["word"] != _UNKNOWN]
    if not words:
        return {"text": text, "start": begin, "end": now, "final": True}
    start, end = round(1000 * words[0]["start"]), round(1000 * words[-1]["end"])
    sure = sum(word["conf"] for word in words) / len(words)
    return {"text": text, "start": start, "end": min(end, now), "final": True, "confidence": round(sure, 3)}
