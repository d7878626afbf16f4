"""Commands of the bot API: JSON text in, one frozen model out.

The models follow the API document; where old clients do otherwise, both are taken.
"""

import math
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json

from control.errors import CommandError
from media.api.fields import kind
from media.commands.accept import Accept
from media.commands.dtmf import Dtmf
from media.commands.hangup import Hangup
from media.commands.history import History
from media.commands.interrupt import Interrupt
from media.commands.invite import Invite
from media.commands.mute import Mute
from media.commands.pause import Pause
from media.commands.play import Play
from media.commands.refer import Refer
from media.commands.reject import Reject
from media.commands.resume import Resume
from media.commands.ringing import Ringing
from media.commands.tts import Tts
from media.commands.unmute import Unmute

__all__ = [
    "ADAPTER",
    "MAX_COMMAND",
    "NAMES",
    "Accept",
    "Command",
    "Dtmf",
    "Hangup",
    "History",
    "Interrupt",
    "Invite",
    "Mute",
    "Pause",
    "Play",
    "Refer",
    "Reject",
    "Resume",
    "Ringing",
    "Tts",
    "Unmute",
    "parse",
]

MAX_COMMAND = 1_048_576
"""Bytes of one command."""

Command = (
    Invite | Accept | Reject | Ringing | Tts | Play | Interrupt | Pause | Resume | Refer | Mute | Unmute
    | Dtmf | Hangup | History
)  # fmt: skip

ADAPTER: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="command")])
"""Validates (and describes as JSON schema) any command."""

NAMES = tuple(sorted(model.model_fields["command"].default for model in get_args(Command)))
"""Every command's name."""


def parse(text: str | bytes) -> Command:
    """Read one command from a text frame. Raises CommandError (400, or 413 when too long)."""
    try:
        raw = text.encode() if isinstance(text, str) else text
        if len(raw) > MAX_COMMAND:
            raise CommandError(f"a command may have {MAX_COMMAND} bytes, this one has {len(raw)}", 413)
        data = from_json(raw, allow_inf_nan=False)
    except UnicodeEncodeError as error:
        raise CommandError("the command is not JSON: it has half a surrogate pair") from error
    except ValueError as error:
        raise CommandError(f"the command is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise CommandError(f"a command must be a JSON object, got {kind(data)}")
    try:
        return ADAPTER.validate_python(_given(data))
    except ValidationError as error:
        raise CommandError(_explain(data, error.errors(include_url=False))) from None


def _given(value: Any) -> Any:
    """`value` without the keys that are null, at every depth."""
    if isinstance(value, dict):
        return {key: _given(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_given(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise CommandError("the command holds a number too large to be used")
    return value


_WANTED = {
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


def _explain(data: dict[str, Any], faults: list[ErrorDetails]) -> str:
    """One sentence for the first three faults; names where they are, never a text that was given."""
    fault = faults[0]
    if fault["type"] == "union_tag_not_found":
        return 'the field "command" is missing'
    if fault["type"] == "union_tag_invalid":
        name = data["command"]
        if not isinstance(name, str):
            return f'the field "command" must be text, got {kind(name)}'
        return f'unknown command "{name[:40]}"; there are {", ".join(NAMES)}'
    return f'command "{data["command"]}": ' + "; ".join(_sentence(fault) for fault in faults[:3])


def _sentence(fault: ErrorDetails) -> str:
    _, *path = fault["loc"]
    where = ".".join(str(part)[:40] for part in path)
    if fault["type"] == "missing":
        return f'field "{where}" is missing'
    if fault["type"] in _WANTED:
        what = f"{_WANTED[fault['type']]}, got {kind(fault['input'])}"
    elif fault["type"] == "string_too_long":
        what = f"must have at most {fault['ctx']['max_length']} characters"
    elif fault["type"] == "string_too_short":
        what = "must not be empty"
    else:
        what = fault["msg"].removeprefix("Value error, ")
    return f'"{where}" {what}' if where else what
