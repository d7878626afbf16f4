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
    Grammar,
    Headers,
    Hertz,
    InterruptOn,
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
    """False: nothing is recorded."""
    recorder_file: Line | None = None
    """Name below the operator's folder of recordings; ``{id}`` is the id of the session. ``{id}.wav`` when absent."""
    samplerate: Hertz | None = Field(default=None, validation_alias=_also("samplerate", "sampleRate"))
    """Hz: up to 8000 gives 8 kHz, above 16 kHz; absent: that of the call. Also taken as ``sampleRate``."""
    ptime: Ms = 200
    """Milliseconds between writes; read, without effect."""
    format: Format = "wav"
    """WAV is written. Any other is answered with an ``error`` (501) after the answer, and WAV is written."""


class VadOption(Model):
    """``vad``: voice activity detection of the caller; present means on, unless ``enable`` is false."""

    enable: bool = True
    """False: no detection."""
    aggressiveness: Aggressiveness | None = None
    """0 (takes much for voice) to 3 (only clear speech); 2 when absent."""
    type: Line = "silero"
    """``silero`` or ``webrtc``; any other falls back to silero, with an ``error`` (501) after the answer."""
    speech_padding: Ms = 250
    """Milliseconds that voice must last before ``speaking`` is sent."""
    silence_padding: Ms = 100
    """Milliseconds; pauses shorter than this do not end an utterance."""
    voice_threshold: Fraction | None = None
    """Probability above which silero's answer is voice; without it, `aggressiveness` decides."""
    silence_timeout: Ms | None = None
    """Milliseconds; ``silence`` is sent each time nothing was said for so long. 0 and absent: never."""
    interrupt: bool = False
    """Extension: whether the caller's voice itself interrupts what is playing, without waiting for the bot."""
    interrupt_after: Ms = 60
    """Extension: milliseconds that voice must last to do that."""


class DtmfOption(Model):
    """Extension. ``dtmf``: keys that the caller presses."""

    inband: bool = False
    """Whether keys that come as tones in the audio are reported, until one comes as a telephone event."""


class Provider(Model):
    """What every speech provider takes: who it is and how to be let in."""

    provider: Line | None = None
    """Name of the provider; the operator's choice when absent."""
    endpoint: Url | None = None
    """Address of the provider's server, where it is not the usual one."""
    region: Line | None = None
    """The provider's region."""
    app_id: Secret = None
    """Account at the provider; never shown again."""
    secret_id: Secret = None
    """Name of the key at the provider; never shown again."""
    secret_key: Secret = None
    """The key itself; never shown again."""
    language: Line | None = None
    """Such as ``en-US``."""
    model: Line | None = Field(
        default=None, validation_alias=_also("model", "modelType"), serialization_alias="model"
    )
    """The provider's model. Also taken as ``modelType``."""
    samplerate: Hertz | None = Field(default=None, validation_alias=_also("samplerate", "sampleRate"))
    """Hz. Also taken as ``sampleRate``."""
    fallback: Line | None = None
    """Extension: name of the provider that takes over when this one cannot be reached."""
    extra: Extra = None
    """Further parameters of the provider."""


class TranscriptionOption(Provider):
    """``asr``: turns what the caller says into text."""

    start_when_answer: bool = False
    """Whether early media is kept from the provider."""
    grammar: Grammar = None
    """Extension: what may be said, for recognisers that take a grammar: ``digits``, ``yesno``, a list of phrases, or
    a grammar in JSGF."""
    gate: bool = False
    """Extension: whether the provider is sent only speech, with a little of what is around it."""


class SynthesisOption(Provider):
    """``tts``: turns text into speech."""

    speaker: Line | None = None
    """Voice, by the provider's name for it."""
    volume: Volume = 5.0
    """5 is neutral; the scale ends at 10 (some providers: 100)."""
    speed: Speed = 1.0
    """1.0 is neutral, 2.0 twice as fast."""
    codec: Codec | None = None
    """What the provider is to send."""
    emotion: Line | None = None
    """The provider's word for how it is said."""
    subtitle: bool | None = None
    """Whether the provider is asked for the times of words."""
    max_concurrent_tasks: Parallel = 1
    """Texts of one play that may be made into speech at the same time."""


class EouOption(Model):
    """``eou``: tells when the caller has finished a turn."""

    type: Line | None = None
    """``local`` or ``http``; any other name needs an `endpoint`. Absent: ``http`` with an `endpoint`, else
    ``local``."""
    endpoint: Url | None = None
    """Address of the server that is asked."""
    secret_id: Secret = None
    """Name of the key there; never shown again."""
    secret_key: Secret = None
    """The key itself; never shown again."""
    timeout: Ms | None = None
    """Milliseconds of silence after which the turn is over in any case."""
    extra: Extra = None
    """Further parameters of the detector."""


class InterruptOption(Model):
    """Extension. ``interrupt``: lets the server cut what is playing when the caller speaks over it."""

    on: InterruptOn = "speech"
    """``none``; ``speech``; ``words:N``, N recognised words; ``dtmf``, a key."""
    minimum: Ms = 200
    """Milliseconds that voice must last; playing pauses meanwhile with ``resume``."""
    resume: Ms = 0
    """Milliseconds after which playing goes on when the voice stopped and no word was recognised; 0: what was cut
    stays cut."""


class AmdOption(Model):
    """Extension. ``answerMachineDetection``: who answered: a human, a machine, or a fax."""

    timeout: Ms = 4000
    """Milliseconds from the answer within which the decision falls."""
    beep: Ms = 30_000
    """Milliseconds from the answer in which a machine's beep is waited for; 0: not at all."""


class SipOption(Model):
    """``sip``: credentials and headers of the calls we place."""

    username: Line | None = None
    """User name for a server that asks for one."""
    password: Secret = None
    """Its password; never shown again."""
    realm: Line | None = None
    """Realm that these belong to; any when absent."""
    headers: Headers = None
    """Extra headers of the INVITE."""
    hangup_headers: Headers = Field(
        default=None,
        validation_alias=_also("hangup_headers", "hangupHeaders"),
        serialization_alias="hangup_headers",
    )
    """Extra headers of our BYE. Also taken as ``hangupHeaders``."""


def _switch(value: object) -> object:
    """``true`` is an option with nothing but defaults, ``false`` is none."""
    if isinstance(value, bool):
        return {} if value else None
    return value


RecorderSwitch = Annotated[
    RecorderOption | None, BeforeValidator(_switch, json_schema_input_type=bool | RecorderOption)
]
"""``recorder`` of ``ringing``: true, false, or the option itself."""


def _policy(value: object) -> object:
    """Text is the policy alone."""
    return {"on": value} if isinstance(value, str) else value


InterruptSwitch = Annotated[
    InterruptOption | None, BeforeValidator(_policy, json_schema_input_type=str | InterruptOption)
]
"""``interrupt``: the policy as text, or the option itself."""
AmdSwitch = Annotated[AmdOption | None, BeforeValidator(_switch, json_schema_input_type=bool | AmdOption)]
"""``answerMachineDetection``: true, false, or the option itself."""


class CallOption(Model):
    """``option`` of ``invite`` and ``accept``."""

    caller: Line | None = None
    """Who calls: SIP URI, ``tel:`` URI or number. ``invite`` by SIP: the From; elsewhere only told in ``hangup``."""
    callee: Line | None = None
    """Who is called. ``invite`` by SIP needs it; elsewhere only told in ``hangup``."""
    offer: Sdp | None = None
    """The browser's SDP offer, with all its candidates; ``invite`` by WebRTC needs it."""
    codec: Codec | None = None
    """``/call`` only: ``pcm`` (also for unknown ones), ``pcmu``, ``pcma`` or ``g722``."""
    denoise: bool = False
    """Whether noise is taken out of the caller's audio, for all who listen."""
    dtmf: DtmfOption | None = None
    """Extension: how keys are heard."""
    subscribe: bool = False
    """Whether the call's audio is also sent to the bot, as binary frames. Not for ``/call``, whose audio comes so."""
    recorder: RecorderOption | None = None
    """Record the call."""
    vad: VadOption | None = None
    """Tell when the caller speaks."""
    asr: TranscriptionOption | None = None
    """Tell what the caller says: ``asrDelta`` and ``asrFinal``."""
    tts: SynthesisOption | None = None
    """What the ``tts`` commands of this call have in common."""
    eou: EouOption | None = None
    """Tell when the caller has finished a turn: ``eou``."""
    interrupt: InterruptSwitch = None
    """Extension: what interrupts playing, beside the bot: an object, or its ``on`` alone. Nothing when absent."""
    answer_machine_detection: AmdSwitch = None
    """Extension: tell who answered; an object, or true."""
    sip: SipOption | None = None
    """Credentials and headers; SIP only."""
    handshake_timeout: Duration | None = None
    """Seconds in which audio of the browser must come, as ``30``, ``"30"`` or ``"30s"``; else the call ends with reason
    ``handshakeTimeout``. WebRTC only; no limit when absent."""
    inactivity_timeout: Seconds | None = None
    """Seconds without audio from the caller after which we hang up; 0: never. Absent: never, but 30 for WebRTC, whose
    browsers leave without a word."""
    enable_ipv6: bool = Field(default=False, validation_alias=_also("enableIpv6", "enableIPv6"))
    """Whether candidates with IPv6 addresses are used. WebRTC only. Also taken as ``enableIPv6``."""
    extra: Extra = None
    """The bot's own data; comes back in ``hangup`` and in the call's record."""


class ReferOption(Model):
    """``options`` of ``refer``."""

    denoise: bool = False
    """Whether noise is taken out of what the target says, as far as it passes through us: what is recorded, and what a
    caller of ``/call`` hears."""
    timeout: Duration = 30.0
    """Seconds that the target may ring, as ``30``, ``"30"`` or ``"30s"``; then ``reject`` with code 408."""
    moh: Sound | None = None
    """Music that the caller hears, again and again, until the target answers; takes what ``play`` takes. Ringing tone
    when absent, and until it is there."""
    asr: TranscriptionOption | None = None
    """Tell what the target says, with the ``trackId`` of what we play."""
    auto_hangup: bool = True
    """Whether the caller is hung up when the target has gone; false: the caller is back with the bot."""
    sip: SipOption | None = None
    """Credentials and headers of the call to the target."""


M = TypeVar("M", bound=Model)
P = TypeVar("P", bound=Provider)
_ANY_PROVIDERS = frozenset({"language", "speed", "volume", "grammar", "gate", "start_when_answer"})
"""Fields that mean the same to every provider."""


def for_any(option: P, **given: Any) -> P:
    """What of `option` means the same to any provider, and `given`."""
    kept = {name: getattr(option, name) for name in option.model_fields_set & _ANY_PROVIDERS}
    return type(option)(**{**kept, **given})


def instead(base: P | None, over: P | None) -> P | None:
    """`overlay`; where `over` names another provider, keys, addresses and voices of `base` are not for that one."""
    changed = base is not None and over is not None and over.provider not in (None, base.provider)
    return overlay(for_any(base) if changed and base is not None else base, over)


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
