"""Going on with a broken download (RFC 9110 sections 13.1.5 and 14): what is asked, what an answer means."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Begun:
    """What an earlier try left."""

    size: int
    """Bytes."""
    validator: str
    """What the server called that version: a strong ETag or a date."""


@dataclass(frozen=True, slots=True)
class Body:
    """The answer's body is wanted."""

    offset: int
    """Bytes of the file before it."""
    total: int | None
    """Bytes of the whole file, when they are known."""
    validator: str | None
    """What the server calls this version; None: it cannot be gone on with later."""


@dataclass(frozen=True, slots=True)
class Stale:
    """What was begun fits no more: it must begin again."""


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no file."""

    status: int


Answer = Body | Stale | Refused


def conditions(begun: Begun | None) -> dict[str, str]:
    """Headers that ask for what is lacking: the rest if the file is the same, all of it if it has changed."""
    if begun is None:
        return {}
    return {"Range": f"bytes={begun.size}-", "If-Range": begun.validator}


def judge(status: int, headers: Mapping[str, str], begun: Begun | None) -> Answer:
    """What an answer means; `headers` are found whatever their case."""
    if status == 200:
        length = _LENGTH.fullmatch(headers.get("Content-Length", ""))
        return Body(0, int(length[0]) if length else None, _validator(headers))
    if begun is None or status not in (206, 416):
        return Refused(status)
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if status == 416 or found is None or int(found[1]) != begun.size:
        return Stale()
    total = None if found[2] == "*" else int(found[2])
    return Body(begun.size, total, begun.validator)


def _validator(headers: Mapping[str, str]) -> str | None:
    """A strong ETag, else the date: If-Range takes no weak one."""
    tag = headers.get("ETag", "")
    if re.fullmatch(r'"[\x21\x23-\x7e]*"', tag):
        return tag
    date = headers.get("Last-Modified", "")
    return date if date and date.isascii() and date.isprintable() else None
