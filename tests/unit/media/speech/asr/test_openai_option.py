from typing import Any

import pytest

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech.asr.endpointer import Endpointing
from media.speech.asr.openai_option import Way, Wish, wish


def asked(model: str | None = None, language: str | None = None, /, **extra: Any) -> Wish:
    return wish(TranscriptionOption(model=model, language=language, extra=extra))


def heard(how: Wish) -> dict[str, Any]:
    given: dict[str, Any] = how.parameters["audio"]["input"]
    return given


@pytest.mark.parametrize(
    ("model", "extra", "way"),
    [
        (None, {}, Way.COMMIT),
        ("gpt-transcribe", {}, Way.COMMIT),
        ("gpt-realtime-whisper", {}, Way.COMMIT),
        ("gpt-of-tomorrow", {}, Way.COMMIT),
        ("gpt-4o-mini-transcribe", {}, Way.SERVER_VAD),
        ("gpt-4o-mini-transcribe", {"turn_detection": None}, Way.COMMIT),
        ("gpt-of-tomorrow", {"turn_detection": {"type": "semantic_vad"}}, Way.SERVER_VAD),
        ("whisper-1", {}, Way.REQUEST),
        ("whisper-1", {"mode": "realtime"}, Way.SERVER_VAD),
        ("Systran/faster-whisper-small", {}, Way.REQUEST),
        ("gpt-transcribe", {"mode": "utterance"}, Way.REQUEST),
        (None, {"mode": "utterance", "turn_detection": {}}, Way.REQUEST),
        (None, {"model": "gpt-4o-transcribe"}, Way.SERVER_VAD),
    ],
)
def test_the_model_decides_the_way_unless_told(model: str | None, extra: dict[str, Any], way: Way) -> None:
    assert asked(model, **extra).way is way


def test_without_a_model_it_is_the_one_for_the_way() -> None:
    assert heard(asked())["transcription"] == {"model": "gpt-live-transcribe"}
    assert asked(mode="utterance").parameters == {"model": "gpt-transcribe", "response_format": "json"}


@pytest.mark.parametrize("language", ["en-US", "en", "EN_gb"])
def test_languages_are_told_as_iso_639(language: str) -> None:
    assert heard(asked("gpt-4o-transcribe", language))["transcription"]["language"] == "en"
    assert heard(asked(None, language))["transcription"]["languages"] == ["en"]
    assert asked("whisper-1", language).parameters["language"] == "en"
    assert asked("gpt-transcribe", language, mode="utterance").parameters["languages"] == ["en"]


def test_languages_in_extra_take_the_place_of_ours() -> None:
    assert heard(asked(None, "en", languages="de, fr"))["transcription"]["languages"] == ["de", "fr"]
    assert "languages" not in heard(asked(None, "en", language="de"))["transcription"]


def test_parameters_go_where_they_belong() -> None:
    how = asked(
        "gpt-4o-transcribe", prompt="names", noise_reduction={"type": "near_field"}, include="a,b", new=1
    )
    assert heard(how)["transcription"] == {"model": "gpt-4o-transcribe", "prompt": "names"}
    assert heard(how)["noise_reduction"] == {"type": "near_field"}
    assert heard(how)["format"] == {"type": "audio/pcm", "rate": 24_000}
    assert how.parameters["type"] == "transcription"
    assert how.parameters["include"] == ["a", "b"]
    assert how.parameters["new"] == 1


def test_the_services_detection_takes_its_parameters_also_as_text() -> None:
    how = asked("gpt-4o-transcribe", threshold="0.4", silence_duration_ms="300", eagerness="low")
    detection = {"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 300, "eagerness": "low"}
    assert heard(how)["turn_detection"] == detection
    how = asked("gpt-4o-transcribe", turn_detection={"type": "semantic_vad"}, type="server_vad")
    assert heard(how)["turn_detection"] == {"type": "server_vad"}
    assert heard(asked("gpt-4o-transcribe", turn_detection=True))["turn_detection"] == {"type": "server_vad"}


def test_our_detection_takes_parameters_of_the_same_names() -> None:
    how = asked(prefix_padding_ms="200", silence_duration_ms=400, max_utterance_ms=5000)
    assert how.endpointing == Endpointing(200, 400, 5000)
    assert heard(how)["turn_detection"] is None
    assert asked("whisper-1", temperature=0).parameters["temperature"] == 0
    assert set(asked(silence_duration_ms=400).parameters) == {"type", "audio"}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"mode": "batch"}, "mode"),
        ({"threshold": 0.4}, "threshold"),
        ({"eagerness": "low"}, "eagerness"),
        ({"silence_duration_ms": "soon"}, "silence_duration_ms"),
        ({"silence_duration_ms": True}, "silence_duration_ms"),
        ({"prefix_padding_ms": -1}, "prefix_padding_ms"),
        ({"max_utterance_ms": 60_000}, "max_utterance_ms"),
    ],
)
def test_what_makes_no_sense_is_refused(extra: dict[str, Any], words: str) -> None:
    with pytest.raises(ProviderError, match=words) as caught:
        asked(**extra)
    assert (caught.value.code, caught.value.retry) == (400, False)
