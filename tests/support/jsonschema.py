"""Checks JSON against the JSON schemas of our specifications: every keyword that they use, and no other."""

import re
from collections.abc import Callable, Mapping
from typing import Any

TEXTS = frozenset({"description", "default", "examples", "format"})
"""Keywords that demand nothing here."""


class MismatchError(Exception):
    """Where a value is not as its schema wants it."""


def check(value: Any, schema: Mapping[str, Any], document: Mapping[str, Any], at: str = "$") -> None:
    """Raise MismatchError when `value` is not as `schema` wants it; references lead into `document`."""
    for keyword, wanted in schema.items():
        if keyword in TEXTS:
            continue
        if keyword not in _KEYWORDS:
            raise AssertionError(f"{at}: the keyword {keyword} is not known to these tests")
        if not _KEYWORDS[keyword](value, wanted, schema, document, at):
            raise MismatchError(f"{at}: {value!r} breaks {keyword} {wanted!r}")


def resolve(reference: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference within `document` leads to. Raises KeyError."""
    assert reference.startswith("#/")
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    assert isinstance(found, dict)
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": _number,
    "integer": lambda value: _number(value) and value == int(value),
}

Keyword = Callable[[Any, Any, Mapping[str, Any], Mapping[str, Any], str], bool]


def _any(value: Any, choices: Any, _: Any, document: Mapping[str, Any], at: str) -> bool:
    for choice in choices:
        try:
            check(value, choice, document, at)
        except MismatchError:
            continue
        return True
    return False


def _all(value: Any, parts: Any, _: Any, document: Mapping[str, Any], at: str) -> bool:
    for part in parts:
        check(value, part, document, at)
    return True


def _properties(value: Any, parts: Any, _: Any, document: Mapping[str, Any], at: str) -> bool:
    for key, part in parts.items():
        if isinstance(value, dict) and key in value:
            check(value[key], part, document, f"{at}.{key}")
    return True


def _additional(value: Any, part: Any, schema: Any, document: Mapping[str, Any], at: str) -> bool:
    for key in value if isinstance(value, dict) else ():
        if key not in schema.get("properties", {}):
            check(value[key], part, document, f"{at}.{key}")
    return True


def _items(value: Any, part: Any, _: Any, document: Mapping[str, Any], at: str) -> bool:
    for number, item in enumerate(value if isinstance(value, list) else ()):
        check(item, part, document, f"{at}[{number}]")
    return True


def _refer(value: Any, reference: Any, _: Any, document: Mapping[str, Any], at: str) -> bool:
    check(value, resolve(reference, document), document, at)
    return True


_KEYWORDS: dict[str, Keyword] = {
    "$ref": _refer,
    "type": lambda value, kind, *_: _TYPES[kind](value),
    "const": lambda value, wanted, *_: type(value) is type(wanted) and value == wanted,
    "enum": lambda value, choices, *_: value in choices,
    "anyOf": _any,
    "allOf": _all,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
    "required": lambda value, keys, *_: not isinstance(value, dict) or set(keys) <= set(value),
    "minimum": lambda value, least, *_: not _number(value) or value >= least,
    "maximum": lambda value, most, *_: not _number(value) or value <= most,
    "minLength": lambda value, least, *_: not isinstance(value, str) or len(value) >= least,
    "maxLength": lambda value, most, *_: not isinstance(value, str) or len(value) <= most,
    "pattern": lambda value, text, *_: not isinstance(value, str) or bool(re.search(text, value)),
}
