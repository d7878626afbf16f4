"""The API contract as data: its example messages, and what may be done to one without changing its meaning."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel

from media.api import commands

Json = dict[str, Any]
Way = tuple[str, ...]
"""Keys from the outermost object to a value."""

_EXAMPLES: dict[str, Json] = json.loads(
    Path(__file__).parents[1].joinpath("conformance/examples.json").read_text("utf-8")
)
EVENTS: dict[str, Json] = _EXAMPLES["events"]
OBJECTS: dict[str, Json] = _EXAMPLES["objects"]
ANSWERS: dict[str, Any] = _EXAMPLES["answers"]
COMMANDS: dict[str, Json] = _EXAMPLES["commands"] | {
    "invite, all of CallOption": {"command": "invite", "option": OBJECTS["CallOption"]},
    "accept, all of CallOption": {"command": "accept", "option": OBJECTS["CallOption"]},
    "refer, all of ReferOption": {
        "command": "refer",
        "caller": "sip:alice@example.com",
        "callee": "sip:charlie@example.com",
        "options": OBJECTS["ReferOption"],
    },
}
MANDATORY: dict[str, frozenset[str]] = {
    "invite": frozenset({"option"}),
    "accept": frozenset({"option"}),
    "reject": frozenset({"reason"}),
    "tts": frozenset({"text"}),
    "play": frozenset({"url"}),
    "refer": frozenset({"caller", "callee"}),
    "history": frozenset({"speaker", "text"}),
}
"""Fields without which there is no such command; every other may be left out or null."""
UNKNOWN = {"unknown": {"a": [1, None]}, "x-future": None}
FREE = frozenset({"headers", "hangup_headers", "extra"})
"""Objects whose keys the bot chooses."""
MODELS: dict[str, type[BaseModel]] = {
    model.model_fields["command"].default: model for model in get_args(commands.Command)
}


def objects(value: Json, way: Way = ()) -> Iterator[tuple[Way, Json]]:
    """Every object in `value`, itself included, whose keys the contract names."""
    yield way, value
    for key, item in value.items():
        if isinstance(item, dict) and key not in FREE:
            yield from objects(item, (*way, key))


def fields(value: Json) -> Iterator[Way]:
    """Every field in `value`, at every depth, but its name."""
    for way, item in objects(value):
        for key in item:
            if (*way, key) not in (("command",), ("event",)):
                yield *way, key


def without(value: Json, way: Way) -> Json:
    """A copy of `value` that has no `way`."""
    changed, inner = _copied(value, way)
    del inner[way[-1]]
    return changed


def having(value: Json, way: Way, item: object) -> Json:
    """A copy of `value` with `item` at `way`; objects on the way are made."""
    changed, inner = _copied(value, way)
    inner[way[-1]] = item
    return changed


def with_unknown(value: Json) -> Json:
    """A copy of `value` with fields that nobody knows in every object."""
    changed = copy.deepcopy(value)
    for _, item in list(objects(changed)):
        item |= UNKNOWN
    return changed


def shuffled(value: Json, seed: int) -> Json:
    """`value` with the keys of every object in another order."""
    keys = list(value)
    random.Random(seed).shuffle(keys)
    return {key: shuffled(value[key], seed) if isinstance(value[key], dict) else value[key] for key in keys}


def _copied(value: Json, way: Way) -> tuple[Json, Json]:
    """A copy of `value`, and the object in it that the last key of `way` belongs to."""
    inner = changed = copy.deepcopy(value)
    for key in way[:-1]:
        inner = inner.setdefault(key, {})
    return changed, inner


def kinds(annotation: Any) -> frozenset[str]:
    """The JSON kinds that a field of this type takes: text, boolean, number, object, list."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return kinds(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return frozenset().union(*map(kinds, get_args(annotation)))
    if annotation is type(None):
        return frozenset()
    if origin is list:
        return frozenset({"list"})
    if origin is dict or issubclass(annotation, BaseModel):
        return frozenset({"object"})
    plain = {str: "text", bool: "boolean", int: "number", float: "number"}
    return frozenset({plain[annotation]})


def leaves(model: type[BaseModel], way: Way = ()) -> Iterator[tuple[Way, frozenset[str]]]:
    """Every field of `model`, at every depth, and the JSON kinds that it takes by its type."""
    for name, field in model.model_fields.items():
        if name == "command":
            continue
        here = (*way, written(name, field.validation_alias, field.alias))
        yield here, kinds(field.annotation)
        if (inner := _model(field.annotation)) is not None:
            yield from leaves(inner, here)


def written(name: str, validation: str | AliasChoices | Any, alias: str | None) -> str:
    """The key of a field."""
    if isinstance(validation, AliasChoices):
        return str(validation.choices[0])
    return str(validation or alias or name)


def _model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for item in get_args(annotation) if (found := _model(item))), None)


def minimal(name: str) -> Json:
    """The shortest command of this name."""
    given = {"option": {}, "text": "a", "url": "a.wav"}
    return {"command": name} | {key: given.get(key, "a") for key in MANDATORY.get(name, ())}


EVENT_FIELDS: dict[str, dict[str, str]] = _EXAMPLES["fields"]["events"]
"""Type of each field of each event; ``?`` at its end: may be absent."""
COMMAND_FIELDS: dict[str, dict[str, str]] = _EXAMPLES["fields"]["commands"]
EXTENSIONS: dict[str, dict[str, str]] = {
    "incoming": {"dialogId": "string", "headers": "object"},
    "answer": {"refer": "boolean"},
    "reject": {"refer": "boolean"},
    "ringing": {"refer": "boolean"},
    "hangup": {"trackId": "string", "quality": "object", "refer": "boolean"},
    "silence": {"speechStart": "number", "speechDuration": "number"},
    "eou": {"complete": "boolean"},
    "asrFinal": {"taskId": "string", "confidence": "fraction"},
    "asrDelta": {"taskId": "string", "confidence": "fraction"},
    "answerMachineDetection": {
        "result": "string",
        "confidence": "fraction",
        "tone": "string",
        "beepTime": "number",
    },
    "dtmf": {"refer": "boolean"},
    "hold": {"trackId": "string", "timestamp": "number", "onHold": "boolean", "refer": "boolean"},
    "inactivity": {"trackId": "string", "timestamp": "number"},
}
"""Fields that the contract does not have; each may be absent."""
_PYTHON: dict[str, type] = {
    "string": str,
    "number": int,
    "fraction": float,
    "boolean": bool,
    "object": dict,
    "attendee": dict,
    "array": list,
}


def faults(event: Json) -> list[str]:
    """What is not as documented in `event`: only fractions are not whole, nothing is null, no field is unknown."""
    name = event["event"]
    known = EVENT_FIELDS.get(name, {})
    found = [
        f"{name}.{key} is missing"
        for key, kind in known.items()
        if key not in event and not kind.endswith("?")
    ]
    types: dict[str, str] = EXTENSIONS.get(name, {}) | known
    for key, item in event.items():
        if key == "event":
            continue
        kind = types.get(key, "").rstrip("?")
        if not kind:
            found.append(f"{name}.{key} is not documented")
        elif type(item) is not _PYTHON[kind]:
            found.append(f"{name}.{key} is {item!r}, not {kind}")
        elif kind == "attendee" and not _is_attendee(item):
            found.append(f"{name}.{key} is no attendee: {item!r}")
    return found


def _is_attendee(value: Any) -> bool:
    return {part: type(item) for part, item in value.items()} == dict.fromkeys(OBJECTS["Attendee"], str)
