import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech.asr.base import Heard, Recogniser
from media.speech.asr.pocketsphinx import Pocketsphinx
from media.speech.provider import Context
from tests.unit.media.speech.asr.test_sphinx_engine import SECOND, spoken


def option(**fields: Any) -> TranscriptionOption:
    return TranscriptionOption.model_validate(fields)


@pytest_asyncio.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Pocketsphinx]:
    async with aiohttp.ClientSession() as http:
        made = Pocketsphinx(Context(http, tmp_path))
        yield made
        await made.close()


async def audio(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 640):
        yield data[at : at + 640]


async def heard(provider: Recogniser, asked: TranscriptionOption, data: bytes) -> list[Heard]:
    async with asyncio.timeout(60), aclosing(provider.recognise(asked, audio(data))) as results:
        return [result async for result in results]


async def test_it_is_a_recogniser(provider: Pocketsphinx) -> None:
    made: Recogniser = provider
    assert made.rate(option()) == 8000
    assert made.about.package == "pocketsphinx"


async def test_words_come_from_its_process(provider: Pocketsphinx) -> None:
    asked = option(grammar="yesno", extra={"confidence": "0"})
    provider.check(asked)
    (result,) = await heard(provider, asked, spoken("no") + bytes(SECOND))
    assert (result.text, result.final, result.index) == ("no", True, 0)


async def test_phrases_come_as_they_were_written(provider: Pocketsphinx) -> None:
    asked = option(grammar=["Sales, please!", "Talk to an OPERATOR"], extra={"confidence": "0"})
    provider.check(asked)
    results = await heard(provider, asked, spoken("talk to an operator") + bytes(SECOND))
    assert results[-1].text == "Talk to an OPERATOR"


async def test_unknown_words_are_refused_by_name(provider: Pocketsphinx) -> None:
    asked = option(grammar=["xyzzy"])
    provider.check(asked)
    with pytest.raises(ProviderError, match=r"pocketsphinx: asr\.grammar: .* for xyzzy;") as caught:
        await heard(provider, asked, b"")
    assert (caught.value.code, caught.value.retry) == (400, False)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"language": "de-DE"}, "English only"),
        ({"grammar": "numbers"}, "neither one of"),
        ({"extra": {"silence": "long"}}, r"asr\.extra\.silence must be a number from 100 to 3000"),
        ({"extra": {"confidence": "2"}}, r"asr\.extra\.confidence must be a number from 0 to 1"),
        ({"extra": {"confidence": "nan"}}, "must be a number"),
    ],
)
async def test_what_cannot_be_followed_is_refused(
    provider: Pocketsphinx, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ProviderError, match=reason) as caught:
        provider.check(option(**fields))
    assert (caught.value.code, caught.value.retry) == (400, False)


async def test_english_is_accepted(provider: Pocketsphinx) -> None:
    provider.check(option(language="en-GB", extra={"silence": "500"}))
