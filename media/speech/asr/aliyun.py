"""Recognition by Alibaba Cloud: Paraformer and Fun-ASR, in real time, on DashScope.

Source: https://www.alibabacloud.com/help/en/model-studio/paraformer-client-events and ``paraformer-server-events``.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from media.api.options import TranscriptionOption
from media.speech import dashscope
from media.speech.asr.base import Heard
from media.speech.asr.duplex import duplex
from media.speech.dashscope import Event, Finished, Result, Task, field
from media.speech.link import Link, websocket
from media.speech.provider import About, Context, extras

MODEL = "paraformer-realtime-v2"
IDLE_SECONDS = 10.0
"""After so long without audio some silence is sent: the vendor gives a task up after 23 s without any."""
SILENCE_MS = 100


class Aliyun:
    """Recognition on DashScope.

    ``model``: `MODEL` when absent. ``samplerate``: 8000 halves what is sent, for models that take any rate; those with
    ``8k`` in their name always get it. ``language``: a hint; the model finds out by itself when absent. ``extra``: any
    parameter of ``run-task``, such as ``vocabulary_id``, ``max_sentence_silence``, ``disfluency_removal_enabled``.
    ``heartbeat`` is on, else the vendor ends a task after a minute of silence.
    """

    name = dashscope.NAME
    about = About(
        "Alibaba Cloud DashScope: Paraformer, real time",
        needs=(dashscope.KEY,),
        reads=(dashscope.WORKSPACE,),
    )

    def __init__(self, context: Context) -> None:
        self._http = context.http

    def check(self, option: TranscriptionOption) -> None:
        """Raise ProviderError when the key is missing, or the region or the endpoint is none."""
        dashscope.check(option)

    def rate(self, option: TranscriptionOption) -> int:
        """Hz: 8000 for models of 8 kHz, and for `MODEL` when asked for; 16000 else."""
        model = option.model or MODEL
        return 8000 if "8k" in model or (model == MODEL and option.samplerate == 8000) else 16_000

    async def recognise(
        self, option: TranscriptionOption, audio: AsyncIterator[bytes]
    ) -> AsyncGenerator[Heard, None]:
        """What is understood of `audio`. Raises ProviderError."""
        rate = self.rate(option)
        task = Task("asr", "recognition", option.model or MODEL, parameters(option, rate))
        url, headers = dashscope.address(option), dashscope.headers(option)
        async with websocket(self._http, self.name, url, headers) as link:
            await dashscope.begin(link, task)
            wire = _Wire(link, task, rate)
            transcript = Transcript(task.id, wire.line)
            async with aclosing(duplex(self.name, lambda: wire.send(audio), wire.receive)) as events:
                async for event in events:
                    match event:
                        case Finished():
                            return
                        case Result(output):
                            heard = transcript.feed(output)
                            if heard is not None:
                                yield heard

    async def close(self) -> None:
        """Nothing to do."""


def parameters(option: TranscriptionOption, rate: int) -> dict[str, object]:
    """The parameters of ``run-task``; those of ``extra`` come before ours."""
    ours: dict[str, object] = {"format": "pcm", "sample_rate": rate, "heartbeat": True}
    return ours | dashscope.hints(option) | extras(option)


class TimeLine:
    """Which part of what the vendor was sent is audio of the caller, and which is silence of ours; s16le at `rate`."""

    def __init__(self, rate: int) -> None:
        self._per_ms = rate * 2 / 1000
        self._sent = 0.0
        self._silences: list[tuple[float, float]] = []

    def audio(self, size: int) -> None:
        """`size` bytes of the caller were sent."""
        self._sent += size / self._per_ms

    def silence(self, size: int) -> None:
        """`size` bytes of silence were sent."""
        begin, ms = self._sent, size / self._per_ms
        self._sent += ms
        if self._silences and sum(self._silences[-1]) == begin:
            begin, earlier = self._silences.pop()
            ms += earlier
        self._silences.append((begin, ms))

    def ours(self, theirs: int) -> int:
        """The ms of the caller's audio that are ms `theirs` of what was sent."""
        added = sum(min(theirs - begin, ms) for begin, ms in self._silences if begin < theirs)
        return max(0, round(theirs - added))


class Transcript:
    """Reads results: sentences that grow until they are final, each with a number of its own from 0."""

    def __init__(self, task: str, line: TimeLine) -> None:
        self._task = task
        self._line = line
        self._numbers: dict[int, int] = {}
        self._ended = 0

    def feed(self, output: Mapping[str, Any]) -> Heard | None:
        """The text in `output`, if there is one. Raises ProviderError when it makes no sense."""
        sentence = field(output, "sentence", dict, {})
        text = field(sentence, "text", str, "").strip()
        if field(sentence, "heartbeat", bool, False):
            return None
        begin = field(sentence, "begin_time", int, 0)
        end = field(sentence, "end_time", int, -1)
        final = field(sentence, "sentence_end", bool, end >= 0)
        number = field(sentence, "sentence_id", int, -1 - self._ended)
        self._ended += final
        if not text:
            return None
        index = self._numbers.setdefault(number, len(self._numbers))
        start, stop = self._line.ours(begin), self._line.ours(max(begin, end, _end(sentence)))
        return Heard(index, text, start, stop, final, task=self._task)


def _end(sentence: Mapping[str, Any]) -> int:
    """Where the last word of `sentence` ends: the end of one that has none yet."""
    words = field(sentence, "words", list, [])
    return max((field(word, "end_time", int, 0) for word in words if isinstance(word, dict)), default=0)


class _Wire:
    """One connection whose task has started."""

    def __init__(self, link: Link, task: Task, rate: int) -> None:
        self._link = link
        self._task = task
        self._silence = bytes(rate * 2 * SILENCE_MS // 1000)
        self._idle_at: float | None = None
        self.line = TimeLine(rate)
        self._audible()

    async def send(self, audio: AsyncIterator[bytes]) -> None:
        """Send all of `audio`, then that nothing follows."""
        async for piece in audio:
            if piece:
                self.line.audio(len(piece))
                self._audible()
                await self._link.send(piece)
        self._idle_at = None
        await self._link.send_json(self._task.finish())

    async def receive(self) -> Event:
        """The next event; silence is sent whenever no audio came for IDLE_SECONDS."""
        while True:
            due = self._idle_at
            try:
                async with asyncio.timeout_at(due):
                    return self._task.feed(await self._link.receive_json())
            except TimeoutError:
                if self._idle_at == due:
                    self.line.silence(len(self._silence))
                    self._audible()
                    await self._link.send(self._silence)

    def _audible(self) -> None:
        self._idle_at = asyncio.get_running_loop().time() + IDLE_SECONDS
