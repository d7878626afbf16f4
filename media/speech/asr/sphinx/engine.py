"""The engine of `pocketsphinx`: cuts streams into utterances and decodes these; runs in a child (see `local`)."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import numpy as np

from media.speech.asr.sphinx import sound
from media.speech.asr.sphinx.decoders import Decoding, Pool
from media.speech.asr.sphinx.endpoint import FRAME_MS, LEAD_FRAMES, ONSET_WINDOW, Begun, Ended, Endpointer
from media.speech.asr.sphinx.grammar import Grammar, parse
from media.speech.asr.sphinx.utterance import Utterance
from media.speech.local.engine import Done, Engine, Parameters, Report, Settings, Told

GRAMMAR_DECODERS, LM_DECODERS = 12, 3
"""Utterances that are decoded at the same time in one process; others wait. 27 MB and 91 MB each."""
_FRAME_BYTES = 2 * 8 * FRAME_MS
_KEPT = LEAD_FRAMES + ONSET_WINDOW


class PocketsphinxEngine(Engine):
    """Parameters of a stream: ``grammar`` (as of the option, or None), ``silence`` (ms), ``confidence`` (0 to 1).

    Data is s16le at 8 kHz. Tells ``index, text, start, end, final, confidence``.
    """

    def __init__(self, settings: Settings) -> None:
        self._grammars = Pool(int(settings.get("decoders", GRAMMAR_DECODERS)), grammar=True)
        self._models = Pool(int(settings.get("lm_decoders", LM_DECODERS)), grammar=False)
        self._judge = Decoding(grammar=True)
        """Tries grammars; it is never lent, so that a bad one is refused at once."""
        self._streams: dict[int, _Stream] = {}
        self._freed = False
        """Whether a decoder was given back since the last step began."""

    @property
    def busy(self) -> bool:
        """Whether an utterance waits for a decoder, and the last step may have set one free."""
        return self._freed and any(stream.waiting for stream in self._streams.values())

    def open(self, stream: int, parameters: Parameters) -> None:
        """Begin a stream; its grammar is tried."""
        given = parameters.get("grammar")
        grammar = None if given is None else parse(given)
        pool = self._models if grammar is None else self._grammars
        if grammar is not None:
            self._judge.use(grammar)
        endpointer = Endpointer(int(parameters["silence"]))
        self._streams[stream] = _Stream(pool, grammar, endpointer, float(parameters["confidence"]))

    def data(self, stream: int, data: bytes) -> None:
        """Audio."""
        self._streams[stream].add(data)

    def finish(self, stream: int) -> None:
        """No more audio."""
        self._streams[stream].finish()

    def cancel(self, stream: int) -> None:
        """Give its decoders back."""
        self._streams.pop(stream).drop()
        self._freed = True

    def step(self) -> Iterable[Report]:
        """Decode all that there is, as far as there are decoders."""
        self._freed = False
        for number, stream in list(self._streams.items()):
            before = stream.waiting
            for fields in stream.advance():
                yield Told(number, fields)
            self._freed |= stream.waiting < before
            if stream.done:
                del self._streams[number]
                yield Done(number)


class _Stream:
    """What one stream says."""

    def __init__(self, pool: Pool, grammar: Grammar | None, endpointer: Endpointer, threshold: float) -> None:
        self._pool = pool
        self._grammar = grammar
        self._threshold = threshold
        self._endpointer = endpointer
        self._line = sound.Line()
        self._rest = b""
        self._frame = 0
        self._kept: deque[sound.Samples] = deque(maxlen=_KEPT)
        """The last frames, from which an utterance takes its beginning."""
        self._utterances: deque[Utterance] = deque()
        """Those that are not told for good; only the last one may still grow."""
        self._index = 0
        self._finished = False

    @property
    def done(self) -> bool:
        """Whether nothing will come any more."""
        return self._finished and not self._utterances

    @property
    def waiting(self) -> int:
        """Utterances that are over, and not told for good."""
        return len(self._utterances) - self._endpointer.speaking

    def add(self, data: bytes) -> None:
        """s16le, in any pieces."""
        data = self._rest + data
        whole = len(data) // _FRAME_BYTES * _FRAME_BYTES
        self._rest = data[whole:]
        samples = np.frombuffer(data, "<i2", whole // 2)
        for frame, level in zip(samples.reshape(-1, _FRAME_BYTES // 2), sound.levels(samples), strict=True):
            self._take(frame, float(level))

    def _take(self, frame: sound.Samples, level: float) -> None:
        self._kept.append(frame)
        growing = self._utterances[-1] if self._endpointer.speaking else None
        event = self._endpointer.feed(level)
        self._frame += 1
        if growing is not None:
            growing.add(frame, self._endpointer.noise)
        match event:
            case Begun(start, loud):
                utterance = Utterance(self._pool, self._grammar, self._threshold, self._line, start, loud)
                for kept in list(self._kept)[start - self._frame :]:
                    utterance.add(kept, self._endpointer.noise)
                self._utterances.append(utterance)
            case Ended(end) if growing is not None:
                growing.finish(end)

    def finish(self) -> None:
        """Nothing follows."""
        if (ended := self._endpointer.finish()) is not None:
            self._utterances[-1].finish(ended.end)
        self._finished = True

    def drop(self) -> None:
        """Nobody wants what is left."""
        for utterance in self._utterances:
            utterance.drop()

    def advance(self) -> Iterator[dict[str, object]]:
        """Decode what is there; what is to be told."""
        while self._utterances:
            utterance = self._utterances[0]
            told = False
            for understood in utterance.advance():
                told = understood.final
                yield {"index": self._index, **asdict(understood)}
            if not utterance.over:
                return
            self._utterances.popleft()
            self._index += told
