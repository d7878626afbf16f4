"""The conformance table: what there is in the API, in a few words, and the test that proves each item.

``python -m tests.support.conformance`` writes docs/conformance.md. Commands, options and events are taken from their
models, everything else and the tests from tests/conformance/table.toml.
"""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import get_args

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from media.api import events, options
from media.api.spec.texts import class_text, field_texts
from tests.support import contract

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "conformance.md"
OPTIONS: tuple[type[BaseModel], ...] = (
    options.CallOption,
    options.ReferOption,
    options.RecorderOption,
    options.VadOption,
    options.TranscriptionOption,
    options.SynthesisOption,
    options.EouOption,
    options.InterruptOption,
    options.AmdOption,
    options.SipOption,
    options.DtmfOption,
)
OBJECTS = (events.Attendee, events.CallQuality)
_DATA = tomllib.loads((PROJECT / "tests/conformance/table.toml").read_text("utf-8"))
INTRODUCTION: str = _DATA["introduction"]
NOTES: dict[str, str] = _DATA["notes"]
TESTS: dict[str, str] = _DATA["tests"]
"""Test by item; ``*`` stands for anything; the item itself wins, then the longest pattern."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    item: str
    meaning: str
    test: str
    """``file::name`` below tests/."""


def sections() -> Iterator[tuple[str, list[Row]]]:
    """Every section with its rows."""
    yield "Endpoints", _given("endpoints")
    yield "Commands", [row for name, model in contract.MODELS.items() for row in _model(name, model)]
    yield "Options", [row for model in OPTIONS for row in _model(model.__name__, model)]
    yield "Events", [*_events(), *_given("events")]
    yield "Objects in events", [row for kind in OBJECTS for row in _record(kind.__name__, kind)]
    yield "How it behaves", _given("behaviour")


def page() -> str:
    """The text of docs/conformance.md."""
    parts = [INTRODUCTION.strip()]
    for title, rows in sections():
        lines = [f"| `{row.item}` | {row.meaning.replace('|', '/')} | `{row.test}` |" for row in rows]
        if title == "How it behaves":
            lines = [line.replace("`", "", 2) for line in lines]
        parts.append("\n".join([f"## {title}", "", "| item | meaning | test |", "|---|---|---|", *lines]))
    return "\n\n".join(parts) + "\n"


@cache
def functions(file: str) -> frozenset[str]:
    """The names of the test functions, and of the test cases, in a file below tests/."""
    tree = ast.parse((PROJECT / "tests" / file).read_text("utf-8"))
    named = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    cases = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return frozenset(name for name in named | cases if name.lower().startswith("test"))


def patterns_of(item: str) -> list[str]:
    """The patterns that say which test proves `item`, the one that counts first."""
    found = (pattern for pattern in TESTS if fnmatchcase(item, pattern))
    return sorted(found, key=lambda pattern: (pattern == item, len(pattern)), reverse=True)


def _row(item: str, meaning: str) -> Row:
    found = patterns_of(item)
    note = next((text for pattern, text in NOTES.items() if fnmatchcase(item, pattern)), "")
    return Row(item, f"{_short(meaning)} {note}".strip(), TESTS[found[0]] if found else "")


def _given(section: str) -> list[Row]:
    return [Row(entry["item"], entry["meaning"], entry["test"]) for entry in _DATA[section]]


def _model(name: str, model: type[BaseModel]) -> Iterator[Row]:
    yield _row(name, class_text(model))
    texts = field_texts(model)
    for key, field in model.model_fields.items():
        if key != "command":
            written = contract.written(key, field.validation_alias, field.alias)
            yield _row(f"{name}.{written}", texts.get(key, ""))


def _events() -> Iterator[Row]:
    for kind in get_args(events.Event):
        yield from _record(f"{kind.event} event", kind)


def _record(name: str, kind: type) -> Iterator[Row]:
    yield _row(name, class_text(kind))
    texts = field_texts(kind)
    also = getattr(kind, "also", {})
    for field in fields(kind):
        yield _row(f"{name}.{to_camel(field.name.removesuffix('_'))}", texts.get(field.name, ""))
    for key, name_of_field in also.items():
        yield _row(f"{name}.{key}", texts.get(name_of_field, ""))


def _short(text: str) -> str:
    """The first sentence of `text`."""
    return text.split(". ")[0].split("; ")[0].rstrip(".")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
