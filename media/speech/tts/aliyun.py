"""Synthesis by Alibaba Cloud: CosyVoice, on DashScope; it speaks a text while more of it comes.

Source: https://www.alibabacloud.com/help/en/model-studio/cosyvoice-client-events and ``cosyvoice-server-events``.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from control.errors import ProviderError
from media.api.options import SynthesisOption
from media.speech import dashscope
from media.speech.asr.duplex import duplex
from media.speech.dashscope import NAME, Event, Finished, Result, Task, field
from media.speech.link import Link, websocket
from media.speech.provider import About, Context, extras, given
from media.speech.tts.base import Mark

MODEL = "cosyvoice-v2"
VOICES = {
    "cosyvoice-v1": "longxiaochun",
    "cosyvoice-v2": "longyumi_v2",
    "cosyvoice-v3-flash": "longanyang",
    "cosyvoice-v3-plus": "longanyang",
}
"""The voice of those who name none: each model has voices of its own."""
RATES = (8000, 16_000, 22_050, 24_000, 44_100, 48_000)
SLOWEST, FASTEST = 0.5, 2.0
MAX_CHARACTERS = 10_000
"""In one message. The vendor takes 20,000, where a Chinese character counts twice."""
_LOOK_AHEAD = 64
"""Characters within which the next word is looked for: a number that is spoken in words is found nowhere."""


class Aliyun:
    """Synthesis on DashScope.

    ``model``: `MODEL` when absent. ``speaker``: a voice of that model. ``volume``: 5 is the vendor's 50, 10 its 100;
    values above 10 are taken for the vendor's own scale. ``speed``: the vendor's ``rate``, kept within `SLOWEST` and
    `FASTEST`. ``emotion``: one word such as ``happy``, or a whole instruction. ``subtitle``: asks for the times of
    words, which not every voice has. ``extra``: any parameter of ``run-task``, such as ``pitch`` and ``seed``.
    """

    name = NAME
    about = About(
        "Alibaba Cloud DashScope: CosyVoice, streaming",
        needs=(dashscope.KEY,),
        reads=(dashscope.WORKSPACE,),
    )
    streams = True

    def __init__(self, context: Context) -> None:
        self._http = context.http

    def check(self, option: SynthesisOption) -> None:
        """Raise ProviderError when the key or the voice is missing, or the region or the endpoint is none."""
        dashscope.check(option)
        if option.speaker is None and option.model not in {None, *VOICES}:
            raise ProviderError(
                f"{NAME}: speaker is missing: set a voice of {option.model}", 400, retry=False
            )

    def rate(self, option: SynthesisOption, wanted: int) -> int:  # noqa: ARG002 (all models make the same rates)
        """Hz: one of `RATES`, `wanted` or what is next above it."""
        return next((rate for rate in RATES if rate >= wanted), RATES[-1])

    async def synthesise(
        self, option: SynthesisOption, texts: AsyncIterator[str], rate: int
    ) -> AsyncGenerator[bytes | Mark, None]:
        """Speak `texts`; connects when the first word of them is there. Raises ProviderError."""
        pieces, marks = Pieces(), Marks(rate)
        first = await _next(texts, pieces, marks)
        if not first:
            return
        task = Task("tts", "SpeechSynthesizer", option.model or MODEL, parameters(option, rate))
        url, headers = dashscope.address(option), dashscope.headers(option)
        async with websocket(self._http, NAME, url, headers) as link:
            await dashscope.begin(link, task)

            async def send() -> None:
                part = first
                while part:
                    for piece in part:
                        await link.send_json(task.text(piece))
                    part = await _next(texts, pieces, marks)
                await link.send_json(task.finish())

            async with aclosing(duplex(NAME, send, lambda: _receive(link, task))) as messages:
                async for message in messages:
                    match message:
                        case Finished():
                            return
                        case bytes():
                            marks.audio(len(message))
                            yield message
                        case Result(output):
                            for mark in marks.feed(output):
                                yield mark

    async def close(self) -> None:
        """Nothing to do."""


async def _next(texts: AsyncIterator[str], pieces: "Pieces", marks: "Marks") -> list[str]:
    """What of `texts` is to be sent next; nothing when they have ended."""
    async for text in texts:
        marks.text(text)
        found = pieces.add(text)
        if found:
            return found
    return []


async def _receive(link: Link, task: Task) -> Event | bytes:
    message = await link.receive()
    return message if isinstance(message, bytes) else task.feed(link.parse(message))


def parameters(option: SynthesisOption, rate: int) -> dict[str, object]:
    """The parameters of ``run-task``; those of ``extra`` come before ours."""
    ours: dict[str, object] = {
        "text_type": "PlainText",
        "voice": option.speaker or VOICES.get(option.model or MODEL, ""),
        "format": "pcm",
        "sample_rate": rate,
        "volume": 50,
        "rate": 1.0,
    }
    if given(option, "volume"):
        ours["volume"] = round(option.volume * 10 if option.volume <= 10 else option.volume)
    if given(option, "speed"):
        ours["rate"] = min(FASTEST, max(SLOWEST, option.speed))
    if option.emotion:
        word = option.emotion.isascii() and option.emotion.isalpha()
        ours["instruction"] = f"你说话的情感是{option.emotion}。" if word else option.emotion
    if option.subtitle:
        ours["word_timestamp_enabled"] = True
    return ours | dashscope.hints(option) | extras(option)


class Pieces:
    """Texts as the vendor takes them: none blank, none too long. Blanks wait for the word that follows."""

    def __init__(self) -> None:
        self._blanks = ""

    def add(self, text: str) -> list[str]:
        """What of all texts so far can be sent now."""
        text = self._blanks + text
        if not text.strip():
            self._blanks = text[-MAX_CHARACTERS // 2 :]
            return []
        self._blanks = ""
        cut = [text[at : at + MAX_CHARACTERS] for at in range(0, len(text), MAX_CHARACTERS)]
        return [piece for piece in cut if piece.strip()]


class Marks:
    """Finds the words that the vendor gives times for in the text, in audio of s16le at `rate`.

    The words of a sentence come again and again, more of them each time. Their indices count characters for some
    languages and words for others, so words are found by what they say. Their times count from the begin of the audio,
    or from that of their sentence.
    """

    def __init__(self, rate: int) -> None:
        self._per_ms = rate * 2 / 1000
        self._bytes = 0
        self._text = ""
        self._at = 0
        self._sentence: int | None = None
        self._begin = 0
        self._base: int | None = None
        self._told = -1

    def text(self, text: str) -> None:
        """`text` is spoken after those before it."""
        self._text += text

    def audio(self, size: int) -> None:
        """`size` bytes of audio came."""
        self._bytes += size

    def feed(self, output: Mapping[str, Any]) -> list[Mark]:
        """The words that are new in `output`. Raises ProviderError when it makes no sense."""
        sentence = field(output, "sentence", dict, {})
        index = field(sentence, "index", int, 0)
        if index != self._sentence:
            self._sentence, self._base, self._told = index, None, -1
            self._begin = int(self._bytes / self._per_ms)
        words = [word for word in field(sentence, "words", list, []) if isinstance(word, dict)]
        found = [self._mark(word) for word in words]
        return [mark for mark in found if mark is not None]

    def _mark(self, word: Mapping[str, Any]) -> Mark | None:
        index = field(word, "begin_index", int, self._told + 1)
        if index <= self._told:
            return None
        self._told = index
        begin = field(word, "begin_time", int, 0)
        end = max(begin, field(word, "end_time", int, begin))
        if self._base is None:
            self._base = 0 if begin >= self._begin // 2 else self._begin
        said = re.sub(r"^\W+|\W+$", "", field(word, "text", str, ""))
        at = self._text.find(said, self._at, self._at + _LOOK_AHEAD) if said else -1
        if at < 0:
            return None
        self._at = at + len(said)
        return Mark(at, len(said), self._base + begin, self._base + end)
