"""Synthesis by Tencent Cloud's TextToVoice: parameters, long texts, marks, failures, and the vendor's own package."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from importlib import import_module
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ProviderError
from media.api.options import SynthesisOption
from media.speech.provider import Context
from media.speech.tts.base import Mark
from media.speech.tts.tencent_basic import MAX_BYTES, TencentBasic, answer, portions
from tests.support.clouds.base import Fault, Stage, Trouble, spoken
from tests.support.clouds.tencent import Tencent as Cloud

PATIENCE = 20
TEXT = "Hello, 你好 a+b & c=d?"


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with Cloud() as one:
        yield one


@pytest.fixture
async def provider() -> AsyncIterator[TencentBasic]:
    async with aiohttp.ClientSession() as http:
        yield TencentBasic(Context(http, Path("/nowhere")))


def option(cloud: Cloud, **fields: Any) -> SynthesisOption:
    keys = {"secret_id": cloud.secret_id, "secret_key": cloud.secret_key}
    return SynthesisOption(**{"endpoint": cloud.url, **keys, **fields})


async def parts(*texts: str) -> AsyncGenerator[str, None]:
    for text in texts:
        yield text


async def speak(provider: TencentBasic, wish: SynthesisOption, *texts: str) -> tuple[bytes, list[Mark]]:
    async with asyncio.timeout(PATIENCE), aclosing(provider.synthesise(wish, parts(*texts), 8000)) as pieces:
        found = [piece async for piece in pieces]
    audio = b"".join(piece for piece in found if isinstance(piece, bytes))
    return audio, [piece for piece in found if isinstance(piece, Mark)]


async def test_a_text_is_one_request(cloud: Cloud, provider: TencentBasic) -> None:
    audio, marks = await speak(provider, option(cloud), TEXT[:7], TEXT[7:])
    assert audio == spoken(TEXT, 8000)
    assert [TEXT[mark.at : mark.at + mark.length] for mark in marks] == TEXT.split()
    assert cloud.texts == [[TEXT]]
    assert cloud.complaints == []


async def test_the_parameters_are_mapped_and_extra_overrides_them(
    cloud: Cloud, provider: TencentBasic
) -> None:
    fields = {"speaker": "101001", "volume": 2.5, "speed": 0.7, "region": "ap-guangzhou", "subtitle": False}
    audio, marks = await speak(provider, option(cloud, **fields, extra={"SegmentRate": 1}), TEXT)
    assert (audio, marks) == (spoken(TEXT, 8000), [])
    query = cloud.queries[0]
    assert all(query.pop(key) for key in ("Timestamp", "Nonce", "SessionId"))
    assert query == {
        "Action": "TextToVoice",
        "Version": "2019-08-23",
        "SecretId": cloud.secret_id,
        "Region": "ap-guangzhou",
        "Text": TEXT,
        "ModelType": "1",
        "VoiceType": "101001",
        "Codec": "pcm",
        "SampleRate": "8000",
        "EnableSubtitle": "false",
        "Volume": "-5",
        "Speed": "-1.5",
        "SegmentRate": "1",
    }
    assert cloud.complaints == []


async def test_a_long_text_goes_in_several_requests_with_one_time_line(
    cloud: Cloud, provider: TencentBasic
) -> None:
    text = "这是一个很长的句子，大家都在听。" * 20
    audio, marks = await speak(provider, option(cloud), text)
    assert "".join(each for (each,) in cloud.texts) == text
    assert len(cloud.texts) > 2
    assert audio == b"".join(spoken(each, 8000) for (each,) in cloud.texts)
    assert "".join(text[mark.at : mark.at + mark.length] for mark in marks) == text
    assert [mark.start for mark in marks] == [20 * mark.at for mark in marks]


@pytest.mark.parametrize("texts", [[], [""], [" \n"]])
async def test_nothing_to_say_is_nothing_asked(
    cloud: Cloud, provider: TencentBasic, texts: list[str]
) -> None:
    assert await speak(provider, option(cloud), *texts) == (b"", [])
    assert cloud.connections == 0


@given(st.text(alphabet=st.sampled_from("a b.1,你。！\né"), max_size=900))
def test_portions_fit_and_are_the_text(text: str) -> None:
    found = portions(text)
    assert "".join(found) == text
    assert all(len(portion.encode()) <= MAX_BYTES for portion in found)


@pytest.mark.parametrize("text", ["你" * 1000, "a" * 3000, "3" * 700])
def test_text_without_a_gap_is_cut_anywhere(text: str) -> None:
    found = portions(text)
    assert "".join(found) == text
    assert all(0 < len(portion.encode()) <= MAX_BYTES for portion in found)


def test_ssml_is_never_cut() -> None:
    text = " <speak>" + "one. " * 200 + "</speak>"
    assert portions(text) == [text]


async def test_what_cannot_be_followed_is_refused(cloud: Cloud, provider: TencentBasic) -> None:
    provider.check(option(cloud))
    for fields, code, says in (
        ({"secret_id": None}, 401, "tencent_basic: secretId is missing.*TENCENT_SECRET_ID"),
        ({"secret_key": None}, 401, "secretKey is missing.*TENCENT_SECRET_KEY"),
        ({"speaker": "-1"}, 400, "number of a voice"),
        ({"codec": "mp3"}, 501, "not offered"),
    ):
        with pytest.raises(ProviderError, match=says) as caught:
            provider.check(option(cloud, **fields))
        assert (caught.value.code, caught.value.retry) == (code, False)
    assert provider.rate(option(cloud), 8000) == 8000
    await provider.close()


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"secret_key": "wrong"}, 401, "could not be validated.*AuthFailure.SignatureFailure"),
        ({"secret_id": "wrong"}, 401, "AuthFailure.SecretIdNotFound"),
        ({"extra": {"Volume": 11}}, 400, "invalid parameter Volume"),
    ],
)
async def test_refusals_are_told_in_the_words_of_the_vendor(
    cloud: Cloud, provider: TencentBasic, fields: dict[str, Any], code: int, says: str
) -> None:
    with pytest.raises(ProviderError, match=says) as caught:
        await speak(provider, option(cloud, **fields), TEXT)
    assert (caught.value.code, caught.value.retry) == (code, False)
    assert cloud.secret_key not in str(caught.value)


FAILURES = [
    (Fault.REFUSE, Stage.CONNECT, "tencent_basic: it answered 503: the engine is overloaded"),
    (Fault.CUT, Stage.CONNECT, "tencent_basic: the connection broke"),
    (Fault.GARBLE, Stage.CONNECT, "tencent_basic: sent what is no JSON object"),
    *[(Fault.REFUSE, stage, "overloaded .code InternalError") for stage in list(Stage)[1:]],
    *[(Fault.CUT, stage, "tencent_basic: the connection broke") for stage in list(Stage)[1:]],
    *[(Fault.GARBLE, stage, "tencent_basic: sent what is no JSON object") for stage in list(Stage)[1:]],
]


@pytest.mark.parametrize(("fault", "stage", "says"), FAILURES)
async def test_each_failure_is_one_clear_error(
    cloud: Cloud, provider: TencentBasic, fault: Fault, stage: Stage, says: str
) -> None:
    # The HTTP client tries once more by itself when a connection is cut before its answer.
    cloud.trouble.extend([Trouble(fault, stage)] * (1 + ((fault, stage) == (Fault.CUT, Stage.CONNECT))))
    with pytest.raises(ProviderError, match=says) as caught:
        await speak(provider, option(cloud), TEXT)
    assert (caught.value.code, caught.value.retry) == (502, True)
    assert (await speak(provider, option(cloud), TEXT))[0] == spoken(TEXT, 8000)


@pytest.mark.parametrize("stage", list(Stage)[1:])
async def test_a_stalled_request_can_be_closed(cloud: Cloud, provider: TencentBasic, stage: Stage) -> None:
    cloud.trouble.append(Trouble(Fault.STALL, stage))
    async with asyncio.timeout(PATIENCE):
        speaking = asyncio.create_task(speak(provider, option(cloud), TEXT))
        assert await cloud.reached.get() is stage
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "no JSON object"),
        (b"{}", "an answer without audio"),
        (b'{"Response": {"Audio": null}}', "an answer without audio"),
        (b'{"Response": {"Audio": "*"}}', "audio that is no base64"),
        (b'{"Response": {"Error": {"Code": "LimitExceeded.AccessLimit"}}}', "LimitExceeded"),
    ],
)
def test_answers_that_are_none(body: bytes, says: str) -> None:
    with pytest.raises(ProviderError, match=says):
        answer("tencent_basic", body)


def test_an_answer_without_subtitles() -> None:
    audio = base64.b64encode(b"ab").decode()
    assert answer("x", json.dumps({"Response": {"Audio": audio, "Subtitles": None}}).encode()) == (
        b"ab",
        None,
    )


async def test_the_package_of_the_vendor_is_understood_by_the_fake(cloud: Cloud) -> None:
    pytest.importorskip("tencentcloud.tts", reason="needs tencentcloud-sdk-python-tts")
    said = await asyncio.to_thread(ask_with_package, cloud)
    assert base64.b64decode(said.Audio) == spoken(TEXT, 8000)
    assert [(one.Text, one.BeginTime, one.BeginIndex) for one in said.Subtitles][:2] == [
        ("Hello,", 0, 0),
        ("你好", 140, 7),
    ]
    assert cloud.complaints == []


async def test_the_package_of_the_vendor_is_refused_with_a_wrong_key(cloud: Cloud) -> None:
    pytest.importorskip("tencentcloud.tts", reason="needs tencentcloud-sdk-python-tts")
    with pytest.raises(Exception, match="AuthFailure.SignatureFailure"):
        await asyncio.to_thread(ask_with_package, cloud, "wrong")


def ask_with_package(cloud: Cloud, key: str | None = None) -> Any:
    common, models = "tencentcloud.common.", import_module("tencentcloud.tts.v20190823.models")
    where = import_module(f"{common}profile.http_profile").HttpProfile(
        protocol="http", endpoint=cloud.url.removeprefix("http://"), reqMethod="GET"
    )
    profile = import_module(f"{common}profile.client_profile").ClientProfile("HmacSHA1", where)
    keys = import_module(f"{common}credential").Credential(cloud.secret_id, key or cloud.secret_key)
    request = models.TextToVoiceRequest()
    request.Text, request.SessionId, request.Codec = TEXT, "session-1", "pcm"
    request.SampleRate, request.EnableSubtitle, request.VoiceType = 8000, True, 101001
    client = import_module("tencentcloud.tts.v20190823.tts_client").TtsClient(keys, "ap-guangzhou", profile)
    return client.TextToVoice(request)
