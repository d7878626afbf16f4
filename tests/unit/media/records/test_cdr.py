"""Call detail records: every key, and none of the secrets."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.api.commands import Invite, parse
from media.api.encoding import to_json
from media.api.events import CallQuality
from media.records.cdr import SAMPLES, BargeInTimes, CallFacts, RecordingPart, record, rfc3339
from media.session.state import TransferRecord

START = 1_700_000_000_123


def shown(
    facts: CallFacts, recording: RecordingPart | None = None, dump: str | None = None
) -> dict[str, Any]:
    made = record(facts, recording=recording, dump=dump, worker="a-0", version="1.2.3")
    found: dict[str, Any] = json.loads(to_json(made))
    return found


def facts(**more: Any) -> CallFacts:
    return CallFacts(session_id="s.1", call_type="sip", start=START, end=START + 5000, **more)


def test_a_call_that_was_not_answered_has_only_what_is_known() -> None:
    assert shown(facts()) == {
        "event": "callRecord",
        "callId": "s.1",
        "callType": "sip",
        "startTime": "2023-11-14T22:13:20.123Z",
        "endTime": "2023-11-14T22:13:25.123Z",
        "durationMs": 5000,
        "billMs": 0,
        "packets": {"received": 0, "lost": 0, "sent": 0},
        "bargeIns": {"count": 0},
        "worker": "a-0",
        "version": "1.2.3",
    }


def test_all_of_a_call_is_in_its_record() -> None:
    command = parse(
        json.dumps(
            {
                "command": "invite",
                "option": {
                    "callee": "sip:b@c",
                    "sip": {"username": "u", "password": "hush"},
                    "denoise": True,
                },
            }
        )
    )
    assert isinstance(command, Invite)
    call = facts(
        ringing=START + 500,
        answer=START + 1000,
        caller="sip:alice:hush@example.com",
        callee="sip:bob@example.com",
        code=200,
        reason="callee",
        initiator="callee",
        codec="opus",
        quality=CallQuality(
            mos=4.2, jitter_ms=1.5, max_jitter_ms=3.0, loss_percent=0.1, rtt_ms=None, peer_loss_percent=None
        ),
        extra={"order": 7, "apiKey": "hush"},
        option=command.option,
        first_audio=START + 1120,
        received=200,
        lost=1,
        sent=199,
        transfers=[TransferRecord("sip:c@d", START + 2000, START + 3000, START + 4000, 200, "refer")],
        token="shop",
    )
    for ms in (40, 20, 90):
        call.barge_ins.add(ms)
    recording = RecordingPart(path="s.1.wav", duration_ms=4000, size=128044)
    found = shown(call, recording, "s.1.events.jsonl")
    assert "hush" not in json.dumps(found)
    assert found["ringTime"] == "2023-11-14T22:13:20.623Z"
    assert found["answerTime"] == "2023-11-14T22:13:21.123Z"
    assert found["billMs"] == 4000
    assert found["firstAudioMs"] == 120
    assert (found["caller"], found["callee"]) == ("sip:alice:***@example.com", "sip:bob@example.com")
    assert (found["statusCode"], found["codec"], found["token"]) == (200, "opus", "shop")
    assert (found["hangupReason"], found["hangupInitiator"]) == ("callee", "callee")
    assert found["quality"] == {"mos": 4.2, "jitterMs": 1.5, "maxJitterMs": 3.0, "lossPercent": 0.1}
    assert found["packets"] == {"received": 200, "lost": 1, "sent": 199}
    assert found["bargeIns"] == {"count": 3, "p50Ms": 40, "maxMs": 90}
    assert found["refer"] == [
        {
            "callee": "sip:c@d",
            "startTime": rfc3339(START + 2000),
            "answerTime": rfc3339(START + 3000),
            "endTime": rfc3339(START + 4000),
            "statusCode": 200,
            "reason": "refer",
        }
    ]
    assert found["recording"] == {"path": "s.1.wav", "durationMs": 4000, "size": 128044}
    assert found["dumpEventFile"] == "s.1.events.jsonl"
    assert found["extra"] == {"order": 7, "apiKey": "***"}
    assert found["option"] == {
        "callee": "sip:b@c", "sip": {"username": "u", "password": "***"}, "denoise": True
    }  # fmt: skip


def test_a_transfer_that_was_not_answered() -> None:
    assert shown(facts(transfers=[TransferRecord("", START, code=486)]))["refer"] == [
        {"callee": "", "startTime": rfc3339(START), "statusCode": 486}
    ]


def test_a_clock_that_was_set_back_makes_no_negative_times() -> None:
    found = shown(facts(answer=START + 9000, first_audio=START))
    assert (found["durationMs"], found["billMs"], found["firstAudioMs"]) == (5000, 0, 0)


def test_a_call_of_endless_barge_ins_takes_no_endless_memory() -> None:
    call = facts()
    for _ in range(SAMPLES + 5):
        call.barge_ins.add(10)
    assert len(call.barge_ins.ms) == SAMPLES
    assert shown(call)["bargeIns"] == {"count": SAMPLES + 5, "p50Ms": 10, "maxMs": 10}


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "1970-01-01T00:00:00.000Z"), (1999, "1970-01-01T00:00:01.999Z")]
)
def test_times_have_milliseconds(ms: int, text: str) -> None:
    assert rfc3339(ms) == text


@given(
    st.builds(
        facts,
        ringing=st.none() | st.integers(0, 2**41),
        answer=st.none() | st.integers(0, 2**41),
        first_audio=st.none() | st.integers(0, 2**41),
        caller=st.text(),
        extra=st.none() | st.dictionaries(st.text(), st.text() | st.integers() | st.none()),
        barge_ins=st.builds(BargeInTimes, st.integers(0), st.lists(st.integers(0, 10_000))),
    )
)
def test_whatever_is_known_makes_a_record_of_integers(call: CallFacts) -> None:
    found = shown(call)
    assert all(isinstance(found[key], int) and found[key] >= 0 for key in ("durationMs", "billMs"))
    assert isinstance(found.get("firstAudioMs", 0), int)
    to_json(record(call, recording=None, dump=None, worker="a", version="1")).encode()
