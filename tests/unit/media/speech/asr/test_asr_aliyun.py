"""Recognition on DashScope: results, times, parameters, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech import link
from media.speech.asr import aliyun as module
from media.speech.asr.aliyun import Aliyun, TimeLine, Transcript, parameters
from media.speech.asr.base import Heard
from media.speech.provider import Context
from tests.support.clouds import aliyun as cloud_module
from tests.support.clouds.aliyun import KEY
from tests.support.clouds.base import SCRIPT, Fault, Stage, Trouble, spoken
from tests.support.feed import Feed

PIECE = 1280


def loud(ms: int, rate: int = 16_000) -> list[bytes]:
    return cut(spoken("x" * (ms // 20), rate))


def quiet(ms: int, rate: int = 16_000) -> list[bytes]:
    return cut(bytes(rate * 2 * ms // 1000))


def cut(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + PIECE] for at in range(0, len(pcm), PIECE)]


@pytest.fixture
async def cloud() -> AsyncIterator[cloud_module.Aliyun]:
    async with cloud_module.Aliyun() as cloud:
        yield cloud
        assert cloud.complaints == []


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Aliyun]:
    async with aiohttp.ClientSession() as http:
        provider = Aliyun(Context(http, tmp_path))
        yield provider
        await provider.close()


def asked(cloud: cloud_module.Aliyun, **keys: Any) -> TranscriptionOption:
    return TranscriptionOption(**{"endpoint": cloud.url, "secret_key": KEY} | keys)


async def heard(provider: Aliyun, option: TranscriptionOption, audio: Feed[bytes]) -> list[Heard]:
    async with aclosing(provider.recognise(option, audio)) as results:
        return [result async for result in results]


async def test_utterances_have_numbers_times_deltas_and_finals(
    cloud: cloud_module.Aliyun, provider: Aliyun
) -> None:
    audio = Feed(*quiet(200), *loud(800), *quiet(400), *loud(600), *quiet(400)).end()
    found = await heard(provider, asked(cloud), audio)
    finals = [(text.index, text.text, text.start, text.end) for text in found if text.final]
    assert finals == [(0, SCRIPT[0], 200, 1000), (1, SCRIPT[1], 1400, 2000)]
    first = [text for text in found if text.index == 0]
    assert [text.final for text in first] == [False] * (len(first) - 1) + [True]
    assert [text.text for text in first][0] == SCRIPT[0].split()[0]
    assert all(text.start == 200 and text.start < text.end <= 1000 for text in first)
    assert len({text.task for text in found}) == 1
    assert found[0].task is not None
    assert cloud.connections == 1
    assert bytes(cloud.heard[0]) == b"".join(quiet(200) + loud(800) + quiet(400) + loud(600) + quiet(400))


async def test_the_end_of_the_audio_brings_the_rest(cloud: cloud_module.Aliyun, provider: Aliyun) -> None:
    found = await heard(provider, asked(cloud), Feed(*loud(600)).end())
    assert (found[-1].text, found[-1].final, found[-1].end) == (SCRIPT[0], True, 600)


@pytest.mark.parametrize("audio", [[], [b""], [bytes(3200)]])
async def test_audio_without_speech_is_no_error(
    cloud: cloud_module.Aliyun, provider: Aliyun, audio: list[bytes]
) -> None:
    assert await heard(provider, asked(cloud), Feed(*audio).end()) == []


async def test_silence_keeps_an_idle_task_and_does_not_count(
    cloud: cloud_module.Aliyun, provider: Aliyun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.005)
    audio = Feed(*loud(400))
    async with aclosing(provider.recognise(asked(cloud), audio)) as results:
        first = await until_final(results)
        audio.put(*loud(600)).end()
        second = await until_final(results)
    assert (first.start, first.end) == (0, 400)
    assert (second.start, second.end) == (400, 1000)
    assert len(cloud.heard[0]) > 32 * 1000


async def until_final(results: AsyncIterator[Heard]) -> Heard:
    async for result in results:
        if result.final:
            return result
    raise AssertionError("no final text")


async def test_what_was_asked_for(cloud: cloud_module.Aliyun, provider: Aliyun) -> None:
    extra = {"vocabulary_id": "vocab-1", "max_sentence_silence": 400, "heartbeat": False}
    option = asked(
        cloud, model="paraformer-realtime-8k-v2", language="zh-CN", extra=extra, app_id="space", region="any"
    )
    provider.check(option)
    await heard(provider, option, Feed(*loud(600, 8000)).end())
    assert cloud.runs[0]["model"] == "paraformer-realtime-8k-v2"
    expected = {"format": "pcm", "sample_rate": 8000, "language_hints": ["zh"], **extra}
    assert cloud.runs[0]["parameters"] == expected
    assert cloud.headers[0]["X-DashScope-WorkSpace"] == "space"


def test_the_parameters_of_those_who_ask_for_nothing() -> None:
    expected = {"format": "pcm", "sample_rate": 16_000, "heartbeat": True}
    assert parameters(TranscriptionOption(), 16_000) == expected


@pytest.mark.parametrize(
    ("keys", "rate"),
    [
        ({}, 16_000),
        ({"samplerate": 8000}, 8000),
        ({"samplerate": 16_000}, 16_000),
        ({"model": "paraformer-realtime-8k-v2"}, 8000),
        ({"model": "fun-asr-realtime", "samplerate": 8000}, 16_000),
    ],
)
async def test_rates(provider: Aliyun, keys: dict[str, Any], rate: int) -> None:
    assert provider.rate(TranscriptionOption(**keys)) == rate


async def test_the_wrong_key_is_refused(cloud: cloud_module.Aliyun, provider: Aliyun) -> None:
    with pytest.raises(ProviderError, match="401") as caught:
        await heard(provider, asked(cloud, secret_key="sk-wrong"), Feed())
    assert (caught.value.code, caught.value.retry) == (401, False)
    assert "sk-wrong" not in str(caught.value)


async def test_an_unknown_model_is_refused(cloud: cloud_module.Aliyun, provider: Aliyun) -> None:
    with pytest.raises(ProviderError, match="ModelNotFound") as caught:
        await heard(provider, asked(cloud, model="whisper"), Feed())
    assert (caught.value.code, caught.value.retry) == (404, False)


async def test_a_missing_key_is_told_before(provider: Aliyun) -> None:
    with pytest.raises(ProviderError, match="DASHSCOPE_API_KEY"):
        provider.check(TranscriptionOption())


TROUBLES = [
    (Fault.REFUSE, Stage.CONNECT, 429, "429"),
    (Fault.CUT, Stage.CONNECT, 502, "broke"),
    (Fault.GARBLE, Stage.CONNECT, 502, "200"),
    (Fault.STALL, Stage.CONNECT, 504, "did not answer"),
    *((Fault.REFUSE, stage, 502, "InternalError") for stage in (Stage.BEGIN, Stage.MIDDLE, Stage.END)),
    *((Fault.CUT, stage, 502, "connection") for stage in (Stage.BEGIN, Stage.MIDDLE, Stage.END)),
    *((Fault.GARBLE, stage, 502, "no JSON") for stage in (Stage.BEGIN, Stage.MIDDLE, Stage.END)),
]


@pytest.mark.parametrize(("fault", "stage", "code", "words"), TROUBLES)
async def test_what_goes_wrong_is_one_error(
    cloud: cloud_module.Aliyun,
    provider: Aliyun,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    stage: Stage,
    code: int,
    words: str,
) -> None:
    if fault is Fault.STALL:
        monkeypatch.setattr(link, "CONNECT_SECONDS", 0.05)
    twice = fault is Fault.CUT and stage is Stage.CONNECT
    cloud.trouble.extend([Trouble(fault, stage)] * (2 if twice else 1))  # aiohttp tries a cut request again
    audio = Feed(*loud(800), *quiet(400)).end()
    with pytest.raises(ProviderError, match=f"^aliyun: .*{words}") as caught:
        await heard(provider, asked(cloud), audio)
    assert (caught.value.code, caught.value.retry) == (code, True)
    again = await heard(provider, asked(cloud), Feed(*loud(600)).end())
    assert again[-1].final


@pytest.mark.parametrize("stage", [Stage.BEGIN, Stage.MIDDLE, Stage.END])
async def test_a_stalled_task_can_be_left(cloud: cloud_module.Aliyun, provider: Aliyun, stage: Stage) -> None:
    cloud.trouble.append(Trouble(Fault.STALL, stage))
    work = asyncio.create_task(heard(provider, asked(cloud), Feed(*loud(800), *quiet(400)).end()))
    await cloud.stalled.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await cloud.closed.wait()


@pytest.mark.parametrize("taken", [1, 2])
async def test_closing_ends_the_connection(cloud: cloud_module.Aliyun, provider: Aliyun, taken: int) -> None:
    audio = Feed(*loud(800), *quiet(400))
    results = provider.recognise(asked(cloud), audio)
    for _ in range(taken):
        await anext(results)
    assert not cloud.closed.is_set()
    await results.aclose()
    await cloud.closed.wait()


async def test_what_the_audio_raises_is_raised(cloud: cloud_module.Aliyun, provider: Aliyun) -> None:
    class Broken(Feed[bytes]):
        async def __anext__(self) -> bytes:
            raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        await heard(provider, asked(cloud), Broken())
    await cloud.closed.wait()


def sentence(**keys: Any) -> dict[str, Any]:
    return {"sentence": {"text": "hi", "begin_time": 100, "end_time": None, "words": []} | keys}


def read(*outputs: dict[str, Any]) -> list[Heard | None]:
    transcript = Transcript("t", TimeLine(16_000))
    return [transcript.feed(output) for output in outputs]


def test_an_end_time_alone_makes_a_text_final() -> None:
    found = read(sentence(), sentence(end_time=500), sentence(begin_time=600))
    assert found == [
        Heard(0, "hi", 100, 100, final=False, task="t"),
        Heard(0, "hi", 100, 500, final=True, task="t"),
        Heard(1, "hi", 600, 600, final=False, task="t"),
    ]


def test_a_final_text_without_an_end_ends_with_its_last_word() -> None:
    words = [{"end_time": 300}, {"end_time": 900}, {"end_time": None}, "no word"]
    assert read(sentence(sentence_end=True, words=words)) == [Heard(0, "hi", 100, 900, final=True, task="t")]


def test_sentences_are_told_apart_by_the_vendors_numbers() -> None:
    found = read(*(sentence(sentence_id=number) for number in (1, 3, 1)))
    assert [text and text.index for text in found] == [0, 1, 0]


@pytest.mark.parametrize(
    "output", [{}, {"sentence": None}, sentence(heartbeat=True), sentence(text=" "), sentence(text=None)]
)
def test_what_says_nothing_is_left_out(output: dict[str, Any]) -> None:
    assert read(output) == [None]


@pytest.mark.parametrize("keys", [{"text": 5}, {"begin_time": "x"}, {"words": {}}, {"sentence_end": 1}])
def test_what_makes_no_sense_is_an_error(keys: dict[str, Any]) -> None:
    with pytest.raises(ProviderError, match=next(iter(keys))):
        read(sentence(**keys))


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 50)), max_size=30))
def test_silence_is_taken_out_of_times(parts: list[tuple[bool, int]]) -> None:
    line, theirs, ours = TimeLine(8000), 0, 0
    expected = [(0, 0)]
    for audible, ms in parts:
        (line.audio if audible else line.silence)(ms * 16)
        for _ in range(ms):
            theirs += 1
            ours += audible
            expected.append((theirs, ours))
    assert [(at, line.ours(at)) for at, _ in expected] == expected
