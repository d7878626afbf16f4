"""Decoders of pocketsphinx: costly in memory, so there are few, and an utterance borrows one.

With a grammar a decoder takes 27 MB, whatever the grammar is, and it is changed in a millisecond; with the language
model 91 MB.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pocketsphinx

from control.errors import ProviderError
from media.speech.asr.sphinx.grammar import Grammar
from media.speech.asr.sphinx.sound import Cepstrum

_SILENCE, _WORD = 0.5, 0.05
"""Probability of a silence between words, and of a word: the least wrong for digits over the telephone (held-out
figures: docs/providers/local-recognition.md)."""
_VARIANTS = 8
_VOWEL = "AEIOU"


_FRAME_MS = 10
"""The decoder's own."""
_FILLERS = "<[(+"
"""What names of silence and noise begin with."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a decoder understood."""

    text: str
    score: float
    """Mean of all frames, against the best sound of all; a logarithm: 0 is perfect, and words that were not said are
    far below."""
    ms: int
    """How long its words last."""
    longest: int
    """How long the longest of them lasts, in ms."""


NOTHING = Hypothesis("", -1.0, 0, 0)


class Decoding:
    """A decoder and the grammar that it has now."""

    def __init__(self, *, grammar: bool) -> None:
        given: dict[str, Any] = {"loglevel": "FATAL", "cmn": "live"}
        if grammar:
            given |= {"lm": None, "silprob": _SILENCE, "wip": _WORD}
        self._decoder = pocketsphinx.Decoder(**given)
        self._known: set[str] = set()
        self.grammar: Grammar | None = None

    def use(self, grammar: Grammar) -> None:
        """Change the grammar. Raises ProviderError (400) that names words that have no pronunciation."""
        if grammar == self.grammar:
            return
        unknown = sorted(word for word in grammar.words if self._decoder.lookup_word(word) is None)
        if unknown:
            names = ", ".join(unknown[:10])
            message = (
                f"asr.grammar: it has no pronunciation for {names}; it knows English words only, written out"
            )
            raise ProviderError(message, 400, retry=False)
        for word in grammar.words - self._known:
            self._add_variants(word)
        try:
            # Through a lattice the best path may be silence alone, which no grammar allows: it costs short words.
            # For sequences it is worth it: they are recognised better, and a cough is not taken for one.
            self._decoder.config["bestpath"] = grammar.loop
            self._decoder.add_jsgf_string("g", grammar.jsgf)
            self._decoder.activate_search("g")
        except (ValueError, RuntimeError, KeyError) as error:
            raise ProviderError(f"asr.grammar: the decoder refuses it: {error}", 400, retry=False) from error
        self.grammar = grammar

    def _add_variants(self, word: str) -> None:
        """Add how `word` sounds over the telephone."""
        self._known.add(word)
        for phones in telephone(str(self._decoder.lookup_word(word))):
            for number in range(2, _VARIANTS):
                if self._decoder.lookup_word(f"{word}({number})") is None:
                    self._decoder.add_word(f"{word}({number})", phones)
                    break

    def begin(self, mean: Cepstrum) -> None:
        """Begin an utterance; `mean` is taken from each frame."""
        self._decoder.set_cmn(",".join(f"{value:.3f}" for value in mean))
        self._decoder.start_utt()

    @property
    def mean(self) -> Cepstrum:
        """The mean, moved towards that of this utterance: 5 s of audio move it half the way."""
        return np.array([float(value) for value in str(self._decoder.get_cmn(True)).split(",")])

    def feed(self, pcm: bytes) -> None:
        """s16le at 16 kHz."""
        self._decoder.process_raw(pcm)

    def so_far(self) -> Hypothesis:
        """What was understood so far."""
        found = self._decoder.hyp()
        if found is None or not found.hypstr:
            return NOTHING
        score = float(np.log(max(found.score, 1e-300))) / max(1, self._decoder.n_frames())
        words = (segment for segment in self._decoder.seg() if segment.word[0] not in _FILLERS)
        lengths = [(word.end_frame - word.start_frame + 1) * _FRAME_MS for word in words]
        return Hypothesis(str(found.hypstr), score, sum(lengths), max(lengths, default=0))

    def end(self) -> Hypothesis:
        """End the utterance; what was understood of all of it."""
        self._decoder.end_utt()
        return self.so_far()


def telephone(phones: str) -> list[str]:
    """How a word with these phones also sounds below 3.4 kHz, where S and Z have lost what they are known by."""
    sounds = phones.split()
    found = []
    if len(sounds) > 2 and sounds[0] in ("S", "Z") and sounds[1][0] in _VOWEL:
        sounds = ["DH", *sounds[1:]]
        found.append(sounds)
    if len(sounds) > 3 and sounds[-2:] == ["K", "S"]:
        found += [sounds[:-1], [*sounds[:-1], "HH"]]
    return [" ".join(variant) for variant in found]


class Pool:
    """At most `size` decoders of one kind, made when they are needed."""

    def __init__(self, size: int, *, grammar: bool) -> None:
        self._left = size
        self._grammar = grammar
        self._free: list[Decoding] = []

    def borrow(self, grammar: Grammar | None) -> Decoding | None:
        """A decoder with this grammar; None while all are in use. Raises ProviderError for a bad grammar."""
        found = next((decoding for decoding in self._free if decoding.grammar == grammar), None)
        if found is None and self._left > 0:
            self._left -= 1
            found = Decoding(grammar=self._grammar)
            self._free.append(found)
        if found is None and self._free:
            found = self._free[0]
        if found is not None:
            if grammar is not None:
                found.use(grammar)
            self._free.remove(found)
        return found

    def give_back(self, decoding: Decoding) -> None:
        """Nobody uses it now."""
        self._free.append(decoding)
