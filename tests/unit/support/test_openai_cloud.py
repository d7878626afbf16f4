"""The vendor's own package drives the faked service, so that provider and fake cannot share a mistake."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import openai
import pytest

from media import wav
from media.resampler import Resampler
from tests.support.clouds import openai as clouds
from tests.support.clouds.base import SCRIPT, spoken
from tests.support.utterances import silence, spaced, tone


@pytest.fixture
async def cloud() -> AsyncIterator[clouds.OpenAi]:
    async with clouds.OpenAi() as service:
        yield service


@pytest.fixture
async def client(cloud: clouds.OpenAi) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=cloud.key, base_url=f"{cloud.url}/v1", max_retries=0) as client:
        yield client


def at_24_khz(pcm: bytes) -> bytes:
    return Resampler(16_000, 24_000).push(np.frombuffer(pcm, "<i2"), last=True).astype("<i2").tobytes()


async def test_it_speaks(cloud: clouds.OpenAi, client: openai.AsyncOpenAI) -> None:
    speech = client.audio.speech.with_streaming_response
    async with speech.create(
        model="gpt-4o-mini-tts", voice="coral", input="Good morning.", response_format="pcm", speed=1.2
    ) as response:
        assert response.headers["content-type"] == "audio/pcm"
        audio = b"".join([piece async for piece in response.iter_bytes()])
    assert audio == spoken("Good morning.", 24_000)
    assert cloud.complaints == []


async def test_it_understands_a_file(cloud: clouds.OpenAi, client: openai.AsyncOpenAI) -> None:
    pcm = silence(200) + tone(800) + silence(200)
    file = ("speech.wav", wav.header(16_000, 1, len(pcm) // 2) + pcm, "audio/wav")
    first = await client.audio.transcriptions.create(
        file=file, model="whisper-1", language="en", response_format="json"
    )
    second = await client.audio.transcriptions.create(
        file=file, model="gpt-transcribe", languages=["en", "de"], keywords=["Ada"], response_format="json"
    )
    assert (first.text, second.text) == SCRIPT[:2]
    assert cloud.asked[1]["languages[]"] == ["en", "de"]
    assert bytes(cloud.heard[0]) == pcm
    assert cloud.complaints == []


async def transcripts(
    client: openai.AsyncOpenAI,
    transcription: dict[str, Any],
    detection: dict[str, Any] | None,
    *utterances: bytes,
) -> list[Any]:
    """The events of a session in which `utterances` are committed, or found where there is a `detection`."""
    events = []
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        events.append(await connection.recv())
        audio: Any = {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "transcription": transcription,
            "turn_detection": detection,
        }
        await connection.session.update(session={"type": "transcription", "audio": {"input": audio}})
        for pcm in utterances:
            wire = at_24_khz(pcm)
            for at in range(0, len(wire), 4800):
                await connection.input_audio_buffer.append(
                    audio=base64.b64encode(wire[at : at + 4800]).decode()
                )
            if detection is None:
                await connection.input_audio_buffer.commit()
        await connection.input_audio_buffer.clear()
        while events[-1].type not in ("input_audio_buffer.cleared", "error"):
            events.append(await connection.recv())
    return events


async def test_it_finds_utterances(cloud: clouds.OpenAi, client: openai.AsyncOpenAI) -> None:
    detection = {"type": "server_vad", "prefix_padding_ms": 200, "threshold": 0.5}
    events = await transcripts(
        client, {"model": "gpt-4o-transcribe", "language": "en"}, detection, spaced(900, 700)
    )
    assert [event.type for event in events[:2]] == ["session.created", "session.updated"]
    kinds = [event.type.removeprefix("conversation.item.input_audio_transcription.") for event in events[2:]]
    deltas = [["delta"] * len(text.split()) for text in SCRIPT[:2]]
    assert kinds == [
        *(
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
        ),
        *("conversation.item.added", *deltas[0], "completed"),
        *(
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
        ),
        *("conversation.item.added", *deltas[1], "completed", "input_audio_buffer.cleared"),
    ]
    times = [event.audio_start_ms for event in events if event.type.endswith("speech_started")]
    assert times == [600, 2300]
    assert all(type(event).__module__.startswith("openai.types.realtime") for event in events)
    assert cloud.complaints == []


@pytest.mark.parametrize("model", ["gpt-live-transcribe", "gpt-realtime-whisper", "gpt-transcribe"])
async def test_it_takes_commits(cloud: clouds.OpenAi, client: openai.AsyncOpenAI, model: str) -> None:
    language = {} if model == "gpt-realtime-whisper" else {"languages": ["en"]}
    events = await transcripts(client, {"model": model, **language}, None, tone(700), tone(600))
    done = [event for event in events if event.type.endswith("transcription.completed")]
    assert [event.transcript for event in done] == list(SCRIPT[:2])
    deltas = [event.delta for event in events if event.type.endswith("transcription.delta")]
    assert "".join(deltas) == "".join(SCRIPT[:2])
    first = next(at for at, event in enumerate(events) if event.type.endswith("transcription.delta"))
    committed = next(at for at, event in enumerate(events) if event.type.endswith("committed"))
    assert (first < committed) == (model != "gpt-transcribe")
    assert [event.item_id for event in done] == ["item_000", "item_001"]
    assert cloud.complaints == []


async def test_a_commit_of_nothing_is_an_error(cloud: clouds.OpenAi, client: openai.AsyncOpenAI) -> None:
    events = await transcripts(client, {"model": "gpt-live-transcribe"}, None, tone(60))
    assert events[-1].error.code == "input_audio_buffer_commit_empty"


@pytest.mark.parametrize(
    ("transcription", "detection", "words"),
    [
        ({"model": "gpt-live-transcribe"}, {"type": "server_vad"}, "Turn detection is not supported"),
        ({"model": "gpt-live-transcribe", "language": "en"}, None, "takes languages"),
        ({"model": "gpt-4o-transcribe", "language": "en-US"}, None, "ISO-639-1"),
        ({"model": "gpt-5"}, None, "Invalid value"),
    ],
)
async def test_a_session_that_makes_no_sense_is_refused(
    cloud: clouds.OpenAi,
    client: openai.AsyncOpenAI,
    transcription: dict[str, Any],
    detection: dict[str, Any] | None,
    words: str,
) -> None:
    events = await transcripts(client, transcription, detection)
    assert events[-1].type == "error"
    assert words in events[-1].error.message
    assert cloud.complaints != []


async def test_a_wrong_key_is_refused(cloud: clouds.OpenAi) -> None:
    async with openai.AsyncOpenAI(api_key="sk-wrong", base_url=f"{cloud.url}/v1", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            await client.audio.speech.create(model="tts-1", voice="alloy", input="x", response_format="pcm")
        with pytest.raises(openai.AuthenticationError):
            await client.audio.transcriptions.create(file=("a.wav", b"x"), model="whisper-1")
        async with client.realtime.connect(
            extra_query={"intent": "transcription"}, max_retries=0
        ) as connection:
            refused: Any = await connection.recv()
    assert refused.error.code == "invalid_api_key"


async def test_a_model_in_the_address_is_complained_about(
    cloud: clouds.OpenAi, client: openai.AsyncOpenAI
) -> None:
    async with client.realtime.connect(model="gpt-4o-transcribe") as connection:
        await connection.recv()
    assert cloud.complaints != []
