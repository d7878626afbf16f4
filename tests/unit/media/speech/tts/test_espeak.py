from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import aiohttp
import numpy as np
import psutil
import pytest
import pytest_asyncio

from control.errors import ProviderError, SpeechError
from media.api.options import SynthesisOption
from media.speech.local.engine import Data, Done, Failed, Report
from media.speech.provider import Context
from media.speech.tts.espeak import Espeak
from media.speech.tts.espeak_engine import PAUSE_SECONDS, PIECE, EspeakEngine
from media.speech.voice import Samples, Voice

SECOND = np.full(16_000, 1000, np.int16)
LONG = "A sentence of some words that is not too short. " * 12
VOICE = {"rate": 16_000, "speaker": "v"}


class Beeper:
    """Speaks each segment as a second."""

    sample_rate = 16_000

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str, voice: Voice, put: Callable[[Samples], bool]) -> None:
        if voice.speaker == "nobody":
            raise SpeechError("there is no nobody")
        self.said.append(text)
        put(SECOND)


def engine() -> tuple[EspeakEngine, Beeper]:
    beeper = Beeper()
    return EspeakEngine({}, beeper), beeper


def begin(made: EspeakEngine, stream: int, text: str, **voice: object) -> None:
    made.open(stream, {**VOICE, **voice})
    made.data(stream, text.encode())
    made.finish(stream)


def seconds(reports: list[Report], stream: int = 1) -> float:
    return (
        sum(len(each.data) for each in reports if isinstance(each, Data) and each.stream == stream) / 32_000
    )


def test_a_text_is_spoken_and_done() -> None:
    made, beeper = engine()
    made.open(1, VOICE)
    assert not made.busy
    made.data(1, b"Hello ")
    made.data(1, "Zoë.".encode())
    made.finish(1)
    assert made.busy
    reports = list(made.step())
    assert beeper.said == ["Hello Zoë."]
    assert reports[-1] == Done(1)
    assert seconds(reports) == pytest.approx(1, abs=0.001)
    assert all(len(each.data) <= PIECE for each in reports if isinstance(each, Data))
    assert not made.busy
    assert list(made.step()) == []


def test_long_texts_take_turns() -> None:
    made, beeper = engine()
    begin(made, 1, LONG)
    begin(made, 2, "Short.")
    first, second = list(made.step()), list(made.step())
    assert {each.stream for each in first} == {1}
    assert second[-1] == Done(2)
    rest = [report for _ in range(10) for report in made.step()]
    assert rest[-1] == Done(1)
    count = len(beeper.said) - 1
    assert seconds(first + rest) == pytest.approx(count + (count - 1) * PAUSE_SECONDS, abs=0.001)


def test_whoever_is_behind_is_left_out() -> None:
    made, _ = engine()
    begin(made, 1, LONG)
    made.hold(1, held=True)
    assert not made.busy
    assert list(made.step()) == []
    made.hold(1, held=False)
    assert made.busy


def test_a_text_that_nobody_wants() -> None:
    made, beeper = engine()
    begin(made, 1, LONG)
    made.open(2, VOICE)
    made.cancel(1)
    made.cancel(2)
    assert not made.busy
    assert list(made.step()) == []
    assert beeper.said == []


def test_an_empty_text_is_done_at_once() -> None:
    made, _ = engine()
    begin(made, 1, " \n")
    assert list(made.step()) == [Done(1)]


def test_an_unknown_voice_costs_only_its_own_text() -> None:
    made, _ = engine()
    begin(made, 1, "Hello.", speaker="nobody")
    begin(made, 2, "Hello.")
    assert list(made.step()) == [Failed(1, "there is no nobody", 500, retry=False)]
    assert list(made.step())[-1] == Done(2)


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise SpeechError("no library")

    monkeypatch.setattr("media.speech.tts.espeak_engine.EspeakNg", missing)
    with pytest.raises(ProviderError, match="no library"):
        EspeakEngine({})


@pytest_asyncio.fixture(name="espeak")
async def _espeak(tmp_path: Path) -> AsyncIterator[Espeak]:
    before = psutil.Process().children()
    async with aiohttp.ClientSession() as http:
        provider = Espeak(Context(http, tmp_path))
        yield provider
        await provider.close()
    assert set(psutil.Process().children()) <= set(before)


async def texts(*parts: str) -> AsyncGenerator[str, None]:
    for part in parts:
        yield part


async def speak(espeak: Espeak, option: SynthesisOption, *parts: str, rate: int = 8000) -> float:
    """Seconds of `parts` spoken."""
    data = b"".join([piece async for piece in espeak.synthesise(option, texts(*parts), rate)])
    pcm = np.frombuffer(data, "<i2")
    assert np.abs(pcm).max() > 1000
    return pcm.size / rate


async def test_the_library_speaks(espeak: Espeak) -> None:
    option = SynthesisOption(speaker="de")
    espeak.check(option)
    assert espeak.rate(option, 8000) == 8000
    plain = await speak(espeak, option, "Guten Morgen, wie geht es Ihnen?")
    quick = await speak(espeak, SynthesisOption(speaker="de", speed=2.0), "Guten Morgen, wie geht es Ihnen?")
    both = await speak(espeak, option, "Guten Morgen,", "wie geht es Ihnen?", rate=16_000)
    assert 0.4 * plain < quick < 0.8 * plain
    assert both > 0.8 * plain


async def test_a_voice_that_does_not_exist(espeak: Espeak) -> None:
    with pytest.raises(ProviderError, match="has no voice 'nobody'") as caught:
        await speak(espeak, SynthesisOption(speaker="nobody"), "Hello.")
    assert not caught.value.retry
    assert await speak(espeak, SynthesisOption(), "Hello.") > 0.2
