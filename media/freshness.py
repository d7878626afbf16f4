"""How long an answer to an HTTP request may be used again (RFC 9111), and how to ask whether it changed. Sans-I/O.

It is a cache of one client: ``private`` answers are kept, ``s-maxage`` is not for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

DEFAULT_SECONDS = 3600.0
"""What is fresh for so long when its server says nothing."""
MAX_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """What a server said of its answer."""

    keep: bool = True
    """Whether it may be kept at all."""
    seconds: float = DEFAULT_SECONDS
    """How long it may be used without asking again."""
    etag: str | None = None
    modified: str | None = None
    """``Last-Modified``."""

    def conditions(self) -> dict[str, str]:
        """Header fields of a request that is answered with 304 when nothing changed (RFC 9110 section 13)."""
        fields = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in fields.items() if value is not None}


def freshness(headers: Mapping[str, str]) -> Freshness:
    """Read it from the header fields of an answer; `headers` ignores case."""
    given = (part.strip().partition("=") for part in headers.get("Cache-Control", "").split(","))
    control = {name.strip().lower(): value.strip().strip('"') for name, _, value in given}
    return Freshness(
        "no-store" not in control and headers.get("Vary", "").strip() != "*",
        _seconds(control, headers),
        headers.get("ETag"),
        headers.get("Last-Modified"),
    )


def _seconds(control: Mapping[str, str], headers: Mapping[str, str]) -> float:
    if "no-cache" in control:
        return 0
    if "max-age" in control:
        # What cannot be read counts as stale (RFC 9111 section 4.2.1).
        lifetime = _whole(control["max-age"])
    elif "Expires" in headers:
        lifetime = _until(headers["Expires"], headers.get("Date", ""))
    else:
        lifetime = DEFAULT_SECONDS
    return max(0.0, min(lifetime - _whole(headers.get("Age", "0")), MAX_SECONDS))


def _whole(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _until(expires: str, date: str) -> float:
    try:
        return (parsedate_to_datetime(expires) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
