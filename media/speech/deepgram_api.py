"""What the two services of Deepgram share: address, key, parameters and words for errors.

Source: https://developers.deepgram.com/reference.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from control.errors import ProviderError
from media.api.options import Provider
from media.speech.provider import Need, extras

NAME = "deepgram"
KEY = Need("secret_key", "DEEPGRAM_API_KEY")
_ENDPOINT = "https://api.deepgram.com"
_SECURE = {"http": False, "ws": False, "https": True, "wss": True}
_SHOWN = 200


def check(option: Provider, model: str, ours: Collection[str]) -> None:
    """Raise ProviderError when the key is missing, `model` is of another API, or ``extra`` sets a name in `ours`."""
    if not option.secret_key:
        raise ProviderError(
            f"{NAME}: no key: give secretKey in the option, secret_key in [providers.{NAME}] "
            f"of the settings, or {KEY.env} in the environment",
            401,
            retry=False,
        )
    if model.startswith("flux"):
        raise ProviderError(
            f"{NAME}: {model} is not offered: it speaks another protocol (v2)", 501, retry=False
        )
    if taken := sorted(set(extras(option)).intersection(ours)):
        raise ProviderError(
            f"{NAME}: extra must not set {', '.join(taken)}: the server sets this itself", 400, retry=False
        )


def headers(option: Provider) -> dict[str, str]:
    """What lets us in."""
    return {"Authorization": f"Token {option.secret_key}"}


def address(option: Provider, scheme: str, path: str, query: Mapping[str, object]) -> str:
    """Where to connect: ``endpoint`` or the usual server, with `path` where it has none, and `query`.

    `scheme` is ``http`` or ``ws``; with or without TLS as ``endpoint`` says. Values are texts, numbers, booleans,
    lists of these, or None: left out. Raises ProviderError (400) for any other, and for an endpoint that is no URL.
    """
    try:
        base = urlsplit(option.endpoint or _ENDPOINT)
        secure = _SECURE[base.scheme]
        if not base.hostname:
            raise ValueError
    except (ValueError, KeyError):
        raise ProviderError(
            f"{NAME}: endpoint must be an http, https, ws or wss URL", 400, retry=False
        ) from None
    asked = urlencode([pair for name, value in query.items() for pair in _pairs(name, value)])
    return urlunsplit(
        (
            f"{scheme}s" if secure else scheme,
            base.netloc,
            path if base.path in ("", "/") else base.path,
            "&".join(filter(None, (base.query, asked))),
            "",
        )
    )


def refusal(message: Mapping[str, Any]) -> ProviderError:
    """The error that a message tells of. Faults of a message of ours (SchemaError) are not tried again."""
    words = [message.get(key) for key in ("variant", "code", "err_code", "description", "err_msg", "message")]
    said = ": ".join(str(word) for word in words if word)[:_SHOWN] or "no reason given"
    unfit = message.get("variant") == "SchemaError"
    return ProviderError(f"{NAME}: it reports an error: {said}", 400 if unfit else 502, retry=not unfit)


def _pairs(name: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case bool():
            yield name, str(value).lower()
        case str() | int() | float():
            yield name, str(value)
        case list():
            for part in value:
                yield from _pairs(name, part)
        case _:
            raise ProviderError(
                f"{NAME}: {name} in extra must be a text, a number, a boolean or a list of these",
                400,
                retry=False,
            )
