"""Texts are cut where a speaker would pause, as early as that is certain, and lose nothing."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from media.speech.sentences import FIRST, LIMIT, UNBROKEN, Sentences, words

OPENING = "Well, then. "
"""A first piece: those behind it are cut as all others."""


def pieces(*texts: str) -> list[str]:
    """What a cutter makes of `texts`, with what is left at the end."""
    cutter = Sentences()
    return [piece for text in texts for piece in cutter.feed(text)] + cutter.flush()


def tokens(text: str) -> list[str]:
    """`text` as a language model sends it: words with the space before them, and marks."""
    return re.findall(r"\s?\w+|\s?[^\w\s]|\s", text)


def later(*texts: str) -> list[str]:
    """The pieces of `texts` behind a first one."""
    whole = pieces(OPENING, *texts)
    assert "".join(whole) == OPENING + "".join(texts)
    return [piece.strip() for piece in whole[1:] if piece.strip()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rains. Take a coat! Do you hear? Yes", ["It rains.", "Take a coat!", "Do you hear?", "Yes"]),
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("Wait... What?! Never", ["Wait...", "What?!", "Never"]),
        ("Es regnet. Nimm einen Mantel mit!\nJa", ["Es regnet.", "Nimm einen Mantel mit!", "Ja"]),
        ("One line\nanother line\n\nthe last", ["One line", "another line", "the last"]),
        ("今天下雨。请带伞！好吗？好", ["今天下雨。", "请带伞！", "好吗？", "好"]),
        ("「行こう。」と言った。はい", ["「行こう。」", "と言った。", "はい"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert later(text) == expected
    if "。」" not in text:
        assert later(*tokens(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "It costs 3.5 euros, 1,000.50 in all",
        "Ask Dr. Smith or Mrs. Jones at St. Paul",
        "Take the U.S. Mail, e.g. Tuesday",
        "Das ist z. B. Herr J. S. Bach",
        "Wir kommen am 3. Oktober oder am 24. Dezember",
        "See www.example.com for approx. five more",
        "It is version 2.0.1 of No. 5",
    ],
)
def test_points_that_end_nothing(text: str) -> None:
    assert later(text) == later(*tokens(text)) == [text]


def test_a_year_may_end_a_sentence() -> None:
    assert later("That was in 2024. Then came more") == ["That was in 2024.", "Then came more"]


def test_the_first_piece_comes_early() -> None:
    cutter = Sentences()
    heard = [cutter.feed(token) for token in tokens("Good morning, my name is Anna. How are you")]
    assert heard[heard.index(["Good morning, "])] == ["Good morning, "]
    assert [piece for found in heard for piece in found] == ["Good morning, ", "my name is Anna. "]
    assert pieces("Oh, I see. Well")[0] == "Oh, I see. "


def test_the_first_piece_is_no_long_sentence() -> None:
    text = "word " * 50
    first, *_ = Sentences().feed(text)
    assert len(first) <= FIRST
    assert first.endswith(" ")


def test_a_long_sentence_is_cut_after_a_clause() -> None:
    text = "we go on and on about many things that matter to us all, " * 4
    found = later(text)
    assert all(len(piece) <= LIMIT and piece.endswith(",") for piece in found)
    assert len(found) > 1


def test_a_long_sentence_without_clauses_is_cut_between_words() -> None:
    found = later("word " * 100)
    assert all(LIMIT - 10 < len(piece) + 1 <= LIMIT for piece in found[:-1])
    assert set(" ".join(found).split()) == {"word"}


def test_characters_that_are_words_are_cut_earlier() -> None:
    found = later("我们一起去公园散步，" * 20)
    assert all(len(piece) <= LIMIT // 2 and piece.endswith("，") for piece in found)


def test_what_has_no_gap_is_cut_at_last_but_no_number_is() -> None:
    assert later("x" * (2 * UNBROKEN)) == ["x" * (UNBROKEN - 1), "x" * (UNBROKEN - 1), "xx"]
    number = "1" * (2 * UNBROKEN)
    assert pieces(number) == [number]
    assert pieces("x" * 700 + " y")[0] == "x" * (UNBROKEN - 1)
    assert later("x" * 300 + " y")[0] == "x" * 300


@pytest.mark.parametrize(
    ("text", "at_once"),
    [
        ("How may I help you?", True),
        ("I can do that.", True),
        ("“Of course I do.”", True),
        ("Ask Dr.", False),
        ("It costs 3.", False),
        ("In the year 2024.", False),
        ("example.", False),
        (" you?", False),
        ("How may I help you", False),
    ],
)
def test_a_phrase_sent_whole_needs_nothing_behind_it(text: str, at_once: bool) -> None:
    cutter = Sentences()
    assert (cutter.feed(text) == [text]) is at_once
    assert cutter.flush() == ([] if at_once else [text])


def test_phrases_without_space_between_them() -> None:
    assert pieces("Hello there.", "How are you?") == ["Hello there.", "How are you?"]


def test_flushing_nothing() -> None:
    cutter = Sentences()
    assert cutter.flush() == cutter.feed("") == []
    assert cutter.feed("\n\n") == []
    assert cutter.flush() == ["\n\n"]


@pytest.mark.parametrize(("text", "count"), [("", 0), ("one two, three", 3), ("你好 world", 3), ("  ", 0)])
def test_words(text: str, count: int) -> None:
    assert words(text) == count


NUMBER = re.compile(r"\d+(?:[.,:]\d+|[ ]\d{3}(?!\d))*")
ALPHABET = "ab XY.,;:!?…\n—–Dr12390你好。，！\"'” "


@given(st.lists(st.text(ALPHABET, max_size=80), max_size=12))
@example(["1 ", "000 000 people. "])
@example(["It costs 3.", "5 euros"])
@example(["1，", "000"])
def test_the_pieces_are_the_text_and_no_number_is_cut(texts: list[str]) -> None:
    found = pieces(*texts)
    text = "".join(texts)
    assert "".join(found) == text
    cuts, at = set(), 0
    for piece in found:
        assert piece
        at += len(piece)
        cuts.add(at)
    for number in NUMBER.finditer(text):
        assert not cuts & set(range(number.start() + 1, number.end()))


@given(st.text(max_size=3000))
def test_any_text_comes_out_whole(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert "".join(pieces(*text)) == text
