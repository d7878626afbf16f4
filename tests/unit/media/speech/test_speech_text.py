import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.speech.text import SEGMENT, clean, segments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello  world\n", "Hello world"),
        ("a\x01500S b\x00c\x7f", "a 500S b c"),
        ("Great \U0001f600! \u2600\ufe0f", "Great !"),
        ("20 °C, café, 你好", "20 °C, café, 你好"),
        ("\U0001f600", ""),
    ],
)
def test_what_cannot_be_spoken_goes(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize("text", ["", "  \n", "\U0001f44d"])
def test_an_empty_text_has_no_segments(text: str) -> None:
    assert segments(text) == []


def test_a_short_text_stays_whole() -> None:
    text = "Dr. Smith is here. He asks for you."
    assert segments(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two. Three four. Five six.", ["One two. Three four.", "Five six."]),
        ('He said "no!" Then he left us.', ['He said "no!"', "Then he left us."]),
        ("One two three, four five six seven", ["One two three,", "four five six seven"]),
        ("one two three four five six seven", ["one two three four five", "six seven"]),
        ("3.14159 is pi, it is said", ["3.14159 is pi,", "it is said"]),
        (
            "你好。今天天气很好，我们一起去公园散步吧，好不好呢我的朋友",
            ["你好。", "今天天气很好，我们一起去公园散步吧，", "好不好呢我的朋友"],
        ),
        ("x" * 60, ["x" * 24, "x" * 24, "x" * 12]),
    ],
)
def test_long_texts_are_cut_at_the_best_break(text: str, expected: list[str]) -> None:
    assert segments(text, 24) == expected


@given(st.text(st.sampled_from("ab .,;!?。，\n"), max_size=900))
def test_nothing_is_lost_and_nothing_is_too_long(text: str) -> None:
    pieces = segments(text)
    assert "".join(pieces).replace(" ", "") == clean(text).replace(" ", "")
    assert all(0 < len(piece) <= SEGMENT for piece in pieces)
