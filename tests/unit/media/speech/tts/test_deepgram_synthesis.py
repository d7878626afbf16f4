"""Synthesis by Deepgram against its fake: requests and connections, parameters, and everything that can go wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from control.errors import ProviderError
from media.api.options import SynthesisOption
from media.speech import link
from media.speech.asr import duplex
from media.speech.provider import Context
from media.speech.tts import deepgram_speech
from media.speech.tts.deepgram import Deepgram
from media.speech.tts.deepgram_speech import BURST, Speech
from tests.support import poll
from tests.support.clouds.base import Fault, Stage, Trouble, spoken
from tests.support.clouds.deepgram import KEY, Call, DeepgramCloud, OverError

TEXT = "Hello there, this is a text of some length that takes a while to say."


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynccontextmanager
async def provided(**cloud: Any) -> AsyncIterator[tuple[DeepgramCloud, Deepgram]]:
    """The fake, and the provider; at the end no connection is in use, and the fake has no complaint."""
    async with DeepgramCloud(**cloud) as fake, aiohttp.ClientSession() as http:
        provider = Deepgram(Context(http, Path()))
        yield fake, provider
        assert http.connector is not None
        assert not http.connector._acquired
        await provider.close()
    assert fake.complaints == []


def option(fake: DeepgramCloud, **fields: Any) -> SynthesisOption:
    return SynthesisOption(**{"secret_key": KEY, "endpoint": fake.url, **fields})


async def one(*texts: str) -> AsyncIterator[str]:
    """Texts that are there at once."""
    for text in texts:
        yield text


async def growing(*texts: str, then: asyncio.Event | None = None) -> AsyncIterator[str]:
    """Texts that come one after the other; then, `then` is waited for."""
    for text in texts:
        yield text
        await asyncio.sleep(0.001)
    if then is not None:
        await then.wait()


async def synthesised(
    provider: Deepgram, wanted: SynthesisOption, texts: AsyncIterator[str], rate: int = 8000
) -> bytes:
    async with aclosing(provider.synthesise(wanted, texts, rate)) as audio:
        return b"".join([piece async for piece in audio if isinstance(piece, bytes)])


@pytest.mark.parametrize("rate", [8000, 16_000])
async def test_a_whole_text_is_one_request(rate: int) -> None:
    async with provided() as (fake, provider):
        pcm = await synthesised(provider, option(fake), one(TEXT), rate)
    assert pcm == spoken(TEXT, rate)
    assert fake.texts == [[TEXT]]
    assert fake.controls == []
    query = {
        "model": "aura-2-thalia-en",
        "encoding": "linear16",
        "container": "none",
        "sample_rate": str(rate),
    }
    assert dict(fake.queries[0]) == query


@pytest.mark.parametrize("rate", [8000, 16_000])
async def test_a_growing_text_is_spoken_part_by_part(rate: int) -> None:
    async with provided() as (fake, provider):
        pcm = await synthesised(
            provider, option(fake), growing("Hello there.", "How are you,", "today?"), rate
        )
    parts = ["Hello there. ", "How are you, ", "today? "]
    assert fake.texts == [parts]
    assert pcm == b"".join(spoken(part, rate) for part in parts)
    # It is told to close when the last audio came before the end of the text was known.
    assert fake.controls in (["Speak", "Flush"] * 3, [*["Speak", "Flush"] * 3, "Close"])
    query = {"model": "aura-2-thalia-en", "encoding": "linear16", "sample_rate": str(rate)}
    assert dict(fake.queries[0]) == query


async def test_the_first_part_is_heard_while_the_text_grows() -> None:
    more = asyncio.Event()

    async def texts() -> AsyncIterator[str]:
        yield "This is the first part."
        await more.wait()
        yield "And more."

    async with (
        provided() as (fake, provider),
        aclosing(provider.synthesise(option(fake), texts(), 8000)) as audio,
    ):
        assert isinstance(await anext(audio), bytes)
        assert fake.texts == [["This is the first part. "]]
        more.set()
        assert [piece async for piece in audio]
    assert fake.texts == [["This is the first part. ", "And more. "]]


@pytest.fixture
def all_spoken(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a flush was answered."""
    told, feed = asyncio.Event(), Speech.feed

    def fed(speech: Speech, message: str | bytes) -> bytes:
        if isinstance(message, str) and "Flushed" in message:
            told.set()
        return feed(speech, message)

    monkeypatch.setattr(Speech, "feed", fed)
    return told


async def test_a_text_that_ends_when_all_was_spoken_hangs_up(all_spoken: asyncio.Event) -> None:
    async with provided() as (fake, provider):
        pcm = await synthesised(provider, option(fake), growing("This is all there is.", then=all_spoken))
    assert pcm == spoken("This is all there is. ", 8000)
    assert fake.controls == ["Speak", "Flush", "Close"]


async def test_a_text_without_words_costs_nothing() -> None:
    async with provided() as (fake, provider):
        assert await synthesised(provider, option(fake), one()) == b""
        assert await synthesised(provider, option(fake), one(" \n")) == b""
    assert fake.connections == 0


async def test_blanks_that_come_one_by_one_end_without_audio() -> None:
    async with provided() as (fake, provider):
        assert await synthesised(provider, option(fake), growing(" ", " ")) == b""
    assert fake.controls == ["Close"]


async def test_many_parts_at_once_are_flushed_together() -> None:
    parts = ["Here comes another one."] * 30
    async with provided() as (fake, provider):
        pcm = await synthesised(provider, option(fake), one(*parts))
    assert "".join(fake.texts[0]) == "Here comes another one. " * 30
    assert fake.controls.count("Flush") == BURST + 1
    assert len(pcm) == len(spoken("Here comes another one. " * 30, 8000))


async def test_what_waits_for_a_flush_is_flushed_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram_speech, "BURST", 1)
    monkeypatch.setattr(deepgram_speech, "EVERY", 0.05)
    never = asyncio.Event()
    async with (
        provided() as (fake, provider),
        aclosing(
            provider.synthesise(option(fake), growing("One.", "Two.", "Three.", then=never), 8000)
        ) as audio,
    ):
        got = b""
        while len(got) < len(spoken("One. Two. Three. ", 8000)):
            piece = await anext(audio)
            assert isinstance(piece, bytes)
            got += piece
    assert "".join(fake.texts[0]) == "One. Two. Three. "


async def test_options_and_extra_become_parameters() -> None:
    fields = {"speaker": "aura-2-orion-en", "speed": 1.25, "extra": {"mip_opt_out": True}}
    async with provided() as (fake, provider):
        wanted = option(fake, **fields)
        provider.check(wanted)
        await synthesised(provider, wanted, one(TEXT))
        await synthesised(provider, wanted, growing(TEXT, "More."))
    for query in fake.queries:
        asked = dict(query)
        assert (asked["model"], asked["speed"], asked["mip_opt_out"]) == ("aura-2-orion-en", "1.25", "true")


@pytest.mark.parametrize(
    ("speed", "sent"), [(1.0, None), (0.1, "0.7"), (-3.0, "0.7"), (2.0, "1.5"), (0.9, "0.9")]
)
async def test_speed_is_kept_within_what_there_is(speed: float, sent: str | None) -> None:
    async with provided() as (fake, provider):
        await synthesised(provider, option(fake, speed=speed), one("Yes."))
    assert dict(fake.queries[0]).get("speed") == sent


@pytest.mark.parametrize(
    ("fields", "voice"),
    [
        ({"language": "de-DE"}, "aura-2-viktoria-de"),
        ({"language": "EN_gb"}, "aura-2-thalia-en"),
        ({"language": "zh", "model": "aura-asteria-en"}, "aura-asteria-en"),
        ({"model": "aura-asteria-en", "speaker": "aura-luna-en"}, "aura-luna-en"),
    ],
)
async def test_the_voice_follows_speaker_model_and_language(fields: dict[str, str], voice: str) -> None:
    async with provided() as (fake, provider):
        await synthesised(provider, option(fake, **fields), one("Yes."))
    assert dict(fake.queries[0])["model"] == voice


async def test_what_cannot_be_followed_is_refused_beforehand() -> None:
    async with provided() as (fake, provider):
        provider.check(option(fake))
        assert [provider.rate(option(fake), wanted) for wanted in (8000, 16_000, 22_050, 96_000)] == [
            8000,
            16_000,
            24_000,
            48_000,
        ]
        for fields, code in (
            ({"secret_key": None}, 401),
            ({"language": "zh"}, 501),
            ({"speaker": "flux-haley-en"}, 501),
            ({"endpoint": "nowhere"}, 400),
            ({"extra": {"encoding": "opus"}}, 400),
        ):
            with pytest.raises(ProviderError) as caught:
                provider.check(option(fake, **fields))
            assert (caught.value.code, caught.value.retry) == (code, False)


@pytest.mark.parametrize("texts", [one, growing])
async def test_a_wrong_key_is_told_in_the_words_of_deepgram(texts: Any) -> None:
    async with provided() as (fake, provider):
        with pytest.raises(ProviderError, match=r"it answered 401: .*Invalid credentials") as caught:
            await synthesised(provider, option(fake, secret_key="wrong-key"), texts("One. ", "Two."))
    assert (caught.value.code, caught.value.retry) == (401, False)
    assert "wrong-key" not in str(caught.value)


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("texts", [one, growing])
async def test_closing_it_anywhere_leaves_nothing(texts: Any, after: int) -> None:
    async with provided() as (fake, provider):
        parts = one(TEXT) if texts is one else growing(TEXT, TEXT, then=asyncio.Event())
        audio = provider.synthesise(option(fake), parts, 8000)
        for _ in range(after):
            await anext(audio, None)
        await audio.aclose()


def fake_is_asked(fake: DeepgramCloud) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        return fake.connections > 0

    return asked


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("texts", [one, growing])
async def test_cancelling_who_waits_leaves_nothing(texts: Any, stage: Stage) -> None:
    async with provided() as (fake, provider):
        fake.trouble.append(Trouble(Fault.STALL, stage))
        parts = one(TEXT) if texts is one else growing(TEXT, then=asyncio.Event())
        task = asyncio.create_task(synthesised(provider, option(fake), parts))
        await poll.until(fake_is_asked(fake), 20, 0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_waiting_for_the_first_text_can_be_cancelled() -> None:
    async with provided() as (fake, provider):
        task = asyncio.create_task(synthesised(provider, option(fake), growing(then=asyncio.Event())))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert fake.connections == 0


async def test_a_fault_of_who_gives_the_text_comes_out() -> None:
    async def broken(*, late: bool) -> AsyncIterator[str]:
        yield "One. "
        if late:
            await asyncio.sleep(0.001)
        raise KeyError("bug")

    async with provided() as (fake, provider):
        for late in (False, True):
            with pytest.raises(KeyError):
                await synthesised(provider, option(fake), broken(late=late))


STREAMED = {
    (Fault.REFUSE, Stage.CONNECT): (429, True, "429: Too many requests"),
    (Fault.REFUSE, Stage.BEGIN): (400, False, "closed .code 1008.: DATA-0000"),
    (Fault.REFUSE, Stage.MIDDLE): (502, True, "reports an error: InternalError"),
    (Fault.REFUSE, Stage.END): (502, True, "closed .code 1011.: NET-0000"),
    (Fault.GARBLE, Stage.CONNECT): (502, True, "broke"),
    (Fault.STALL, Stage.CONNECT): (504, True, "did not answer within"),
}
USUAL = {
    Fault.CUT: (502, True, "the connection"),
    Fault.STALL: (502, True, "the connection"),
    Fault.GARBLE: (502, True, "no JSON object"),
}


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("fault", Fault)
async def test_each_trouble_of_a_connection_is_one_error(
    monkeypatch: pytest.MonkeyPatch, fault: Fault, stage: Stage
) -> None:
    if fault is Fault.STALL:
        # A provider that stalls answers no ping.
        monkeypatch.setattr(link, "CONNECT_SECONDS", 0.2)
        monkeypatch.setattr(link, "PING_SECONDS", 0.2)
    monkeypatch.setattr(duplex, "GRACE_SECONDS", 0.2)
    code, retry, says = STREAMED.get((fault, stage)) or USUAL[fault]
    async with provided() as (fake, provider):
        # aiohttp asks a second time, at once, when a connection is reset before the answer.
        fake.trouble.extend(
            [Trouble(fault, stage)] * (2 if (fault, stage) == (Fault.CUT, Stage.CONNECT) else 1)
        )
        with pytest.raises(ProviderError, match=says) as caught:
            await synthesised(provider, option(fake), growing(TEXT, " And more."))
        assert (caught.value.code, caught.value.retry) == (code, retry)
        assert str(caught.value).startswith("deepgram: ")
        monkeypatch.undo()
        assert await synthesised(provider, option(fake), growing("Again. ", "And on."))


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.CUT, Fault.GARBLE])
async def test_each_trouble_of_a_request_is_one_error(fault: Fault, stage: Stage) -> None:
    refused = (fault, stage) == (Fault.REFUSE, Stage.CONNECT)
    async with provided() as (fake, provider):
        fake.trouble.append(Trouble(fault, stage))
        with pytest.raises(
            ProviderError, match="Too many requests" if refused else "the connection broke"
        ) as caught:
            await synthesised(provider, option(fake), one(TEXT))
        assert (caught.value.code, caught.value.retry) == (429 if refused else 502, True)
        assert await synthesised(provider, option(fake), one(TEXT)) == spoken(TEXT, 8000)


async def test_a_close_that_breaks_after_all_was_spoken_is_no_error(
    monkeypatch: pytest.MonkeyPatch, all_spoken: asyncio.Event
) -> None:
    async with provided() as (fake, provider):
        flush = fake._flush

        async def cut_at_close(call: Call, text: str, rate: int, number: int) -> None:
            await flush(call, text, rate, number)
            await call.socket.receive()
            fake.cut(call.request)
            raise OverError

        monkeypatch.setattr(fake, "_flush", cut_at_close)
        pcm = await synthesised(provider, option(fake), growing("All there is.", then=all_spoken))
    assert pcm == spoken("All there is. ", 8000)
