"""What Sidecall itself asks of the operator's servers, by POST: the webhooks of the OpenAPI document."""

import json
from typing import Any

from control.calls.webhook import Announcement
from media.api.encoding import to_json
from media.api.events import CallQuality
from media.api.spec.schemas import Schema, Schemas
from media.records.cdr import BargeIns, CallDetailRecord, Packets, RecordingPart, Transfer

_ANNOUNCEMENT = Announcement(
    dialog_id="0c1d9b7e",
    caller="sip:alice@example.com",
    callee="sip:bot@example.com",
    offer="v=0\r\n…",
    headers=("From: <sip:alice@example.com>;tag=1",),
    created_at="2026-01-01T12:00:00.000Z",
)

_RECORD = CallDetailRecord(
    call_id="s.4f6c0f2e",
    call_type="sip",
    start_time="2026-01-01T11:58:02.000Z",
    ring_time="2026-01-01T11:58:03.120Z",
    answer_time="2026-01-01T11:58:05.000Z",
    end_time="2026-01-01T12:00:00.000Z",
    duration_ms=118_000,
    bill_ms=115_000,
    caller="sip:alice@example.com",
    callee="sip:bot@example.com",
    status_code=200,
    hangup_reason="done",
    hangup_initiator="system",
    codec="opus",
    quality=CallQuality(
        mos=4.36, jitter_ms=1.8, max_jitter_ms=12.4, loss_percent=0.02, rtt_ms=38.5, peer_loss_percent=None
    ),
    packets=Packets(received=5746, lost=1, sent=5750),
    first_audio_ms=140,
    barge_ins=BargeIns(count=2, p50_ms=180, max_ms=210),
    refer=(Transfer(callee="sip:carol@example.com", start_time="2026-01-01T11:59:10.000Z", status_code=486),),
    recording=RecordingPart(path="s.4f6c0f2e.wav", duration_ms=115_000, size=7_360_044),
    dump_event_file="s.4f6c0f2e.events.jsonl",
    extra={"ticket": "4711"},
    option={"denoise": True},
    token="shop",  # noqa: S106 - its name
    worker="node-0",
    version="0.1.0",
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
            " final; after any other answer, or none, it is tried twice more. When the server does not take the call,"
            " the caller gets 503; when no bot accepts it in time, 480.",
            announced,
            json.loads(_ANNOUNCEMENT.body()),
        ),
        "callRecord": _post(
            "recordCall",
            "A call has ended; where the operator has set `records.url`.",
            "Answer 2xx; after any other answer, or none, it is tried again, for a day. The same record may come twice,"
            " then with the same `webhook-id`.",
            schemas.record(CallDetailRecord),
            json.loads(to_json(_RECORD)),
        ),
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
