"""How a text is given to Deepgram: flushes within its limits, the end, long texts; and what its messages mean."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ProviderError
from media.speech.tts.deepgram_speech import CLOSE, FLUSH, FLUSHES, WINDOW_SECONDS, Speech, Window, portions


def flushed(number: int = 0) -> str:
    return json.dumps({"type": "Flushed", "sequence_id": number})


def speak(text: str) -> dict[str, str]:
    return {"type": "Speak", "text": text}


def test_each_sentence_is_spoken_at_once() -> None:
    speech = Speech()
    assert speech.say("One. ", 0) == [speak("One. "), FLUSH]
    assert speech.say("Two.", 1) == [speak("Two."), FLUSH]
    assert speech.end(2) == []
    assert speech.feed(flushed()) == b""
    assert not speech.done
    speech.feed(flushed(1))
    assert speech.done


def test_the_end_hangs_up_when_all_was_spoken_before() -> None:
    speech = Speech()
    speech.say("One.", 0)
    speech.feed(flushed())
    assert not speech.done
    assert speech.end(5) == [CLOSE]
    assert speech.done


def test_blanks_alone_are_not_flushed() -> None:
    speech = Speech()
    assert speech.say(" ", 0) == [speak(" ")]
    assert speech.end(0) == [CLOSE]


def test_flushes_stay_below_the_limit_and_the_last_one_is_kept_for_the_end() -> None:
    speech = Speech()
    sent: list[dict[str, str]] = []
    for second in range(30):
        sent += speech.say(f"Sentence {second}. ", second)
    assert sent.count(FLUSH) == FLUSHES - 1
    assert sent[-1] == speak("Sentence 29. ")
    assert speech.end(30) == [FLUSH]


def test_after_a_minute_there_are_flushes_again() -> None:
    speech = Speech()
    for _ in range(30):
        speech.say("Now. ", 0)
    assert speech.say("Later. ", WINDOW_SECONDS - 1) == [speak("Later. ")]
    assert speech.say("Much later.", WINDOW_SECONDS) == [speak("Much later."), FLUSH]
    assert speech.end(WINDOW_SECONDS) == []


def test_audio_is_handed_on() -> None:
    assert Speech().feed(b"\x01\x02") == b"\x01\x02"


def test_what_is_not_known_is_left_alone() -> None:
    for message in ({"type": "Metadata", "request_id": "a"}, {"type": "Cleared", "sequence_id": 0}):
        assert Speech().feed(json.dumps(message)) == b""


def test_a_flush_too_many_does_not_end_the_work() -> None:
    speech = Speech()
    speech.feed(flushed())
    speech.say("One.", 0)
    speech.end(0)
    assert not speech.done


def test_a_warning_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert Speech().feed('{"type": "Warning", "description": "slow down", "code": "X"}') == b""
    assert "slow down" in caplog.text


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"type": "Error", "description": "no voice"}, "no voice"),
        ({"err_code": "A", "err_msg": "b"}, "A: b"),
        ({}, "without a type"),
        ([], "no JSON object"),
    ],
)
def test_errors_and_garbled_messages_are_raised(message: Any, says: str) -> None:
    with pytest.raises(ProviderError, match=says):
        Speech().feed(json.dumps(message))


def test_a_window_says_when_there_is_room() -> None:
    window = Window(10)
    assert window.wait(0, 10) == 0
    window.add(0, 6)
    window.add(10, 4)
    assert window.wait(10, 1) == WINDOW_SECONDS - 10
    assert window.wait(10, 6) == WINDOW_SECONDS - 10
    assert window.wait(10, 7) == WINDOW_SECONDS
    assert window.wait(WINDOW_SECONDS, 6) == 0
    assert window.wait(WINDOW_SECONDS, 99) == 10
    assert window.wait(WINDOW_SECONDS + 10, 99) == 0


@given(st.integers(1, 50), st.lists(st.tuples(st.floats(0, 30), st.integers(1, 50)), max_size=40))
def test_no_window_ever_holds_more_than_its_limit(limit: int, work: list[tuple[float, int]]) -> None:
    window, now = Window(limit), 0.0
    done: list[tuple[float, int]] = []
    for pause, amount in work:
        now += pause
        now += window.wait(now, amount)
        window.add(now, amount)
        done.append((now, amount))
        recent = [size for at, size in done if at + WINDOW_SECONDS > now + 1e-6]
        assert sum(recent) <= limit or recent == [amount]


def test_a_long_text_is_cut_between_sentences() -> None:
    text = "A sentence of some words. " * 20
    found = portions(text, 100)
    assert "".join(found) == text
    assert all(len(portion) <= 100 and portion.startswith("A sentence") for portion in found)


def test_a_blank_text_has_no_portions() -> None:
    assert portions("", 10) == portions("  \n", 10) == []


@given(st.text(alphabet="ab .,!\n你", max_size=300), st.integers(1, 60))
def test_portions_hold_all_that_can_be_spoken(text: str, most: int) -> None:
    found = portions(text, most)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(0 < len(portion) <= most for portion in found)
