"""Recognition against the faked service: all three ways, and everything that goes wrong."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech import link
from media.speech.asr import duplex
from media.speech.asr.base import Heard
from media.speech.asr.openai import OpenAi
from media.speech.provider import Context
from tests.support.clouds import openai as clouds
from tests.support.clouds.base import SCRIPT, Fault, Stage, Trouble
from tests.support.utterances import pieces, silence, spaced, tone

LIVE, VAD, REQUEST = "gpt-live-transcribe", "gpt-4o-mini-transcribe", "whisper-1"


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


def option(cloud: clouds.OpenAi, model: str | None = None, **fields: Any) -> TranscriptionOption:
    return TranscriptionOption(**{"endpoint": cloud.url, "secret_key": cloud.key, "model": model} | fields)


async def heard(provider: OpenAi, asked: TranscriptionOption, pcm: bytes) -> list[Heard]:
    provider.check(asked)
    async with aclosing(provider.recognise(asked, pieces(pcm))) as results:
        return [result async for result in results]


def finals(results: list[Heard]) -> list[tuple[int, str]]:
    return [(result.index, result.text) for result in results if result.final]


async def endless(pcm: bytes) -> AsyncGenerator[bytes, None]:
    """`pcm`, and then a call that says nothing more, but goes on."""
    async for piece in pieces(pcm):
        yield piece
    await asyncio.Event().wait()


@pytest.mark.parametrize("model", [LIVE, "gpt-transcribe", "gpt-realtime-whisper", VAD, REQUEST])
async def test_several_utterances_are_understood(cloud: clouds.OpenAi, provider: OpenAi, model: str) -> None:
    results = await heard(provider, option(cloud, model, language="en-US"), spaced(900, 700, 800))
    assert finals(results) == list(enumerate(SCRIPT[:3]))
    assert cloud.complaints == []
    assert cloud.connections == (3 if model == REQUEST else 1)


async def test_a_live_model_tells_words_while_one_speaks(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    asked = option(cloud)
    async with aclosing(provider.recognise(asked, endless(silence(800) + tone(900)))) as results:
        first = await anext(results)
    assert (first.text, first.start, first.final) == ("hello", 500, False)
    assert 800 < first.end <= 1700


async def test_times_are_those_of_our_detection(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    for model in (LIVE, REQUEST):
        results = await heard(provider, option(cloud, model), spaced(900, 700))
        assert [(each.start, each.end) for each in results if each.final] == [(500, 1700), (2200, 3200)]


async def test_times_are_those_of_the_services_detection(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    asked = option(cloud, VAD, extra={"prefix_padding_ms": "100", "threshold": 0.4})
    results = await heard(provider, asked, spaced(900, 700))
    # The fake hears frames of 20 ms, and takes 300 ms of quiet for the end.
    assert [(each.start, each.end) for each in results if each.final] == [(700, 2000), (2400, 3500)]


async def test_deltas_come_before_their_final(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    results = await heard(provider, option(cloud, VAD), spaced(900, 700))
    texts = [[each.text for each in results if each.index == index] for index in (0, 1)]
    assert texts[0] == ["hello", "hello there", "hello there"]
    assert texts[1][-2:] == [SCRIPT[1]] * 2
    assert len(texts[1]) == len(SCRIPT[1].split()) + 1


async def test_audio_arrives_whole(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    pcm = spaced(900, 700)
    for model, length in ((VAD, len(pcm) * 3 // 2), (LIVE, (1700 + 1500) * 48), (REQUEST, 1700 * 32)):
        await heard(provider, option(cloud, model), pcm)
        number = {VAD: 0, LIVE: 1, REQUEST: 2}[model]
        assert len(cloud.heard[number]) == length


@pytest.mark.parametrize("model", [LIVE, VAD, REQUEST])
async def test_speech_at_the_end_of_all_audio_is_understood(
    cloud: clouds.OpenAi, provider: OpenAi, model: str
) -> None:
    assert finals(await heard(provider, option(cloud, model), silence(500) + tone(700))) == [(0, SCRIPT[0])]


@pytest.mark.parametrize("model", [LIVE, VAD, REQUEST])
async def test_silence_is_understood_as_nothing(cloud: clouds.OpenAi, provider: OpenAi, model: str) -> None:
    for ms in (0, 60, 2000):
        assert await heard(provider, option(cloud, model), silence(ms)) == []
    assert cloud.complaints == []


@pytest.mark.parametrize("model", [LIVE, VAD, REQUEST])
async def test_an_utterance_without_text_is_left_out(
    cloud: clouds.OpenAi, provider: OpenAi, model: str
) -> None:
    cloud.blank = {1}
    results = await heard(provider, option(cloud, model), spaced(800, 700, 800))
    assert finals(results) == [(0, SCRIPT[0]), (2, SCRIPT[2])]


async def test_parameters_reach_the_service(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    extra = {"temperature": "0.2", "prompt": "names", "keywords": ["Ada"], "silence_duration_ms": 300}
    asked = option(cloud, "gpt-transcribe", language="de", extra={"mode": "utterance", **extra})
    await heard(provider, asked, spaced(800))
    assert cloud.asked == [
        {
            "model": ["gpt-transcribe"],
            "languages[]": ["de"],
            "response_format": ["json"],
            "temperature": ["0.2"],
            "prompt": ["names"],
            "keywords[]": ["Ada"],
        }
    ]
    await heard(provider, option(cloud, "whisper-1", extra={"temperature": 0}), spaced(800))
    assert cloud.asked[1]["temperature"] == ["0"]
    assert cloud.complaints == []


async def test_a_server_of_others_may_want_no_key(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    cloud.key = None
    for endpoint in (cloud.url, f"{cloud.url}/v1/", f"{cloud.ws_url}/v1"):
        for model in (LIVE, REQUEST):
            asked = option(cloud, model, endpoint=endpoint)
            assert finals(await heard(provider, asked, spaced(800))) == [(0, SCRIPT[0])]
            cloud.heard.clear()


@pytest.mark.parametrize("model", [LIVE, VAD, REQUEST])
async def test_a_wrong_key_is_refused_and_not_shown(
    cloud: clouds.OpenAi, provider: OpenAi, model: str
) -> None:
    with pytest.raises(ProviderError, match="Incorrect API key provided") as caught:
        await heard(provider, option(cloud, model, secret_key="sk-wrong"), spaced(800))
    assert (caught.value.code, caught.value.retry) == (401, False)
    assert "sk-wrong" not in str(caught.value)


async def test_parameters_that_the_service_refuses_are_no_reason_to_try_again(
    cloud: clouds.OpenAi, provider: OpenAi
) -> None:
    for asked in (
        option(cloud, LIVE, extra={"turn_detection": {"type": "server_vad"}}),
        option(cloud, LIVE, extra={"language": "en", "languages": ["en"]}),
        option(cloud, REQUEST, extra={"shape": "round"}),
    ):
        with pytest.raises(ProviderError) as caught:
            await heard(provider, asked, spaced(800))
        assert (caught.value.code, caught.value.retry) == (400, False)
    assert len(cloud.complaints) == 3


FAULTS = (Fault.REFUSE, Fault.CUT, Fault.GARBLE)


@pytest.mark.parametrize("model", [LIVE, VAD, REQUEST])
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_one_error_that_may_be_tried_again(
    cloud: clouds.OpenAi,
    provider: OpenAi,
    model: str,
    stage: Stage,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(duplex, "GRACE_SECONDS", 0)
    # A socket that breaks before it is open is tried once more by the HTTP client itself.
    again = model != REQUEST and (fault, stage) == (Fault.CUT, Stage.CONNECT)
    cloud.trouble.extend([Trouble(fault, stage)] * (1 + again))
    with pytest.raises(ProviderError, match="^openai: ") as caught:
        await heard(provider, option(cloud, model), spaced(800, 700))
    early = (fault, stage) == (Fault.REFUSE, Stage.CONNECT)
    assert caught.value.code == (429 if early else 502)
    assert caught.value.retry
    assert finals(await heard(provider, option(cloud, model), spaced(800))) != []
    assert cloud.complaints == []


@pytest.mark.parametrize("model", [LIVE, VAD, REQUEST])
@pytest.mark.parametrize("stage", Stage)
async def test_one_can_leave_a_service_that_stalls(
    cloud: clouds.OpenAi, provider: OpenAi, model: str, stage: Stage
) -> None:
    cloud.trouble.append(Trouble(Fault.STALL, stage))
    task = asyncio.create_task(heard(provider, option(cloud, model), spaced(800, 700)))
    await cloud.stalling.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert finals(await heard(provider, option(cloud, model), spaced(800))) != []


async def test_a_socket_that_does_not_open_is_given_up(
    cloud: clouds.OpenAi, provider: OpenAi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CONNECT_SECONDS", 0.01)
    cloud.trouble.append(Trouble(Fault.STALL, Stage.CONNECT))
    with pytest.raises(ProviderError, match="did not answer") as caught:
        await heard(provider, option(cloud), spaced(800))
    assert (caught.value.code, caught.value.retry) == (504, True)


@pytest.mark.parametrize("model", [LIVE, VAD, REQUEST])
@pytest.mark.parametrize("results", [1, 2, 3])
async def test_closing_at_any_result_leaves_no_connection(
    cloud: clouds.OpenAi, provider: OpenAi, model: str, results: int
) -> None:
    async with aclosing(provider.recognise(option(cloud, model), endless(spaced(800, 700, 800)))) as stream:
        for _ in range(results):
            await anext(stream)
    await cloud.idle.wait()
    assert cloud.complaints == []


@pytest.mark.parametrize("model", [LIVE, VAD, REQUEST])
@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 21, 34, 55])
async def test_closing_at_any_await_leaves_no_task(
    cloud: clouds.OpenAi, provider: OpenAi, model: str, turns: int
) -> None:
    task = asyncio.create_task(heard(provider, option(cloud, model), spaced(800, 700)))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    await cloud.idle.wait()


async def test_what_breaks_in_the_audio_is_raised(cloud: clouds.OpenAi, provider: OpenAi) -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield tone(200)
        raise RuntimeError("the call is gone")

    for model in (LIVE, VAD, REQUEST):
        with pytest.raises(RuntimeError, match="the call is gone"):
            async with aclosing(provider.recognise(option(cloud, model), broken())) as results:
                await anext(results)


async def test_an_answer_without_text_is_an_error(
    cloud: clouds.OpenAi, provider: OpenAi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "_understood", lambda pcm: None)
    with pytest.raises(ProviderError, match="its answer has no text"):
        await heard(provider, option(cloud, REQUEST), spaced(800))


async def test_options_that_cannot_be_followed_are_refused(provider: OpenAi) -> None:
    with pytest.raises(ProviderError, match="OPENAI_API_KEY") as caught:
        provider.check(TranscriptionOption())
    assert (caught.value.code, caught.value.retry) == (401, False)
    with pytest.raises(ProviderError, match="mode") as caught:
        provider.check(TranscriptionOption(secret_key="x", extra={"mode": "batch"}))
    assert caught.value.code == 400
    assert provider.rate(TranscriptionOption()) == 16_000
