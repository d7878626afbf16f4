"""Recognition by Tencent Cloud: parameters, results, every way to fail, and what closing leaves behind."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech.asr.base import Heard
from media.speech.asr.tencent import Tencent
from media.speech.provider import Context
from tests.support.clouds.base import SCRIPT, Fault, Stage, Trouble, spoken
from tests.support.clouds.tencent import Tencent as Cloud

PATIENCE = 20


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with Cloud() as one:
        yield one


@pytest.fixture
async def provider() -> AsyncIterator[Tencent]:
    async with aiohttp.ClientSession() as http:
        yield Tencent(Context(http, Path("/nowhere")))


def option(cloud: Cloud, **fields: Any) -> TranscriptionOption:
    keys = {"app_id": cloud.app_id, "secret_id": cloud.secret_id, "secret_key": cloud.secret_key}
    return TranscriptionOption(**{"endpoint": cloud.ws_url, **keys, **fields})


def call(*utterances: int, rate: int = 16_000) -> bytes:
    """Utterances of so many ms each, with 400 ms of silence behind each."""
    pause = bytes(rate * 8 // 10)
    return pause[: rate // 10] + b"".join(spoken("x", rate, ms) + pause for ms in utterances)


async def pieces(pcm: bytes, rate: int = 16_000) -> AsyncGenerator[bytes, None]:
    size = rate * 2 // 25
    for at in range(0, len(pcm), size):
        yield pcm[at : at + size]


async def endless(pcm: bytes) -> AsyncGenerator[bytes, None]:
    async for piece in pieces(pcm):
        yield piece
    await asyncio.Event().wait()


async def hear(
    provider: Tencent, wish: TranscriptionOption, audio: AsyncGenerator[bytes, None]
) -> list[Heard]:
    async with asyncio.timeout(PATIENCE), aclosing(audio), aclosing(provider.recognise(wish, audio)) as heard:
        return [one async for one in heard]


async def test_utterances_come_as_deltas_and_then_final_with_their_times(
    cloud: Cloud, provider: Tencent
) -> None:
    heard = await hear(provider, option(cloud), pieces(call(300, 400)))
    assert cloud.complaints == []
    finals = [one for one in heard if one.final]
    assert [(one.index, one.text, one.start, one.end) for one in finals] == [
        (0, SCRIPT[0], 40, 360),
        (1, SCRIPT[1], 740, 1160),
    ]
    assert [one.text for one in heard if one.index == 0] == ["hello", SCRIPT[0]]
    assert {one.task for one in heard} == {cloud.voices[0]}
    assert heard.index(finals[0]) < heard.index(next(one for one in heard if one.index == 1))


async def test_all_audio_arrives_as_it_was_sent(cloud: Cloud, provider: Tencent) -> None:
    pcm = call(200)
    await hear(provider, option(cloud), pieces(pcm))
    assert bytes(cloud.heard[0]) == pcm


async def test_empty_pieces_of_audio_are_not_sent(cloud: Cloud, provider: Tencent) -> None:
    async def audio() -> AsyncGenerator[bytes, None]:
        for piece in (b"", bytes(640), b""):
            yield piece

    await hear(provider, option(cloud), audio())
    assert bytes(cloud.heard[0]) == bytes(640)
    assert cloud.complaints == []


async def test_the_end_of_audio_flushes_what_was_begun(cloud: Cloud, provider: Tencent) -> None:
    heard = await hear(provider, option(cloud), pieces(spoken("x", 16_000, 200)))
    assert (heard[-1].text, heard[-1].final, heard[-1].end) == (SCRIPT[0], True, 200)


async def test_silence_alone_gives_nothing(cloud: Cloud, provider: Tencent) -> None:
    assert await hear(provider, option(cloud), pieces(bytes(6400))) == []
    assert await hear(provider, option(cloud), pieces(b"")) == []
    assert cloud.complaints == []
    assert cloud.voices[0] != cloud.voices[1]


async def test_models_for_telephones_get_8_khz(cloud: Cloud, provider: Tencent) -> None:
    wish = option(cloud, model="8k_zh")
    assert provider.rate(wish) == 8000
    heard = await hear(provider, wish, pieces(call(300, rate=8000), 8000))
    assert [(one.start, one.end) for one in heard if one.final] == [(40, 360)]
    assert cloud.queries[0]["engine_model_type"] == "8k_zh"


@pytest.mark.parametrize(
    ("fields", "rate"),
    [
        ({}, 16_000),
        ({"model": "16k_en"}, 16_000),
        ({"model": "8k_zh_large"}, 8000),
        ({"extra": {"engine_model_type": "8k_en"}}, 8000),
        ({"model": "16k_zh", "extra": {"input_sample_rate": 8000}}, 8000),
        ({"extra": {"vad_silence_time": 500}}, 16_000),
    ],
)
async def test_the_model_decides_the_rate(
    cloud: Cloud, provider: Tencent, fields: dict[str, Any], rate: int
) -> None:
    assert provider.rate(option(cloud, **fields)) == rate


async def test_parameters_are_those_of_the_documents_and_extra_overrides_them(
    cloud: Cloud, provider: Tencent
) -> None:
    extra = {"vad_silence_time": 500, "hotword_list": "Side call|5,a+b/c&d=e%|11", "word_info": None}
    await hear(provider, option(cloud, model="16k_en", extra=extra), pieces(b""))
    assert cloud.complaints == []
    query = cloud.queries[0]
    varying = {key: query.pop(key) for key in ("timestamp", "expired", "nonce", "voice_id")}
    assert int(varying["expired"]) - int(varying["timestamp"]) == 86_400
    assert query == {
        "secretid": cloud.secret_id,
        "engine_model_type": "16k_en",
        "voice_format": "1",
        "needvad": "1",
        "vad_silence_time": "500",
        "filter_modal": "0",
        "filter_punc": "0",
        "convert_num_mode": "1",
        "max_speak_time": "60000",
        "hotword_list": "Side call|5,a+b/c&d=e%|11",
    }


@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("path", ["", "/", "/asr/v2/1259220000"])
async def test_the_endpoint_may_have_a_path(cloud: Cloud, provider: Tencent, scheme: str, path: str) -> None:
    wish = option(cloud, endpoint=cloud.url.replace("http", scheme, 1) + path)
    assert await hear(provider, wish, pieces(b"")) == []
    assert cloud.connections == 1


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("app_id", "appId is missing; give it in the option or set TENCENT_APPID"),
        ("secret_id", "secretId is missing.*TENCENT_SECRET_ID"),
        ("secret_key", "secretKey is missing.*TENCENT_SECRET_KEY"),
    ],
)
async def test_a_missing_key_is_refused_before_anything_is_sent(
    cloud: Cloud, provider: Tencent, field: str, says: str
) -> None:
    provider.check(option(cloud))
    with pytest.raises(ProviderError, match=says) as caught:
        provider.check(option(cloud, **{field: None}))
    assert (caught.value.code, caught.value.retry) == (401, False)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"app_id": "../x"}, "digits"),
        ({"endpoint": "ftp://example.org"}, "endpoint is no http"),
        ({"endpoint": "ws://[::1"}, "endpoint is no http"),
    ],
)
async def test_what_cannot_be_followed_is_refused(
    cloud: Cloud, provider: Tencent, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ProviderError, match=says) as caught:
        provider.check(option(cloud, **fields))
    assert (caught.value.code, caught.value.retry) == (400, False)


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"secret_key": "wrong"}, 401, "鉴权失败.*4002.*check appId"),
        ({"secret_id": "wrong"}, 401, "4002"),
        ({"app_id": "99"}, 403, "4003"),
        ({"model": "17k_martian"}, 400, "invalid parameter engine_model_type.*4001"),
        ({"extra": {"vad_silence_time": 5}}, 400, "invalid parameter vad_silence_time"),
    ],
)
async def test_refusals_are_told_in_the_words_of_the_vendor(
    cloud: Cloud, provider: Tencent, fields: dict[str, Any], code: int, says: str
) -> None:
    with pytest.raises(ProviderError, match=says) as caught:
        await hear(provider, option(cloud, **fields), endless(call(200)))
    assert (caught.value.code, caught.value.retry) == (code, False)
    assert cloud.secret_key not in str(caught.value)


FAILURES = [
    (Fault.REFUSE, Stage.CONNECT, "tencent: it answered 503"),
    (Fault.CUT, Stage.CONNECT, "tencent: the connection broke"),
    (Fault.GARBLE, Stage.CONNECT, "tencent: it answered 200"),
    *[(Fault.REFUSE, stage, "overloaded .code 5000") for stage in list(Stage)[1:]],
    *[(Fault.CUT, stage, "tencent: the connection") for stage in list(Stage)[1:]],
    *[(Fault.GARBLE, stage, "tencent: sent what is no JSON object") for stage in list(Stage)[1:]],
]


@pytest.mark.parametrize(("fault", "stage", "says"), FAILURES)
async def test_each_failure_is_one_clear_error(
    cloud: Cloud, provider: Tencent, fault: Fault, stage: Stage, says: str
) -> None:
    # The HTTP client tries once more by itself when a connection is cut before its answer.
    cloud.trouble.extend([Trouble(fault, stage)] * (1 + ((fault, stage) == (Fault.CUT, Stage.CONNECT))))
    audio = pieces(call(300)) if stage is Stage.END else endless(call(300))
    with pytest.raises(ProviderError, match=says) as caught:
        await hear(provider, option(cloud), audio)
    assert (caught.value.code, caught.value.retry) == (502, True)
    finals = [one for one in await hear(provider, option(cloud), pieces(call(300))) if one.final]
    assert [one.text for one in finals] == [SCRIPT[0]]


@pytest.mark.parametrize("stage", list(Stage)[1:])
async def test_a_stalled_connection_can_be_closed(cloud: Cloud, provider: Tencent, stage: Stage) -> None:
    cloud.trouble.append(Trouble(Fault.STALL, stage))
    audio = (pieces if stage is Stage.END else endless)(call(300))
    async with asyncio.timeout(PATIENCE), aclosing(audio):
        listening = asyncio.create_task(hear(provider, option(cloud), audio))
        assert await cloud.reached.get() is stage
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening


async def test_closing_between_results_ends_the_connection(cloud: Cloud, provider: Tencent) -> None:
    async with asyncio.timeout(PATIENCE), aclosing(endless(call(300))) as audio:
        heard = provider.recognise(option(cloud), audio)
        assert (await anext(heard)).text == "hello"
        await heard.aclose()
        assert await cloud.left.get() == 0


async def test_a_generator_that_is_never_begun_connects_nowhere(cloud: Cloud, provider: Tencent) -> None:
    await provider.recognise(option(cloud), pieces(b"")).aclose()
    await provider.close()
    assert cloud.connections == 0


async def test_a_backlog_goes_out_no_faster_than_is_taken(cloud: Cloud, provider: Tencent) -> None:
    # The fake refuses more than 3 s of audio in a second, as Tencent does.
    heard = await hear(provider, option(cloud), pieces(call(300, 300, 300, 300, 300)))
    assert [one.text for one in heard if one.final] == list(SCRIPT)
    assert cloud.complaints == []
