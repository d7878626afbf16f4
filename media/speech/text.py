"""Text for a synthesiser: what cannot be spoken goes, long texts are cut where a speaker would breathe."""

import re

SEGMENT = 200
"""Characters of a segment, about 12 s of English; the time others may have to wait for it is some 15 ms."""

_UNSPOKEN = re.compile(
    "[\x00-\x1f\x7f-\x9f]|[\u2600-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\U0001f000-\U0001faff\U000e0000-\U000e007f]"
)
_BREAKS = (
    re.compile(r"[.!?…]+[\"'”’)\]]*\s+|[。！？]+"),
    re.compile(r"[,;:–—]\s+|[，、；：]"),
    re.compile(r"\s+"),
)
"""Where a text may be cut, best first: after a sentence, after a clause, between words."""


def clean(text: str) -> str:
    """`text` on one line, without emoji and control characters (some of which steer a synthesiser)."""
    return " ".join(_UNSPOKEN.sub(" ", text).split())


def segments(text: str, limit: int = SEGMENT) -> list[str]:
    """Cut `text` into segments of at most `limit` characters; an empty text has none."""
    rest = clean(text)
    pieces = []
    while len(rest) > limit:
        cut = _cut(rest[:limit])
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest] if rest else pieces


def _cut(window: str) -> int:
    """Where to cut inside `window`: at its last best break, or at its end."""
    for pattern in _BREAKS:
        ends = [found.end() for found in pattern.finditer(window)]
        if ends:
            return ends[-1]
    return len(window)
