"""The vendor's own SDK against the fake of Deepgram: what the fake takes for right is what Deepgram's client does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest
from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from deepgram.speak.v1.types import SpeakV1Text
from websockets.exceptions import InvalidStatus

from tests.support.clouds.base import spoken
from tests.support.clouds.deepgram import KEY, DeepgramCloud

RATE = 16_000
T = TypeVar("T")
# The SDK still knows old versions of `websockets`.
pytestmark = pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")


@pytest.fixture
async def fake() -> AsyncIterator[DeepgramCloud]:
    async with DeepgramCloud() as cloud:
        yield cloud


async def run(fake: DeepgramCloud, work: Callable[..., T], *arguments: object, key: str = KEY) -> T:
    """What `work` makes of the SDK's client, in a thread: it is synchronous."""
    environment = DeepgramClientEnvironment(
        base=fake.url, production=fake.ws_url, agent=fake.ws_url, agent_rest=fake.url
    )
    with httpx.Client() as http:
        vendor = DeepgramClient(api_key=key, environment=environment, httpx_client=http, max_retries=0)
        return await asyncio.to_thread(work, vendor, *arguments)


def listen(vendor: DeepgramClient, pcm: bytes) -> list[Any]:
    with vendor.listen.v1.connect(
        model="nova-3",
        encoding="linear16",
        sample_rate=RATE,
        channels=1,
        interim_results=True,
        utterance_end_ms=1000,
        endpointing=300,
        smart_format=True,
        keyterm=["Sidecall", "table"],
    ) as socket:
        socket.send_keep_alive()
        for at in range(0, len(pcm), 1280):
            socket.send_media(pcm[at : at + 1280])
        socket.send_finalize()
        socket.send_close_stream()
        return list(socket)


async def test_the_sdk_recognises(fake: DeepgramCloud) -> None:
    loud = np.full(RATE * 4 // 10, 8000, "<i2").tobytes()
    pause = bytes(len(loud))
    messages = await run(fake, listen, loud + pause + loud * 2 + pause + loud)
    assert [message.type for message in messages[-1:]] == ["Metadata"]
    results = [message for message in messages if message.type == "Results"]
    settled = [
        (result.channel.alternatives[0].transcript, result.speech_final)
        for result in results
        if result.is_final
    ]
    assert settled == [
        ("hello there", True),
        ("I would like", False),
        ("to book a table", True),
        ("for two persons", False),
    ]
    assert results[-1].from_finalize
    words = results[0].channel.alternatives[0].words
    assert (words[0].word, words[0].start) == ("hello", 0.0)
    assert fake.complaints == []


def speak(vendor: DeepgramClient) -> list[Any]:
    with vendor.speak.v1.connect(
        model="aura-2-thalia-en", encoding="linear16", sample_rate=RATE, speed=1.1
    ) as socket:
        socket.send_text(SpeakV1Text(text="Hello there. "))
        socket.send_text(SpeakV1Text(text="How are you?"))
        socket.send_flush()
        found = []
        for message in socket:
            found.append(message)
            if not isinstance(message, bytes) and message.type == "Flushed":
                socket.send_close()
        return found


async def test_the_sdk_speaks_by_websocket(fake: DeepgramCloud) -> None:
    messages = await run(fake, speak)
    pcm = b"".join(message for message in messages if isinstance(message, bytes))
    assert pcm == spoken("Hello there. How are you?", RATE)
    assert messages[0].type == "Metadata"
    assert messages[0].model_name == "aura-2-thalia-en"
    assert (messages[-1].type, messages[-1].sequence_id) == ("Flushed", 0)
    assert fake.complaints == []


def generate(vendor: DeepgramClient) -> bytes:
    return b"".join(
        vendor.speak.v1.audio.generate(
            text="Hello there.",
            model="aura-2-thalia-en",
            encoding="linear16",
            container="none",
            sample_rate=RATE,
        )
    )


async def test_the_sdk_speaks_by_request(fake: DeepgramCloud) -> None:
    assert await run(fake, generate) == spoken("Hello there.", RATE)
    assert fake.complaints == []


async def test_a_wrong_key_is_refused_as_the_sdk_expects(fake: DeepgramCloud) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await run(fake, listen, b"", key="wrong")
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["dg-error"] == "Invalid credentials."
    with pytest.raises(ApiError) as caught:
        await run(fake, generate, key="wrong")
    assert caught.value.status_code == 401
    assert caught.value.body["err_code"] == "INVALID_AUTH"
    assert fake.complaints == []
