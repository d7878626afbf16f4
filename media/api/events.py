"""Events of the bot API: frozen records, one a kind, and their JSON text.

All times are whole milliseconds since the Unix epoch, all durations whole milliseconds, unless a field says
otherwise. A field that is None does not appear in the JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from control.errors import UriError
from control.sip.uri import parse_name_addr, parse_uri
from media.api.encoding import to_json


@dataclass(frozen=True, slots=True)
class Attendee:
    """Who takes part in a call."""

    username: str
    """User part of the SIP URI, or the telephone number."""
    realm: str
    """Host of the SIP URI; empty for a telephone number."""
    source: str
    """The whole URI or number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallQuality:
    """How a call sounded; what is not known is left out."""

    mos: float | None
    """Estimate of how it sounded, 1 to 4.5 (ITU-T G.107); absent when no audio came."""
    jitter_ms: float
    """Interarrival jitter of the caller's packets (RFC 3550) at the end, ms."""
    max_jitter_ms: float
    """The same at its highest."""
    loss_percent: float
    """Of the caller's packets, those that could not be played: lost, or too late."""
    rtt_ms: float | None
    """To the peer and back, ms, by its reports (RTCP); absent without any."""
    peer_loss_percent: float | None
    """Of our packets, those that the peer missed, by its last report; absent without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackEvent:
    """What most events carry."""

    track_id: str
    """The session's id for the caller's track, ``server-side-track`` (or the name the bot gave it) for what we play and
    for the target of a transfer."""
    timestamp: int
    """When the event was sent: ms since the Unix epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming(TrackEvent):
    """A call came in and waits for ``accept`` or ``reject``."""

    event: ClassVar[str] = "incoming"
    caller: str
    """URI of the From header."""
    callee: str
    """URI of the To header."""
    sdp: str
    """The caller's offer."""
    dialog_id: str | None = None
    """Extension: the call's id, as in webhooks and logs."""
    headers: Mapping[str, str] | None = None
    """Extension: headers of the INVITE that begin with ``X-``. Do not trust them: anybody may send them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(TrackEvent):
    """The call stands."""

    event: ClassVar[str] = "answer"
    sdp: str
    """WebRTC: our answer, for the browser. SIP out: the callee's; SIP in: ours. Empty for ``/call``."""
    refer: bool | None = None
    """True when this is about the target of a transfer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject(TrackEvent):
    """The call that we place was refused, by the far end or by us."""

    event: ClassVar[str] = "reject"
    reason: str
    """The reason phrase, or what was wrong."""
    code: int | None = None
    """SIP status, such as 486 (busy) or 408 (not answered in time)."""
    refer: bool | None = None
    """True when this is about the target of a transfer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ringing(TrackEvent):
    """The far end rings."""

    event: ClassVar[str] = "ringing"
    early_media: bool
    """Whether its audio is heard already."""
    refer: bool | None = None
    """True when this is about the target of a transfer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangup(TrackEvent):
    """The call is over, or only its transfer."""

    event: ClassVar[str] = "hangup"
    reason: str | None = None
    """Why."""
    initiator: str | None = None
    """``caller``, ``callee`` or ``system``; or what the command ``hangup`` said."""
    start_time: str
    """When the call came or was placed: ISO 8601 in UTC, whole seconds, ``2024-01-01T12:00:00Z``."""
    hangup_time: str
    """When it ended."""
    answer_time: str | None = None
    """When it was answered; absent when it never was."""
    ringing_time: str | None = None
    """When it began to ring."""
    from_: Attendee | None = None
    """Who called."""
    to: Attendee | None = None
    """Who was called."""
    extra: Mapping[str, Any] | None = None
    """The ``extra`` of the call option."""
    quality: CallQuality | None = None
    """Extension: how the call sounded; absent when no audio was connected."""
    refer: bool | None = None
    """True when this is about the target of a transfer; then the session goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaking(TrackEvent):
    """The caller began to speak."""

    event: ClassVar[str] = "speaking"
    start_time: int
    """When: ms since the Unix epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(TrackEvent):
    """The caller says nothing."""

    event: ClassVar[str] = "silence"
    start_time: int
    """When the silence began: ms since the Unix epoch."""
    duration: int
    """How long it has lasted, ms."""
    speech_start: int | None = None
    """Extension: when the speech before it began: ms since the Unix epoch."""
    speech_duration: int | None = None
    """Extension: how long that speech lasted, ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerMachineDetection:
    """It is known who answered; once more when a machine is ready to record."""

    event: ClassVar[str] = "answerMachineDetection"
    timestamp: int
    """When the event was sent: ms since the Unix epoch."""
    start_time: int
    """Begin of what was listened to, the answer: ms since the Unix epoch."""
    end_time: int
    """Its end."""
    text: str
    """What was understood; empty without ``asr``."""
    result: str | None = None
    """Extension: who answered: ``human``, ``machine``, ``fax`` or ``unknown``."""
    confidence: float | None = None
    """Extension: how sure that is, 0 to 1."""
    tone: str | None = None
    """Extension: the tone that told it: ``beep``, ``cng`` or ``ced`` of a fax, ``sit`` of a carrier's announcement."""
    beep_time: int | None = None
    """Extension: when the machine's beep ended (`tone` is ``beep``), or its greeting without one: ms since the Unix
    epoch. Only in the second event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eou(TrackEvent):
    """The caller has finished a turn."""

    event: ClassVar[str] = "eou"
    also: ClassVar[Mapping[str, str]] = {"complete": "completed"}
    """Clients read either key."""
    completed: bool
    """Whether the utterance ended by itself, and not by a time limit. ``complete`` is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript(TrackEvent):
    """What was heard, and when it was said."""

    index: int
    """Number of the utterance; its deltas and its final text have the same."""
    start_time: int
    """When it was begun: ms since the Unix epoch."""
    end_time: int
    """When it ended, as far as it is known."""
    text: str
    """What was said."""
    task_id: str | None = None
    """Extension: the provider's name for its work."""
    confidence: float | None = None
    """Extension: how sure the provider is, 0 to 1; absent when it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsrFinal(Transcript):
    """A text that does not change any more."""

    event: ClassVar[str] = "asrFinal"


@dataclass(frozen=True, slots=True, kw_only=True)
class AsrDelta(Transcript):
    """What was understood so far."""

    event: ClassVar[str] = "asrDelta"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackStart(TrackEvent):
    """A track begins: the caller's audio is connected, or the first sample of a play leaves."""

    event: ClassVar[str] = "trackStart"
    play_id: str | None = None
    """The play's; absent for the caller's track."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackEnd(TrackEvent):
    """A track has ended: the call is over, or the last sample of a play has left."""

    event: ClassVar[str] = "trackEnd"
    duration: int
    """How long it was, ms; of a play, what was heard of it."""
    ssrc: int
    """A number of the track; the caller's: SSRC of our RTP stream."""
    play_id: str | None = None
    """The play's; absent for the caller's track."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption(TrackEvent):
    """A play was cut, or will end with the text that is being spoken."""

    event: ClassVar[str] = "interruption"
    play_id: str | None = None
    """The play's."""
    subtitle: str | None = None
    """The whole text of the play; absent for files."""
    position: int | None = None
    """Index of the word of `subtitle` that was being spoken, from 0; absent for files."""
    total_duration: int
    """How much audio there was, as far as it was made, ms."""
    current: int
    """How much of it was heard, ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dtmf(TrackEvent):
    """The far end pressed a key."""

    event: ClassVar[str] = "dtmf"
    digit: str
    """``0`` to ``9``, ``*``, ``#``, ``A`` to ``D``."""
    refer: bool | None = None
    """True when the target of a transfer pressed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """How long something took."""

    event: ClassVar[str] = "metrics"
    timestamp: int
    """When the event was sent: ms since the Unix epoch."""
    key: str
    """What was measured, such as ``completed.call.setup``."""
    duration: int
    """How long it took, ms."""
    data: Mapping[str, Any]
    """Details."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(TrackEvent):
    """Something went wrong; the call goes on, unless ``hangup`` follows."""

    event: ClassVar[str] = "error"
    sender: str
    """Where: ``command``, ``tts``, ``play``, ``recorder``, ``vad``, ``media`` ..."""
    error: str
    """What, where, and what to do: a sentence for people."""
    code: int | None = None
    """For programs; the meanings are those of HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddHistory:
    """A line of the conversation was added."""

    event: ClassVar[str] = "addHistory"
    sender: str | None = None
    """The session's id."""
    timestamp: int
    """When the event was sent: ms since the Unix epoch."""
    speaker: str
    """As in the command ``history``."""
    text: str
    """As in the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Other(TrackEvent):
    """Whatever has no event of its own."""

    event: ClassVar[str] = "other"
    sender: str
    """What it comes from, such as ``recorder``."""
    extra: Mapping[str, str] | None = None
    """What it says; all values are text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(TrackEvent):
    """Extension: the far end put us on hold, or came back."""

    event: ClassVar[str] = "hold"
    on_hold: bool
    """True: on hold; false: back."""
    refer: bool | None = None
    """True when this is about the target of a transfer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inactivity(TrackEvent):
    """Extension: no audio came for ``inactivityTimeout``; ``hangup`` follows."""

    event: ClassVar[str] = "inactivity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """A WebSocket ping was sent; for dumps, never sent as text."""

    event: ClassVar[str] = "ping"
    timestamp: int
    """When it was sent: ms since the Unix epoch."""
    payload: str | None = None
    """Of the ping."""


Event = (
    Incoming | Answer | Reject | Ringing | Hangup
    | Speaking | Silence | AnswerMachineDetection | Eou | AsrFinal | AsrDelta
    | TrackStart | TrackEnd | Interruption | Dtmf
    | Metrics | Error | AddHistory | Other | Hold | Inactivity | Ping
)  # fmt: skip


def attendee(text: str) -> Attendee:
    """The attendee behind a SIP or tel URI, a name-addr, or a bare number. Never raises; drops passwords."""
    try:
        uri = parse_name_addr(text).uri if "<" in text else parse_uri(text)
        return Attendee(uri.user, uri.host, str(replace(uri, password=None)))
    except UriError:
        user, _, realm = text.partition("@")
        return Attendee(user.partition(":")[0], realm, text)


def iso8601(ms: int) -> str:
    """`ms` since the epoch as ``2024-01-01T12:00:00Z``: whole seconds, UTC."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def encode(event: Event) -> str:
    """`event` as compact JSON, keys in the order of the API document."""
    return to_json(event)
