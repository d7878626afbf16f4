"""How the text of a turn ends, and so whether the caller is likely to go on. Sans-I/O."""

import re
from collections.abc import Collection
from enum import Enum

from media.speech.eou.words import SPACED, UNSPACED, Spaced, Unspaced

DEFAULT_LANGUAGE = "en"
"""Of texts in Latin letters when no language was named."""


class Ending(Enum):
    """What the end of a text says."""

    COMPLETE = "complete"
    """A sentence mark, an answer such as "yes", a number that has all its digits."""
    PLAIN = "plain"
    """Nothing either way."""
    OPEN = "open"
    """A filler, a conjunction, a preposition, an article, a comma: more is to come."""
    DIGITS = "digits"
    """A number that is told digit by digit, and may have more of them."""


_KANA = re.compile(r"[\u3040-\u30ff]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_STOP = re.compile(r"[.!?。！？｡؟।]")
_GOES_ON = re.compile(r"(?:\.{2,}|[…,;:\-–—，、；：])[\"'”’»)\]」』）】\s]*$")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_NUMERAL = re.compile(r"[0-9０-９]+")
_TAIL = re.compile(
    r"(?:[0-9０-９零〇一二三四五六七八九幺]|(?<=[0-9０-９零〇一二三四五六七八九幺])[\s.\-/、，]+)+$"
)
_MARKS = re.compile(r"[\W_]+$")
_STRING = 3
"""Digits from which several numerals in a row are a number that is told digit by digit."""


def ending(text: str, language: str | None = None, digits: Collection[int] = ()) -> Ending | None:
    """How `text` ends; None when it has no word.

    `language` is a tag such as ``de-DE``; Chinese and Japanese are known by their characters. `digits`: how many digits
    a number has that the caller is asked for, where that is known; several when several lengths are right.
    """
    text = text.strip().lower()
    bare = _MARKS.sub("", text)
    if not bare:
        return None
    unspaced = _unspaced(bare, language)
    if unspaced is not None:
        return _end_unspaced(text, bare, unspaced, digits)
    name = (language or DEFAULT_LANGUAGE).lower().replace("_", "-").partition("-")[0]
    return _end_spaced(text, bare, SPACED.get(name, _NO_WORDS), digits)


_NO_WORDS = Spaced(frozenset(), frozenset(), frozenset(), {}, frozenset())


def _unspaced(text: str, language: str | None) -> Unspaced | None:
    if _KANA.search(text):
        return UNSPACED["ja"]
    if _HAN.search(text):
        return UNSPACED["ja" if (language or "").lower().startswith("ja") else "zh"]
    return None


def _end_spaced(text: str, bare: str, words: Spaced, digits: Collection[int]) -> Ending:
    said = [word.replace("’", "'") for word in _WORD.findall(bare)]
    run = _run(said, words)
    count = sum(map(len, run))
    cued = not words.cues.isdisjoint(said[: len(said) - len(run)])
    if (number := _number(run, count, digits, whole=len(run) == len(said), cued=cued)) is not None:
        return number
    if _GOES_ON.search(text):
        return Ending.OPEN
    if " ".join(said) in words.answers:
        return Ending.COMPLETE
    last = said[-1]
    if last in words.never:
        return Ending.OPEN
    if _stopped(text, bare):
        return Ending.COMPLETE
    return Ending.OPEN if last in words.seldom else Ending.PLAIN


def _end_unspaced(text: str, bare: str, words: Unspaced, digits: Collection[int]) -> Ending:
    tail = _TAIL.search(bare)
    run = [c for c in tail[0] if c.isalnum()] if tail else []
    before = _MARKS.sub("", bare[: tail.start()]) if tail else bare
    number = _number(run, len(run), digits, whole=not before, cued=before.endswith(words.cues))
    if number is not None:
        return number
    if _GOES_ON.search(text):
        return Ending.OPEN
    if bare.replace(" ", "") in words.answers or _stopped(text, bare):
        return Ending.COMPLETE
    goes_on, ends = _longest(bare, words.goes_on), _longest(bare, words.ends)
    if goes_on == ends == 0:
        return Ending.PLAIN
    return Ending.OPEN if goes_on > ends else Ending.COMPLETE


def _run(said: list[str], words: Spaced) -> list[str]:
    """The digits at the end of what was said, one text for each numeral or word."""
    run: list[str] = []
    for word in reversed(said):
        digit = word if _NUMERAL.fullmatch(word) else words.digits.get(word)
        if digit is None:
            break
        run.insert(0, digit)
    return run


def _number(
    run: list[str], count: int, expected: Collection[int], *, whole: bool, cued: bool
) -> Ending | None:
    """What `count` digits at the end say; None when they are no number that is told digit by digit.

    A mark behind them says nothing: recognisers set one at every pause.
    """
    if not run:
        return None
    if expected:
        if count in expected:
            return Ending.COMPLETE
        return Ending.DIGITS if count < max(expected) else None
    several = len(run) > 1 and (whole or count >= _STRING)
    leading = len(run[0]) > 1 and run[0][0] in "0０"
    return Ending.DIGITS if cued or several or leading else None


def _stopped(text: str, bare: str) -> bool:
    """Whether a mark ends the sentence."""
    return _STOP.search(text, len(bare)) is not None


def _longest(text: str, endings: Collection[str]) -> int:
    """Length of the longest of `endings` that `text` has."""
    return max((len(each) for each in endings if text.endswith(each)), default=0)
