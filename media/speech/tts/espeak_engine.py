"""The child of `espeak`: texts take turns, a segment each."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from control.errors import SpeechError
from media.resampler import Resampler
from media.speech.espeak_ng import EspeakNg
from media.speech.local.engine import (
    Data,
    Done,
    Engine,
    Failed,
    Parameters,
    ProviderError,
    Report,
    Settings,
)
from media.speech.text import segments
from media.speech.voice import Samples, Synthesiser, Voice

PAUSE_SECONDS = 0.25
"""Silence between two segments of a text: the synthesiser's own pause ends with each segment."""
PIECE = 16_000
"""Bytes of audio that are sent at once."""
_NOTHING = np.zeros(0, np.int16)


@dataclass(slots=True)
class _Work:
    """A text."""

    voice: Voice
    resampler: Resampler
    text: bytearray = field(default_factory=bytearray)
    """UTF-8, so far."""
    segments: deque[str] = field(default_factory=deque)
    """What is still to be spoken."""


class EspeakEngine(Engine):
    """Settings: none. Parameters of a stream: ``rate`` and the fields of a `Voice`. What goes in is UTF-8."""

    def __init__(self, settings: Settings, synthesiser: Synthesiser | None = None) -> None:  # noqa: ARG002
        try:
            self._synthesiser = synthesiser or EspeakNg()
        except SpeechError as error:
            raise ProviderError(str(error), 500, retry=False) from error
        self._works: dict[int, _Work] = {}
        self._ready: deque[int] = deque()
        """Texts that are complete, in the order of their turns."""
        self._held: set[int] = set()

    @property
    def busy(self) -> bool:
        """Whether something may be spoken."""
        return any(stream not in self._held for stream in self._ready)

    def open(self, stream: int, parameters: Parameters) -> None:
        """Begin a text."""
        fields = dict(parameters)
        rate = fields.pop("rate")
        self._works[stream] = _Work(Voice(**fields), Resampler(self._synthesiser.sample_rate, rate))

    def data(self, stream: int, data: bytes) -> None:
        """Take a part of it."""
        self._works[stream].text += data

    def finish(self, stream: int) -> None:
        """Let it be spoken."""
        work = self._works[stream]
        work.segments.extend(segments(work.text.decode("utf-8", "replace")))
        self._ready.append(stream)

    def cancel(self, stream: int) -> None:
        """Forget it."""
        del self._works[stream]
        self._held.discard(stream)
        if stream in self._ready:
            self._ready.remove(stream)

    def hold(self, stream: int, *, held: bool) -> None:
        """Leave it out, or let it have its turn again."""
        (self._held.add if held else self._held.discard)(stream)

    def step(self) -> Iterable[Report]:
        """Speak the next segment of the next text: some 15 ms of work."""
        stream = next((stream for stream in self._ready if stream not in self._held), None)
        if stream is None:
            return
        work = self._works[stream]
        try:
            pcm = self._speak(work)
        except SpeechError as error:
            self.cancel(stream)
            yield Failed(stream, str(error), error.code, retry=False)
            return
        last = not work.segments
        if last:
            self.cancel(stream)
        else:
            self._ready.rotate(-1)
        for at in range(0, len(pcm), PIECE):
            yield Data(stream, pcm[at : at + PIECE])
        if last:
            yield Done(stream)

    def _speak(self, work: _Work) -> bytes:
        """One segment, and the pause behind it where another follows."""
        chunks: list[Samples] = []

        def put(samples: Samples) -> bool:
            chunks.append(work.resampler.push(samples))
            return True

        if work.segments:
            self._synthesiser.say(work.segments.popleft(), work.voice, put)
        if work.segments:
            put(np.zeros(round(PAUSE_SECONDS * self._synthesiser.sample_rate), np.int16))
        else:
            chunks.append(work.resampler.push(_NOTHING, last=True))
        return np.concatenate(chunks).astype("<i2", copy=False).tobytes()
