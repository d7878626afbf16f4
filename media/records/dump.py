"""Lines of an event dump: ``{"type":"command"|"event","timestamp":ms,"content":"<JSON text>"}``, without secrets."""

import json
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from media.api.masking import masked, masked_values, may_hold_secrets
from media.api.options import Model

LONGEST = 16_384
"""Characters of a text inside a command that are kept, such as audio as base64."""


@dataclass(frozen=True, slots=True)
class Unparsed:
    """Text of a bot that is no command. It is not kept: nobody can tell where its secrets are."""

    length: int
    reason: str
    """Why, as the bot was told."""


Content = str | Model | Unparsed
"""An event's JSON text, a command, or what should have been one."""


def line(timestamp: int, content: Content) -> bytes:
    """The line of something that happened at `timestamp` (ms since the epoch)."""
    if isinstance(content, str):
        kind, text = "event", _event(content)
    elif isinstance(content, Unparsed):
        kind, text = "command", _compact({"unparsed": content.reason[:200], "length": content.length})
    else:
        kind, text = "command", _compact(_shortened(masked(content)))
    # Half a surrogate pair cannot be written as UTF-8.
    return f'{{"type":"{kind}","timestamp":{timestamp},"content":{encode_basestring(text)}}}\n'.encode(
        "utf-8", "replace"
    )


def _event(text: str) -> str:
    return _compact(masked_values(json.loads(text))) if may_hold_secrets(text) else text


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:LONGEST]}… ({len(value)} characters)"
    return value


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
