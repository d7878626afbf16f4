"""The tables and examples of ``docs/api.md``: what stands between its markers is written here.

A marker is ``<!-- spec: KIND NAME -->``, with KIND one of ``command``, ``event``, ``object``, ``rest`` and ``query``;
``<!-- /spec -->`` ends what belongs to it.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, get_args

from control.errors import SetupError
from media.api.events import Event, encode
from media.api.spec import examples
from media.api.spec.openapi import openapi
from media.api.spec.query import PARAMETERS
from media.api.spec.schemas import COMMANDS, POOL, Schema, Schemas, refer

_BLOCK = re.compile(r"(<!-- spec: (\w+) (\S+) -->\n).*?(<!-- /spec -->)", re.DOTALL)
_WIDEST_RANGE = 1000
"""Limits above this are not told in tables."""


def refreshed(text: str) -> str:
    """`text` with what stands between markers made anew. Raises SetupError for a marker of something unknown."""
    sockets = _sockets()
    rest = openapi()

    def block(found: re.Match[str]) -> str:
        begin, kind, name, end = found.groups()
        try:
            return f"{begin}\n{_made(kind, name, sockets, rest).strip()}\n\n{end}"
        except (KeyError, StopIteration) as error:
            raise SetupError(f"docs: there is nothing for the marker {begin.strip()}") from error

    return _BLOCK.sub(block, text)


def _sockets() -> dict[str, Schema]:
    """The schemas of every command, option and event."""
    schemas = Schemas()
    for command in COMMANDS:
        schemas.command(command)
    for event in get_args(Event):
        schemas.event(event)
    return schemas.found


def marked(text: str) -> set[tuple[str, str]]:
    """Kind and name of each marker in `text`."""
    return {(kind, name) for _, kind, name, _ in _BLOCK.findall(text)}


def _made(kind: str, name: str, sockets: Schema, rest: Schema) -> str:
    schema_name = name[:1].upper() + name[1:]
    match kind:
        case "command":
            given = _given(sockets[schema_name + "Command"])
            return given + _json(examples.command(name))
        case "event":
            told = _told(sockets[schema_name + "Event"])
            return told + _json(json.loads(encode(examples.event(name))))
        case "object":
            schema = sockets[name]
            return _told(schema) if "required" in schema else _given(schema)
        case "rest":
            return _told(rest["components"]["schemas"][name]) + _posted(rest, name)
        case "query":
            return _query()
    raise KeyError(kind)


def _posted(rest: Schema, name: str) -> str:
    """The example of what is posted, where `name` is that."""
    for webhook in rest["webhooks"].values():
        body = webhook["post"]["requestBody"]["content"]["application/json"]
        if body["schema"] == refer(name):
            return _json(body["example"])
    return ""


def _given(schema: Schema) -> str:
    """The table of a command or option: what bots give."""
    required = schema.get("required", ())
    rows = [
        (f"`{key}`", _type(part), "required" if key in required else _default(part), _text(part))
        for key, part in sorted(schema["properties"].items(), key=lambda item: item[0] not in required)
        if key != "command"
    ]
    return _table(("field", "type", "default", "meaning"), rows)


def _told(schema: Schema) -> str:
    """The table of an event or answer: what bots are given."""
    required = schema["required"]
    rows = [
        (f"`{key}`", _type(part), "always" if key in required else "", _text(part))
        for key, part in schema["properties"].items()
        if key not in ("event", "trackId", "timestamp")
    ]
    return _table(("field", "type", "there", "meaning"), rows)


def _query() -> str:
    rows = [
        (f"`{parameter.name}`", _type(parameter.schema), _default(parameter.schema), parameter.text)
        for parameter in PARAMETERS
    ]
    return _table(("parameter", "type", "default", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _type(schema: Schema) -> str:
    """A property's type in words; a link where it is an object that is documented."""
    if "allOf" in schema:
        return _type(schema["allOf"][0])
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(POOL)
        return f"[{name}](#{name.lower()})"
    kind: str = schema["type"]
    if kind == "array":
        return f"array of {_type(schema['items'])}"
    low, high = schema.get("minimum"), schema.get("maximum", _WIDEST_RANGE + 1)
    return f"{kind}, {low} to {high}" if low is not None and high <= _WIDEST_RANGE else kind


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return ""
    value = schema["default"]
    return f"`{value:g}`" if isinstance(value, float) else f"`{json.dumps(value).strip(chr(34))}`"


def _text(schema: Schema) -> str:
    text: str = schema.get("description", "")
    if "enum" in schema:
        text = f"{', '.join(f'`{each}`' for each in schema['enum'])}. {text}"
    return text.replace("|", "\\|")


def _json(example: Any) -> str:
    text = json.dumps(example, ensure_ascii=False)
    if len(text) > _LINE:
        text = json.dumps(example, ensure_ascii=False, indent=2)
    return f"\n```json\n{text}\n```\n"


_LINE = 110
