"""vosk: what is refused, and how its results are read. There is no model to run it with."""

import importlib.util
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech.asr.vosk import Vosk, phrases
from media.speech.asr.vosk_engine import final, plain
from media.speech.provider import Context


def option(**fields: Any) -> TranscriptionOption:
    return TranscriptionOption.model_validate(fields)


@pytest_asyncio.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Vosk]:
    (tmp_path / "empty").mkdir()
    async with aiohttp.ClientSession() as http:
        made = Vosk(Context(http, tmp_path))
        yield made
        await made.close()


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({}, 400, "no model is named"),
        ({"model": "other"}, 404, "there is no model 'other'"),
        ({"model": "empty"}, 404, "holds no am/final.mdl"),
        ({"model": "empty", "grammar": "#JSGF V1.0;"}, 501, "a list of phrases"),
        ({"model": "empty", "grammar": ["?"]}, 400, "has no words"),
    ],
)
async def test_what_cannot_be_followed_is_refused(
    provider: Vosk, fields: dict[str, Any], code: int, reason: str
) -> None:
    with pytest.raises(ProviderError, match=reason) as caught:
        provider.check(option(**fields))
    assert (caught.value.code, caught.value.retry) == (code, False)


async def test_a_missing_package_is_named(provider: Vosk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ProviderError, match="pip install") as caught:
        provider.check(option(model="empty"))
    assert caught.value.code == 501


async def test_a_model_that_is_none_ends_its_process(provider: Vosk, tmp_path: Path) -> None:
    (tmp_path / "empty" / "final.mdl").touch()
    provider.check(option(model="empty"))

    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    with pytest.raises(ProviderError, match="vosk: its process ended while it was started"):
        async with aclosing(provider.recognise(option(model="empty"), nothing())) as results:
            [result async for result in results]


def test_grammars() -> None:
    assert phrases(option()) is None
    assert phrases(option(grammar="YesNo")) == ["yes", "no"]
    assert phrases(option(grammar=["Sales, please!"])) == ["sales please"]


def word(text: str, start: float, end: float, conf: float) -> dict[str, object]:
    return {"word": text, "start": start, "end": end, "conf": conf}


def test_results_have_times_and_confidence_of_their_words() -> None:
    words = [word("[unk]", 0.5, 0.9, 1.0), word("yes", 1.0, 1.25, 0.9), word("please", 1.3, 1.8, 0.7)]
    told = final({"text": "[unk] yes please", "result": words}, 400, 1790)
    expected = {"text": "yes please", "start": 1000, "end": 1790, "final": True, "confidence": 0.8}
    assert told == expected


def test_results_without_words_are_left_out() -> None:
    assert final({"text": ""}, 0, 10) is None
    assert final({"text": "[unk]"}, 0, 10) is None
    assert final({"text": "yes"}, 3, 10) == {"text": "yes", "start": 3, "end": 10, "final": True}
    assert plain("[unk] so [unk]") == "so"
