"""What Sidecall itself asks of the operator's servers, by POST: the webhooks of the OpenAPI document."""

import json
from typing import Any

from control.calls.webhook import Announcement
from media.api.spec.schemas import Schema, Schemas

_ANNOUNCEMENT = Announcement(
    dialog_id="0c1d9b7e",
    caller="sip:alice@example.com",
    callee="sip:bot@example.com",
    offer="v=0\r\n…",
    headers=("From: <sip:alice@example.com>;tag=1",),
    created_at="2026-01-01T12:00:00.000Z",
)

_SIGNED = (
    ("webhook-id", True, "Id of the message; the same when it is tried again."),
    ("webhook-timestamp", True, "When this try was sent: seconds since the Unix epoch."),
    (
        "webhook-signature",
        False,
        "`v1,` and the HMAC-SHA256 of `ID.TIMESTAMP.BODY` under the secret, in base64 (Standard Webhooks); absent where"
        " no secret is configured.",
    ),
)


def webhooks(schemas: Schemas) -> Schema:
    """The webhooks by name; their schemas are added to `schemas`."""
    announced = schemas.record(Announcement)
    _name_event(schemas.found["Announcement"], "invite")
    return {
        "incomingCall": _post(
            "announceCall",
            "A call came in on a route with a `webhook`.",
            "Answer 2xx, then connect to `/call/sip` with the `dialogId` as `id`. A 4xx other than 408, 425 and 429 is"
            " final; after any other answer, or none, it is tried twice more. When nobody takes the call, the caller"
            " gets 503.",
            announced,
            json.loads(_ANNOUNCEMENT.body()),
        )
    }


def _name_event(schema: Schema, name: str) -> None:
    """Say in the schema of a body which event it tells of."""
    schema["properties"] = {"event": {"type": "string", "const": name}} | schema["properties"]
    schema["required"] = ["event", *schema["required"]]


def _post(name: str, summary: str, text: str, schema: Schema, example: Any) -> Schema:
    signed = [
        {"name": key, "in": "header", "required": needed, "description": words, "schema": {"type": "string"}}
        for key, needed, words in _SIGNED
    ]
    return {
        "post": {
            "operationId": name,
            "tags": ["calls"],
            "summary": summary,
            "description": text,
            "security": [],
            "parameters": signed,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": schema, "example": example}},
            },
            "responses": {"2XX": {"description": "It is taken."}},
        }
    }
