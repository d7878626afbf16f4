"""The vendor's own SDK works with the fake, so that fake and provider share no mistake."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator
from typing import Any

import dashscope
import pytest
import websocket
from dashscope.audio.asr import Recognition, RecognitionCallback, RecognitionResult
from dashscope.audio.tts_v2 import AudioFormat, ResultCallback, SpeechSynthesizer

from tests.support.clouds.aliyun import KEY, PATH, Aliyun
from tests.support.clouds.base import SCRIPT, Fault, Stage, Trouble, spoken


@pytest.fixture
async def cloud(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Aliyun]:
    async with Aliyun() as cloud:
        # How often the SDK's thread looks whether its connection was closed; 10 s when not given.
        run = functools.partialmethod(websocket.WebSocketApp.run_forever, ping_timeout=0.1)
        monkeypatch.setattr(websocket.WebSocketApp, "run_forever", run)
        monkeypatch.setattr(dashscope, "api_key", KEY)
        monkeypatch.setattr(dashscope, "base_websocket_api_url", cloud.ws_url + PATH)
        yield cloud


class Listener(RecognitionCallback):
    def __init__(self) -> None:
        self.sentences: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.completed = False

    def on_event(self, result: RecognitionResult) -> None:
        sentence = result.get_sentence()
        assert isinstance(sentence, dict)
        self.sentences.append(sentence)

    def on_error(self, result: RecognitionResult) -> None:
        self.errors.append(f"{result.code}: {result.message}")

    def on_complete(self) -> None:
        self.completed = True


def recogniser(listener: Listener, **keys: Any) -> Any:
    return Recognition("paraformer-realtime-v2", listener, "pcm", 16_000, **keys)


def recognise(pcm: bytes, **keys: Any) -> Listener:
    listener = Listener()
    recognition = recogniser(listener, **keys)
    recognition.start()
    for at in range(0, len(pcm), 3200):
        recognition.send_audio_frame(pcm[at : at + 3200])
    recognition.stop()
    return listener


async def test_recognition(cloud: Aliyun) -> None:
    pcm = spoken("x" * 40, 16_000) + bytes(16_000) + spoken("x" * 30, 16_000)
    listener = await asyncio.to_thread(recognise, pcm, language_hints=["en"], heartbeat=True)
    finals = [said for said in listener.sentences if RecognitionResult.is_sentence_end(said)]
    assert [(said["text"], said["begin_time"], said["end_time"]) for said in finals] == [
        (SCRIPT[0], 0, 800),
        (SCRIPT[1], 1300, 1900),
    ]
    assert len(listener.sentences) > len(finals)
    assert listener.completed
    assert (listener.errors, cloud.complaints) == ([], [])
    assert bytes(cloud.heard[0]) == pcm


async def test_recognition_that_is_refused(cloud: Aliyun) -> None:
    cloud.trouble.append(Trouble(Fault.REFUSE, Stage.BEGIN))
    listener = Listener()
    recognition = recogniser(listener)

    def refused() -> None:
        recognition.start()
        recognition._worker.join()

    await asyncio.to_thread(refused)
    recognition._silence_timer.cancel()
    assert listener.errors == ["InternalError: An internal error has occurred."]


class Hearer(ResultCallback):
    def __init__(self) -> None:
        self.pcm = b""
        self.events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.completed = False

    def on_data(self, data: bytes) -> None:
        self.pcm += data

    def on_event(self, message: str) -> None:
        self.events.append(json.loads(message) if isinstance(message, str) else message)

    def on_error(self, message: str) -> None:
        self.errors.append(message)

    def on_complete(self) -> None:
        self.completed = True


def synthesise(hearer: Hearer | None, texts: list[str], **keys: Any) -> bytes | None:
    keys |= {"format": AudioFormat.PCM_16000HZ_MONO_16BIT, "callback": hearer}
    synthesiser: Any = SpeechSynthesizer("cosyvoice-v2", "longyumi_v2", **keys)
    try:
        if hearer is None:
            made: bytes | None = synthesiser.call(texts[0])
            return made
        for text in texts:
            synthesiser.streaming_call(text)
        synthesiser.streaming_complete(20_000)
        return None
    finally:
        synthesiser.thread.join()


async def test_synthesis_of_a_text(cloud: Aliyun) -> None:
    pcm = await asyncio.to_thread(synthesise, None, ["Hello there. Good bye"], volume=70, speech_rate=1.0)
    assert pcm == spoken("Hello there. ", 16_000) + spoken("Good bye", 16_000)
    assert cloud.complaints == []


async def test_synthesis_of_texts_that_come(cloud: Aliyun) -> None:
    hearer = Hearer()
    extra = {"word_timestamp_enabled": True}
    await asyncio.to_thread(synthesise, hearer, ["Hello there. ", "Good", " bye"], additional_params=extra)
    assert hearer.pcm == spoken("Hello there. ", 16_000) + spoken("Good bye", 16_000)
    assert cloud.texts == [["Hello there. ", "Good", " bye"]]
    outputs = [event["payload"]["output"] for event in hearer.events]
    ends = [output for output in outputs if output["type"] == "sentence-end"]
    assert [[word["text"] for word in end["sentence"]["words"]] for end in ends] == [
        ["Hello", "there."],
        ["Good", "bye"],
    ]
    assert hearer.completed
    assert (hearer.errors, cloud.complaints) == ([], [])


async def test_synthesis_that_fails(cloud: Aliyun) -> None:
    cloud.trouble.append(Trouble(Fault.REFUSE, Stage.END))
    hearer = Hearer()
    await asyncio.to_thread(synthesise, hearer, ["Hello there."])
    assert len(hearer.errors) == 1
    assert json.loads(hearer.errors[0])["header"]["error_code"] == "InternalError"
