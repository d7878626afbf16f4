"""What the fake of Deepgram hears, as the messages of its ``/v1/listen``."""

from collections.abc import Iterator
from typing import Any

from tests.support.clouds.base import Ear, Said


class Hearing:
    """What one connection hears, as messages. A sentence of several words is settled in two parts."""

    def __init__(self, rate: int, request_id: str, *, noisy: bool) -> None:
        self.ear = Ear(rate)
        self._id = request_id
        self._noisy = noisy
        self._settled = 0
        self._at: int | None = None
        self._from = 0
        self._quiet = 0

    def feed(self, pcm: bytes) -> Iterator[dict[str, Any]]:
        """What `pcm` adds."""
        for said in self.ear.feed(pcm):
            self._quiet = self.ear.ms
            yield from self._messages(said)
        if self.ear.ms - self._quiet >= 1000 and self._at is None:
            self._quiet = self.ear.ms
            yield self._results([], self.ear.ms, self.ear.ms, is_final=True)

    def flush(self, **marks: bool) -> Iterator[dict[str, Any]]:
        """What is left."""
        for said in self.ear.end():
            yield from self._messages(said, **marks)

    def _messages(self, said: Said, **marks: bool) -> Iterator[dict[str, Any]]:
        words = said.text.split()[self._settled :]
        start = said.start if self._at is None else self._at
        if not said.final:
            part = len(words) > 1
            self._at = start
            yield self._results(words, start, said.end, is_final=part)
            if part:
                self._settled, self._at = len(words), said.end
            return
        marks = marks or {"speech_final": not self._noisy}
        self._settled, self._at = 0, None
        yield self._results(words, start, said.end, is_final=True, **marks)
        if self._noisy:
            yield {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": said.end / 1000}

    def _results(
        self, words: list[str], start: int, end: int, *, is_final: bool, **marks: bool
    ) -> dict[str, Any]:
        step = (end - start) / max(1, len(words)) / 1000
        sure = 0.99 if is_final else 0.75
        results = {
            "type": "Results",
            "channel_index": [0, 1],
            "start": self._from / 1000,
            "duration": (self.ear.ms - self._from) / 1000,
            "is_final": is_final,
            "speech_final": False,
            "channel": {
                "alternatives": [
                    {
                        "transcript": " ".join(words),
                        "confidence": sure if words else 0.0,
                        "words": [
                            {
                                "word": word.lower(),
                                "start": round(start / 1000 + at * step, 3),
                                "end": round(start / 1000 + (at + 1) * step, 3),
                                "confidence": sure,
                                "punctuated_word": word,
                            }
                            for at, word in enumerate(words)
                        ],
                    }
                ]
            },
            "metadata": {
                "request_id": self._id,
                "model_info": {"name": "general-nova-3", "version": "2025-04-17.21547", "arch": "nova-3"},
                "model_uuid": "40bd3654-e622-47c4-a111-63a61b23bfe8",
            },
            "from_finalize": False,
            **marks,
        }
        if is_final:
            self._from = self.ear.ms
        return results
