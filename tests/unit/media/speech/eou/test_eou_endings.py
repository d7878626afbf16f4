"""What the end of a text says about what follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.speech.eou.endings import Ending, ending
from media.speech.eou.words import SPACED

C, P, O, D = Ending.COMPLETE, Ending.PLAIN, Ending.OPEN, Ending.DIGITS  # noqa: E741


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("", None, None),
        (" ... ", "en", None),
        ("I would like a room.", "en", C),
        ("Can you hear me?", None, C),
        ('He said "stop!"', "en", C),
        ("I would like a room", "en", P),
        ("Yes", "en-US", C),
        ("yes, please", "EN", C),
        ("That’s right", "en", C),
        ("Yes,", "en", O),
        ("yes but", "en", O),
        ("My name is", "en", O),
        ("I want to", "en", O),
        ("I want the", "en", O),
        ("I want the.", "en", O),
        ("That is what I am looking for.", "en", C),
        ("That is what I am looking for", "en", O),
        ("um", "en", O),
        ("So, uhm...", "en", O),
        ("I went there…", "en", O),
        ("I want to go - ", "en", O),
        ("ich möchte einen", "de-DE", O),
        ("Ich rufe Sie morgen an", "de", P),
        ("Nein danke", "de", C),
        ("Ich habe die Karte und", "de", O),
        ("Ich äh", "de", O),
        ("je voudrais un", "fr", O),
        ("c’est ça", "fr", C),
        ("J'habite à", "fr", O),
        ("sí, claro", "es", C),
        ("si", "es", C),
        ("quiero saber si", "es", O),
        ("_", "en", None),
        ("quiero una mesa para", "es", O),
        ("mañana por la tarde", "es", P),
        ("ik wil graag een", "nl", P),
        ("ik wil graag een.", "nl", C),
        ("I want the", "nl", P),
        ("我想订一张桌子。", "zh", C),
        ("是的", None, C),
        ("我叫", "zh-CN", O),
        ("我要去北京和", None, O),
        ("你们几点开门呢", "zh", C),
        ("我的", "zh", O),
        ("北京大学", "zh", P),
        ("我想，", "zh", O),
        ("予約したいです", "ja", C),
        ("予約したいのですが", "ja", O),
        ("はい", None, C),
        ("えっと", "ja-JP", O),
        ("東京", "ja", P),
        ("明日", "ja", C),
        ("電話番号は", "ja", O),
    ],
)
def test_ends(text: str, language: str | None, expected: Ending | None) -> None:
    assert ending(text, language) is expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("My number is 0 1 7", "en", D),
        ("My number is 0171", "en", D),
        ("My number is 0 1 7.", "en", D),
        ("my number is zero one seven", "en", D),
        ("zero one", "en", D),
        ("zero one, two three", "en", D),
        ("five", "en", P),
        ("a table for two", "en", P),
        ("it costs 150", "en", P),
        ("0151 22", "en", D),
        ("we met at 7 30", "en", D),
        ("zero one double", "en", O),
        ("null eins sieben", "de", D),
        ("meine Nummer ist 42", "de", D),
        ("我的电话号码是138", "zh", D),
        ("一三八", "zh", D),
        ("我要三", "zh", P),
        ("番号は〇九〇", "ja", D),
        ("电话 138 1234,", "zh", D),
    ],
)
def test_numbers_may_have_more_digits(text: str, language: str, expected: Ending) -> None:
    assert ending(text, language) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my number is 0171 555 2368", C),
        ("0171 5552368", C),
        ("0171 555", D),
        ("one", D),
        ("0171 555 2368 99", P),
        ("I do not know it.", C),
    ],
)
def test_a_number_of_known_length_is_complete_when_all_digits_are_there(text: str, expected: Ending) -> None:
    assert ending(text, "en", digits=(11,)) is expected
    assert ending(text, "en", digits=(11, 5)) is expected


@given(
    st.text(),
    st.sampled_from([None, "en", "de", "fr", "es", "zh", "ja", "xx", ""]),
    st.sets(st.integers(1, 12)),
)
def test_any_text_has_an_ending(text: str, language: str | None, digits: set[int]) -> None:
    found = ending(text, language, digits)
    assert (found is None) is not any(c.isalnum() for c in text.lower())
    assert ending(f"  {text}\n", language, digits) is found


@pytest.mark.parametrize("language", SPACED)
def test_tables_do_not_contradict_themselves(language: str) -> None:
    words = SPACED[language]
    assert not words.never & words.seldom
    assert all(word == word.lower() for part in (words.never, words.seldom, words.answers) for word in part)
    assert set(words.digits.values()) == set("0123456789")
