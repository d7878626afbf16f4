"""What the schemas say is what the models take and what is sent."""

import json
import re
from collections import abc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import CommandError
from media.api import commands, events
from media.api.encoding import to_json
from media.api.events import encode
from media.api.options import CallOption
from media.api.spec import asyncapi, examples, openapi
from media.api.spec.schemas import COMMANDS, Schemas, command_name, event_name
from media.api.spec.texts import class_text, field_texts
from tests.support.jsonschema import MismatchError, check

DOCS = Path(__file__).parents[5] / "docs"
PAGES = ("api.md", "bots.md", "voice-detection.md")
_CODE = re.compile(r"```json\n(.*?)```", re.DOTALL)

_schemas = Schemas()
for _model in COMMANDS:
    _schemas.command(_model)
for _record in get_args(events.Event):
    _schemas.event(_record)
DOCUMENT: dict[str, Any] = {"components": {"schemas": _schemas.found}}

COMMAND_SCHEMAS = {kind.model_fields["command"].default: command_name(kind) for kind in COMMANDS}
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
}
EVENT_SCHEMAS = {kind.event: event_name(kind) for kind in get_args(events.Event)}


def check_command(command: Mapping[str, Any]) -> None:
    check(command, _schemas.found[COMMAND_SCHEMAS[command["command"]]], DOCUMENT)


def check_event(event: Mapping[str, Any]) -> None:
    check(event, _schemas.found[EVENT_SCHEMAS[event["event"]]], DOCUMENT)


@pytest.mark.parametrize("name", examples.COMMANDS)
def test_example_of_a_command(name: str) -> None:
    command = examples.command(name)
    assert commands.parse(json.dumps(command)).command == name
    check_command(command)


def test_there_is_an_example_of_each_command_and_event() -> None:
    assert sorted(examples.COMMANDS) == list(commands.NAMES)
    assert [example.event for example in examples.EVENTS] == list(
        dict.fromkeys(example.event for example in examples.EVENTS)
    )
    assert {example.event for example in examples.EVENTS} == set(EVENT_SCHEMAS)


def built(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if (plain := PLAIN.get(hint)) is not None:
        return plain
    if isinstance(hint, type):
        return built_record(hint)
    if get_origin(hint) is abc.Mapping:
        return st.dictionaries(st.text(), st.text())
    return st.one_of([st.none() if part is type(None) else built(part) for part in get_args(hint)])


def built_record(kind: type) -> st.SearchStrategy[Any]:
    fields = {
        name: built(hint) for name, hint in get_type_hints(kind).items() if name not in ("event", "also")
    }
    return st.builds(kind, **fields)


@given(st.sampled_from(get_args(events.Event)).flatmap(built_record))
def test_events_are_sent_as_described(event: events.Event) -> None:
    sent = json.loads(encode(event))
    check_event(sent)
    assert set(sent) <= set(_schemas.found[EVENT_SCHEMAS[event.event]]["properties"])


NUMBERS = st.integers(-10, 700) | st.floats(-10, 700, allow_nan=False)
GIVEN = st.one_of(
    st.builds(lambda code: {"command": "reject", "reason": "x", "code": code}, NUMBERS),
    st.builds(
        lambda level: {"command": "invite", "option": {"vad": {"aggressiveness": level}}}, NUMBERS | st.text()
    ),
    st.builds(
        lambda seconds: {"command": "accept", "option": {"handshakeTimeout": seconds}},
        NUMBERS | st.from_regex(r"[0-9]{1,3}s?", fullmatch=True) | st.sampled_from(["s", "1 m", ""]),
    ),
    st.builds(
        lambda recorder: {"command": "ringing", "recorder": recorder},
        st.booleans() | st.integers() | st.builds(lambda name: {"recorderFile": name}, st.integers() | st.text("ab")),
    ),
)  # fmt: skip


@given(GIVEN)
def test_what_the_schema_takes_is_what_is_read(command: dict[str, Any]) -> None:
    try:
        commands.parse(json.dumps(command))
    except CommandError:
        with pytest.raises(MismatchError):
            check_command(command)
    else:
        check_command(command)


@pytest.mark.parametrize("page", PAGES)
def test_json_of_the_documentation(page: str) -> None:
    found = 0
    for block in _CODE.findall((DOCS / page).read_text("utf-8")):
        for value in _values(block):
            if "command" in value:
                check_command(value)
                commands.parse(json.dumps(value))
            elif value.get("event") in EVENT_SCHEMAS:
                check_event(value)
            found += 1
    assert found


def _values(block: str) -> list[dict[str, Any]]:
    """The objects of a block of code, which may be several; a member alone (``"key": ...``) counts as an object."""
    decoder, values = json.JSONDecoder(), []
    text = f"{{{block}}}" if block.startswith('"') else block
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        values += value if isinstance(value, list) else [value]
        text = text[end:]
    return values


def test_everything_is_described() -> None:
    for name, schema in _schemas.found.items():
        assert schema["description"], name
        for key, part in schema["properties"].items():
            assert key in ("command", "event") or part.get("description"), f"{name}.{key}"


@pytest.mark.parametrize("document", [openapi(), asyncapi()], ids=["openapi", "asyncapi"])
def test_schemas_of_the_documents_are_described(document: dict[str, Any]) -> None:
    assert all(schema["description"] for schema in document["components"]["schemas"].values())


def test_a_type_that_json_has_no_words_for() -> None:
    class Odd:
        """Not a record."""

    with pytest.raises(TypeError, match="no JSON schema is known"):
        Schemas()._of(Odd)


def test_texts_name_json_keys() -> None:
    assert field_texts(commands.Ringing)["ringtone"].endswith("implies `earlyMedia`.")
    assert "`hangup_headers`" not in class_text(CallOption)
    assert field_texts(commands.Tts)["play_id"] == field_texts(commands.Play)["play_id"]


def test_wrong_values_do_not_pass() -> None:
    wrong: list[tuple[Any, dict[str, Any]]] = [
        (True, {"type": "integer"}),
        (1.5, {"type": "integer"}),
        ("a", {"enum": ["b"]}),
        (1, {"const": True}),
        ({}, {"required": ["a"]}),
        ({"a": 1}, {"properties": {"a": {"type": "string"}}}),
        ({"a": 1}, {"additionalProperties": {"type": "string"}}),
        ([1], {"items": {"type": "string"}}),
        (3, {"maximum": 2}),
        (1, {"minimum": 2}),
        ("abc", {"maxLength": 2}),
        ("a", {"minLength": 2}),
        ("a", {"pattern": "b"}),
        (1, {"anyOf": [{"type": "string"}, {"type": "boolean"}]}),
        (1, {"allOf": [{"type": "string"}]}),
        (1, {"$ref": "#/components/schemas/AnswerEvent"}),
    ]
    for value, schema in wrong:
        with pytest.raises(MismatchError):
            check(value, schema, DOCUMENT)
    with pytest.raises(AssertionError, match="not known"):
        check(1, {"multipleOf": 2}, DOCUMENT)


def test_announcement_of_a_call() -> None:
    document = openapi()
    media = document["webhooks"]["incomingCall"]["post"]["requestBody"]["content"]["application/json"]
    check(media["example"], media["schema"], document)
    assert set(media["example"]) == set(document["components"]["schemas"]["Announcement"]["properties"])


def test_a_record_within_a_record() -> None:
    quality = examples.event("hangup")
    assert isinstance(quality, events.Hangup)
    check(json.loads(to_json(quality.quality)), _schemas.found["CallQuality"], DOCUMENT)
