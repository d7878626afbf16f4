"""One request for speech: from one provider, or from the next when it fails before anything was heard."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress

import numpy as np

from control.errors import ProviderError
from media.api.options import SynthesisOption
from media.resampler import Resampler
from media.speech.hub import wire
from media.speech.hub.providers import Step
from media.speech.text import segments
from media.speech.tts.base import Mark, Synthesiser
from media.speech.voice import Samples

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.2
LONGEST = 500
"""Characters that a provider is given at once; longer texts are cut after a sentence."""
AHEAD_SECONDS = 60
"""Audio that waits to be sent; beyond it a provider is not listened to."""
_WAV = 44
_NOTHING = np.zeros(0, np.int16)

Steps = Sequence[Step[Synthesiser, SynthesisOption]]


class Texts:
    """The parts of a text, as they come; may be read again from the beginning."""

    def __init__(self, text: str | None) -> None:
        self._parts: list[str] = [] if text is None else segments(text, LONGEST)
        self._ended = text is not None
        self._news = asyncio.Event()
        self._answered = True
        """Whether audio came since the last part was given."""
        self._starved = False
        """Whether somebody waits for a part."""

    @property
    def owed(self) -> bool:
        """Whether audio is due: text was given that was not answered, or nobody waits for more text."""
        return not (self._answered and self._starved)

    def answered(self) -> None:
        """Audio came."""
        self._answered = True

    def append(self, text: str) -> None:
        """A part came."""
        self._parts.extend(segments(text, LONGEST))
        self._news.set()

    def end(self) -> None:
        """Nothing follows."""
        self._ended = True
        self._news.set()

    async def read(self) -> AsyncGenerator[str, None]:
        """All parts, from the first."""
        number = 0
        while number < len(self._parts) or not self._ended:
            if number == len(self._parts):
                self._news.clear()
                self._starved = True
                await self._news.wait()
                self._starved = False
                continue
            self._answered = False
            yield self._parts[number]
            number += 1


class Speaking:
    """A request; `send` passes on what comes of it.

    A provider that owes audio and sends none for `stall_seconds` has stalled.
    """

    def __init__(
        self, order: wire.Speak, steps: Steps, stall_seconds: float, send: Callable[[wire.Report], None]
    ) -> None:
        self.request = order.request
        self._rate = order.rate
        self._whole = order.text is not None
        self._steps = steps
        self._stall_seconds = stall_seconds
        self._send = send
        self._texts = Texts(order.text)
        self._credit = order.credit
        self._waiting: deque[bytes] = deque()
        self._unsent = 0
        """Samples that wait for credit."""
        self._made = False
        """Whether any audio came."""
        self._less = asyncio.Event()

    # From the worker

    def text(self, text: str) -> None:
        """A part of the text."""
        self._texts.append(text)

    def end(self) -> None:
        """No text follows."""
        self._texts.end()

    def credit(self, samples: int) -> None:
        """So many more samples may be sent."""
        self._credit += samples
        self._flush()

    # The work

    async def run(self) -> None:
        """Speak, with whoever can."""
        for number, step in enumerate(self._steps):
            error = await self._try(step)
            if error is None:
                await self._drained(0)
                self._send(wire.Done(self.request, step.name))
                return
            if self._made or number + 1 == len(self._steps):
                self._send(wire.Failed(self.request, f"{error}; {self._outcome(error)}", error.code))
                return
            self._send(
                wire.Trouble(self.request, f"{error}; {self._steps[number + 1].name} takes over", error.code)
            )

    def _outcome(self, error: ProviderError) -> str:
        """What becomes of the text when nobody else takes over."""
        if self._made:
            return "the rest of the text is not spoken"
        return "the text is not spoken" + (": say it again, or set a fallback" if error.retry else "")

    async def _try(self, step: Step[Synthesiser, SynthesisOption]) -> ProviderError | None:
        """Speak with one provider, twice if it fails at first; what was wrong."""
        for again in (True, False):
            try:
                await self._speak(step)
            except ProviderError as error:
                if self._made or not (again and error.retry):
                    return error
                log.info("request %d: %s; trying again", self.request, error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return None
        raise AssertionError("the second failure is returned")

    async def _speak(self, step: Step[Synthesiser, SynthesisOption]) -> None:
        async with aclosing(self._texts.read()) as parts:
            if step.provider.streams and not self._whole:
                await self._synthesise(step, parts)
                return
            async for part in parts:
                await self._synthesise(step, _one(part))

    async def _synthesise(self, step: Step[Synthesiser, SynthesisOption], texts: AsyncIterator[str]) -> None:
        """One piece of work of the provider."""
        rate = step.provider.rate(step.option, self._rate)
        pcm = _Pcm(rate, self._rate)
        async with aclosing(step.provider.synthesise(step.option, texts, rate)) as pieces:
            while (piece := await self._piece(pieces, step.name)) is not None:
                self._texts.answered()
                if not isinstance(piece, Mark):
                    self._put(pcm.push(piece))
                await self._drained(AHEAD_SECONDS * self._rate)
        self._put(pcm.end())

    async def _piece(self, pieces: AsyncGenerator[bytes | Mark, None], name: str) -> bytes | Mark | None:
        """What comes next, None at the end. Raises ProviderError, also when what is owed does not come."""
        waiting = asyncio.ensure_future(_next_of(pieces))
        try:
            while True:
                await asyncio.wait({waiting}, timeout=self._stall_seconds)
                if waiting.done():
                    return waiting.result()
                if self._texts.owed:
                    raise ProviderError(f"{name}: no audio came for {self._stall_seconds:g} s", 408)
        finally:
            if not waiting.done():
                waiting.cancel()
                with suppress(asyncio.CancelledError, ProviderError):
                    await waiting

    # What is sent

    def _put(self, samples: Samples) -> None:
        if samples.size:
            self._made = True
            self._waiting.append(samples.astype("<i2", copy=False).tobytes())
            self._unsent += samples.size
            self._flush()

    def _flush(self) -> None:
        while self._waiting and self._credit > 0:
            pcm = self._waiting.popleft()
            self._unsent -= len(pcm) // 2
            self._credit -= len(pcm) // 2
            self._send(wire.Chunk(self.request, pcm))
        self._less.set()

    async def _drained(self, most: int) -> None:
        """Wait until at most `most` samples wait."""
        while self._unsent > most:
            self._less.clear()
            await self._less.wait()


class _Pcm:
    """A provider's bytes as samples: whole ones, without a WAV header, at the rate that is wanted."""

    def __init__(self, rate: int, wanted: int) -> None:
        self._resampler = Resampler(rate, wanted) if rate != wanted else None
        self._rest = b""
        self._begun = False

    def push(self, data: bytes) -> Samples:
        """The samples that `data` completes."""
        data = self._rest + data
        if not self._begun:
            if len(data) < _WAV and (b"RIFF".startswith(data[:4]) or data.startswith(b"RIFF")):
                self._rest = data
                return _NOTHING
            self._begun = True
            data = data[_WAV:] if data.startswith(b"RIFF") else data
        whole = len(data) // 2 * 2
        self._rest = data[whole:]
        return self._resampled(np.frombuffer(data, "<i2", whole // 2))

    def end(self) -> Samples:
        """What is left."""
        return self._resampled(_NOTHING, last=True)

    def _resampled(self, samples: Samples, *, last: bool = False) -> Samples:
        if self._resampler is None:
            return samples
        return self._resampler.push(samples, last=last)


async def _one(text: str) -> AsyncGenerator[str, None]:
    yield text


async def _next_of(pieces: AsyncGenerator[bytes | Mark, None]) -> bytes | Mark | None:
    return await anext(pieces, None)
