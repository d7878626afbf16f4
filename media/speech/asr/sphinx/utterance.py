"""One utterance of a stream: its audio, the decoder that it has borrowed, and what is told of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp

import numpy as np

from media.speech.asr.sphinx import sound
from media.speech.asr.sphinx.decoders import Decoding, Hypothesis, Pool
from media.speech.asr.sphinx.endpoint import FRAME_MS
from media.speech.asr.sphinx.grammar import Grammar

DECODE_AFTER = 42
"""Frames until decoding begins, or fewer when the utterance is over: level and noise must be known for all of it."""
DELTA_EVERY = 10
"""Frames between looks at what is understood so far."""
_MIDDLE, _MIDDLE_OF_LOOP, _WIDTH = -0.0028, -0.0032, 0.0004
"""Scores of a frame: where confidence is 0.5, for a choice and for a grammar that repeats, and how steep it is there.
Chosen so that nearly all words of the grammar lie above (see bench/recognition.py)."""

COVERED, COVERED_SO_FAR = 0.25, 0.2
"""Share of what was loud that the words of a grammar must take up: noise and other words leave much of it. On a quiet
line a breath before a word is loud, too: short words take up as little as 0.36 of that."""

LONGEST_WORD_MS = 1200
"""No word lasts longer; steady noise does, as if it were one."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What is told: times in ms of the stream."""

    text: str
    start: int
    end: int
    final: bool
    confidence: float | None


class Utterance:
    """Grows by `add` until `finish`. `advance` decodes what is there, as soon as a decoder of `pool` is free."""

    def __init__(
        self, pool: Pool, grammar: Grammar | None, threshold: float, line: sound.Line, start: int, loud: int
    ) -> None:
        self._pool = pool
        self._grammar = grammar
        self._threshold = threshold
        self._line = line
        self._start = start
        self._loud = loud
        self._audio: list[sound.Samples] = []
        self._waiting = 0
        """Index in `_audio` of what is not decoded yet."""
        self._end: int | None = None
        self._noise = 1.0
        self._gain = 1.0
        self._usual = sound.usual_mean(1.0, 1.0)
        self._decoding: Decoding | None = None
        self._looked = 0
        self._told = ""
        self._rng = np.random.default_rng(1)
        self.over = False
        """Whether its final text was told, or there is none."""

    def add(self, frame: sound.Samples, noise: float) -> None:
        """The next frame of 20 ms, and what is noise now."""
        self._audio.append(frame)
        self._noise = noise

    def finish(self, end: int) -> None:
        """It is over; its last loud frame is the one before `end`."""
        self._end = end

    def drop(self) -> None:
        """Nobody wants it."""
        if self._decoding is not None:
            self._decoding.end()
            self._release(self._decoding)

    def advance(self) -> Iterator[Understood]:
        """Decode what is there."""
        if self._end is None and len(self._audio) < DECODE_AFTER:
            return
        decoding = self._decoding or self._begin()
        if decoding is not None:
            yield from self._decode(decoding)

    def _begin(self) -> Decoding | None:
        """Borrow a decoder, if there is one."""
        self._decoding = decoding = self._pool.borrow(self._grammar)
        if decoding is None:
            return None
        speech = sound.speech_level(sound.levels(np.concatenate(self._audio)), self._noise)
        self._gain = sound.gain(speech)
        self._usual = sound.usual_mean(speech, self._noise)
        decoding.begin(self._line.mean(self._usual))
        return decoding

    def _decode(self, decoding: Decoding) -> Iterator[Understood]:
        if self._waiting < len(self._audio):
            fresh = np.concatenate(self._audio[self._waiting :])
            self._waiting = len(self._audio)
            decoding.feed(sound.widened(fresh, self._gain, self._rng))
        if self._end is not None:
            hypothesis = decoding.end()
            mean = decoding.mean
            self._release(decoding)
            for understood in self._understood(hypothesis, self._end, final=True):
                self._line.learn(self._usual, mean)
                yield understood
        elif self._waiting - self._looked >= DELTA_EVERY:
            self._looked = self._waiting
            hypothesis = decoding.so_far()
            if hypothesis.text != self._told:
                yield from self._understood(hypothesis, self._start + self._waiting, final=False)

    def _understood(self, hypothesis: Hypothesis, end: int, *, final: bool) -> Iterator[Understood]:
        """`hypothesis`, if it is certain enough, and its words are what was loud."""
        sure = None
        if self._grammar is not None:
            sure = round(confidence(hypothesis.score, loop=self._grammar.loop), 3)
            covered = hypothesis.ms / ((end - self._loud) * FRAME_MS)
            least = COVERED if final else COVERED_SO_FAR
            if sure < self._threshold or covered < least or hypothesis.longest > LONGEST_WORD_MS:
                return
        if hypothesis.text:
            self._told = hypothesis.text
            yield Understood(
                hypothesis.text, self._start * FRAME_MS, end * FRAME_MS, final, sure if final else None
            )

    def _release(self, decoding: Decoding) -> None:
        self._pool.give_back(decoding)
        self._decoding = None
        self.over = True


def confidence(score: float, *, loop: bool) -> float:
    """0 to 1 for the mean score of a frame."""
    middle = _MIDDLE_OF_LOOP if loop else _MIDDLE
    return 1 / (1 + exp(min(50.0, (middle - score) / _WIDTH)))
