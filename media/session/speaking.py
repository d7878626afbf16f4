"""Speech for a play: from the cache or a provider, and how long that took."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic

from media.api import events
from media.api.options import SynthesisOption
from media.session.clock import now_ms
from media.session.play import Play, Source
from media.speech.cache import SpeechCache
from media.speech.speaking import Tts
from media.speech.voice import Samples


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks the texts of a command, and where it is told how long that took."""

    tts: Tts
    cache: SpeechCache
    option: SynthesisOption | None
    name: str | None
    """The bot's own name of what it says, for the cache."""
    send: Callable[[events.Event], None]

    def speak(self, play: Play, text: str) -> Source:
        """A source of `text` in `play`. A streamed one is not cached: it hardly ever comes again."""
        timing = _Timing(self, play, len(text), None if play.streaming else play.commands - 1)
        return lambda rate: self._spoken(text, rate, timing)

    @property
    def provider(self) -> str:
        """As in the keys of metrics."""
        return (self.option.provider if self.option else None) or self.tts.name

    async def _spoken(self, text: str, rate: int, timing: "_Timing") -> AsyncGenerator[Samples, None]:
        key = None
        if timing.number is not None and self.cache.largest:
            key = self.cache.key(self.provider, text, self.option, rate, self.name)
            if (samples := await self.cache.get(key)) is not None:
                timing.chunk(samples)
                yield samples
                timing.done(cached=True)
                return
        kept: list[Samples] = []
        async with aclosing(self.tts.synthesise(text, self.option, rate)) as chunks:
            async for chunk in chunks:
                timing.chunk(chunk)
                if key is not None:
                    kept.append(chunk)
                    if timing.bytes > self.cache.largest:
                        key = None
                        kept.clear()
                yield chunk
        timing.done(cached=False)
        if key is not None and kept:
            self.cache.put(key, kept)


@dataclass(slots=True)
class _Timing:
    """One synthesis, from the command on."""

    voice: Voice
    play: Play
    length: int
    """Characters."""
    number: int | None
    """Of the command in the play; None when it is streamed."""
    bytes: int = 0
    _asked: float = field(default_factory=monotonic)
    _first: int | None = None

    def chunk(self, samples: Samples) -> None:
        """Audio has come."""
        self.bytes += samples.nbytes
        if self._first is None:
            self._first = self._elapsed()
            self._tell("ttfb", self._first, {"length": self.length})

    def done(self, *, cached: bool) -> None:
        """All audio has come."""
        duration = self._elapsed()
        data = {"cmdSeq": self.number, "length": self.bytes, "cached": cached}
        self._tell("completed", duration, {**data, "ttfb": self._first, "duration": duration})

    def _elapsed(self) -> int:
        return round((monotonic() - self._asked) * 1000)

    def _tell(self, what: str, duration: int, data: dict[str, int | None]) -> None:
        speaker = self.voice.option.speaker if self.voice.option else None
        known = {"playId": self.play.play_id, "speaker": speaker, **data}
        self.voice.send(
            events.Metrics(
                timestamp=now_ms(),
                key=f"{what}.tts.{self.voice.provider}",
                duration=duration,
                data={name: value for name, value in known.items() if value is not None},
            )
        )
