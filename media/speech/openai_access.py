"""What recognition and synthesis by OpenAI's API have in common: where it is, the key, and what its errors mean.

Vendor's pages: https://developers.openai.com/api/reference/overview, .../docs/guides/error-codes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from yarl import URL

from control.errors import ProviderError
from media.api.options import Provider
from media.speech.provider import Need

NAME = "openai"
BASE = URL("https://api.openai.com/v1")
KEY = Need("secret_key", "OPENAI_API_KEY")
_SCHEMES = {"http": ("http", "ws"), "ws": ("http", "ws"), "https": ("https", "wss"), "wss": ("https", "wss")}
_CODES = {
    "invalid_api_key": (401, False),
    "insufficient_quota": (429, False),
    "rate_limit_exceeded": (429, True),
    "session_expired": (502, True),
    "authentication_error": (401, False),
    "permission_error": (401, False),
    "invalid_request_error": (400, False),
}
"""What an error's ``code``, else its ``type``, means: our code, and whether to try again."""
_SHOWN = 200


def check(option: Provider) -> None:
    """Raise ProviderError (400, 401; no retry) when there is no address or no key.

    Servers of others may do without a key.
    """
    address(option, "models")
    if not option.secret_key and not option.endpoint:
        raise ProviderError(
            f"{NAME}: no key: give secretKey in the option, secret_key under [providers.{NAME}] in sidecall.toml, "
            f"or the environment variable {KEY.env}",
            401,
            retry=False,
        )


def headers(option: Provider) -> dict[str, str]:
    """Headers of every request."""
    return {"Authorization": f"Bearer {option.secret_key}"} if option.secret_key else {}


def address(option: Provider, resource: str, *, socket: bool = False) -> URL:
    """Where `resource`, such as ``audio/speech``, is served: below ``endpoint``, with ``/v1`` where it has no path.

    `socket` makes it ``ws:`` or ``wss:``. Raises ProviderError (400, no retry) for an endpoint that is no URL.
    """
    try:
        url = URL(option.endpoint) if option.endpoint else BASE
    except ValueError:
        url = URL()
    if url.scheme not in _SCHEMES or not url.host:
        raise ProviderError(
            f"{NAME}: endpoint must be an http:, https:, ws: or wss: URL with a host", 400, retry=False
        )
    path = url.path.rstrip("/") or BASE.path
    if not path.endswith(f"/{resource}"):
        path = f"{path}/{resource}"
    return url.with_scheme(_SCHEMES[url.scheme][socket]).with_path(path).with_query(url.query)


def refusal(error: object) -> ProviderError:
    """What the object of an error in a message of theirs means."""
    given: Mapping[str, Any] = error if isinstance(error, dict) else {}
    code, retry = next(
        (_CODES[word] for key in ("code", "type") if (word := given.get(key)) in _CODES), (502, True)
    )
    words = " ".join(str(given.get("message") or "it reports an error without saying which").split())
    return ProviderError(f"{NAME}: {words[:_SHOWN]}", code, retry=retry)


@contextmanager
def discreet(option: Provider) -> Iterator[None]:
    """Errors raised within do not show the key: the vendor repeats one that it refuses."""
    try:
        yield
    except ProviderError as error:
        if option.secret_key and option.secret_key in str(error):
            message = str(error).replace(option.secret_key, "(the key)")
            raise ProviderError(message, error.code, retry=error.retry) from None
        raise
