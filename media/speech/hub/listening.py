"""One request to recognise speech: from connection to connection, until its audio ends.

What a final text covers is settled; everything behind it goes to the next connection when one is lost, so that no
word is understood twice and none is lost. A bot is told once of each outage: when it begins.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech.asr.base import Heard, Recogniser
from media.speech.hub import wire
from media.speech.hub.providers import Step
from media.speech.hub.tape import Playback, Tape

log = logging.getLogger(__name__)

FIRST_DELAY, LAST_DELAY = 0.2, 10.0
"""Seconds between a lost connection and the next one; doubles while none lasts."""
STEADY_SECONDS = 10.0
"""A connection that lasts so long, or brings a text, ends an outage."""
TRIES = 2
"""Failures in a row at which a fallback takes over."""
VOICE_SECONDS = 2.0
"""Voice to which a provider owes some text; less may have been no words."""
PAUSE_SECONDS = 2.0
"""Voice after a shorter pause belongs to what was said before: the provider may wait for its end."""
IDLE_SECONDS = 5.0
"""Providers close connections that bring no audio: after so long without, that is no fault."""
QUIET_SECONDS = 10.0
"""Without voice for so long, what was recorded is silence, but for the last seconds."""
KEPT_SECONDS = 2.0

Steps = Sequence[Step[Recogniser, TranscriptionOption]]


class Listening:
    """A request; `send` passes on what comes of it.

    A provider from which no text comes for `stall_seconds` after VOICE_SECONDS of voice has stalled.
    """

    def __init__(
        self, order: wire.Listen, steps: Steps, stall_seconds: float, send: Callable[[wire.Report], None]
    ) -> None:
        self.request = order.request
        self._steps = steps
        self._stall_seconds = stall_seconds
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._tape = Tape(order.rate)
        self._finals = 0
        self._outage = False
        self._failures = 0
        self._step = 0
        self._voice: float | None = None
        """When voice began; None while there is none."""
        self._unanswered = 0.0
        """Seconds of voice since the last text."""
        self._open = False
        """Whether the last text was not final."""
        self._heard_at = self._quiet_since = self._loop.time()
        self._stall: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None

    # From the worker

    def audio(self, pcm: bytes) -> None:
        """More audio."""
        now = self._loop.time()
        self._heard_at = now
        if lost := self._tape.append(pcm):
            log.debug("request %d: %d samples were never understood", self.request, lost)
        if self._voice is None and now - self._quiet_since > QUIET_SECONDS:
            self._tape.settle(self._tape.length - round(KEPT_SECONDS * self._tape.rate))

    def voice(self, *, speaking: bool) -> None:
        """Voice begins, or has ended."""
        now = self._loop.time()
        if speaking:
            if now - self._quiet_since < PAUSE_SECONDS:
                self._patient()
            self._voice = self._voice or now
        elif self._voice is not None:
            self._unanswered += now - self._voice
            self._voice, self._quiet_since = None, now
            self._expect()

    def end(self) -> None:
        """No audio follows."""
        self._tape.end()

    # The work

    async def run(self) -> None:
        """Recognise until the audio has ended, or no provider takes it."""
        try:
            while await self._tape.wait(self._tape.origin):
                step = self._steps[self._step]
                began = self._loop.time()
                playback = Playback(self._tape, step.provider.rate(step.option))
                try:
                    await self._listen(step, playback)
                    if playback.exhausted:
                        break
                    raise ProviderError(f"{step.name}: it closed the connection")
                except ProviderError as error:
                    if self._loop.time() - began >= STEADY_SECONDS:
                        self._recovered()
                    if not await self._next(error):
                        return
            self._send(wire.Done(self.request, self._steps[self._step].name))
        finally:
            self._patient()

    async def _listen(self, step: Step[Recogniser, TranscriptionOption], playback: Playback) -> None:
        """One connection."""
        base = playback.start * 1000 // self._tape.rate
        first = self._finals
        self._stall = self._loop.create_future()
        async with aclosing(step.provider.recognise(step.option, playback)) as texts:
            while (heard := await self._text(texts, step.name)) is not None:
                self._pass_on(step, heard, base, first)

    async def _text(self, texts: AsyncGenerator[Heard, None], name: str) -> Heard | None:
        """The next text, or None at the end. Raises ProviderError, also when voice is met with silence."""
        waiting = asyncio.ensure_future(_next_of(texts))
        try:
            either: set[asyncio.Future[Any]] = {waiting, self._stall}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ProviderError(
                    f"{name}: it has understood nothing for {self._stall_seconds:g} s although somebody spoke",
                    408,
                )
            return waiting.result()
        finally:
            if not waiting.done():
                waiting.cancel()
                with suppress(asyncio.CancelledError, ProviderError):
                    await waiting

    def _pass_on(
        self, step: Step[Recogniser, TranscriptionOption], heard: Heard, base: int, first: int
    ) -> None:
        self._recovered()
        self._unanswered = 0.0
        if self._voice is not None:
            # It may well be for what was said so far: only what is still said is owed.
            self._voice = self._loop.time()
        self._patient()
        index = first + heard.index
        start, end = base + heard.start, min(base + heard.end, self._tape.length * 1000 // self._tape.rate)
        if heard.final:
            self._finals = max(self._finals, index + 1)
            self._tape.settle(end * self._tape.rate // 1000)
        self._send(
            wire.Heard(
                request=self.request,
                provider=step.name,
                index=index,
                text=heard.text,
                start=min(start, end),
                end=end,
                final=heard.final,
                confidence=heard.confidence,
                task=heard.task,
                model=step.option.model,
            )
        )
        self._open = not heard.final
        self._expect()

    # When a connection is lost

    async def _next(self, error: ProviderError) -> bool:
        """Whether to connect again, after a while; else the request has failed."""
        owes = self._stall.done() or self._open or self._unanswered >= VOICE_SECONDS
        if not owes and self._loop.time() - self._heard_at > IDLE_SECONDS:
            # Nothing was sent, so nothing was lost: connect when somebody is heard again.
            return await self._tape.wait(self._tape.length)
        self._failures += 1
        others = self._step + 1 < len(self._steps)
        if others and (not error.retry or self._failures >= TRIES):
            self._step += 1
            self._failures = 0
            name = self._steps[self._step].name
            self._trouble(f"{error}; {name} takes over", error.code, again=True)
            return True
        if not error.retry:
            self._send(wire.Failed(self.request, f"{error}; nothing is recognised any more", error.code))
            return False
        self._trouble(f"{error}; connecting anew, no audio is lost", error.code)
        await asyncio.sleep(min(FIRST_DELAY * 2.0 ** (self._failures - 1), LAST_DELAY))
        return True

    def _trouble(self, message: str, code: int, *, again: bool = False) -> None:
        """Tell, once an outage; `again`: another provider takes over, which is news."""
        if not self._outage or again:
            self._send(wire.Trouble(self.request, message, code))
        self._outage = True

    def _recovered(self) -> None:
        self._outage = False
        self._failures = 0

    # When nothing comes back

    def _expect(self) -> None:
        """In silence, wait for what the provider owes: a text for voice, or a final one."""
        # An engine of ours that says nothing has understood nothing: it cannot be away.
        remote = not self._steps[self._step].provider.about.local if self._steps else False
        owed = self._open or self._unanswered >= VOICE_SECONDS
        if remote and owed and self._voice is None and self._timer is None:
            self._timer = self._loop.call_later(self._stall_seconds, self._stalled)

    def _stalled(self) -> None:
        self._timer = None
        self._unanswered = 0.0
        self._open = False
        if not self._stall.done():
            self._stall.set_result(None)

    def _patient(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _next_of(texts: AsyncGenerator[Heard, None]) -> Heard | None:
    return await anext(texts, None)
