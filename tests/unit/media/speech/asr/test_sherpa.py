"""sherpa: files are found, and the real package decodes a tiny model in a child process."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech.asr.base import Heard, Recogniser
from media.speech.asr.sherpa import Sherpa, files
from media.speech.provider import Context
from tests.support import sherpamodel

LOUD = (np.random.default_rng(1).normal(size=8000) * 6000).astype("<i2").tobytes()
QUIET = bytes(48_000)


def option(**fields: Any) -> TranscriptionOption:
    return TranscriptionOption.model_validate(fields)


@pytest_asyncio.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Sherpa]:
    sherpamodel.write(tmp_path / "tiny")
    async with aiohttp.ClientSession() as http:
        made = Sherpa(Context(http, tmp_path))
        yield made
        await made.close()


async def audio(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1281):
        yield data[at : at + 1281]


async def heard(provider: Recogniser, data: bytes, model: str = "tiny") -> list[Heard]:
    async with asyncio.timeout(60), aclosing(provider.recognise(option(model=model), audio(data))) as results:
        return [result async for result in results]


async def test_utterances_end_with_silence_and_with_the_stream(provider: Sherpa) -> None:
    provider.check(option(model="tiny"))
    assert provider.rate(option()) == 16_000
    results = await heard(provider, QUIET + LOUD + QUIET + LOUD)
    finals = [(each.index, each.text) for each in results if each.final]
    assert finals == [(0, "hello"), (1, "hello")]
    assert [each.index for each in results if not each.final] == [0, 1]
    for result, begin in zip((each for each in results if each.final), (1500, 3500), strict=True):
        assert begin - 100 <= result.start <= begin + 100 < result.end <= begin + 600


async def test_many_streams_at_once(provider: Sherpa) -> None:
    streams = [QUIET + LOUD * number + QUIET for number in range(6)]
    found = await asyncio.gather(*(heard(provider, stream) for stream in streams))
    assert [len([each for each in results if each.final]) for results in found] == [0, 1, 1, 1, 1, 1]


async def test_silence_is_nothing(provider: Sherpa) -> None:
    assert await heard(provider, QUIET) == []
    assert await heard(provider, b"") == []


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({}, 400, "no model is named"),
        ({"model": "other"}, 404, "there is no model 'other'"),
        ({"model": "../tiny"}, 404, "there is no model"),
        ({"model": "tiny", "grammar": "yesno"}, 501, r"takes no asr\.grammar"),
    ],
)
async def test_what_cannot_be_followed_is_refused(
    provider: Sherpa, fields: dict[str, Any], code: int, reason: str
) -> None:
    with pytest.raises(ProviderError, match=reason) as caught:
        provider.check(option(**fields))
    assert (caught.value.code, caught.value.retry) == (code, False)


async def test_a_missing_package_is_named(provider: Sherpa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ProviderError, match="pip install") as caught:
        provider.check(option(model="tiny"))
    assert caught.value.code == 501


async def test_a_model_that_is_none_ends_its_process(provider: Sherpa, tmp_path: Path) -> None:
    for name in ("tokens.txt", "encoder.onnx", "decoder.onnx", "joiner.onnx"):
        (tmp_path / "broken").mkdir(exist_ok=True)
        (tmp_path / "broken" / name).write_bytes(b"no model")
    provider.check(option(model="broken"))
    with pytest.raises(ProviderError, match="sherpa: its process ended while it was started"):
        await heard(provider, QUIET, "broken")


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def test_small_numbers_are_preferred(tmp_path: Path) -> None:
    names = ("encoder-1", "encoder-1.int8", "decoder-1", "joiner-1")
    found = files(touch(tmp_path, "tokens.txt", *(f"{name}.onnx" for name in names)))
    assert {part: Path(path).name for part, path in found.items()} == {
        "tokens": "tokens.txt",
        "encoder": "encoder-1.int8.onnx",
        "decoder": "decoder-1.onnx",
        "joiner": "joiner-1.onnx",
    }


@pytest.mark.parametrize("name", ["ctc-epoch-20.onnx", "model.int8.onnx"])
def test_one_file_is_a_ctc_model(tmp_path: Path, name: str) -> None:
    found = files(touch(tmp_path, "tokens.txt", name))
    assert Path(found["ctc"]).name == name


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("tokens.txt",),
        ("model.onnx",),
        ("tokens.txt", "encoder.onnx", "decoder.onnx"),
        ("tokens.txt", "encoder.onnx", "decoder.onnx", "model.onnx"),
    ],
)
def test_what_is_no_such_model_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ProviderError, match="lacks tokens.txt, or encoder") as caught:
        files(touch(tmp_path, *names))
    assert (caught.value.code, caught.value.retry) == (404, False)
