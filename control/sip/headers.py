"""Header fields: reading them, and checking those that others want in our messages (RFC 3261 section 7.3)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from control.errors import SipError
from control.sip.uri import shorten

COMPACT_FORMS: Final = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}

TOKEN: Final = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")

MAX_EXTRA_HEADERS: Final = 32
MAX_EXTRA_VALUE: Final = 1024
"""Characters of a header value that others may add."""

_OURS: Final = frozenset(
    {
        *("via", "from", "to", "call-id", "cseq", "contact", "route", "record-route", "max-forwards"),
        *("authorization", "proxy-authorization", "allow", "supported", "require", "proxy-require"),
        *("expires", "event", "rack", "rseq", "reason", "session-expires", "min-se"),
    }
)
_OUR_PREFIXES: Final = ("content-", "x-sidecall")
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Headers:
    """Header fields in order, names compared without case; compact names are stored in their long form."""

    fields: tuple[tuple[str, str], ...] = ()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    @cached_property
    def _by_name(self) -> Mapping[str, list[str]]:
        index: dict[str, list[str]] = {}
        for name, value in self.fields:
            index.setdefault(name.lower(), []).append(value)
        return index

    def get(self, name: str) -> str | None:
        """Value of the first field `name`, None when there is none."""
        values = self._by_name.get(name.lower())
        return values[0] if values else None

    def all(self, name: str) -> tuple[str, ...]:
        """Values of all fields `name`, one for each line, as written."""
        return tuple(self._by_name.get(name.lower(), ()))

    def split(self, name: str) -> tuple[str, ...]:
        """Elements of the comma-separated list that all fields `name` make together (section 7.3.1).

        Not for WWW-Authenticate and its like, whose parameters are separated by commas too.
        """
        return tuple(element for value in self.all(name) for element in split_list(value))


def split_list(value: str) -> tuple[str, ...]:
    """Split at commas outside of quotes and angle brackets; each element is stripped, empty ones are kept."""
    if "," not in value:
        return (value.strip(" \t"),)
    elements = []
    start = 0
    quoted = escaped = bracketed = False
    for position, character in enumerate(value):
        if escaped:
            escaped = False
        elif quoted:
            escaped = character == "\\"
            quoted = character != '"'
        elif character == '"':
            quoted = not bracketed
        elif character in "<>":
            bracketed = character == "<"
        elif character == "," and not bracketed:
            elements.append(value[start:position].strip(" \t"))
            start = position + 1
    elements.append(value[start:].strip(" \t"))
    return tuple(elements)


def printable(text: str) -> str:
    """`text` of a message fit for JSON and logs: bytes that were no UTF-8 become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def safe_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Header fields that a bot or the configuration wants in our messages, checked.

    Raises SipError, naming the header, for bad names, values that could start a new line, headers that we
    write ourselves, and too many or too long ones.
    """
    if len(headers) > MAX_EXTRA_HEADERS:
        raise SipError(f"headers: {len(headers)} are more than {MAX_EXTRA_HEADERS}")
    for name, value in headers.items():
        if not TOKEN.fullmatch(name) or "!" in name:  # Kamailio cannot send "!", though it is legal.
            raise SipError(f"header {shorten(name)}: is not a header name")
        full = COMPACT_FORMS.get(name.lower(), name).lower()
        if full in _OURS or full.startswith(_OUR_PREFIXES):
            raise SipError(f"header {shorten(name)}: is written by Sidecall; leave it out")
        if bad := _NOT_IN_VALUE.search(value):
            raise SipError(f"header {shorten(name)}: its value holds the character {bad.group()!r}")
        if len(value) > MAX_EXTRA_VALUE:
            raise SipError(f"header {shorten(name)}: its value is longer than {MAX_EXTRA_VALUE} characters")
    return tuple((name, value.strip(" \t")) for name, value in headers.items())
