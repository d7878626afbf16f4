"""Field types of the bot API: what a JSON value must be, and the sentence for one that is not.

Validators raise ValueError with a text that continues the field's name: ``must be 0 to 3, got 7``.
Only numbers are repeated in it; a text may be a secret. What a validator takes is told to pydantic as well, so that
the JSON schema of a field says the same.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

MAX_TEXT = 100_000
"""Characters of a text to speak or to keep."""
MAX_LINE = 1024
"""Characters of a URI, a name or an id."""
MAX_REASON = 256
MAX_GRAMMAR = 65_536
MAX_URL = 4096
MAX_SDP = 65_536
MAX_HEADERS = 64
MAX_HEADER = 2048
MAX_SECONDS = 86_400
MAX_MS = 86_400_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]{1,128}")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://|(data|file):", re.IGNORECASE)
_SECONDS = re.compile(r"\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*s?\s*")
_FORMATS = ("wav", "pcm", "pcmu", "pcma", "g722", "ogg")

OWN_HEADERS = frozenset(
    {
        *(
            "allow",
            "authorization",
            "call-id",
            "contact",
            "content-encoding",
            "content-length",
            "content-type",
        ),
        *("cseq", "from", "max-forwards", "proxy-authorization", "proxy-require", "rack", "record-route"),
        *("require", "route", "rseq", "supported", "to", "via"),
        *("c", "e", "f", "i", "k", "l", "m", "t", "v"),
    }
)
"""SIP header names (long and compact form) that the server writes itself."""


def kind(value: object) -> str:
    """What a JSON value is, in words: ``text``, ``a number``, ``an object`` ..."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "null"


def _check(value: object, low: float, high: float, what: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be {what}, got {kind(value)}")  # noqa: TRY004 (pydantic passes only ValueError on)
    if not low <= value <= high:
        shown = f"{value:.12g}" if abs(value) < 1e15 else "a huge number"
        raise ValueError(f"must be {low} to {high}, got {shown}")
    return value


def _whole(low: int, high: int) -> BeforeValidator:
    """A whole number within limits; 3.0 counts as 3, since some clients know no integers."""

    def check(value: object) -> int:
        number = _check(value, low, high, "a whole number")
        if number != int(number):
            raise ValueError(f"must be a whole number, got {number}")
        return int(number)

    return BeforeValidator(check, json_schema_input_type=Annotated[int, Field(ge=low, le=high)])


def _real(low: float, high: float) -> BeforeValidator:
    return BeforeValidator(
        lambda value: float(_check(value, low, high, "a number")),
        json_schema_input_type=Annotated[float, Field(ge=low, le=high)],
    )


def _single_line(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must be one line without control characters")
    return value


def _sound(value: str) -> str:
    scheme = _SCHEME.match(value)
    if scheme is not None and (scheme[1] or "").lower() not in ("http", "https"):
        raise ValueError("must be an http:// or https:// URL, or the name of a file in the folder of sounds")
    return value


def _phrase(value: str) -> str:
    return " ".join(_CONTROL.sub(" ", value).split())[:MAX_REASON]


def _duration(value: object) -> object:
    """Seconds as ``30``, ``"30"`` or ``"30s"``."""
    if isinstance(value, str):
        found = _SECONDS.fullmatch(value)
        if found is None:
            raise ValueError('must be seconds: 30, "30" or "30s"')
        return float(found[1])
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    if len(value) > MAX_HEADERS:
        raise ValueError(f"must have at most {MAX_HEADERS} headers, got {len(value)}")
    for name, text in value.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError("has a name that is no SIP header name (letters, digits and '-')")
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"must not set {name}: the server writes this header itself")
        if len(text) > MAX_HEADER or _CONTROL.search(text):
            raise ValueError(f"must have in {name} one line of at most {MAX_HEADER} characters")
    return value


def _interrupt(value: str) -> str:
    if not re.fullmatch(r"none|speech|dtmf|words:[1-9][0-9]?", value.lower()):
        raise ValueError("must be none, speech, dtmf or words:N")
    return value.lower()


def _grammar(value: object) -> object:
    if value is None:
        return None
    texts = value if isinstance(value, list) else [value]
    odd = next((text for text in texts if not isinstance(text, str)), None)
    if odd is not None or None in texts:
        got = kind(odd) if texts is not value else f"a list with {kind(odd)}"
        raise ValueError(f"must be text or a list of texts, got {got}")
    if not 0 < sum(map(len, texts)) <= MAX_GRAMMAR:
        raise ValueError(f"must have 1 to {MAX_GRAMMAR} characters")
    if value is texts and max(map(len, texts)) > MAX_LINE:
        raise ValueError(f"must have phrases of at most {MAX_LINE} characters")
    return value


def _either(*names: str) -> Callable[[Any], Any]:
    """Text that is one of `names`, in any case."""

    def check(value: str) -> str:
        if value.lower() not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value.lower()

    return check


Line = Annotated[str, StringConstraints(max_length=MAX_LINE), AfterValidator(_single_line)]
"""One line of text: a URI, a name, an id."""
Phrase = Annotated[str, AfterValidator(_phrase)]
"""A reason: made one line and cut to MAX_REASON characters, so that a hangup never fails for its wording."""
Url = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL), AfterValidator(_single_line)]
Sound = Annotated[Url, AfterValidator(_sound)]
"""What can be played: an http or https URL, or the name of a local sound."""
Sdp = Annotated[str, StringConstraints(max_length=MAX_SDP)]
Secret = Annotated[str | None, StringConstraints(max_length=MAX_LINE), Field(repr=False)]
Extra = Annotated[dict[str, Any] | None, Field(repr=False)]
"""Free keys and values, kept as they are."""
Headers = Annotated[dict[str, str] | None, AfterValidator(lambda v: v and _headers(v)), Field(repr=False)]
"""SIP headers: names are tokens, values one line (RFC 3261 section 25.1); none of OWN_HEADERS."""
Ms = Annotated[int, _whole(0, MAX_MS)]
"""Milliseconds."""
Wait = Annotated[float, _real(0, MAX_MS)]
"""Seconds in new clients, milliseconds in old ones."""
Seconds = Annotated[float, _real(0, MAX_SECONDS)]
Duration = Annotated[
    Seconds,
    BeforeValidator(
        _duration,
        json_schema_input_type=Annotated[float, Field(ge=0, le=MAX_SECONDS)]
        | Annotated[str, Field(pattern=f"^{_SECONDS.pattern}$")],
    ),
]
"""Seconds, also as text: ``30``, ``"30"``, ``"30s"``."""
Hertz = Annotated[int, _whole(8000, 48_000)]
Fraction = Annotated[float, _real(0, 1)]
Volume = Annotated[float, _real(0, 100)]
Speed = Annotated[float, _real(-100, 100)]
Aggressiveness = Annotated[int, _whole(0, 3)]
Parallel = Annotated[int, _whole(1, 100)]
Code = Annotated[int, _whole(400, 699)]
"""A SIP status that refuses a call (RFC 3261 section 21.4 to 21.6)."""
Format = Annotated[
    str, AfterValidator(_either(*_FORMATS)), WithJsonSchema({"type": "string", "enum": list(_FORMATS)})
]
Codec = Annotated[str, StringConstraints(to_lower=True, max_length=32)]

InterruptOn = Annotated[
    str,
    AfterValidator(_interrupt),
    WithJsonSchema({"type": "string", "pattern": "^(none|speech|dtmf|words:[1-9][0-9]?)$"}),
]
"""What interrupts playing."""
Grammar = Annotated[
    str | list[str] | None,
    BeforeValidator(
        _grammar,
        json_schema_input_type=Annotated[str, Field(min_length=1, max_length=MAX_GRAMMAR)]
        | list[Annotated[str, Field(max_length=MAX_LINE)]]
        | None,
    ),
]
"""What may be said: a name, phrases, or JSGF."""
Text = Annotated[str, Field(max_length=MAX_TEXT)]
