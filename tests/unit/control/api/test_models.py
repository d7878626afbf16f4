from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from control.api import client, models, server, sessions
from control.rtpengine.media import Endpoint, Stream
from control.sip.sdp import Direction

STREAM = Stream("127.0.0.1", 21000, "pcmu", 0, 101, 20, Direction.SENDRECV)
SLOT = Endpoint("127.0.0.1", 19000)
LEG: dict[str, Any] = {"leg": "l", "session": "s"}

EVERY = [
    models.Hello(worker="m", instance="i", legs=("a", "b")),
    models.Join(session="s", pool="p"),
    models.Leave(session="s"),
    models.Claim(**LEG),
    models.Ring(**LEG, endpoint=SLOT),
    models.Ring(**LEG),
    models.Accept(**LEG, endpoint=SLOT),
    models.Reject(**LEG, code=486, reason="busy"),
    models.Invite(session="s", callee="sip:b@c", endpoint=SLOT, headers={"X-A": "1"}, password="p"),
    models.Connect(session="s", endpoint=SLOT, offer="v=0", ipv6=True),
    models.Reconnect(**LEG, offer="v=0"),
    models.Hangup(leg="l"),
    models.Incoming(**LEG, caller="a", callee="b", sdp="", headers={"X-A": "1"}),
    models.Ringing(**LEG, stream=STREAM),
    models.Ringing(**LEG),
    models.Answered(**LEG, stream=STREAM, sdp="v=0"),
    models.MediaChanged(**LEG, stream=STREAM),
    models.Digit(**LEG, digit="#"),
    models.Rejected(**LEG, code=486, reason="Busy Here"),
    models.Ended(**LEG, initiator="callee", reason="BYE", code=200),
    models.Killed(session="s"),
    sessions.OpenSession(session="s", call_type="sip", created_at=1, token="t", max_calls=2),
    sessions.OpenSession(session="s", call_type="sip", created_at=1, held=True, option={"a": [1]}),
    sessions.CloseSession(session="s"),
    sessions.DescribeSession(session="s", option={"codec": "pcmu"}),
    sessions.ResetSessions(),
    sessions.KillSession(session="s"),
    sessions.ListSessions(after="s"),
    sessions.SessionList(
        sessions=(sessions.SessionEntry(session="s", call_type="sip", created_at=1),), more=True
    ),
    models.Done(),
    models.Welcome(control="a", legs=("x",)),
    models.Media(stream=STREAM, sdp="v=0"),
    models.Media(),
    models.Invited(leg="l", caller="a", callee="b"),
    models.Connected(leg="l", stream=STREAM, sdp="v=0"),
]


@pytest.mark.parametrize("model", EVERY, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("exclude_none", [True, False])
def test_every_message_survives_json(model: models.Model, exclude_none: bool) -> None:
    text = model.model_dump_json(exclude_none=exclude_none)
    assert type(model).model_validate_json(text) == model


@pytest.mark.parametrize("model", EVERY, ids=lambda model: type(model).__name__)
def test_fields_of_a_newer_version_are_ignored(model: models.Model) -> None:
    assert type(model).model_validate(model.model_dump() | {"of_the_future": 1}) == model


def test_a_stream_of_an_older_or_newer_version_is_understood() -> None:
    full = Stream(
        "127.0.0.1", 21000, "opus", 111, 110, 20, Direction.SENDRECV, 48000, rtcp_address="::1", rtcp_port=5
    )
    message = models.MediaChanged(**LEG, stream=full)
    assert models.MediaChanged.model_validate_json(message.model_dump_json()) == message
    fields = message.model_dump()
    fields["stream"]["of_the_future"] = 1
    assert models.MediaChanged.model_validate(fields) == message
    for name in ("of_the_future", "event_clock_rate", "rtcp_address", "rtcp_port"):
        del fields["stream"][name]
    assert models.MediaChanged.model_validate(fields).stream == replace(
        full, event_clock_rate=8000, rtcp_address="", rtcp_port=0
    )


def test_every_message_has_a_name_of_its_own_and_a_taker() -> None:
    methods = {type(model).method for model in EVERY if isinstance(model, models.Message)}
    assert methods == {models.Hello.method} | server.REQUESTS.keys() | client.NOTICES.keys()
    assert len(methods) == 1 + len(server.REQUESTS) + len(client.NOTICES)


@pytest.mark.parametrize("code", [200, 399, 700])
def test_only_a_status_of_refusal_rejects(code: int) -> None:
    with pytest.raises(ValidationError):
        models.Reject(**LEG, code=code)


def test_a_password_is_not_shown() -> None:
    assert "swordfish" not in repr(
        models.Invite(session="s", callee="b", endpoint=SLOT, password="swordfish")
    )
