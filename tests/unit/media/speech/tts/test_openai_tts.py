"""Synthesis against the faked service."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from control.errors import ProviderError
from media.api.options import SynthesisOption
from media.speech.provider import Context
from media.speech.tts.openai import OpenAi
from tests.support.clouds import openai as clouds
from tests.support.clouds.base import Fault, Stage, Trouble, spoken

TEXT = "Good morning. What can I do for you?"


@pytest.fixture
async def cloud() -> AsyncIterator[clouds.OpenAi]:
    async with clouds.OpenAi() as service:
        yield service


@pytest.fixture
async def provider() -> AsyncIterator[OpenAi]:
    async with aiohttp.ClientSession() as http:
        provider = OpenAi(Context(http, Path("/nowhere")))
        yield provider
        await provider.close()


def option(cloud: clouds.OpenAi, **fields: Any) -> SynthesisOption:
    return SynthesisOption(**{"endpoint": cloud.url, "secret_key": cloud.key} | fields)


async def parts(*texts: str) -> AsyncGenerator[str, None]:
    for text in texts:
        yield text


async def said(provider: OpenAi, asked: SynthesisOption, *texts: str) -> list[bytes]:
    provider.check(asked)
    async with aclosing(provider.synthesise(asked, parts(*texts), provider.rate(asked, 16_000))) as audio:
        return [piece async for piece in audio if isinstance(piece, bytes)]


async def test_the_parts_of_a_text_are_spoken_as_one(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    audio = await said(provider, option(cloud), "Good morning. ", "What can I do ", "for you?")
    assert b"".join(audio) == spoken(TEXT, 24_000)
    assert cloud.texts == [[TEXT]]
    assert cloud.complaints == []


async def test_audio_is_given_on_as_it_comes(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    cloud.trouble.append(Trouble(Fault.STALL, Stage.MIDDLE))
    async with aclosing(provider.synthesise(option(cloud), parts(TEXT), 24_000)) as audio:
        assert spoken(TEXT, 24_000).startswith(bytes(await anext(audio)))  # type: ignore[arg-type]


async def test_without_wishes_only_what_is_needed_is_asked_for(
    cloud: clouds.OpenAi, provider: OpenAi
) -> None:
    await said(provider, option(cloud), "Hi.")
    assert cloud.asked == [
        {"model": "gpt-4o-mini-tts", "input": "Hi.", "voice": "alloy", "response_format": "pcm"}
    ]


async def test_wishes_are_told_in_the_vendors_words(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    asked = option(cloud, model="gpt-4o-mini-tts-2025-12-15", speaker="marin", speed=1.5, emotion="friendly")
    await said(provider, asked, "Hi.")
    assert cloud.asked[0] == {
        "model": "gpt-4o-mini-tts-2025-12-15",
        "input": "Hi.",
        "voice": "marin",
        "response_format": "pcm",
        "speed": 1.5,
        "instructions": "friendly",
    }
    await said(provider, option(cloud, emotion="friendly", extra={"instructions": "Whisper."}), "Hi.")
    assert cloud.asked[1]["instructions"] == "Whisper."
    assert cloud.complaints == []


async def test_nothing_to_say_is_not_asked_for(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    assert await said(provider, option(cloud)) == []
    assert await said(provider, option(cloud), " ", "\n") == []
    assert cloud.connections == 0


async def test_a_long_text_is_asked_for_in_sentences(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    text = "This is one of many sentences. " * 300
    audio = await said(provider, option(cloud), text)
    asked = [body["input"] for body in cloud.asked]
    assert "".join(asked) == text
    assert len(asked) == 3
    assert all(piece.rstrip().endswith(".") for piece in asked)
    assert len(b"".join(audio)) == len(spoken(text, 24_000))
    assert cloud.complaints == []


async def test_the_rate_is_the_vendors_or_what_is_asked_of_others(provider: OpenAi) -> None:
    assert provider.rate(SynthesisOption(), 8000) == 24_000
    assert provider.rate(SynthesisOption(samplerate=8000), 8000) == 24_000
    assert provider.rate(SynthesisOption(extra={"sample_rate": "16000"}), 8000) == 16_000


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"speed": 5.0}, "speed must be 0.25 to 4"),
        ({"speed": 0.0}, "speed"),
        ({"extra": {"response_format": "mp3"}}, "response_format"),
        ({"extra": {"stream_format": "sse"}}, "stream_format"),
        ({"extra": {"sample_rate": "much"}}, "sample_rate"),
        ({"extra": {"sample_rate": 96_000}}, "sample_rate"),
        ({"endpoint": "ftp://x"}, "endpoint"),
    ],
)
async def test_options_that_cannot_be_followed_are_refused(
    provider: OpenAi, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(ProviderError, match=words) as caught:
        provider.check(SynthesisOption(**{"secret_key": "x"} | fields))
    assert (caught.value.code, caught.value.retry) == (400, False)


async def test_a_missing_key_is_told_with_where_it_may_be_given(provider: OpenAi) -> None:
    with pytest.raises(ProviderError, match="secret_key.*OPENAI_API_KEY") as caught:
        provider.check(SynthesisOption())
    assert (caught.value.code, caught.value.retry) == (401, False)


async def test_a_wrong_key_is_refused_and_not_shown(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    with pytest.raises(ProviderError, match="Incorrect API key provided") as caught:
        await said(provider, option(cloud, secret_key="sk-wrong"), TEXT)
    assert (caught.value.code, caught.value.retry) == (401, False)
    assert "sk-wrong" not in str(caught.value)


async def test_a_voice_that_is_unknown_is_refused(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    with pytest.raises(ProviderError, match="voice") as caught:
        await said(provider, option(cloud, speaker="nobody"), TEXT)
    assert (caught.value.code, caught.value.retry) == (400, False)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.CUT, Fault.GARBLE])
async def test_each_fault_is_one_error_that_may_be_tried_again(
    cloud: clouds.OpenAi, provider: OpenAi, stage: Stage, fault: Fault
) -> None:
    cloud.trouble.append(Trouble(fault, stage))
    with pytest.raises(ProviderError, match="^openai: ") as caught:
        await said(provider, option(cloud), TEXT)
    early = (fault, stage) == (Fault.REFUSE, Stage.CONNECT)
    assert caught.value.code == (429 if early else 502)
    assert caught.value.retry
    assert b"".join(await said(provider, option(cloud), TEXT)) == spoken(TEXT, 24_000)


@pytest.mark.parametrize("stage", Stage)
async def test_one_can_leave_a_service_that_stalls(
    cloud: clouds.OpenAi, provider: OpenAi, stage: Stage
) -> None:
    cloud.trouble.append(Trouble(Fault.STALL, stage))
    task = asyncio.create_task(said(provider, option(cloud), TEXT))
    await cloud.stalling.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b"".join(await said(provider, option(cloud), TEXT)) == spoken(TEXT, 24_000)


async def test_closing_in_the_middle_leaves_no_connection(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    async with aclosing(provider.synthesise(option(cloud), parts(TEXT * 100), 24_000)) as audio:
        await anext(audio)
    await cloud.idle.wait()
    assert cloud.complaints == []
