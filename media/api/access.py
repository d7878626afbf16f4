"""Who may use the API: bearer tokens, and the web pages from which browsers may."""

import hmac
import ipaddress
import re
from collections.abc import Iterable
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from control.config import Settings, Token, is_loopback
from media.api.refusals import refused

TOKEN = web.RequestKey("token", Token)
"""The token of a request, where it has a name and limits."""
_ORIGIN = re.compile(r"https?://(?P<netloc>(?P<host>\[[0-9a-f:.]+\]|[^\s/:@\[\]]+)(:[0-9]+)?)")
OPEN_PATH = "/healthz"
CORS_SECONDS = 600
"""How long a browser may remember what it may send."""


class Tokens:
    """The tokens that are valid. With none, everybody may come in."""

    def __init__(self, plain: Iterable[str], named: Iterable[Token]) -> None:
        self._known: list[tuple[bytes, Token | None]] = [(_octets(text), None) for text in plain]
        self._known += [(_octets(token.token), token) for token in named]

    def __bool__(self) -> bool:
        return bool(self._known)

    def find(self, given: str) -> tuple[bool, Token | None]:
        """Whether `given` is valid, and whose limits it has. Takes as long for a wrong one as for a right one."""
        octets = _octets(given)
        found = [token for text, token in self._known if hmac.compare_digest(octets, text)]
        return bool(found), next(iter(found), None)


def _octets(text: str) -> bytes:
    # A header's octets that are no UTF-8 stand in its text as lone surrogates.
    return text.encode("utf-8", "surrogateescape")


def authentication(tokens: Tokens) -> Middleware:
    """Ask for a token on everything but OPEN_PATH, when there are any."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if tokens and request.path != OPEN_PATH:
            scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
            if scheme.lower() != "bearer":
                given = request.query.get("token", "")
            valid, token = tokens.find(given)
            if not valid:
                raise refused(HTTPStatus.UNAUTHORIZED, "send a valid token: Authorization: Bearer TOKEN")
            if token is not None:
                request[TOKEN] = token
        return await handler(request)

    return check


class Origins:
    """The origins (RFC 6454) whose pages may use the API: those configured, and our own host."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = {origin.lower().rstrip("/") for origin in settings.api.origins}
        self._authenticated = settings.has_tokens

    def allows(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` may use this API, which it knows as `host`."""
        origin = origin.lower()
        if "*" in self._allowed or origin in self._allowed:
            return True
        parts = _ORIGIN.fullmatch(origin)
        if parts is None or parts["netloc"] != host.lower():
            return False
        # Without tokens a name proves nothing: a stranger's name may be made to resolve to this machine.
        return self._authenticated or _is_own(parts["host"].strip("[]"))


def _is_own(host: str) -> bool:
    if is_loopback(host):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def cross_origin(origins: Origins) -> Middleware:
    """Refuse pages of strangers, answer preflight requests, and let allowed pages read answers (CORS)."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return await handler(request)
        if not origins.allows(origin, request.headers.get(hdrs.HOST, "")):
            message = "pages of this origin may not use the API; the operator can add it to api.origins"
            raise refused(HTTPStatus.FORBIDDEN, message, hdrs.ORIGIN)
        headers = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin, hdrs.VARY: hdrs.ORIGIN}
        if request.method == "OPTIONS" and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers | _PREFLIGHT)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(headers)
            raise
        if not response.prepared:
            response.headers.update(headers)
        return response

    return check


_PREFLIGHT = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type",
    hdrs.ACCESS_CONTROL_MAX_AGE: str(CORS_SECONDS),
}
