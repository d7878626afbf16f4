import json
from dataclasses import FrozenInstanceError, is_dataclass
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.api import events
from media.api.events import Attendee, attendee, encode, iso8601

NOW = 1640995200000
AT: Any = {"track_id": "track-abc123", "timestamp": NOW}
SEEN = {"trackId": "track-abc123", "timestamp": NOW}
ALICE = {"username": "alice", "realm": "example.com", "source": "sip:alice@example.com"}
BOB = {"username": "bob", "realm": "example.com", "source": "sip:bob@example.com"}

DOCUMENTED: list[tuple[events.Event, dict[str, Any]]] = [
    (
        events.Incoming(**AT, caller="sip:alice@example.com", callee="sip:bob@example.com", sdp="v=0\r\n"),
        {"event": "incoming", **SEEN}
        | {"caller": "sip:alice@example.com", "callee": "sip:bob@example.com", "sdp": "v=0\r\n"},
    ),
    (events.Answer(**AT, sdp="v=0\r\n"), {"event": "answer", **SEEN, "sdp": "v=0\r\n"}),
    (
        events.Reject(**AT, reason="Busy", code=486),
        {"event": "reject", **SEEN, "reason": "Busy", "code": 486},
    ),
    (events.Ringing(**AT, early_media=False), {"event": "ringing", **SEEN, "earlyMedia": False}),
    (
        events.Hangup(
            **AT,
            reason="user_requested",
            initiator="user",
            start_time="2024-01-01T12:00:00Z",
            hangup_time="2024-01-01T12:05:30Z",
            answer_time="2024-01-01T12:00:05Z",
            ringing_time="2024-01-01T12:00:02Z",
            from_=Attendee(**ALICE),
            to=Attendee(**BOB),
            extra={"call_quality": "good", "network_type": "wifi"},
        ),
        {
            "event": "hangup",
            **SEEN,
            "reason": "user_requested",
            "initiator": "user",
            "startTime": "2024-01-01T12:00:00Z",
            "hangupTime": "2024-01-01T12:05:30Z",
            "answerTime": "2024-01-01T12:00:05Z",
            "ringingTime": "2024-01-01T12:00:02Z",
            "from": ALICE,
            "to": BOB,
            "extra": {"call_quality": "good", "network_type": "wifi"},
        },
    ),
    (events.Speaking(**AT, start_time=NOW), {"event": "speaking", **SEEN, "startTime": NOW}),
    (
        events.Silence(**AT, start_time=NOW - 5000, duration=5000),
        {"event": "silence", **SEEN, "startTime": NOW - 5000, "duration": 5000},
    ),
    (
        events.AnswerMachineDetection(timestamp=NOW, start_time=NOW, end_time=NOW + 5000, text="Hello"),
        {"event": "answerMachineDetection", "timestamp": NOW}
        | {"startTime": NOW, "endTime": NOW + 5000, "text": "Hello"},
    ),
    (events.Eou(**AT, completed=True), {"event": "eou", **SEEN, "completed": True, "complete": True}),
    (
        events.AsrFinal(**AT, index=1, start_time=NOW, end_time=NOW + 5000, text="Hello"),
        {"event": "asrFinal", **SEEN, "index": 1, "startTime": NOW, "endTime": NOW + 5000, "text": "Hello"},
    ),
    (
        events.AsrDelta(**AT, index=1, start_time=NOW, end_time=NOW + 3000, text="Hel"),
        {"event": "asrDelta", **SEEN, "index": 1, "startTime": NOW, "endTime": NOW + 3000, "text": "Hel"},
    ),
    (events.TrackStart(**AT, play_id="llm-001"), {"event": "trackStart", **SEEN, "playId": "llm-001"}),
    (
        events.TrackEnd(**AT, duration=30000, ssrc=1234567890, play_id="llm-001"),
        {"event": "trackEnd", **SEEN, "duration": 30000, "ssrc": 1234567890, "playId": "llm-001"},
    ),
    (
        events.Interruption(
            **AT, play_id="llm-001", subtitle="Hello", position=5, total_duration=30000, current=15000
        ),
        {"event": "interruption", **SEEN, "playId": "llm-001", "subtitle": "Hello", "position": 5}
        | {"totalDuration": 30000, "current": 15000},
    ),
    (events.Dtmf(**AT, digit="1"), {"event": "dtmf", **SEEN, "digit": "1"}),
    (
        events.Metrics(timestamp=NOW, key="ttfb.asr.tencent", duration=150, data={"index": 1}),
        {
            "event": "metrics",
            "timestamp": NOW,
            "key": "ttfb.asr.tencent",
            "duration": 150,
            "data": {"index": 1},
        },
    ),
    (
        events.Error(**AT, sender="asr", error="Connection timeout", code=408),
        {"event": "error", **SEEN, "sender": "asr", "error": "Connection timeout", "code": 408},
    ),
    (
        events.AddHistory(sender="system", timestamp=NOW, speaker="user", text="Hello"),
        {"event": "addHistory", "sender": "system", "timestamp": NOW, "speaker": "user", "text": "Hello"},
    ),
    (
        events.Other(**AT, sender="custom_plugin", extra={"plugin_version": "1.0.0"}),
        {"event": "other", **SEEN, "sender": "custom_plugin", "extra": {"plugin_version": "1.0.0"}},
    ),
    (events.Hold(**AT, on_hold=True), {"event": "hold", **SEEN, "onHold": True}),
    (events.Inactivity(**AT), {"event": "inactivity", **SEEN}),
    (events.Ping(timestamp=NOW), {"event": "ping", "timestamp": NOW}),
]
IDS = [expected["event"] for _, expected in DOCUMENTED]


@pytest.mark.parametrize(("event", "expected"), DOCUMENTED, ids=IDS)
def test_every_event_has_the_keys_of_the_document(event: events.Event, expected: dict[str, Any]) -> None:
    text = encode(event)
    assert json.loads(text) == expected
    assert list(json.loads(text))[0] == "event"


@pytest.mark.parametrize(("event", "expected"), DOCUMENTED, ids=IDS)
def test_every_event_is_compact_and_all_its_numbers_are_whole(
    event: events.Event, expected: dict[str, Any]
) -> None:
    assert encode(event) == json.dumps(json.loads(encode(event)), separators=(",", ":"))
    assert not any(isinstance(value, float) for value in json.loads(encode(event)).values())


def test_every_event_is_in_the_table() -> None:
    assert {type(event) for event, _ in DOCUMENTED} == set(get_args(events.Event))


def test_events_do_not_change() -> None:
    for event, _ in DOCUMENTED:
        assert is_dataclass(event)
        with pytest.raises(FrozenInstanceError):
            event.timestamp = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("event", "keys"),
    [
        (events.Reject(**AT, reason="Busy"), {"reason"}),
        (events.TrackStart(**AT), set()),
        (events.TrackEnd(**AT, duration=0, ssrc=0), {"duration", "ssrc"}),
        (events.Interruption(**AT, total_duration=0, current=0), {"totalDuration", "current"}),
        (events.Error(**AT, sender="tts", error="x"), {"sender", "error"}),
        (events.Hangup(**AT, start_time="a", hangup_time="b"), {"startTime", "hangupTime"}),
        (events.Other(**AT, sender="x"), {"sender"}),
        (events.Answer(**AT, sdp=""), {"sdp"}),
    ],
)
def test_absent_optionals_are_left_out_and_zero_is_not_absent(event: events.Event, keys: set[str]) -> None:
    assert set(json.loads(encode(event))) == {"event", "trackId", "timestamp"} | keys


def test_extensions_have_keys_of_their_own() -> None:
    incoming = events.Incoming(**AT, caller="a", callee="b", sdp="", dialog_id="d", headers={"X-A": "1"})
    assert json.loads(encode(incoming))["dialogId"] == "d"
    assert json.loads(encode(incoming))["headers"] == {"X-A": "1"}
    silence = events.Silence(**AT, start_time=1, duration=2, speech_start=3, speech_duration=4)
    assert json.loads(encode(silence)) | {"speechStart": 3, "speechDuration": 4} == json.loads(
        encode(silence)
    )
    assert json.loads(encode(events.Answer(**AT, sdp="", refer=True)))["refer"] is True
    assert json.loads(encode(events.Ping(timestamp=1, payload="now")))["payload"] == "now"


def test_whole_numbers_of_numpy_are_numbers() -> None:
    event = events.TrackEnd(track_id="t", timestamp=NOW, duration=7, ssrc=np.uint32(4000000000))  # type: ignore[arg-type]
    assert json.loads(encode(event))["ssrc"] == 4000000000


def test_what_json_cannot_say_is_an_error_and_no_guess() -> None:
    with pytest.raises(TypeError):
        encode(events.Metrics(timestamp=NOW, key="k", duration=1, data={"x": object()}))


def test_text_stays_readable_and_half_surrogates_go() -> None:
    assert '"你好"' in encode(events.AddHistory(timestamp=1, speaker="user", text="你好"))
    assert '"a?b"' in encode(events.AddHistory(timestamp=1, speaker="user", text="a\ud800b"))


@given(st.text())
def test_any_text_can_be_sent(text: str) -> None:
    event = json.loads(encode(events.AddHistory(timestamp=1, speaker="user", text=text)).encode())
    assert event["text"] == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:alice@example.com", ("alice", "example.com", "sip:alice@example.com")),
        ("sip:alice@example.com:5080;transport=tcp", ("alice", "example.com", None)),
        ('"Alice A" <sips:alice@example.com>;tag=1', ("alice", "example.com", "sips:alice@example.com")),
        ("sip:alice:hush@example.com", ("alice", "example.com", "sip:alice@example.com")),
        ("sip:example.com", ("", "example.com", None)),
        ("tel:+493012345", ("+493012345", "", None)),
        ("1234567890", ("1234567890", "", None)),
        ("bob@example.com", ("bob", "example.com", None)),
        ("", ("", "", "")),
    ],
)
def test_attendees(text: str, expected: tuple[str, str, str | None]) -> None:
    username, realm, source = expected
    assert attendee(text) == Attendee(username, realm, text if source is None else source)


@given(st.text())
def test_any_text_makes_an_attendee(text: str) -> None:
    assert isinstance(attendee(text), Attendee)


def test_call_times_are_utc_in_whole_seconds() -> None:
    assert iso8601(1704110400000) == "2024-01-01T12:00:00Z"
    assert iso8601(1704110400999) == "2024-01-01T12:00:00Z"
