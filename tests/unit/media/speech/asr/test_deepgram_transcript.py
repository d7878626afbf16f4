"""From messages of Deepgram to texts: parts of an utterance, its end, times, confidence, garbled messages."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ProviderError
from media.speech.asr.base import Heard
from media.speech.asr.deepgram_transcript import State, Transcript


def results(
    text: str,
    start: float = 0.0,
    *,
    confidence: float | None = 0.9,
    words: bool = True,
    **marks: Any,
) -> dict[str, Any]:
    """Words of half a second each, from `start` on."""
    spoken = text.split()
    alternative: dict[str, Any] = {"transcript": text, "confidence": confidence}
    if words:
        alternative["words"] = [
            {"word": word, "start": start + at / 2, "end": start + at / 2 + 0.5}
            for at, word in enumerate(spoken)
        ]
    return {
        "type": "Results",
        "start": start,
        "duration": 3.0,
        "channel": {"alternatives": [alternative]},
        "metadata": {"request_id": "req"},
        "is_final": False,
        **marks,
    }


PART = {"is_final": True}
LAST = {"is_final": True, "speech_final": True}
UTTERANCE_END = {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.0}
SUMMARY = {"type": "Metadata", "request_id": "req", "duration": 3.0}


def feed(transcript: Transcript, *messages: dict[str, Any]) -> list[Heard]:
    return [heard for message in messages for heard in transcript.feed(message)]


def test_deltas_then_one_final_text_with_the_times_of_its_words() -> None:
    found = feed(
        Transcript(), results("hello", 0.5), results("hello there", 0.5), results("Hello there.", 0.5, **LAST)
    )
    assert found == [
        Heard(0, "hello", 500, 1000, final=False, confidence=0.9, task="req"),
        Heard(0, "hello there", 500, 1500, final=False, confidence=0.9, task="req"),
        Heard(0, "Hello there.", 500, 1500, final=True, confidence=0.9, task="req"),
    ]


def test_settled_parts_make_one_utterance() -> None:
    transcript = Transcript()
    found = feed(
        transcript,
        results("my number is", 1.0),
        results("My number is", 1.0, confidence=1.0, **PART),
        results("five", 3.0),
        results("five six", 3.0, confidence=0.5, **LAST),
        results("bye", 6.0, **LAST),
    )
    assert [(heard.text, heard.final, heard.index) for heard in found] == [
        ("my number is", False, 0),
        ("My number is", False, 0),
        ("My number is five", False, 0),
        ("My number is five six", True, 0),
        ("bye", True, 1),
    ]
    assert (found[3].start, found[3].end) == (1000, 4000)
    assert found[3].confidence == pytest.approx((3 * 1.0 + 2 * 0.5) / 5)
    assert (found[4].start, found[4].end) == (6000, 6500)


def test_a_pause_may_be_told_by_an_empty_result() -> None:
    found = feed(Transcript(), results("yes", **PART), results("", 2.0, **LAST), results("", 4.0, **LAST))
    assert [(heard.text, heard.final) for heard in found] == [("yes", False), ("yes", True)]


def test_silence_is_no_utterance() -> None:
    transcript = Transcript()
    empty = {**results(""), "channel": {"alternatives": []}}
    assert (
        feed(transcript, results(""), results("", **LAST), results("  ", **PART), empty, UTTERANCE_END) == []
    )
    assert feed(transcript, results("hi", **LAST))[0].index == 0


def test_the_same_delta_is_told_once() -> None:
    found = feed(
        Transcript(), results("yes"), results("yes"), results("yes", **PART), results(""), results("yes no")
    )
    assert [heard.text for heard in found] == ["yes", "yes yes no"]


def test_noise_keeps_the_pause_away_and_a_gap_between_words_ends_it() -> None:
    transcript = Transcript()
    found = feed(transcript, results("yes", **PART), UTTERANCE_END, UTTERANCE_END, results("no", **LAST))
    assert [(heard.index, heard.text, heard.final) for heard in found] == [
        (0, "yes", False),
        (0, "yes", True),
        (1, "no", True),
    ]


def test_words_that_are_open_at_a_gap_belong_to_the_next_utterance() -> None:
    found = feed(
        Transcript(),
        results("yes", **PART),
        results("no", 3.0),
        UTTERANCE_END,
        results("no way", 3.0, **LAST),
    )
    assert [(heard.index, heard.text, heard.final) for heard in found][1:] == [
        (0, "yes no", False),
        (0, "yes", True),
        (1, "no way", True),
    ]


def test_finalize_ends_the_utterance() -> None:
    found = feed(Transcript(), results("yes", is_final=True, from_finalize=True))
    assert [heard.final for heard in found] == [True]


def test_a_result_without_words_has_the_times_of_its_audio() -> None:
    [heard] = feed(Transcript(), results("yes", 1.5, words=False, confidence=None, **LAST))
    assert (heard.start, heard.end, heard.confidence) == (1500, 4500, None)


def test_parts_without_confidence_do_not_count_in_the_mean() -> None:
    found = feed(Transcript(), results("a", confidence=None, **PART), results("b c", confidence=0.8, **LAST))
    assert found[-1].confidence == pytest.approx(0.8)


def test_languages_without_spaces_are_joined_without() -> None:
    found = feed(Transcript(""), results("你好", **PART), results("吗", **LAST))
    assert found[-1].text == "你好吗"


def test_the_summary_ends_the_work_once_no_audio_follows() -> None:
    transcript = Transcript()
    states = [transcript.state]
    assert feed(transcript, SUMMARY) == []
    states.append(transcript.state)
    transcript.end()
    states.append(transcript.state)
    found = feed(transcript, results("so far", **PART), results("open"), SUMMARY)
    states.append(transcript.state)
    assert states == [State.LISTENING, State.LISTENING, State.ENDING, State.DONE]
    assert [(heard.text, heard.final) for heard in found][-1] == ("so far open", True)


def test_what_is_not_known_is_left_alone() -> None:
    assert (
        feed(Transcript(), {"type": "SpeechStarted", "channel": [0], "timestamp": 1.0}, {"type": "New"}) == []
    )


def test_an_error_is_raised() -> None:
    with pytest.raises(ProviderError, match="DATA: bad audio"):
        Transcript().feed({"type": "Error", "variant": "DATA", "description": "bad audio"})
    with pytest.raises(ProviderError, match="gone"):
        Transcript().feed({"err_code": "X", "err_msg": "gone"})


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({}, "without a type"),
        ({"type": 3}, "without a type"),
        ({"type": "Results"}, "start, duration, channel"),
        ({**results("a"), "start": float("nan")}, "start"),
        ({**results("a"), "duration": "soon"}, "duration"),
        ({**results("a"), "channel": {"alternatives": [{"words": 1}]}}, "channel.alternatives.0.transcript"),
        ({**results("a"), "channel": {"alternatives": [{}] * 99}}, "channel.alternatives.0"),
    ],
)
def test_garbled_messages_are_an_error(message: dict[str, Any], says: str) -> None:
    with pytest.raises(ProviderError, match=says) as caught:
        Transcript().feed(message)
    assert (caught.value.code, caught.value.retry) == (502, True)
    assert len(str(caught.value)) <= 300


Marked = st.fixed_dictionaries({"is_final": st.booleans(), "speech_final": st.booleans()})
Stream = st.lists(
    st.one_of(st.tuples(st.sampled_from(["", "a", "b c", "d e f"]), Marked), st.just(UTTERANCE_END)),
    max_size=30,
)


@given(Stream)
def test_every_settled_word_is_in_exactly_one_final_text(stream: list[Any]) -> None:
    transcript, settled, at = Transcript(), [], 0.0
    found: list[Heard] = []
    for item in stream:
        if isinstance(item, dict):
            found += transcript.feed(item)
            continue
        text, marks = item
        found += transcript.feed(results(text, at, **marks))
        if marks["is_final"] or marks["speech_final"]:
            settled += text.split()
            at += len(text.split())
    transcript.end()
    transcript.feed(results("", at, **PART))
    found += transcript.feed(SUMMARY)
    finals = [heard for heard in found if heard.final]
    assert " ".join(heard.text for heard in finals).split() == settled
    assert [heard.index for heard in finals] == list(range(len(finals)))
    assert all(left.end <= right.start for left, right in zip(finals, finals[1:], strict=False))
    assert all(heard.text and heard.start <= heard.end for heard in found)
    order = [heard.index for heard in found]
    assert order == sorted(order)
