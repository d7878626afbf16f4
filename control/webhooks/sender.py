"""One POST of a signed message, and what became of it."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp

from control.webhooks.signature import sign

AGAIN = frozenset({408, 425, 429})
"""Codes below 500 that ask for another try."""
_TELLING_THE_URL = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, aiohttp.ClientResponseError)
"""Errors whose text holds the whole URL, as that of timeouts may: its secrets are not for logs."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server has taken it (2xx)."""


@dataclass(frozen=True, slots=True)
class Retry:
    """It may take it another time: no answer, a redirect, 5xx, or one of AGAIN."""

    reason: str
    after: float | None = None
    """Seconds that the server asks to wait (``Retry-After``)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It does not want this message (any other 4xx)."""

    reason: str


Outcome = Delivered | Retry | Refused


def new_id() -> str:
    """A message id; it holds no full stop, which the signature uses as a separator."""
    return f"msg_{uuid.uuid4().hex}"


async def post(
    http: aiohttp.ClientSession,
    url: str,
    secret: str | None,
    body: bytes,
    message_id: str,
    *,
    within: float,
    headers: Mapping[str, str] | None = None,
) -> Outcome:
    """POST the JSON text `body` to `url`, in at most `within` seconds; no redirect is followed, no answer's body read.

    `headers` are sent besides ours. Never raises for what a server or the way to it does.
    """
    ours = {"content-type": "application/json"} | sign(secret, body, message_id, int(time.time()))
    limit = aiohttp.ClientTimeout(total=within)
    try:
        async with http.post(
            url, data=body, headers={**(headers or {}), **ours}, timeout=limit, allow_redirects=False
        ) as answer:
            return _outcome(answer.status, answer.headers.get("Retry-After"))
    except (*_TELLING_THE_URL, TimeoutError) as error:
        return Retry(type(error).__name__)
    except (aiohttp.ClientError, OSError, UnicodeError) as error:
        return Retry(f"{type(error).__name__}: {error}".removesuffix(": "))


def _outcome(status: int, retry_after: str | None) -> Outcome:
    if 200 <= status < 300:
        return Delivered()
    if 400 <= status < 500 and status not in AGAIN:
        return Refused(f"HTTP {status}")
    return Retry(f"HTTP {status}", None if retry_after is None else seconds(retry_after, time.time()))


def seconds(retry_after: str, now: float) -> float | None:
    """Seconds from `now` that a ``Retry-After`` asks for, a number or a date (RFC 9110 section 10.2.3)."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def place(url: str) -> str:
    """`url` fit for logs: user, password and query may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
