"""Refusals by HTTP: every one has a JSON body ``{"error": {"code", "message", "field"?}}``."""

import json
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from media.api.gate import Refusal


class RefusedError(web.HTTPException):
    """A refusal on its way out."""

    empty_body = False

    def __init__(self, refusal: Refusal, headers: dict[str, str] | None = None) -> None:
        self.status_code = int(refusal.status)
        body = _body(self.status_code, refusal.message, refusal.field)
        super().__init__(
            text=body,
            content_type="application/json",
            headers=(headers or {}) | _HEADERS.get(refusal.status, {}),
            reason=refusal.status.phrase,
        )


_HEADERS = {
    # A challenge belongs to every 401 (RFC 9110 section 11.6.1), what to upgrade to to every 426 (section 15.5.22).
    HTTPStatus.UNAUTHORIZED: {hdrs.WWW_AUTHENTICATE: "Bearer"},
    HTTPStatus.UPGRADE_REQUIRED: {
        hdrs.UPGRADE: "websocket",
        hdrs.CONNECTION: "Upgrade",
        hdrs.SEC_WEBSOCKET_VERSION: "13",
    },
}


def refused(status: HTTPStatus, message: str, field: str | None = None) -> RefusedError:
    """To be raised."""
    return RefusedError(Refusal(status, message, field))


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give aiohttp's own errors, such as 404 and 405, the same body."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or isinstance(error, RefusedError):
            raise
        error.text = _body(error.status, f"{request.method} {request.path}: {error.reason}", None)
        error.content_type = "application/json"
        raise


def _body(status: int, message: str, field: str | None) -> str:
    return json.dumps(
        {"error": {"code": status, "message": message} | ({} if field is None else {"field": field})}
    )
