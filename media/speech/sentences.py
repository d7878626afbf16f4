"""Cutting a text into pieces to speak while it still arrives, such as the words of a language model. Sans-I/O.

Pieces are sentences; the first one may be less, so that something is heard soon, and a long sentence is cut
where a speaker would breathe. A point is an end only when what stands around it says so: not in ``3.5``,
``Dr.``, ``z. B.`` or ``am 3. Mai``. The pieces put together are the text, character by character.
"""

import re

FIRST, LONG, LIMIT = 40, 120, 200
"""Weight (letters) from which a piece is cut: the first one between words, others after a clause, between words."""
FIRST_CLAUSE = 8
"""Weight from which the first piece is cut after a clause."""
UNBROKEN = 600
"""Weight from which text without a gap is cut anywhere but in a number."""
_WIDE_WEIGHT = 3
"""Of a Chinese, Japanese or Korean character: it takes as long to say as so many letters."""

_WIDE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_IS_WIDE = re.compile(f"[{_WIDE}]")
_WORDS = re.compile(f"[{_WIDE}]|[^\\s{_WIDE}]+")
_CLOSING = "\"'”’»)\\]」』）】"
_END = re.compile(f"[.!?…]+[{_CLOSING}]*(?=\\s)|[。！？｡]+[{_CLOSING}]*|\\n")
_CLAUSE = re.compile(r"[,;:–](?=\s)|—|(?<!\d)[，、；：]|[，、；：](?=\D)")
_GAP = re.compile(r"(?<![\d\s])\s+|\s+(?=[^\d\s])")
"""Between words, but not within ``1 000 000``."""
_PHRASE = re.compile(f"\\S+\\s.*[^\\d.!?…{_CLOSING}]([.!?…]+[{_CLOSING}]*)", re.DOTALL)
"""More than a word that ends like a sentence: no token of a language model."""
_NUMERIC = re.compile(r"[\d.,:]")
_ORDINAL = re.compile(r"\d{1,2}")
_INITIALS = re.compile(r"(?:[^\W\d]\.)*[^\W\d]")
_OPENING = re.compile(r"[\s(\[\"'“„«]")
_ABBREVIATIONS = frozenset(
    (  # noqa: SIM905 (a list of 70 texts is no easier to read)
        "abs al approx apt aug ave bd bldg bzw ca capt cf col dec dept dr dt eds engl est etc evtl exkl feb ff fig "
        "fr gen ggf hon hr hrsg inkl jan jr lt ltd maj max mgr min mio mr mrd mrs ms nov nr oct pp prof rev sen sep "
        "sept sgt sr st std str tel usf usw vgl vol vs"
    ).split()
)


def words(text: str) -> int:
    """How many words `text` has; a Chinese, Japanese or Korean character counts as one."""
    return sum(1 for _ in _WORDS.finditer(text))


class Sentences:
    """The cutter of one text; what is not complete yet waits in it."""

    def __init__(self) -> None:
        self._rest = ""
        self._first = True

    def feed(self, text: str) -> list[str]:
        """The pieces that `text` completes."""
        self._rest += text
        pieces, start = [], 0
        while (end := self._cut(start)) is not None:
            pieces.append(self._rest[start:end])
            start = end
            self._first = False
        self._rest = self._rest[start:]
        return [*pieces, *self.flush()] if _is_phrase(text) else pieces

    def flush(self) -> list[str]:
        """What waits, if anything: the text ends here."""
        rest, self._rest = self._rest, ""
        self._first = self._first and not rest.strip()
        return [rest] if rest else []

    def _cut(self, start: int) -> int | None:
        """Where the piece that begins at `start` ends, as far as that is known by now."""
        text, limit = self._rest, FIRST if self._first else LIMIT
        reach = _reach(text, start, limit)
        if (end := _sentence(text, start, reach)) is not None:
            return end
        full = _weight(text, start, reach) >= limit
        clause = _last(_CLAUSE, text, start, reach)
        if clause is not None:
            enough = clause if self._first else reach
            if full or _weight(text, start, enough) >= (FIRST_CLAUSE if self._first else LONG):
                return clause
        if not full:
            return None
        return _last(_GAP, text, start, reach) or _next(text, start, reach)


def _sentence(text: str, start: int, reach: int) -> int | None:
    """Behind the first sentence from `start` that ends before `reach`, or None."""
    for found in _END.finditer(text, start, reach + 1):
        if text[start : found.end()].strip() and not _continues(text, start, found):
            return _behind_space(text, found.end())
    return None


def _continues(text: str, start: int, end: re.Match[str]) -> bool:
    """Whether the sentence goes on behind what looks like its end: a single point."""
    if end[0][0] != "." or end[0][1:2] == ".":
        return False
    behind = _behind_space(text, end.end())
    following = text[behind : behind + 1]
    return following.islower() or following.isdigit() or _abbreviates(text[start : end.start()])


def _abbreviates(before: str) -> bool:
    """Whether a point behind `before` may belong to an abbreviation, an ordinal number or initials."""
    word = _OPENING.split(before[-24:])[-1]
    if word.lower().replace(".", "") in _ABBREVIATIONS:
        return True
    return any(pattern.fullmatch(word) for pattern in (_ORDINAL, _INITIALS)) and not _IS_WIDE.search(word)


def _is_phrase(text: str) -> bool:
    """Whether `text` came as a phrase of its own: those who send phrases want each spoken at once."""
    found = _PHRASE.fullmatch(text.strip())
    return found is not None and not (found[1][0] == "." and _abbreviates(text.strip()[: found.start(1)]))


def _behind_space(text: str, end: int) -> int:
    while end < len(text) and text[end].isspace():
        end += 1
    return end


def _weight(text: str, start: int, end: int) -> int:
    return end - start + (_WIDE_WEIGHT - 1) * len(_IS_WIDE.findall(text, start, end))


def _reach(text: str, start: int, weight: int) -> int:
    """The end of as much text from `start` on as has `weight`, or of all text."""
    end, most = start, min(len(text), start + weight)
    if _IS_WIDE.search(text, start, most) is None:
        return most
    while end < most and weight > 0:
        weight -= _WIDE_WEIGHT if _IS_WIDE.match(text, end) else 1
        end += 1
    return end


def _last(pattern: re.Pattern[str], text: str, start: int, reach: int) -> int | None:
    """Behind the last match of `pattern` between `start` and `reach` that has something before it, or None."""
    last = None
    for found in pattern.finditer(text, start, reach):
        if text[start : found.start()].strip():
            last = _behind_space(text, found.end())
    return last


def _next(text: str, start: int, reach: int) -> int | None:
    """Behind the next gap after `reach`; where there is none for long, between characters that are no number."""
    most = _reach(text, start, UNBROKEN)
    found = _GAP.search(text, reach)
    if found is not None and found.start() <= most:
        return found.end()
    if _weight(text, start, most) < UNBROKEN:
        return None
    ends = range(most - 1, start, -1)
    return next(
        (end for end in ends if not (_NUMERIC.match(text, end - 1) and _NUMERIC.match(text, end))), None
    )
