"""Speech for a play: from the cache or a provider, and how long that took."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic

from media.api import events
from media.api.options import SynthesisOption
from media.session.clock import now_ms
from media.session.play import Continuous, Parts, Play, Sentencewise, Source, Stream
from media.speech.cache import SpeechCache
from media.speech.service import Speech
from media.speech.voice import Samples, Word


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks the texts of a command, and where it is told how long that took."""

    speech: Speech
    cache: SpeechCache
    option: SynthesisOption | None
    name: str | None
    """The bot's own name of what it says, for the cache."""
    send: Callable[[events.Event], None]
    trouble: Callable[[str, int], None]
    """Told (message, code) of what went wrong and was mended."""

    def stream(self, play: Play) -> Stream:
        """The streamed text of `play`: in one go where the provider can, sentence by sentence elsewhere."""
        if self.speech.streams(self.option):
            return Continuous(lambda parts: self._continuous(play, parts))
        return Sentencewise(lambda text: self.speak(play, text))

    def speak(self, play: Play, text: str) -> Source:
        """A source of `text` in `play`. A streamed one is not cached: it hardly ever comes again."""
        timing = _Timing(self, play, len(text), None if play.streaming else play.commands - 1)
        return lambda rate: self._spoken(text, rate, timing)

    @property
    def provider(self) -> str:
        """As in the keys of metrics."""
        return self.speech.name("tts", self.option)

    def _continuous(self, play: Play, parts: Parts) -> Source:
        timing = _Timing(self, play, len(play.subtitle), None)

        async def chunks(rate: int) -> AsyncGenerator[Samples | Word, None]:
            try:
                async with aclosing(self.speech.synthesise(None, self.option, rate)) as synthesis:
                    synthesis.trouble = self.trouble
                    parts.go_to(synthesis)
                    async for chunk in synthesis:
                        if not isinstance(chunk, Word):
                            timing.chunk(chunk)
                        yield chunk
                    timing.done(cached=False, provider=synthesis.provider)
            finally:
                parts.over = True

        return chunks

    async def _spoken(self, text: str, rate: int, timing: "_Timing") -> AsyncGenerator[Samples | Word, None]:
        key = None
        if timing.number is not None and self.cache.largest:
            key = self.cache.key(self.provider, text, self.option, rate, self.name)
            if (samples := await self.cache.get(key)) is not None:
                timing.chunk(samples)
                yield samples
                timing.done(cached=True)
                return
        kept: list[Samples] = []
        async with aclosing(self.speech.synthesise(text, self.option, rate)) as chunks:
            chunks.trouble = self.trouble
            async for chunk in chunks:
                if isinstance(chunk, Word):
                    yield chunk
                    continue
                timing.chunk(chunk)
                if key is not None:
                    kept.append(chunk)
                    if timing.bytes > self.cache.largest:
                        key = None
                        kept.clear()
                yield chunk
            timing.done(cached=False, provider=chunks.provider)
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
    provider: str = field(init=False)
    bytes: int = 0
    _asked: float = field(default_factory=monotonic)
    _first: int | None = None

    def __post_init__(self) -> None:
        self.provider = self.voice.provider

    def chunk(self, samples: Samples) -> None:
        """Audio has come."""
        self.bytes += samples.nbytes
        if self._first is None:
            self._first = self._elapsed()
            self._tell("ttfb", self._first, {"length": self.length})

    def done(self, *, cached: bool, provider: str | None = None) -> None:
        """All audio has come, from `provider` where it was not the one that was asked."""
        self.provider = provider or self.provider
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
                key=f"{what}.tts.{self.provider}",
                duration=duration,
                data={name: value for name, value in known.items() if value is not None},
            )
        )
