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
    """Estimate, 1 to 4.5."""
    jitter_ms: float
    """Interarrival jitter (RFC 3550) at the end, and the highest."""
    max_jitter_ms: float
    loss_percent: float
    """Of the caller's packets, those that could not be played."""
    rtt_ms: float | None
    peer_loss_percent: float | None
    """Of our packets, those that the peer missed of late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackEvent:
    """What most events carry."""

    track_id: str
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming(TrackEvent):
    """A call came in and waits for ``accept`` or ``reject``."""

    event: ClassVar[str] = "incoming"
    caller: str
    callee: str
    sdp: str
    dialog_id: str | None = None
    headers: Mapping[str, str] | None = None
    """Extension headers of the INVITE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(TrackEvent):
    """The call stands."""

    event: ClassVar[str] = "answer"
    sdp: str
    """Empty for calls over a WebSocket."""
    refer: bool | None = None
    """True for the leg of a transfer; so in the events below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject(TrackEvent):
    """The far end refused."""

    event: ClassVar[str] = "reject"
    reason: str
    code: int | None = None
    refer: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ringing(TrackEvent):
    """The far end rings."""

    event: ClassVar[str] = "ringing"
    early_media: bool
    refer: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangup(TrackEvent):
    """The call is over. Times are ISO 8601 in UTC, see `iso8601`."""

    event: ClassVar[str] = "hangup"
    reason: str | None = None
    initiator: str | None = None
    start_time: str
    hangup_time: str
    answer_time: str | None = None
    ringing_time: str | None = None
    from_: Attendee | None = None
    to: Attendee | None = None
    extra: Mapping[str, Any] | None = None
    quality: CallQuality | None = None
    refer: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaking(TrackEvent):
    """The caller began to speak."""

    event: ClassVar[str] = "speaking"
    start_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(TrackEvent):
    """Nothing has been said since `start_time`, for `duration`."""

    event: ClassVar[str] = "silence"
    start_time: int
    duration: int
    speech_start: int | None = None
    """When the speech before it began."""
    speech_duration: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerMachineDetection:
    """A machine answered."""

    event: ClassVar[str] = "answerMachineDetection"
    timestamp: int
    start_time: int
    end_time: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Eou(TrackEvent):
    """The caller has finished a turn."""

    event: ClassVar[str] = "eou"
    also: ClassVar[Mapping[str, str]] = {"complete": "completed"}
    """Clients read either key."""
    completed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript(TrackEvent):
    """What was heard, and when it was said."""

    index: int
    start_time: int
    end_time: int
    text: str
    task_id: str | None = None


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
    """A track begins."""

    event: ClassVar[str] = "trackStart"
    play_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackEnd(TrackEvent):
    """A track has ended."""

    event: ClassVar[str] = "trackEnd"
    duration: int
    ssrc: int
    play_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption(TrackEvent):
    """What was playing was cut."""

    event: ClassVar[str] = "interruption"
    play_id: str | None = None
    subtitle: str | None = None
    position: int | None = None
    """Index of the word of `subtitle` that was being spoken."""
    total_duration: int
    current: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dtmf(TrackEvent):
    """A key was pressed: 0-9, ``*``, ``#``, A-D."""

    event: ClassVar[str] = "dtmf"
    digit: str
    refer: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """How long something took."""

    event: ClassVar[str] = "metrics"
    timestamp: int
    key: str
    """Such as ``ttfb.tts.espeak``."""
    duration: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(TrackEvent):
    """Something went wrong; the call goes on."""

    event: ClassVar[str] = "error"
    sender: str
    error: str
    code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddHistory:
    """A line of the conversation was added."""

    event: ClassVar[str] = "addHistory"
    sender: str | None = None
    timestamp: int
    speaker: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Other(TrackEvent):
    """Whatever has no event of its own."""

    event: ClassVar[str] = "other"
    sender: str
    extra: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(TrackEvent):
    """The far end put us on hold, or came back."""

    event: ClassVar[str] = "hold"
    on_hold: bool
    refer: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inactivity(TrackEvent):
    """No audio came for ``inactivityTimeout``; a hangup follows."""

    event: ClassVar[str] = "inactivity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """A WebSocket ping was sent; for dumps, never sent as text."""

    event: ClassVar[str] = "ping"
    timestamp: int
    payload: str | None = None


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
