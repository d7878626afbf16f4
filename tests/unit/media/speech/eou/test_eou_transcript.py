"""The text of a turn, out of utterances that were cut elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.speech.eou.transcript import Transcript


def test_a_delta_replaces_the_one_before_and_a_final_stays() -> None:
    transcript = Transcript()
    assert transcript.heard("my name", final=False)
    assert transcript.heard("my name is", final=False)
    assert not transcript.heard("my name is", final=False)
    assert transcript.within
    assert transcript.heard("My name is", final=True)
    assert not transcript.within
    assert transcript.heard("Bob", final=False)
    assert transcript.text == "My name is Bob"


def test_an_utterance_that_goes_on_counts_from_where_the_turn_began() -> None:
    transcript = Transcript()
    transcript.heard("yes please", final=False)
    transcript.restart()
    assert transcript.text == ""
    assert not transcript.heard("Yes, please.", final=False)
    assert transcript.heard("Yes, please. And a", final=False)
    assert transcript.text == "And a"
    transcript.heard("Yes, please. And a coffee.", final=True)
    assert transcript.text == "And a coffee."
    transcript.heard("Hot", final=False)
    assert transcript.text == "And a coffee. Hot"


def test_what_is_old_is_left_out() -> None:
    transcript = Transcript()
    assert not transcript.heard("so late", final=False, old=True)
    assert transcript.heard("so late it is", final=False)
    assert transcript.text == "it is"
    assert transcript.heard("gone", final=True, old=True)
    assert transcript.text == ""
    transcript.heard("new", final=True)
    assert transcript.text == "new"


def test_marks_alone_are_no_text() -> None:
    transcript = Transcript()
    assert not transcript.heard("...", final=False)
    assert not transcript.heard(" ?", final=True)
    assert transcript.text == ""


@pytest.mark.parametrize("text", ["好的我要", "да, хочу", "ok 12"])
def test_any_script(text: str) -> None:
    transcript = Transcript()
    transcript.heard(text[:2], final=False)
    transcript.restart()
    transcript.heard(text, final=False)
    assert transcript.text == text[2:].lstrip(", ")


@given(st.lists(st.tuples(st.text(), st.booleans(), st.booleans())))
def test_a_restart_leaves_nothing_behind(texts: list[tuple[str, bool, bool]]) -> None:
    transcript = Transcript()
    for text, final, old in texts:
        before = transcript.text
        assert transcript.heard(text, final=final, old=old) is (transcript.text != before)
    last = texts[-1] if texts else ("", True, False)
    transcript.restart()
    assert transcript.text == ""
    if not last[1]:
        assert not transcript.heard(last[0].upper() if last[0].isascii() else last[0], final=False)
