"""How a text is given to Deepgram: flushes within its limit, the end; and what its messages mean."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ProviderError
from media.speech.tts.deepgram_speech import BURST, CLOSE, EVERY, FLUSH, Speech


def flushed(number: int = 0) -> str:
    return json.dumps({"type": "Flushed", "sequence_id": number})


def speak(text: str) -> dict[str, str]:
    return {"type": "Speak", "text": text}


def test_each_part_is_spoken_at_once() -> None:
    speech = Speech()
    assert speech.say("One.", 0) == [speak("One. "), FLUSH]
    assert speech.say("Two. ", 1) == [speak("Two. "), FLUSH]
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


def test_blanks_are_not_spoken() -> None:
    speech = Speech()
    assert speech.say(" ", 0) == []
    assert speech.wait(0) is None
    assert speech.end(0) == [CLOSE]


def test_parts_that_come_too_fast_are_flushed_together() -> None:
    speech = Speech()
    for part in range(BURST):
        assert FLUSH in speech.say(f"Part {part}.", 0)
    assert speech.say("More.", 1) == [speak("More. ")]
    assert speech.say("And more.", 2) == [speak("And more. ")]
    assert speech.wait(2) == EVERY - 2
    assert speech.due(3) == []
    assert speech.due(EVERY) == [FLUSH]
    assert speech.wait(EVERY) is None
    assert speech.say("Last.", EVERY) == [speak("Last. ")]
    assert speech.end(EVERY) == [FLUSH]


@given(st.lists(st.floats(0, 10), max_size=60))
def test_no_minute_has_more_flushes_than_are_allowed(pauses: list[float]) -> None:
    speech, now = Speech(), 0.0
    sent: list[float] = []
    for pause in pauses:
        due = speech.wait(now)
        if due is not None and due <= pause:
            sent += [now + due for _ in speech.due(now + due)]
        now += pause
        sent += [now for message in speech.say("Part.", now) if message == FLUSH]
    sent += [now for message in speech.end(now) if message == FLUSH]
    assert all(sum(at <= other < at + 60 for other in sent) <= 20 for at in sent)
    assert len(sent) >= min(len(pauses), BURST)


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
