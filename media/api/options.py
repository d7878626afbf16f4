"""Objects inside the bot's commands: how a call is made, heard, spoken, recorded and transferred.

JSON keys are camelCase, attributes snake_case. Unknown keys are ignored, ``null`` counts as absent (both
by `media.api.commands.parse`). Every model knows which keys were given (``model_fields_set``); a default
is never mistaken for a wish when two options are laid over each other (`overlay`).
"""

from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from media.api.fields import (
    Aggressiveness,
    Codec,
    Duration,
    Extra,
    Format,
    Fraction,
    Headers,
    Hertz,
    Line,
    Ms,
    Parallel,
    Sdp,
    Seconds,
    Secret,
    Sound,
    Speed,
    Url,
    Volume,
)


class Model(BaseModel):
    """Base of all commands and options: strict types, camelCase keys, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        strict=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        protected_namespaces=(),
    )


def _also(*keys: str) -> AliasChoices:
    """The keys a field is taken from; the first is the one it is written as."""
    return AliasChoices(*keys)


class RecorderOption(Model):
    """``recorder``: present means record, unless ``enable`` is false."""

    enable: bool = True
    recorder_file: Line | None = None
    """Name under the recordings folder; ``{id}`` stands for the session id."""
    samplerate: Hertz = Field(default=16_000, validation_alias=_also("samplerate", "sampleRate"))
    ptime: Ms = 200
    """Milliseconds between writes."""
    format: Format = "wav"


class VadOption(Model):
    """``vad``: voice activity detection of the caller; present means on, unless ``enable`` is false."""

    enable: bool = True
    aggressiveness: Aggressiveness | None = None
    """0 (takes much for voice) to 3 (only clear speech); 2 when absent."""
    type: Line = "silero"
    """``silero`` or ``webrtc``; unknown ones fall back to silero."""
    speech_padding: Ms = 250
    """Voice must last so long before ``speaking`` is sent."""
    silence_padding: Ms = 100
    """Pauses below this do not end an utterance."""
    voice_threshold: Fraction | None = None
    """Probability above which silero's answer is voice; without it, `aggressiveness` decides."""
    silence_timeout: Ms | None = None
    """Sends ``silence`` each time nothing was said for so long; 0 and absent: never."""
    interrupt: bool = False
    """Whether the caller's voice itself interrupts what is playing, without waiting for the bot."""
    interrupt_after: Ms = 60
    """Voice must last so long to do that."""


class DtmfOption(Model):
    """``dtmf``: keys that the caller presses."""

    inband: bool = False
    """Whether keys that come as tones in the audio are reported, until one comes as a telephone event."""


class Provider(Model):
    """What every speech provider takes: who it is and how to be let in."""

    provider: Line | None = None
    endpoint: Url | None = None
    region: Line | None = None
    app_id: Secret = None
    secret_id: Secret = None
    secret_key: Secret = None
    language: Line | None = None
    model: Line | None = Field(
        default=None, validation_alias=_also("model", "modelType"), serialization_alias="model"
    )
    samplerate: Hertz | None = Field(default=None, validation_alias=_also("samplerate", "sampleRate"))
    extra: Extra = None


class TranscriptionOption(Provider):
    """``asr``: turns what the caller says into text."""

    start_when_answer: bool = False
    """Whether early media is kept from the provider."""


class SynthesisOption(Provider):
    """``tts``: turns text into speech."""

    speaker: Line | None = None
    """Voice, by the provider's name for it."""
    volume: Volume = 5.0
    """5 is neutral; the scale ends at 10 (some providers: 100)."""
    speed: Speed = 1.0
    """1.0 is neutral, 2.0 twice as fast."""
    codec: Codec | None = None
    emotion: Line | None = None
    subtitle: bool | None = None
    max_concurrent_tasks: Parallel = 1
    """Requests of one call that may be under way at the provider."""


class EouOption(Model):
    """``eou``: tells when the caller has finished a turn."""

    type: Line | None = None
    endpoint: Url | None = None
    secret_id: Secret = None
    secret_key: Secret = None
    timeout: Ms | None = None
    """Silence after which the turn is over in any case."""
    extra: Extra = None


class SipOption(Model):
    """``sip``: credentials and headers of the calls we place."""

    username: Line | None = None
    password: Secret = None
    realm: Line | None = None
    headers: Headers = None
    """Extra headers of the INVITE."""
    hangup_headers: Headers = Field(
        default=None,
        validation_alias=_also("hangup_headers", "hangupHeaders"),
        serialization_alias="hangup_headers",
    )
    """Extra headers of our BYE."""


class CallOption(Model):
    """``option`` of ``invite`` and ``accept``."""

    caller: Line | None = None
    callee: Line | None = None
    offer: Sdp | None = None
    """WebRTC: the browser's offer."""
    codec: Codec | None = None
    """`/call` only: pcm (also for unknown ones), pcmu, pcma or g722."""
    denoise: bool = False
    dtmf: DtmfOption | None = None
    subscribe: bool = False
    """Whether the call's audio is also sent as binary frames on the control socket."""
    recorder: RecorderOption | None = None
    vad: VadOption | None = None
    asr: TranscriptionOption | None = None
    tts: SynthesisOption | None = None
    eou: EouOption | None = None
    sip: SipOption | None = None
    handshake_timeout: Duration | None = None
    """Seconds for ICE and DTLS."""
    inactivity_timeout: Seconds | None = None
    """Seconds without audio from the caller after which we hang up; 0 and absent: never."""
    enable_ipv6: bool = Field(default=False, validation_alias=_also("enableIpv6", "enableIPv6"))
    extra: Extra = None
    """The bot's own data; comes back in the call record."""


class ReferOption(Model):
    """``options`` of ``refer``."""

    denoise: bool = False
    timeout: Duration = 30.0
    """Seconds that the target may ring."""
    moh: Sound | None = None
    """What the caller hears meanwhile."""
    asr: TranscriptionOption | None = None
    auto_hangup: bool = True
    """Whether the caller is hung up when the target hangs up."""
    sip: SipOption | None = None


def _switch(value: object) -> object:
    """``true`` is an option with nothing but defaults, ``false`` is none."""
    if isinstance(value, bool):
        return {} if value else None
    return value


RecorderSwitch = Annotated[RecorderOption | None, BeforeValidator(_switch)]
"""``recorder`` of ``ringing``: true, false, or the option itself."""


M = TypeVar("M", bound=Model)


def overlay(base: M | None, over: M | None) -> M | None:
    """`base` with the keys that were given in `over`, field by field and down into nested options.

    ``extra`` and header maps are replaced as a whole.
    """
    if base is None or over is None:
        return base if over is None else over
    update: dict[str, Any] = {}
    for name in over.model_fields_set:
        new, old = getattr(over, name), getattr(base, name, None)
        both = isinstance(new, Model) and type(new) is type(old)
        update[name] = overlay(old, new) if both else new
    return base.model_copy(update=update)
