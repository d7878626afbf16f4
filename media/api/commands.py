"""Commands of the bot API: JSON text in, one frozen model out.

The models follow the API document; where old clients do otherwise, both are taken.
"""

import binascii
import math
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails, from_json

from control.errors import CommandError
from media.api.fields import Code, Headers, Line, Ms, Phrase, Sound, Wait, kind
from media.api.masking import masked
from media.api.options import (
    CallOption,
    EouOption,
    Model,
    RecorderOption,
    RecorderSwitch,
    ReferOption,
    SipOption,
    SynthesisOption,
    TranscriptionOption,
    VadOption,
    overlay,
)

__all__ = [
    "ADAPTER",
    "MAX_COMMAND",
    "MAX_TEXT",
    "NAMES",
    "Accept",
    "CallOption",
    "Command",
    "EouOption",
    "Hangup",
    "History",
    "Interrupt",
    "Invite",
    "Model",
    "Mute",
    "Pause",
    "Play",
    "Playback",
    "RecorderOption",
    "Refer",
    "ReferOption",
    "Reject",
    "Resume",
    "Ringing",
    "SipOption",
    "SynthesisOption",
    "TranscriptionOption",
    "Tts",
    "Unmute",
    "VadOption",
    "masked",
    "overlay",
    "parse",
]

MAX_COMMAND = 1_048_576
"""Bytes of one command."""
MAX_TEXT = 100_000
"""Characters of a text to speak or to keep."""
MILLISECONDS_FROM = 600
"""A ``waitInputTimeout`` above this many seconds is meant in milliseconds (old clients)."""

Text = Annotated[str, Field(max_length=MAX_TEXT)]


class Invite(Model):
    """Place a call, or start the session's audio."""

    command: Literal["invite"] = "invite"
    option: CallOption


class Accept(Model):
    """Answer the incoming call."""

    command: Literal["accept"] = "accept"
    option: CallOption


class Reject(Model):
    """Refuse the incoming call; without `code` with 603."""

    command: Literal["reject"] = "reject"
    reason: Phrase
    code: Code | None = None


class Ringing(Model):
    """Tell the caller that it rings: 180, or 183 with early media."""

    command: Literal["ringing"] = "ringing"
    recorder: RecorderSwitch = None
    early_media: bool = False
    ringtone: Sound | None = None


class Playback(Model):
    """What ``tts`` and ``play`` share."""

    play_id: Line | None = None
    auto_hangup: bool = False
    """Hang up when this has been played."""
    wait_input_timeout: Wait | None = None
    """As sent: seconds, or milliseconds when above MILLISECONDS_FROM."""

    @property
    def input_seconds(self) -> float | None:
        """Seconds to wait for the caller after playing, None for no limit."""
        wait = self.wait_input_timeout
        if not wait:
            return None
        return wait / 1000 if wait > MILLISECONDS_FROM else wait


class Tts(Playback):
    """Speak a text. The same `play_id` queues behind what is playing, another one replaces it."""

    command: Literal["tts"] = "tts"
    text: str
    speaker: Line | None = None
    streaming: bool = False
    end_of_stream: bool = False
    base64: bool = False
    """`text` is base64 of s16le mono samples; see `pcm`."""
    cache_key: Line | None = None
    """The bot's own name of what is said: with it, the same name is the same speech, whatever the text."""
    option: SynthesisOption | None = None

    def pcm(self) -> bytes:
        """Samples of a base64 `text`, s16le mono, or a WAV file. Raises CommandError when it is something else."""
        try:
            data = binascii.a2b_base64(self.text.encode(), strict_mode=True)
        except binascii.Error as error:
            raise CommandError(f'command "tts": "text" is not base64: {error}') from error
        if len(data) % 2 and not data.startswith(b"RIFF"):
            raise CommandError(f'command "tts": "text" holds {len(data)} bytes: no whole 16-bit samples')
        return data

    @model_validator(mode="after")
    def _limit(self) -> "Tts":
        if not self.base64 and len(self.text) > MAX_TEXT:
            raise ValueError(f'"text" must have at most {MAX_TEXT} characters, got {len(self.text)}')
        return self


class Play(Playback):
    """Play a file; `url` is its `play_id` unless one is given."""

    command: Literal["play"] = "play"
    url: Sound
    offset_ms: Ms = 0
    """Where in the file it begins."""


class Interrupt(Model):
    """Stop what is playing."""

    command: Literal["interrupt"] = "interrupt"
    graceful: bool = False
    """Let the text that is being spoken end."""
    fade_out_ms: Ms | None = None
    """Let it fall silent in this time, as far as its audio is there (about a second)."""


class Pause(Model):
    """Freeze what is playing."""

    command: Literal["pause"] = "pause"


class Resume(Model):
    """Go on after ``pause``."""

    command: Literal["resume"] = "resume"


class Refer(Model):
    """Transfer the caller to `callee`."""

    command: Literal["refer"] = "refer"
    caller: Line
    """Who calls the target; empty keeps the original caller."""
    callee: Line
    options: ReferOption = ReferOption()


class Mute(Model):
    """Silence the track with this id (the session's: the caller's), or all that there are."""

    command: Literal["mute"] = "mute"
    track_id: Line | None = None


class Unmute(Model):
    """Undo ``mute``."""

    command: Literal["unmute"] = "unmute"
    track_id: Line | None = None


class Dtmf(Model):
    """Press keys on our side of the call."""

    command: Literal["dtmf"] = "dtmf"
    digits: Line
    """0 to 9, *, # and A to D, one after the other."""
    duration: Ms = 160
    """Of each key; what is above 20 ms steps is rounded up."""
    gap: Ms = 80
    """Silence after each key."""


class Hangup(Model):
    """End the call."""

    command: Literal["hangup"] = "hangup"
    reason: Phrase | None = None
    initiator: Phrase | None = None
    headers: Headers = None
    """Extra headers of our BYE."""
    refer: bool = False
    """Whether only the transfer ends, and the caller is back with us."""


class History(Model):
    """Add a line to the conversation's history; comes back as ``addHistory``."""

    command: Literal["history"] = "history"
    speaker: Line
    text: Text


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
