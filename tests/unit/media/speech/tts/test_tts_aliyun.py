"""Synthesis on DashScope: audio, times of words, parameters, and what goes wrong."""

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
from media.api.options import SynthesisOption
from media.speech import link
from media.speech.provider import Context
from media.speech.tts.aliyun import MAX_CHARACTERS, Aliyun, Marks, Pieces, parameters
from media.speech.tts.base import Mark
from tests.support.clouds import aliyun as cloud_module
from tests.support.clouds.aliyun import KEY
from tests.support.clouds.base import Fault, Stage, Trouble, spoken
from tests.support.feed import Feed

TEXTS = ("Hello there. ", "Your table", " is ", "booked")
WORDS = ["Hello", "there", "Your", "table", "is", "booked"]


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


def asked(cloud: cloud_module.Aliyun, **keys: Any) -> SynthesisOption:
    return SynthesisOption(**{"endpoint": cloud.url, "secret_key": KEY} | keys)


async def made(
    provider: Aliyun, option: SynthesisOption, texts: Feed[str], rate: int = 8000
) -> tuple[bytes, list[Mark]]:
    pcm, marks = bytearray(), list[Mark]()
    async with aclosing(provider.synthesise(option, texts, rate)) as parts:
        async for part in parts:
            if isinstance(part, bytes):
                pcm += part
            else:
                marks.append(part)
    return bytes(pcm), marks


@pytest.mark.parametrize("rate", [8000, 16_000])
async def test_a_text_in_parts_is_spoken_exactly(
    cloud: cloud_module.Aliyun, provider: Aliyun, rate: int
) -> None:
    pcm, marks = await made(provider, asked(cloud), Feed(*TEXTS).end(), rate)
    assert pcm == spoken("Hello there. ", rate) + spoken("Your table is booked", rate)
    assert marks == []
    assert cloud.texts == [list(TEXTS)]
    assert cloud.connections == 1


async def test_speech_begins_before_the_text_has_ended(cloud: cloud_module.Aliyun, provider: Aliyun) -> None:
    texts = Feed("Hello there. ")
    parts = provider.synthesise(asked(cloud), texts, 8000)
    assert isinstance(await anext(parts), bytes)
    texts.put("Good bye").end()
    left = b"".join([part async for part in parts if isinstance(part, bytes)])
    assert left.endswith(spoken("Good bye", 8000))


@pytest.mark.parametrize("texts", [[], ["", "  "], ["\n"]])
async def test_nothing_to_say_needs_no_connection(
    cloud: cloud_module.Aliyun, provider: Aliyun, texts: list[str]
) -> None:
    assert await made(provider, asked(cloud), Feed(*texts).end()) == (b"", [])
    assert cloud.connections == 0


async def test_blank_texts_wait_for_the_next(cloud: cloud_module.Aliyun, provider: Aliyun) -> None:
    await made(provider, asked(cloud), Feed("", " ", "one", "\n", " two", " ").end())
    assert cloud.texts == [[" one", "\n two"]]


@pytest.mark.parametrize("relative", [False, True])
async def test_words_have_times(cloud: cloud_module.Aliyun, provider: Aliyun, relative: bool) -> None:
    cloud.relative = relative
    _, marks = await made(provider, asked(cloud, subtitle=True), Feed(*TEXTS).end())
    text = "".join(TEXTS)
    assert [text[mark.at : mark.at + mark.length] for mark in marks] == WORDS
    assert [mark.start for mark in marks] == [text.index(word) * 20 for word in WORDS]
    assert all(mark.length * 20 <= mark.end - mark.start <= mark.length * 20 + 20 for mark in marks)


async def test_what_was_asked_for(cloud: cloud_module.Aliyun, provider: Aliyun) -> None:
    option = asked(
        cloud,
        model="cosyvoice-v3-flash",
        speaker="longyingjing_v3",
        language="en-GB",
        volume=7,
        speed=1.5,
        emotion="happy",
        subtitle=True,
        extra={"pitch": 1.2, "seed": 7},
    )
    provider.check(option)
    pcm, _ = await made(provider, option, Feed("Hello").end())
    assert pcm == spoken("Hello", 8000, 13)
    assert cloud.runs[0]["model"] == "cosyvoice-v3-flash"
    assert cloud.runs[0]["parameters"] == {
        "text_type": "PlainText",
        "voice": "longyingjing_v3",
        "format": "pcm",
        "sample_rate": 8000,
        "volume": 70,
        "rate": 1.5,
        "instruction": "你说话的情感是happy。",
        "word_timestamp_enabled": True,
        "language_hints": ["en"],
        "pitch": 1.2,
        "seed": 7,
    }


NEUTRAL = {"text_type": "PlainText", "voice": "longyumi_v2", "format": "pcm"}
NEUTRAL_NUMBERS = {"sample_rate": 16_000, "volume": 50, "rate": 1.0}


@pytest.mark.parametrize(
    ("keys", "changed"),
    [
        ({}, {}),
        ({"volume": 5, "speed": 1}, {}),
        ({"volume": 0}, {"volume": 0}),
        ({"volume": 10}, {"volume": 100}),
        ({"volume": 2.25}, {"volume": 22}),
        ({"volume": 60}, {"volume": 60}),
        ({"speed": -3}, {"rate": 0.5}),
        ({"speed": 9}, {"rate": 2.0}),
        ({"model": "cosyvoice-v3-plus"}, {"voice": "longanyang"}),
        ({"emotion": "请用广东话表达。"}, {"instruction": "请用广东话表达。"}),
        ({"subtitle": False, "language": "auto"}, {}),
        ({"extra": {"volume": 33, "format": "wav"}}, {"volume": 33, "format": "wav"}),
    ],
)
def test_parameters(keys: dict[str, Any], changed: dict[str, Any]) -> None:
    assert parameters(SynthesisOption(**keys), 16_000) == {**NEUTRAL, **NEUTRAL_NUMBERS, **changed}


@pytest.mark.parametrize(
    ("wanted", "rate"), [(8000, 8000), (16_000, 16_000), (12_000, 16_000), (96_000, 48_000)]
)
async def test_rates(provider: Aliyun, wanted: int, rate: int) -> None:
    assert provider.rate(SynthesisOption(), wanted) == rate


async def test_a_model_of_unknown_voices_needs_a_speaker(provider: Aliyun) -> None:
    provider.check(SynthesisOption(secret_key="k", model="cosyvoice-v9", speaker="mine"))
    with pytest.raises(ProviderError, match=r"speaker.*cosyvoice-v9") as caught:
        provider.check(SynthesisOption(secret_key="k", model="cosyvoice-v9"))
    assert (caught.value.code, caught.value.retry) == (400, False)


async def test_a_missing_key_is_told_before(provider: Aliyun) -> None:
    with pytest.raises(ProviderError, match="DASHSCOPE_API_KEY"):
        provider.check(SynthesisOption())


async def test_the_wrong_key_is_refused(cloud: cloud_module.Aliyun, provider: Aliyun) -> None:
    with pytest.raises(ProviderError, match="401") as caught:
        await made(provider, asked(cloud, secret_key="sk-wrong"), Feed("Hello").end())
    assert (caught.value.code, caught.value.retry) == (401, False)


async def test_the_voice_of_another_model_is_refused(cloud: cloud_module.Aliyun, provider: Aliyun) -> None:
    with pytest.raises(ProviderError, match="418") as caught:
        await made(provider, asked(cloud, speaker="longanyang"), Feed("Hello").end())
    assert (caught.value.code, caught.value.retry) == (400, False)


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
    with pytest.raises(ProviderError, match=f"^aliyun: .*{words}") as caught:
        await made(provider, asked(cloud), Feed(*TEXTS).end())
    assert (caught.value.code, caught.value.retry) == (code, True)
    pcm, _ = await made(provider, asked(cloud), Feed("Hello").end())
    assert pcm == spoken("Hello", 8000)


@pytest.mark.parametrize("stage", [Stage.BEGIN, Stage.MIDDLE, Stage.END])
async def test_a_stalled_task_can_be_left(cloud: cloud_module.Aliyun, provider: Aliyun, stage: Stage) -> None:
    cloud.trouble.append(Trouble(Fault.STALL, stage))
    work = asyncio.create_task(made(provider, asked(cloud), Feed(*TEXTS).end()))
    await cloud.stalled.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await cloud.closed.wait()


@pytest.mark.parametrize("taken", [1, 2, 5])
async def test_closing_ends_the_connection(cloud: cloud_module.Aliyun, provider: Aliyun, taken: int) -> None:
    parts = provider.synthesise(asked(cloud, subtitle=True), Feed(*TEXTS), 16_000)
    for _ in range(taken):
        await anext(parts)
    assert not cloud.closed.is_set()
    await parts.aclose()
    await cloud.closed.wait()


async def test_closing_before_the_first_word_leaves_nothing(provider: Aliyun) -> None:
    parts = provider.synthesise(SynthesisOption(secret_key="k"), Feed[str](), 8000)
    work = asyncio.ensure_future(anext(parts))
    await asyncio.wait({work}, timeout=0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await parts.aclose()


async def test_what_the_texts_raise_is_raised(cloud: cloud_module.Aliyun, provider: Aliyun) -> None:
    class Broken(Feed[str]):
        async def __anext__(self) -> str:
            if cloud.connections:
                raise LookupError("broken")
            return "Hello"

    with pytest.raises(LookupError, match="broken"):
        await made(provider, asked(cloud), Broken())
    await cloud.closed.wait()


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("ab \n"), max_size=5), max_size=10))
def test_pieces_are_the_text_without_blank_ones(texts: list[str]) -> None:
    pieces = Pieces()
    found = [piece for text in texts for piece in pieces.add(text)]
    assert all(piece.strip() for piece in found)
    assert "".join(texts).startswith("".join(found))
    assert "".join(found).rstrip() == "".join(texts).rstrip()


def test_a_long_text_is_cut() -> None:
    text = "x" * (MAX_CHARACTERS + 5)
    assert Pieces().add(text) == ["x" * MAX_CHARACTERS, "xxxxx"]


def word(text: str, at: int | None, begin: int, end: int | None = None) -> dict[str, Any]:
    return {"text": text, "begin_index": at, "begin_time": begin, "end_time": end}


def output(index: int, *words: Any) -> dict[str, Any]:
    return {"sentence": {"index": index, "words": list(words)}}


def marks_of(text: str) -> Marks:
    marks = Marks(8000)
    marks.text(text)
    return marks


def test_words_that_come_again_are_told_once() -> None:
    marks = marks_of("你好，欢迎。")
    first = word("你", 0, 0, 100)
    assert marks.feed(output(0, first)) == [Mark(0, 1, 0, 100)]
    assert marks.feed(output(0, first, word("好", 1, 100, 200))) == [Mark(1, 1, 100, 200)]
    assert marks.feed(output(0, first, word("，欢", 2, 300, 400))) == [Mark(3, 1, 300, 400)]


def test_words_that_are_spoken_otherwise_are_left_out() -> None:
    marks = marks_of("I have 12 cats")
    words = [
        word(text, at, at * 100, at * 100 + 100) for at, text in enumerate(["have", "twelve", "cats", "。"])
    ]
    assert [(mark.at, mark.length) for mark in marks.feed(output(0, *words))] == [(2, 4), (10, 4)]


def test_a_word_is_not_looked_for_far_away() -> None:
    assert marks_of("x" * 200 + " cats").feed(output(0, word("cats", 0, 0))) == []


def test_words_without_indices_or_ends() -> None:
    marks = marks_of("one two")
    found = marks.feed(output(0, word("one", None, 50), word("two", None, 80), "no word"))
    assert found == [Mark(0, 3, 50, 50), Mark(4, 3, 80, 80)]


@pytest.mark.parametrize(
    "bad", [{"sentence": 5}, {"sentence": {"words": {}}}, output(0, word("a", 0, 0) | {"text": 5})]
)
def test_what_makes_no_sense_is_an_error(bad: dict[str, Any]) -> None:
    with pytest.raises(ProviderError):
        marks_of("a").feed(bad)
