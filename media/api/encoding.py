"""JSON text of dataclasses: camelCase keys, None left out, whole numbers."""

import operator
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from json import JSONEncoder
from typing import Any

from pydantic.alias_generators import to_camel

_Plan = tuple[tuple[str, Callable[[Any], Any]], ...]


def to_json(record: Any) -> str:
    """`record` as compact JSON.

    A class attribute ``event`` comes first; a class attribute ``also`` maps further keys to fields. One
    underscore at the end of a field's name is not part of its key.
    """
    text = _encode(_as_dict(record))
    if text.isascii():
        return text
    # Half a surrogate pair (from a peer's header or a file name) cannot be sent as UTF-8.
    return text.encode("utf-8", "replace").decode()


_plans: dict[type, _Plan] = {}


def keys(kind: type) -> dict[str, str]:
    """The field of `kind` behind each JSON key."""
    names = {to_camel(field.name.removesuffix("_")): field.name for field in fields(kind)}
    return names | dict(getattr(kind, "also", {}))


def _plan(kind: type) -> _Plan:
    return tuple((key, operator.attrgetter(name)) for key, name in keys(kind).items())


def _as_dict(record: Any) -> dict[str, Any]:
    kind = type(record)
    shown = {"event": record.event} if hasattr(kind, "event") else {}
    plan = _plans.get(kind) or _plans.setdefault(kind, _plan(kind))
    for key, get in plan:
        value = get(record)
        if value is not None:
            shown[key] = value
    return shown


def _plain(value: Any) -> Any:
    """What JSON does not know: records inside records, and whole numbers of numpy."""
    return _as_dict(value) if is_dataclass(value) else operator.index(value)


_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode
