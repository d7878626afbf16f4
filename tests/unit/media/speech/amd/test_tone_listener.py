"""Tones as a provider of recognition tells them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import numpy as np
import pytest_asyncio

from media.api.options import TranscriptionOption
from media.engine.arrays import Pcm
from media.engine.tones import tone
from media.speech.amd.listener import ToneListener
from media.speech.asr.base import Heard, Recogniser
from media.speech.provider import Context

OPTION = TranscriptionOption()


@pytest_asyncio.fixture
async def listener(tmp_path: Path) -> AsyncIterator[ToneListener]:
    async with aiohttp.ClientSession() as http:
        provider: Recogniser = ToneListener(Context(http, tmp_path))
        assert isinstance(provider, ToneListener)
        yield provider
        await provider.close()


def quiet(ms: int) -> Pcm:
    return np.zeros(8 * ms, np.int16)


async def spoken(audio: Pcm, asked: list[int]) -> AsyncIterator[bytes]:
    """`audio` in pieces of 40 ms; how many were asked for."""
    for start in range(0, len(audio), 320):
        asked.append(start)
        yield audio[start : start + 320].astype("<i2").tobytes()


async def heard(listener: ToneListener, audio: Pcm) -> list[Heard]:
    listener.check(OPTION)
    assert listener.rate(OPTION) == 8000
    return [one async for one in listener.recognise(OPTION, spoken(audio, []))]


def sit() -> Iterator[Pcm]:
    for hz, ms in ((985.2, 380), (1370.6, 274), (1776.7, 380)):
        yield tone({hz: -20}, 8000, ms)


async def test_tones_are_final_texts(listener: ToneListener) -> None:
    beep = tone({1000: -12}, 8000, 400)
    found = await heard(listener, np.concatenate([quiet(500), *sit(), quiet(900), beep, quiet(500)]))
    assert [(one.index, one.text, one.final, one.task) for one in found] == [
        (0, "sit", True, "vacant"),
        (1, "beep", True, None),
    ]
    assert abs(found[1].start - 2434) < 12
    assert abs(found[1].end - 2834) < 12


async def test_a_tone_at_the_very_end_is_told_too(listener: ToneListener) -> None:
    (found,) = await heard(listener, np.concatenate([quiet(500), tone({1100: -12}, 8000, 500)]))
    assert found.text == "cng"


async def test_a_tone_is_told_before_the_audio_ends(listener: ToneListener) -> None:
    asked: list[int] = []
    audio = np.concatenate([tone({2100: -12}, 8000, 3000), quiet(9000)])
    found = listener.recognise(OPTION, spoken(audio, asked))
    assert (await anext(found)).text == "ced"
    assert len(asked) < 25
    await found.aclose()


async def test_silence_gives_nothing(listener: ToneListener) -> None:
    assert not await heard(listener, quiet(3000))
