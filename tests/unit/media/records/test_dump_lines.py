"""Lines of the event dump: one JSON object each, and no secret."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.api import events
from media.api.commands import parse
from media.records.dump import LONGEST, Content, Unparsed, line


def read(content: Content) -> tuple[dict[str, Any], Any]:
    written = line(1234, content)
    assert written.endswith(b"\n")
    assert written.count(b"\n") == 1
    found = json.loads(written)
    assert list(found) == ["type", "timestamp", "content"]
    assert found["timestamp"] == 1234
    return found, json.loads(found["content"])


def test_an_event_is_written_as_it_was_sent() -> None:
    text = events.encode(events.Ping(timestamp=1, payload='a "quote"\n\u00e4'))
    found, _ = read(text)
    assert (found["type"], found["content"]) == ("event", text)


def test_a_command_is_written_without_its_secrets() -> None:
    command = {"command": "invite", "option": {"callee": "sip:b@c", "tts": {"secretKey": "hush"}}}
    found, content = read(parse(json.dumps(command)))
    assert found["type"] == "command"
    assert content == {"command": "invite", "option": {"callee": "sip:b@c", "tts": {"secretKey": "***"}}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("extra", {"apiKey": "hush", "n": 1}),
        ("headers", {"X-Auth-Token": "hush"}),
        ("sdp", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:hush\r\n"),
        ("sdp", "a=ice-pwd:hush\r\n"),
        ("from", {"source": "sip:u:hush@h"}),
    ],
)
def test_secrets_that_came_back_in_an_event_are_masked(key: str, value: Any) -> None:
    found, content = read(json.dumps({"event": "x", key: value}))
    assert "hush" not in json.dumps(found)
    assert content["event"] == "x"
    assert "***" in json.dumps(content[key])


def test_of_text_that_is_no_command_only_length_and_fault_are_kept() -> None:
    found, content = read(Unparsed(4711, "x" * 300))
    assert found["type"] == "command"
    assert content == {"unparsed": "x" * 200, "length": 4711}


def test_a_long_text_is_cut() -> None:
    long = "ab" * LONGEST
    _, content = read(parse(json.dumps({"command": "tts", "text": long, "playId": "p"})))
    assert content["text"] == f"{long[:LONGEST]}… ({2 * LONGEST} characters)"
    assert content["playId"] == "p"
    _, content = read(parse(json.dumps({"command": "invite", "option": {"extra": {"list": [long, 1]}}})))
    assert content["option"]["extra"] == {"list": [f"{long[:LONGEST]}… ({2 * LONGEST} characters)", 1]}


@pytest.mark.parametrize("text", ["a\ud800b", "\x00", "\u2028"])
def test_any_text_can_be_written(text: str) -> None:
    read(json.dumps({"event": "x", "text": text}, ensure_ascii=False))


@given(st.dictionaries(st.text(), st.recursive(st.text() | st.integers(), st.lists)))
def test_every_event_is_one_line(event: dict[str, Any]) -> None:
    read(json.dumps(event))
