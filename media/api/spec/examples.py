"""An example of each message."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from media.api import events

AT = 1_767_268_800_000
"""The moment that examples play at: 2026-01-01T12:00:00Z."""
_CALLER: Any = {"track_id": "s.4f6c0f2e", "timestamp": AT}
_OURS: Any = {"track_id": "server-side-track", "timestamp": AT}

COMMANDS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "invite": {
            "option": {
                "caller": "sip:support@example.com",
                "callee": "sip:bob@example.com",
                "recorder": {"recorderFile": "support/{id}.wav"},
                "vad": {"silencePadding": 400},
                "tts": {"provider": "espeak", "speaker": "en-gb", "speed": 1.1},
                "sip": {"username": "support", "password": "secret", "headers": {"X-Campaign": "spring"}},
                "extra": {"ticket": "4711"},
            }
        },
        "accept": {"option": {"vad": {"interrupt": True}, "dtmf": {"inband": True}, "inactivityTimeout": 30}},
        "reject": {"reason": "Nobody is there", "code": 480},
        "ringing": {"earlyMedia": True, "ringtone": "ring.wav", "recorder": False},
        "tts": {
            "text": "Hello, how can I help you?",
            "playId": "greeting",
            "waitInputTimeout": 10,
            "option": {"volume": 6},
        },
        "play": {"url": "https://example.com/menu.mp3", "autoHangup": False, "waitInputTimeout": 10},
        "interrupt": {"graceful": False, "fadeOutMs": 200},
        "pause": {},
        "resume": {},
        "refer": {
            "caller": "",
            "callee": "sip:carol@example.com",
            "options": {
                "timeout": 30,
                "moh": "https://example.com/music.mp3",
                "autoHangup": True,
                "sip": {"headers": {"X-Ticket": "4711"}},
            },
        },
        "mute": {"trackId": "server-side-track"},
        "unmute": {"trackId": "server-side-track"},
        "dtmf": {"digits": "1234#", "duration": 160, "gap": 80},
        "hangup": {"reason": "done", "initiator": "system", "headers": {"X-Result": "solved"}},
        "history": {"speaker": "user", "text": "I would like to change my order."},
    }
)
"""Without the key ``command``."""

EVENTS: tuple[events.Event, ...] = (
    events.Incoming(
        **_CALLER,
        caller="sip:alice@example.com",
        callee="sip:bot@example.com",
        sdp="v=0\r\n…",
        dialog_id="0c1d9b7e",
        headers={"X-Customer": "77"},
    ),
    events.Ringing(**_CALLER, early_media=False),
    events.Answer(**_CALLER, sdp="v=0\r\n…"),
    events.Reject(**_CALLER, reason="Busy Here", code=486),
    events.TrackStart(**_OURS, play_id="greeting"),
    events.TrackEnd(**_OURS, duration=1840, ssrc=2_882_400_001, play_id="greeting"),
    events.Interruption(
        **_OURS,
        play_id="greeting",
        subtitle="Hello, how can I help you?",
        position=2,
        total_duration=1840,
        current=760,
    ),
    events.Dtmf(**_CALLER, digit="5"),
    events.Speaking(**_CALLER, start_time=AT - 260),
    events.Silence(
        **_CALLER, start_time=AT - 400, duration=400, speech_start=AT - 2900, speech_duration=2500
    ),
    events.AsrDelta(**_CALLER, index=1, start_time=AT - 900, end_time=AT - 300, text="I would like"),
    events.AsrFinal(
        **_CALLER, index=1, start_time=AT - 2900, end_time=AT - 400, text="I would like to change my order."
    ),
    events.Eou(**_CALLER, completed=True),
    events.AnswerMachineDetection(
        timestamp=AT,
        start_time=AT - 3200,
        end_time=AT,
        text="Please leave a message after the tone.",
        result="machine",
        confidence=0.97,
    ),
    events.Hold(**_CALLER, on_hold=True),
    events.Inactivity(**_CALLER),
    events.Metrics(timestamp=AT, key="completed.call.setup", duration=3000, data={"ringing": 1000}),
    events.Error(
        **_CALLER,
        sender="command",
        error='command "pause" does not fit now: nothing is playing',
        code=409,
    ),
    events.AddHistory(
        sender="s.4f6c0f2e", timestamp=AT, speaker="user", text="I would like to change my order."
    ),
    events.Other(
        **_CALLER, sender="recorder", extra={"file": "support/s.4f6c0f2e.wav", "duration": "115000"}
    ),
    events.Ping(timestamp=AT, payload="2026-01-01T12:00:00.000+00:00"),
    events.Hangup(
        **_CALLER,
        reason="done",
        initiator="system",
        start_time="2026-01-01T11:58:02Z",
        ringing_time="2026-01-01T11:58:03Z",
        answer_time="2026-01-01T11:58:05Z",
        hangup_time="2026-01-01T12:00:00Z",
        from_=events.attendee("sip:alice@example.com"),
        to=events.attendee("sip:bot@example.com"),
        extra={"ticket": "4711"},
        quality=events.CallQuality(
            mos=4.36,
            jitter_ms=1.8,
            max_jitter_ms=12.4,
            loss_percent=0.21,
            rtt_ms=38.5,
            peer_loss_percent=0.0,
        ),
    ),
)
"""In the order in which they are documented."""


def command(name: str) -> dict[str, Any]:
    """The example of the command `name`."""
    return {"command": name} | dict(COMMANDS[name])


def event(name: str) -> events.Event:
    """The example of the event `name`."""
    return next(each for each in EVENTS if each.event == name)
