"""The realtime protocol without sockets: their events in any order, and what is sent for audio."""

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ProviderError
from media.speech.asr.base import Heard
from media.speech.asr.endpointer import Endpointing
from media.speech.asr.openai_realtime import Continuous, Cut, Message, Transcript
from tests.support.utterances import silence, spaced, tone

BUFFER, ITEM = "input_audio_buffer.", "conversation.item.input_audio_transcription."


def started(item: str, ms: int) -> Message:
    return {"type": f"{BUFFER}speech_started", "item_id": item, "audio_start_ms": ms}


def stopped(item: str, ms: int) -> Message:
    return {"type": f"{BUFFER}speech_stopped", "item_id": item, "audio_end_ms": ms}


def committed(item: str) -> Message:
    return {"type": f"{BUFFER}committed", "item_id": item, "previous_item_id": None}


def delta(item: str, text: str) -> Message:
    return {"type": f"{ITEM}delta", "item_id": item, "content_index": 0, "delta": text}


def completed(item: str, text: str, **more: Any) -> Message:
    return {"type": f"{ITEM}completed", "item_id": item, "content_index": 0, "transcript": text, **more}


def error(**fields: Any) -> Message:
    return {"type": "error", "error": {"message": "No.", **fields}}


CLEARED: Message = {"type": f"{BUFFER}cleared"}
TOO_SHORT = error(type="invalid_request_error", code="input_audio_buffer_commit_empty")


def fed(transcript: Transcript, *events: Message) -> list[Heard]:
    return [heard for event in events for heard in transcript.feed(event)]


def test_deltas_accumulate_and_a_final_has_the_times_of_the_services_detection() -> None:
    transcript = Transcript()
    transcript.sent(2500)
    heard = fed(
        transcript,
        started("a", 400),
        delta("a", " hello"),
        stopped("a", 2100),
        committed("a"),
        delta("a", " there"),
        completed("a", " Hello there. "),
    )
    assert heard == [
        Heard(0, "hello", 400, 2500, final=False, task="a"),
        Heard(0, "hello there", 400, 2100, final=False, task="a"),
        Heard(0, "Hello there.", 400, 2100, final=True, task="a"),
    ]


def test_finals_wait_for_the_utterances_before_them() -> None:
    transcript = Transcript()
    spoken = [started("a", 0), stopped("a", 900), committed("a"), started("b", 1000), stopped("b", 1900)]
    assert fed(transcript, *spoken, committed("b"), completed("b", "second")) == []
    heard = fed(transcript, delta("b", "x"), completed("a", "first"))
    assert [(item.index, item.text, item.end) for item in heard if item.final] == [
        (0, "first", 900),
        (1, "second", 1900),
    ]


def test_an_utterance_without_text_is_left_out_and_holds_nothing_up() -> None:
    transcript = Transcript()
    spoken = [started("a", 0), stopped("a", 900), committed("a"), started("b", 1000), stopped("b", 1900)]
    heard = fed(
        transcript, *spoken, committed("b"), completed("b", "second"), delta("a", " "), completed("a", " ")
    )
    assert heard == [Heard(1, "second", 1000, 1900, final=True, task="b")]


def test_all_is_done_when_the_buffer_is_cleared_and_all_is_understood() -> None:
    transcript = Transcript()
    fed(transcript, started("a", 0), CLEARED)
    transcript.close()
    assert not transcript.done
    fed(transcript, CLEARED)
    assert not transcript.done
    fed(transcript, committed("a"), completed("a", "x"))
    assert transcript.done


def test_what_is_committed_at_the_end_though_nobody_spoke_is_made_up() -> None:
    transcript = Transcript()
    transcript.close()
    made_up = [committed("z"), delta("z", "Thank"), completed("z", "Thank you for watching.")]
    assert fed(transcript, *made_up, CLEARED) == []
    assert transcript.done


def test_speech_that_goes_on_at_the_end_counts() -> None:
    transcript = Transcript()
    transcript.sent(1500)
    fed(transcript, started("a", 200))
    transcript.close()
    assert fed(transcript, committed("a"), completed("a", "hi")) == [
        Heard(0, "hi", 200, 1500, final=True, task="a")
    ]


def test_a_commit_that_was_too_short_is_no_error() -> None:
    transcript = Transcript()
    transcript.begin(100)
    transcript.commit(160)
    transcript.begin(900)
    fed(transcript, TOO_SHORT, delta("b", "good"))
    transcript.commit(1800)
    heard = fed(transcript, committed("b"), completed("b", "good"))
    assert heard == [Heard(1, "good", 900, 1800, final=True, task="b")]
    assert fed(transcript, TOO_SHORT) == []


def test_a_refused_commit_behind_one_that_is_pending_takes_no_text_of_the_next() -> None:
    transcript = Transcript()
    for start in (0, 1000, 2000):
        transcript.begin(start)
        transcript.commit(start + 500)
    heard = fed(
        transcript,
        committed("a"),
        TOO_SHORT,
        committed("c"),
        completed("c", "third"),
        completed("a", "first"),
    )
    assert [(item.index, item.start, item.text) for item in heard] == [(0, 0, "first"), (2, 2000, "third")]


def test_our_utterances_get_their_items_in_order() -> None:
    transcript = Transcript()
    transcript.begin(0)
    transcript.sent(600)
    assert fed(transcript, delta("a", "one")) == [Heard(0, "one", 0, 600, final=False, task="a")]
    transcript.commit(500)
    transcript.begin(1000)
    heard = fed(transcript, committed("a"), delta("b", "two"), completed("a", "one."))
    assert [(item.index, item.text, item.start) for item in heard] == [(1, "two", 1000), (0, "one.", 0)]
    transcript.commit(1500)
    assert fed(transcript, committed("b"), completed("b", "two."))[0].end == 1500


def test_items_of_servers_that_tell_no_times_go_from_one_to_the_next() -> None:
    transcript = Transcript()
    transcript.sent(1000)
    first = fed(transcript, committed("a"), completed("a", "one"))
    transcript.sent(500)
    second = fed(transcript, committed("b"), committed("c"), completed("b", "two"), completed("c", "three"))
    assert [(item.start, item.end) for item in first + second] == [(0, 1000), (1000, 1500), (1500, 1500)]


def test_a_commit_that_they_ended_before_us_changes_nothing() -> None:
    transcript = Transcript()
    transcript.begin(0)
    fed(transcript, completed("a", "one"))
    transcript.commit(500)
    transcript.commit(700)
    assert not transcript.done


@pytest.mark.parametrize(
    ("logprobs", "confidence"),
    [
        ([{"logprob": -0.1}, {"logprob": -0.3}], 0.8187),
        ([{"logprob": 0.5}], 1.0),
        ([], None),
        (None, None),
        ([{"token": "a"}], None),
    ],
)
def test_confidence_is_the_mean_of_tokens(logprobs: object, confidence: float | None) -> None:
    [heard] = fed(Transcript(), completed("a", "x", logprobs=logprobs))
    assert heard.confidence == (None if confidence is None else pytest.approx(confidence, abs=1e-4))


@pytest.mark.parametrize(
    ("fields", "code", "retry"),
    [
        ({"type": "invalid_request_error", "code": "invalid_api_key"}, 401, False),
        ({"type": "invalid_request_error", "code": "session_expired"}, 502, True),
        ({"type": "invalid_request_error", "code": "unknown_parameter"}, 400, False),
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, 429, False),
        ({"type": "requests", "code": "rate_limit_exceeded"}, 429, True),
        ({"type": "server_error", "code": None}, 502, True),
    ],
)
def test_errors_are_told_with_their_words(fields: dict[str, Any], code: int, retry: bool) -> None:
    failed = {**error(**fields), "type": f"{ITEM}failed", "item_id": "a"}
    for event in (error(**fields), failed):
        with pytest.raises(ProviderError, match="openai: No.") as caught:
            Transcript().feed(event)
        assert (caught.value.code, caught.value.retry) == (code, retry)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": 3},
        {"type": "error"},
        {"type": f"{ITEM}failed"},
        {"type": f"{ITEM}delta", "item_id": "a"},
        {"type": f"{ITEM}completed", "item_id": "a", "transcript": None},
        {"type": f"{ITEM}completed", "transcript": "x"},
        {"type": f"{BUFFER}speech_started", "item_id": "a"},
        {"type": f"{BUFFER}speech_stopped", "item_id": "a", "audio_end_ms": True},
    ],
)
def test_what_is_no_message_of_theirs_is_an_error(event: Message) -> None:
    with pytest.raises(ProviderError, match="openai: "):
        Transcript().feed(event)


def test_other_events_are_of_no_interest() -> None:
    assert Transcript().feed({"type": "conversation.item.added"}) == []


EVENTS = st.lists(
    st.one_of(
        st.builds(started, st.sampled_from("abc"), st.integers(0, 5000)),
        st.builds(stopped, st.sampled_from("abc"), st.integers(0, 5000)),
        st.builds(committed, st.sampled_from("abc")),
        st.builds(delta, st.sampled_from("abc"), st.sampled_from(["", " ", " word"])),
        st.builds(completed, st.sampled_from("abc"), st.sampled_from(["", "text"])),
        st.sampled_from([CLEARED, TOO_SHORT]),
    ),
    max_size=30,
)


@given(EVENTS)
def test_whatever_comes_finals_are_in_order_and_texts_are_never_empty(events: list[Message]) -> None:
    transcript = Transcript()
    finals = []
    for event in events:
        for heard in transcript.feed(event):
            assert heard.text.strip()
            assert heard.end >= heard.start
            finals += [heard.index] if heard.final else []
    assert finals == sorted(set(finals))


def kinds(messages: list[Message]) -> list[str]:
    return [message["type"].removeprefix(BUFFER) for message in messages]


def appended(messages: list[Message]) -> np.ndarray[Any, np.dtype[np.int16]]:
    data = b"".join(base64.b64decode(message["audio"]) for message in messages if "audio" in message)
    return np.frombuffer(data, "<i2")


def sent(uplink: Continuous | Cut, pcm: bytes, size: int = 1280) -> list[Message]:
    messages = [message for at in range(0, len(pcm), size) for message in uplink.feed(pcm[at : at + size])]
    return messages + uplink.end()


def loudness(samples: np.ndarray[Any, np.dtype[np.int16]]) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("size", [1280, 333, 1])
def test_all_audio_is_sent_at_24_khz_and_committed_at_the_end(size: int) -> None:
    pcm = tone(1000)
    messages = sent(Continuous(Transcript()), pcm, size)
    assert kinds(messages)[-2:] == ["commit", "clear"]
    assert len(appended(messages)) == 24_000
    time = np.arange(24_000) / 24_000
    difference = appended(messages)[2000:-2000] - 8000 * np.sin(2 * np.pi * 440 * time)[2000:-2000]
    assert np.abs(difference).max() < 20


def test_only_utterances_are_sent_where_we_find_them() -> None:
    transcript = Transcript()
    messages = sent(Cut(transcript, Endpointing()), spaced(1000, 600))
    ends = [at for at, kind in enumerate(kinds(messages)) if kind != "append"]
    assert [kinds(messages)[at] for at in ends] == ["commit", "commit", "clear"]
    first, second = appended(messages[: ends[0]]), appended(messages[ends[0] : ends[1]])
    assert (len(first), len(second)) == (1800 * 24, 1400 * 24)
    assert loudness(first[300 * 24 : 1300 * 24]) == pytest.approx(8000 / 2**0.5, rel=0.01)
    heard = fed(transcript, committed("a"), committed("b"), completed("a", "x"), completed("b", "y"), CLEARED)
    assert [(item.start, item.end) for item in heard] == [(500, 1800), (2300, 3200)]
    assert transcript.done


def test_an_utterance_that_goes_on_at_the_end_is_committed() -> None:
    messages = sent(Cut(Transcript(), Endpointing()), silence(600) + tone(500))
    assert kinds(messages)[-2:] == ["commit", "clear"]
    assert len(appended(messages)) == 800 * 24


def test_silence_costs_nothing_where_we_find_utterances() -> None:
    assert kinds(sent(Cut(Transcript(), Endpointing()), silence(3000))) == ["clear"]
