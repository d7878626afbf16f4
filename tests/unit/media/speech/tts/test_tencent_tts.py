"""Synthesis by Tencent Cloud over WebSockets: one-shot and streamed, parameters, marks, and every way to fail."""

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
from media.speech.tts import tencent as module
from media.speech.tts.base import Mark
from media.speech.tts.tencent import Tencent
from tests.support.clouds.base import Fault, Stage, Trouble, spoken
from tests.support.clouds.tencent import Tencent as Cloud

PATIENCE = 20
TEXT = "Hello, 你好 a+b & c=d?"
PARTS = ["Good ", "morning, ", "dear caller."]


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with Cloud() as one:
        yield one


@pytest.fixture
async def provider() -> AsyncIterator[Tencent]:
    async with aiohttp.ClientSession() as http:
        yield Tencent(Context(http, Path("/nowhere")))


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a text is waited for: none counts as streamed because this machine is slow."""
    monkeypatch.setattr(module, "GLANCE_SECONDS", PATIENCE)


def option(cloud: Cloud, **fields: Any) -> SynthesisOption:
    keys = {"app_id": cloud.app_id, "secret_id": cloud.secret_id, "secret_key": cloud.secret_key}
    return SynthesisOption(**{"endpoint": cloud.ws_url, **keys, **fields})


async def parts(*texts: str) -> AsyncGenerator[str, None]:
    for text in texts:
        yield text


async def unending(*texts: str) -> AsyncGenerator[str, None]:
    for text in texts:
        yield text
    await asyncio.Event().wait()


async def speak(
    provider: Tencent, wish: SynthesisOption, texts: AsyncGenerator[str, None], rate: int = 8000
) -> tuple[bytes, list[Mark]]:
    async with (
        asyncio.timeout(PATIENCE),
        aclosing(texts),
        aclosing(provider.synthesise(wish, texts, rate)) as pieces,
    ):
        found = [piece async for piece in pieces]
    audio = b"".join(piece for piece in found if isinstance(piece, bytes))
    return audio, [piece for piece in found if isinstance(piece, Mark)]


def words(text: str, marks: list[Mark]) -> list[str]:
    return [text[mark.at : mark.at + mark.length] for mark in marks]


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("rate", [8000, 16_000])
async def test_a_whole_text_goes_in_the_address(cloud: Cloud, provider: Tencent, rate: int) -> None:
    audio, marks = await speak(provider, option(cloud), parts(TEXT), rate)
    assert audio == spoken(TEXT, rate)
    assert words(TEXT, marks) == TEXT.split()
    assert marks[1] == Mark(7, 2, 140, 180)
    assert cloud.complaints == []
    assert cloud.texts == [[TEXT]]
    assert cloud.queries[0]["Action"] == "TextToStreamAudioWS"


@pytest.mark.usefixtures("unhurried")
async def test_a_text_in_parts_is_streamed(cloud: Cloud, provider: Tencent) -> None:
    audio, marks = await speak(provider, option(cloud), parts(*PARTS))
    assert audio == b"".join(spoken(part, 8000) for part in PARTS)
    assert words("".join(PARTS), marks) == "".join(PARTS).split()
    assert cloud.complaints == []
    assert cloud.texts == [PARTS]
    assert cloud.queries[0]["Action"] == "TextToStreamAudioWSv2"
    assert "Text" not in cloud.queries[0]


async def test_a_text_whose_end_is_not_there_yet_is_streamed(cloud: Cloud, provider: Tencent) -> None:
    # The second part comes only when the first one was spoken.
    heard = asyncio.Event()

    async def texts() -> AsyncGenerator[str, None]:
        yield PARTS[0]
        await heard.wait()
        yield PARTS[1]

    found = b""
    async with (
        asyncio.timeout(PATIENCE),
        aclosing(texts()) as source,
        aclosing(provider.synthesise(option(cloud), source, 8000)) as pieces,
    ):
        async for piece in pieces:
            found += piece if isinstance(piece, bytes) else b""
            heard.set()
    assert found == spoken(PARTS[0], 8000) + spoken(PARTS[1], 8000)
    assert cloud.complaints == []


@pytest.mark.usefixtures("unhurried")
async def test_a_text_too_long_for_an_address_is_streamed(cloud: Cloud, provider: Tencent) -> None:
    text = "早上好。" * 120
    audio, _ = await speak(provider, option(cloud), parts(text))
    assert audio == spoken(text, 8000)
    assert cloud.queries[0]["Action"] == "TextToStreamAudioWSv2"


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("texts", [[], [""], [" \n"]])
async def test_nothing_to_say_is_nothing_asked(cloud: Cloud, provider: Tencent, texts: list[str]) -> None:
    assert await speak(provider, option(cloud), parts(*texts)) == (b"", [])
    assert cloud.connections == 0


@pytest.mark.usefixtures("unhurried")
async def test_empty_parts_are_left_out(cloud: Cloud, provider: Tencent) -> None:
    audio, marks = await speak(provider, option(cloud), parts("", "one ", "", "two"))
    assert audio == spoken("one ", 8000) + spoken("two", 8000)
    assert marks == [Mark(0, 3, 0, 60), Mark(4, 3, 80, 140)]
    assert cloud.texts == [["one ", "two"]]


@pytest.mark.usefixtures("unhurried")
async def test_the_parameters_are_mapped_and_extra_overrides_them(cloud: Cloud, provider: Tencent) -> None:
    extra = {"EmotionIntensity": 150, "Speed": 0.25, "ModelType": None, "FastVoiceType": "a/b+c"}
    fields = {"speaker": "501001", "volume": 10.0, "speed": 1.2, "emotion": "happy", "subtitle": False}
    audio, marks = await speak(provider, option(cloud, **fields, extra=extra), parts(TEXT))
    assert (audio, marks) == (spoken(TEXT, 8000), [])
    assert cloud.complaints == []
    query = cloud.queries[0]
    varying = {key: query.pop(key) for key in ("Timestamp", "Expired", "SessionId")}
    assert int(varying["Expired"]) - int(varying["Timestamp"]) == 86_400
    assert query == {
        "Action": "TextToStreamAudioWS",
        "AppId": cloud.app_id,
        "SecretId": cloud.secret_id,
        "VoiceType": "501001",
        "Codec": "pcm",
        "SampleRate": "8000",
        "EnableSubtitle": "false",
        "Volume": "10",
        "Speed": "0.25",
        "EmotionCategory": "happy",
        "EmotionIntensity": "150",
        "FastVoiceType": "a/b+c",
        "Text": TEXT,
    }


@pytest.mark.usefixtures("unhurried")
async def test_defaults_of_ours_are_not_sent(cloud: Cloud, provider: Tencent) -> None:
    await speak(provider, option(cloud), parts(TEXT))
    assert not {"Volume", "Speed", "EmotionCategory"} & cloud.queries[0].keys()
    assert (cloud.queries[0]["VoiceType"], cloud.queries[0]["EnableSubtitle"]) == ("101001", "true")


@pytest.mark.parametrize(
    ("samplerate", "wanted", "rate"),
    [(None, 8000, 8000), (None, 16_000, 16_000), (24_000, 8000, 24_000), (11_025, 8000, 16_000)],
)
async def test_the_rate_is_what_is_wanted_or_asked_for(
    cloud: Cloud, provider: Tencent, samplerate: int | None, wanted: int, rate: int
) -> None:
    assert provider.rate(option(cloud, samplerate=samplerate), wanted) == rate


async def test_what_cannot_be_followed_is_refused(cloud: Cloud, provider: Tencent) -> None:
    provider.check(option(cloud, speaker="101002", codec="pcm"))
    wrong: list[tuple[dict[str, Any], int, str]] = [
        ({"app_id": None}, 401, "appId is missing.*TENCENT_APPID"),
        ({"secret_id": ""}, 401, "secretId is missing.*TENCENT_SECRET_ID"),
        ({"secret_key": None}, 401, "secretKey is missing.*TENCENT_SECRET_KEY"),
        ({"speaker": "xiaoyan"}, 400, 'number of a voice such as 101001, not "xiaoyan"'),
        ({"codec": "mp3"}, 501, 'codec "mp3" is not offered'),
        ({"endpoint": "ftp://example.org"}, 400, "endpoint is no http"),
    ]
    for fields, code, says in wrong:
        with pytest.raises(ProviderError, match=says) as caught:
            provider.check(option(cloud, **fields))
        assert (caught.value.code, caught.value.retry) == (code, False)


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("texts", [[TEXT], PARTS])
@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"secret_key": "wrong"}, 401, "鉴权失败.*10003.*check appId"),
        ({"app_id": "99"}, 401, "10003"),
        ({"extra": {"Speed": 7}}, 400, "invalid parameter Speed .code 10001"),
    ],
)
async def test_refusals_are_told_in_the_words_of_the_vendor(
    cloud: Cloud, provider: Tencent, texts: list[str], fields: dict[str, Any], code: int, says: str
) -> None:
    with pytest.raises(ProviderError, match=says) as caught:
        await speak(provider, option(cloud, **fields), parts(*texts))
    assert (caught.value.code, caught.value.retry) == (code, False)
    assert cloud.secret_key not in str(caught.value)


@pytest.mark.usefixtures("unhurried")
async def test_a_refused_part_is_told_while_more_is_to_come(cloud: Cloud, provider: Tencent) -> None:
    with pytest.raises(ProviderError, match="包含SSML .code 10006") as caught:
        await speak(provider, option(cloud), unending("one", "<speak>two</speak>"))
    assert (caught.value.code, caught.value.retry) == (400, False)


FAILURES = [
    (Fault.REFUSE, Stage.CONNECT, "tencent: it answered 503"),
    (Fault.CUT, Stage.CONNECT, "tencent: the connection broke"),
    (Fault.GARBLE, Stage.CONNECT, "tencent: it answered 200"),
    *[(Fault.REFUSE, stage, "overloaded .code 20000") for stage in list(Stage)[1:]],
    *[(Fault.CUT, stage, "tencent: the connection") for stage in list(Stage)[1:]],
    *[(Fault.GARBLE, stage, "tencent: sent what is no JSON object") for stage in list(Stage)[1:]],
]


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("texts", [[TEXT], PARTS])
@pytest.mark.parametrize(("fault", "stage", "says"), FAILURES)
async def test_each_failure_is_one_clear_error(
    cloud: Cloud, provider: Tencent, texts: list[str], fault: Fault, stage: Stage, says: str
) -> None:
    # The HTTP client tries once more by itself when a connection is cut before its answer.
    cloud.trouble.extend([Trouble(fault, stage)] * (1 + ((fault, stage) == (Fault.CUT, Stage.CONNECT))))
    with pytest.raises(ProviderError, match=says) as caught:
        await speak(provider, option(cloud), parts(*texts))
    assert (caught.value.code, caught.value.retry) == (502, True)
    audio, _ = await speak(provider, option(cloud), parts(*texts))
    assert audio == b"".join(spoken(text, 8000) for text in texts)


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("texts", [[TEXT], PARTS])
@pytest.mark.parametrize("stage", list(Stage)[1:])
async def test_a_stalled_connection_can_be_closed(
    cloud: Cloud, provider: Tencent, texts: list[str], stage: Stage
) -> None:
    cloud.trouble.append(Trouble(Fault.STALL, stage))
    async with asyncio.timeout(PATIENCE):
        speaking = asyncio.create_task(speak(provider, option(cloud), parts(*texts)))
        assert await cloud.reached.get() is stage
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking


@pytest.mark.parametrize("texts", [parts(TEXT), unending(*PARTS), unending(TEXT)])
async def test_closing_between_pieces_ends_the_connection(
    cloud: Cloud, provider: Tencent, texts: AsyncGenerator[str, None]
) -> None:
    async with asyncio.timeout(PATIENCE), aclosing(texts):
        pieces = provider.synthesise(option(cloud), texts, 8000)
        assert isinstance(await anext(pieces), bytes)
        await pieces.aclose()
        assert await cloud.left.get() == 0


async def test_cancelling_while_the_text_is_looked_at_leaves_nothing(
    cloud: Cloud, provider: Tencent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GLANCE_SECONDS", PATIENCE)
    looked = asyncio.Event()

    async def texts() -> AsyncGenerator[str, None]:
        yield TEXT
        looked.set()
        await asyncio.Event().wait()

    speaking = asyncio.create_task(speak(provider, option(cloud), texts()))
    await looked.wait()
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    assert cloud.connections == 0
    await provider.close()
