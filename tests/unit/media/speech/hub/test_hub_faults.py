"""Providers that fail at any stage, in a speech process of the test's own loop: no task is left behind."""

import asyncio
from pathlib import Path

import pytest

from media.api.options import SynthesisOption, TranscriptionOption
from media.speech.hub import listening, speaking, wire
from tests.support import utterances
from tests.support.clouds.base import Fault, Stage, Trouble
from tests.support.clouds.services import ASR, TTS, Service
from tests.support.poll import until
from tests.support.speechhub import Ears, Hub, hub

SETTINGS = {"speech": {"stall_seconds": 0.3}}
TROUBLES = [Trouble(fault, stage) for fault in Fault for stage in Stage]
LASTING = 8


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "VOICE_SECONDS", 0.0)
    monkeypatch.setattr(listening, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(speaking, "RETRY_SECONDS", 0.001)


async def nothing_left(before: set[asyncio.Task[object]]) -> None:
    """Wait until only the tasks from `before` are there."""

    async def is_so() -> bool:
        return asyncio.all_tasks() <= before

    await until(is_so, 10)


async def heard(place: Hub, service: Service, trouble: Trouble) -> None:
    """Audio that ends, to a provider that fails."""
    before, ears = asyncio.all_tasks(), Ears()
    async with service.cloud() as cloud:
        cloud.trouble.extend([trouble] * (LASTING if trouble.stage in (Stage.CONNECT, Stage.BEGIN) else 1))
        option = TranscriptionOption.model_validate(service.option(cloud))
        work = place.client.listen(option, utterances.RATE, ears)
        work.voice(speaking=True)
        pcm = utterances.spaced(600)
        for at in range(0, len(pcm), utterances.PIECE):
            work.audio(pcm[at : at + utterances.PIECE])
        work.voice(speaking=False)
        if trouble.stage is Stage.END:
            place.client.send(wire.End(work.request))
        if trouble.stage is Stage.MIDDLE:
            # Somebody speaks behind the first text.
            await ears.until(lambda: bool(ears.texts or ears.troubles or ears.failures))
            work.voice(speaking=True)
            work.voice(speaking=False)
        await ears.until(lambda: bool(ears.troubles or ears.failures or ears.finals))
        work.close()
    assert len(ears.troubles) + len(ears.failures) <= 1
    await nothing_left(before)


async def said(place: Hub, service: Service, trouble: Trouble) -> None:
    """A text that still comes, to a provider that fails."""
    before = asyncio.all_tasks()
    async with service.cloud() as cloud:
        cloud.trouble.extend([trouble] * LASTING)
        option = SynthesisOption.model_validate(service.option(cloud))
        work = place.client.synthesise(None, option, 8000)
        work.feed("Good morning. ")
        work.end()
        with pytest.raises(Exception, match=f"^{service.provider}: .*; the "):
            async for _ in work:
                pass
    await nothing_left(before)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda each: f"{each.fault.value}-{each.stage.value}")
async def test_a_recogniser_leaves_no_task(tmp_path: Path, trouble: Trouble) -> None:
    async with hub(tmp_path, SETTINGS) as place:
        for service in ASR:
            await heard(place, service, trouble)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda each: f"{each.fault.value}-{each.stage.value}")
async def test_a_synthesiser_leaves_no_task(tmp_path: Path, trouble: Trouble) -> None:
    async with hub(tmp_path, SETTINGS) as place:
        for service in TTS:
            await said(place, service, trouble)
