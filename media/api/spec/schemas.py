"""JSON schemas (2020-12, as OpenAPI 3.1 and AsyncAPI 3.0 take them) of the API's models and records.

They describe JSON without ``null``: in commands it counts as absent, and Sidecall never sends it.
"""

from collections import abc
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from media.api.commands import Command
from media.api.encoding import keys
from media.api.spec.texts import class_text, field_texts

Schema = dict[str, Any]
POOL = "#/components/schemas/"


def refer(name: str) -> Schema:
    """A reference to the schema called `name`."""
    return {"$ref": POOL + name}


def command_name(model: type[BaseModel]) -> str:
    """Name of the schema of a command."""
    return f"{model.__name__}Command"


def event_name(record: type) -> str:
    """Name of the schema of an event."""
    return f"{record.__name__}Event"


class Schemas:
    """The schemas of one document."""

    def __init__(self) -> None:
        self.found: dict[str, Schema] = {}
        """By their names."""

    def command(self, model: type[BaseModel]) -> Schema:
        """A reference to the schema of a command, which is added with those of its options."""
        return self._model(model, command_name(model))

    def option(self, model: type[BaseModel]) -> Schema:
        """The same for an option."""
        return self._model(model, model.__name__)

    def _model(self, model: type[BaseModel], name: str) -> Schema:
        if name not in self.found:
            made = model.model_json_schema(ref_template=POOL + "{model}")
            made.pop("$defs", None)
            self.found[name] = _described(made, model)
            for used in _models(model):
                self.option(used)
        return refer(name)

    def event(self, record: type) -> Schema:
        """A reference to the schema of an event, which is added with those of its parts."""
        return self.record(record, event_name(record))

    def record(self, kind: type, name: str | None = None) -> Schema:
        """The same for any dataclass that `media.api.encoding` turns into JSON."""
        name = name or kind.__name__
        if name not in self.found:
            self.found[name] = {}
            self.found[name] = self._record(kind)
        return refer(name)

    def _record(self, kind: type) -> Schema:
        hints, texts = get_type_hints(kind), field_texts(kind)
        shown = {"event": {"type": "string", "const": kind.event}} if hasattr(kind, "event") else {}
        required = list(shown)
        for key, name in keys(kind).items():
            shown[key] = _with_text(self._of(hints[name]), texts.get(name))
            if NoneType not in get_args(hints[name]):
                required.append(key)
        return {
            "type": "object",
            "description": class_text(kind),
            "properties": shown,
            "required": required,
        }

    def _of(self, hint: Any) -> Schema:
        """The schema of a field's type; what may be None is described as if it were there."""
        if hint in _PLAIN:
            return {"type": _PLAIN[hint]}
        if isinstance(hint, type) and is_dataclass(hint):
            return self.record(hint)
        match get_origin(hint), get_args(hint):
            case (origin, parts) if origin in (Union, UnionType):
                (some,) = (part for part in parts if part is not NoneType)
                return self._of(some)
            case (origin, (_, values)) if origin is abc.Mapping:
                return {"type": "object"} | (
                    {} if values is Any else {"additionalProperties": self._of(values)}
                )
            case (origin, (item, *_)) if origin is tuple:
                return {"type": "array", "items": self._of(item)}
        raise TypeError(f"no JSON schema is known for {hint}")


_PLAIN: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _described(made: Schema, model: type[BaseModel]) -> Schema:
    """`made` by pydantic, with the texts of docstrings and without what says nothing."""
    texts = field_texts(model)
    properties: dict[str, Schema] = {}
    for (name, _), (key, schema) in zip(
        model.model_fields.items(), made.get("properties", {}).items(), strict=True
    ):
        properties[key] = _with_text(_plain(schema), texts.get(name))
    required = list(made.get("required", ()))
    if "command" in properties:
        del properties["command"]["default"]
        required.insert(0, "command")
    schema = {"type": "object", "description": class_text(model), "properties": properties}
    return schema | ({"required": required} if required else {})


def _plain(schema: Schema) -> Schema:
    """A property's schema without its title, without ``null``, and without a default that is none or an object."""
    kept = {key: value for key, value in schema.items() if key != "title"}
    if isinstance(kept.get("default"), dict | NoneType):
        kept.pop("default", None)
    choices = [choice for choice in kept.pop("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        kept |= choices[0]
    elif choices:
        kept["anyOf"] = choices
    if kept.get("additionalProperties") is True:
        del kept["additionalProperties"]
    return kept


def _with_text(schema: Schema, text: str | None) -> Schema:
    if text is None:
        return schema
    # What stands beside a reference does not count in JSON schema draft 7, which AsyncAPI takes.
    kept = {"allOf": [schema]} if "$ref" in schema else schema
    return kept | {"description": text}


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The options that are fields of `model`."""
    return [
        part
        for field in model.model_fields.values()
        for part in (field.annotation, *get_args(field.annotation))
        if isinstance(part, type) and issubclass(part, BaseModel)
    ]


COMMANDS: tuple[type[BaseModel], ...] = get_args(Command)
