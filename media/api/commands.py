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
    """Place a call, take a browser's offer, or begin the audio of ``/call``."""

    command: Literal["invite"] = "invite"
    option: CallOption
    """How the call is made, heard, spoken to and recorded."""


class Accept(Model):
    """Answer the incoming call."""

    command: Literal["accept"] = "accept"
    option: CallOption
    """How the call is heard, spoken to and recorded."""


class Reject(Model):
    """Refuse the incoming call."""

    command: Literal["reject"] = "reject"
    reason: Phrase
    """Told to the caller in a ``Reason`` header."""
    code: Code | None = None
    """SIP status; 603 (declined) when absent."""


class Ringing(Model):
    """Tell the caller that it rings: 180, or 183 with sound before the answer."""

    command: Literal["ringing"] = "ringing"
    recorder: RecorderSwitch = None
    """Record from now on where there is early media, else from the answer on; true is an option with its defaults."""
    early_media: bool = False
    """Whether the caller hears us before the answer (183)."""
    ringtone: Sound | None = None
    """Played to the caller until ``accept``, as ``play`` would; implies `early_media`."""


class Playback(Model):
    """What ``tts`` and ``play`` share."""

    play_id: Line | None = None
    """Name of the play in its events. ``tts``: the same one continues what is being said, another replaces it.
    ``play``: the URL when absent."""
    auto_hangup: bool = False
    """Hang up when this has been played to its end."""
    wait_input_timeout: Wait | None = None
    """Seconds that the caller may do nothing after the play has ended; then ``silence`` comes, with the track id of
    what we play. 0 and absent: no limit. A value above 600 is milliseconds."""

    @property
    def input_seconds(self) -> float | None:
        """Seconds to wait for the caller after playing, None for no limit."""
        wait = self.wait_input_timeout
        if not wait:
            return None
        return wait / 1000 if wait > MILLISECONDS_FROM else wait


class Tts(Playback):
    """Speak a text."""

    command: Literal["tts"] = "tts"
    text: str
    """What is spoken; may be empty where only the flags matter."""
    speaker: Line | None = None
    """Voice; goes before that of `option` and of the call."""
    streaming: bool = False
    """Whether the texts with this `play_id` are pieces of one, such as the words of a language model: each sentence is
    spoken as soon as it is whole."""
    end_of_stream: bool = False
    """With `streaming`: whether this is the last piece."""
    base64: bool = False
    """Whether `text` is base64 of samples, s16le mono at the ``samplerate`` of the option, 16 kHz when it has none; or
    of a WAV file."""
    cache_key: Line | None = None
    """The bot's own name of what is said: with it, the same name is the same speech, whatever the text."""
    option: SynthesisOption | None = None
    """Laid over the call's ``tts`` option, field by field."""

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
    """Play a file."""

    command: Literal["play"] = "play"
    url: Sound
    """``http://``, ``https://``, or a name below the operator's folder of sounds; WAV, MP3, Ogg (Vorbis, Opus) or
    FLAC."""
    offset_ms: Ms = 0
    """Where in the file it begins."""


class Interrupt(Model):
    """Stop what is playing, and drop what waits to be played."""

    command: Literal["interrupt"] = "interrupt"
    graceful: bool = False
    """Let the text that is being spoken end."""
    fade_out_ms: Ms | None = None
    """Milliseconds in which it falls silent, as far as its audio is there (about a second)."""


class Pause(Model):
    """Hold what is playing where it is."""

    command: Literal["pause"] = "pause"


class Resume(Model):
    """Go on where ``pause`` held what was playing."""

    command: Literal["resume"] = "resume"


class Refer(Model):
    """Transfer the caller: we call the target, and connect the two."""

    command: Literal["refer"] = "refer"
    caller: Line
    """Who calls the target; empty keeps the original caller."""
    callee: Line
    """The target: SIP URI, ``tel:`` URI or number."""
    options: ReferOption = ReferOption()
    """How the target is called."""


class Mute(Model):
    """Silence a track."""

    command: Literal["mute"] = "mute"
    track_id: Line | None = None
    """The session's id for the caller, ``server-side-track`` for what we play; absent: both, as far as they are
    there."""


class Unmute(Model):
    """Undo ``mute``."""

    command: Literal["unmute"] = "unmute"
    track_id: Line | None = None
    """As in ``mute``."""


class Dtmf(Model):
    """Extension: press keys on our side of the call."""

    command: Literal["dtmf"] = "dtmf"
    digits: Line
    """``0`` to ``9``, ``*``, ``#`` and ``A`` to ``D``, one after the other."""
    duration: Ms = 160
    """Milliseconds of each key, 40 to 60000, rounded up to whole 20."""
    gap: Ms = 80
    """Milliseconds of silence after each key, 40 to 60000, rounded up to whole 20."""


class Hangup(Model):
    """End the call, or only the transfer."""

    command: Literal["hangup"] = "hangup"
    reason: Phrase | None = None
    """Comes back in the event, and goes to the far end; ``system`` when absent."""
    initiator: Phrase | None = None
    """Comes back in the event; ``system`` when absent."""
    headers: Headers = None
    """Extra headers of our BYE."""
    refer: bool = False
    """Extension: whether only the transfer ends, and the caller is back with the bot."""


class History(Model):
    """Add a line to the conversation's history; it comes back as ``addHistory``."""

    command: Literal["history"] = "history"
    speaker: Line
    """Such as ``user`` or ``assistant``."""
    text: Text
    """What was said."""


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
