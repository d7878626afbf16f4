"""What docstrings say of classes and of their fields, in Markdown for those who use the API.

A name between single backquotes is that of a field here, snake_case, and becomes its JSON key; what stands between
double ones stays as it is.
"""

import ast
import inspect
import re
import sys
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from pydantic.alias_generators import to_camel

_QUOTED = re.compile(r"``(.+?)``|`(\w+)`")


def class_text(kind: type) -> str:
    """The docstring of `kind` itself, as one paragraph."""
    return _markdown(kind.__dict__["__doc__"])


def field_texts(kind: type) -> Mapping[str, str]:
    """The docstrings below the fields of `kind` and of its bases, by the names of the fields."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith(("media.", "control.")):
            found |= _written(base.__module__).get(base.__name__, {})
    return found


@cache
def _written(module: str) -> Mapping[str, Mapping[str, str]]:
    """The docstrings of fields in the source of `module`, by class and field."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return MappingProxyType(
        {node.name: _fields(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    )


def _fields(node: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                found[name] = _markdown(words)
    return found


def _markdown(text: str) -> str:
    def quoted(found: re.Match[str]) -> str:
        literal, name = found.groups()
        return f"`{literal or to_camel(name)}`"

    return _QUOTED.sub(quoted, " ".join(text.split()))
