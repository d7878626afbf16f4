"""OpenAPI 3.1 of what is asked by HTTP, the upgrades to WebSocket and the webhooks among it."""

from http import HTTPStatus
from typing import Any

from media.api.spec.info import SECURITY, SECURITY_SCHEMES, info
from media.api.spec.messages import SOCKETS, Socket
from media.api.spec.query import PARAMETERS
from media.api.spec.schemas import Schema, Schemas, refer
from media.api.spec.webhooks import webhooks

_REFUSALS = {
    HTTPStatus.BAD_REQUEST: "A parameter or header has a bad value; `field` names it.",
    HTTPStatus.UNAUTHORIZED: "There is no valid token.",
    HTTPStatus.FORBIDDEN: "The token, or the page (`Origin`), may not do this.",
    HTTPStatus.NOT_FOUND: "There is no call with this id.",
    HTTPStatus.CONFLICT: "A session with this id is open.",
    HTTPStatus.UPGRADE_REQUIRED: "This path is for WebSockets.",
    HTTPStatus.TOO_MANY_REQUESTS: "The token has as many calls as it may have.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A fault of Sidecall.",
    HTTPStatus.SERVICE_UNAVAILABLE: "This worker takes no calls now: it is full, it stops, or telephony is away.",
}
_ALWAYS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.INTERNAL_SERVER_ERROR)


def openapi() -> Schema:
    """The document."""
    schemas = Schemas()
    hooks = webhooks(schemas)
    schemas.found |= _SCHEMAS
    paths = {socket.path: {"get": _upgrade(socket)} for socket in SOCKETS} | _PATHS
    return {
        "openapi": "3.1.0",
        "info": info("REST"),
        "servers": [{"url": "http://localhost:8080"}],
        "security": SECURITY,
        "tags": [
            {"name": "calls", "description": "Bots and their calls. The messages on the sockets: `/asyncapi.json`."},
            {"name": "operations", "description": "Health, metrics, and these descriptions."},
        ],
        "paths": paths,
        "webhooks": hooks,
        "components": {
            "schemas": schemas.found,
            "responses": {_name(status): _refusal(text) for status, text in _REFUSALS.items()},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }  # fmt: skip


def _name(status: HTTPStatus) -> str:
    return status.phrase.replace(" ", "")


def _refusal(text: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": refer("Refusal")}}}


def _refusals(*statuses: HTTPStatus) -> Schema:
    found = sorted({*statuses, *_ALWAYS})
    return {str(int(status)): {"$ref": f"#/components/responses/{_name(status)}"} for status in found}


def _json(text: str, schema: Schema, example: Any) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": schema, "example": example}}}


def _upgrade(socket: Socket) -> Schema:
    return {
        "operationId": socket.call_type.name.lower() + "Call",
        "tags": ["calls"],
        "summary": socket.summary,
        "description": f"{socket.text} One socket is one call; JSON text frames both ways, see `/asyncapi.json`.",
        "parameters": [parameter.openapi() for parameter in PARAMETERS],
        "responses": {
            "101": {"description": "The socket is open (RFC 6455, version 13, no extension)."},
            **_refusals(
                HTTPStatus.BAD_REQUEST,
                HTTPStatus.CONFLICT,
                HTTPStatus.UPGRADE_REQUIRED,
                HTTPStatus.TOO_MANY_REQUESTS,
                HTTPStatus.SERVICE_UNAVAILABLE,
            ),
        },
    }


def _get(name: str, text: str, answer: Schema, *, tag: str = "operations", **more: Any) -> Schema:
    return {
        "get": {
            "operationId": name,
            "tags": [tag],
            "summary": text,
            "responses": {"200": answer, **_refusals()},
        }
        | more
    }


_LISTED = {
    "id": "s.4f6c0f2e",
    "call_type": "sip",
    "created_at": "2026-01-01T11:58:02Z",
    "option": {"callee": "sip:bob@example.com", "sip": {"username": "support", "password": "***"}},
}
_SCHEMAS: dict[str, Schema] = {
    "Refusal": {
        "type": "object",
        "description": "Body of every refusal.",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "code": {"type": "integer", "description": "The HTTP status."},
                    "message": {"type": "string", "description": "What, where, and what to do."},
                    "field": {"type": "string", "description": "The parameter or header at fault, if it is one."},
                },
                "required": ["code", "message"],
            }
        },
        "required": ["error"],
    },
    "Calls": {
        "type": "object",
        "description": "Every session of this node.",
        "properties": {"calls": {"type": "array", "items": refer("Call")}},
        "required": ["calls"],
    },
    "Call": {
        "type": "object",
        "description": "A session.",
        "properties": {
            "id": {"type": "string", "description": "The session's id."},
            "call_type": {"type": "string", "enum": ["webSocket", "webrtc", "sip"], "description": "Its kind."},
            "created_at": {"type": "string", "description": "When it began: ISO 8601 in UTC, whole seconds."},
            "option": {
                "type": "object",
                "description": "The call option as the bot gave it, with `***` for secrets; empty before there is one.",
            },
        },
        "required": ["id", "call_type", "created_at", "option"],
    },
    "IceServer": {
        "type": "object",
        "description": "An RTCIceServer of the browser's API.",
        "properties": {
            "urls": {"type": "array", "items": {"type": "string"}, "description": "`stun:`, `turn:` or `turns:` URLs."},
            "username": {"type": "string", "description": "For TURN."},
            "credential": {"type": "string", "description": "For TURN; may be short-lived."},
        },
        "required": ["urls"],
    },
    "Status": {
        "type": "object",
        "description": "How the worker is.",
        "properties": {
            "status": {"type": "string", "description": "`alive`, `ready` or `not ready`."},
            "reason": {"type": "string", "description": "Why it is not ready."},
        },
        "required": ["status"],
    },
}  # fmt: skip

_NOT_OFFERED = {"error": {"code": 501, "message": 'tts provider "x" is not offered here; there are espeak'}}
_NOT_READY = {"status": "not ready", "reason": "this worker is shutting down"}
_PATHS: dict[str, Schema] = {
    "/call/lists": _get(
        "listCalls",
        "List the sessions of this node.",
        _json("The sessions.", refer("Calls"), {"calls": [_LISTED]}),
        tag="calls",
    ),
    "/call/kill/{id}": {
        "post": {
            "operationId": "killCall",
            "tags": ["calls"],
            "summary": "End a session: its bot gets `hangup` with reason `killed`.",
            "parameters": [
                {
                    "name": "id",
                    "in": "path",
                    "required": True,
                    "description": "The session's id.",
                    "schema": {"type": "string"},
                }
            ],
            "responses": {
                "200": _json("It has ended.", {"type": "boolean", "const": True}, example=True),
                **_refusals(HTTPStatus.NOT_FOUND),
            },
        }
    },
    "/precache": {
        "post": {
            "operationId": "precache",
            "tags": ["calls"],
            "summary": "Extension: make the speech of a `tts` command now, so that calls find it in the cache.",
            "requestBody": {
                "required": True,
                "description": "A `tts` command, as in calls: `text`, `speaker`, `option`, `cacheKey`.",
                "content": {
                    "application/json": {
                        "schema": {"type": "object", "required": ["command", "text"]},
                        "example": {"command": "tts", "text": "Welcome to Example.", "speaker": "en-us"},
                    }
                },
            },
            "responses": {
                "200": _json(
                    "It is kept.",
                    {
                        "type": "object",
                        "properties": {"duration": {"type": "integer", "description": "Of the speech, ms."}},
                        "required": ["duration"],
                    },
                    example={"duration": 1480},
                ),
                **_refusals(HTTPStatus.BAD_REQUEST),
                "501": _json("No such provider, or nothing is cached here.", refer("Refusal"), _NOT_OFFERED),
                "502": _json("The provider failed.", refer("Refusal"), _NOT_OFFERED),
            },
        }
    },
    "/iceservers": _get(
        "iceServers",
        "ICE servers for browsers.",
        _json(
            "The servers.",
            {"type": "array", "items": refer("IceServer")},
            [
                {"urls": ["stun:stun.example.com:3478"]},
                {
                    "urls": ["turn:turn.example.com:3478"],
                    "username": "1767272400:sidecall",
                    "credential": "jxPyo0oTX5FsyZJ1F3qDDnz8bG4=",
                },
            ],
        ),
        tag="calls",
    ),
    "/healthz": _get(
        "alive",
        "Whether the worker lives; asks for no token.",
        _json("It does.", refer("Status"), {"status": "alive"}),
        security=[],
    ),
    "/readyz": _get(
        "ready",
        "Whether the worker takes calls.",
        _json("It does.", refer("Status"), {"status": "ready"}),
    ),
    "/metrics": _get(
        "metrics",
        "Metrics for Prometheus.",
        {
            "description": "In Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
    ),
    "/openapi.json": _get(
        "openapi",
        "This description.",
        {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}},
    ),
    "/asyncapi.json": _get(
        "asyncapi",
        "The description of the sockets.",
        {"description": "AsyncAPI 3.0.", "content": {"application/json": {"schema": {"type": "object"}}}},
    ),
}
_PATHS["/readyz"]["get"]["responses"]["503"] = _json("It does not.", refer("Status"), _NOT_READY)
