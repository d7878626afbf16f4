"""What goes over which socket."""

from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel

from media.api import commands, events
from media.api.calltype import CallType
from media.api.spec.schemas import COMMANDS

EVENTS: tuple[type[events.Event], ...] = tuple(
    kind for kind in get_args(events.Event) if kind is not events.Ping
)
"""All that are sent; a ping is a control frame."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A message that is not JSON."""

    name: str
    summary: str
    text: str


AUDIO_IN = Binary(
    "audioIn",
    "Audio of the caller, from the bot.",
    "As `option.codec` says: `pcm` (s16le, 16 kHz), `pcmu` or `pcma` (8 kHz, a byte a sample) or `g722` (64 kbit/s);"
    " one channel, no header, any number of whole samples. Up to 10 s may come faster than real time.",
)
AUDIO_OUT = Binary(
    "audioOut",
    "What the caller hears, to the bot.",
    "In the same form as the audio that comes in; 20 ms a frame (640 bytes of PCM, 160 of the others), one every 20 ms"
    " while something is played, none while nothing is.",
)
SUBSCRIBED = Binary(
    "subscribedAudio",
    "Audio of the call, for bots that set `option.subscribe`.",
    "One byte that names the side, 0: what the caller hears, 1: the caller; then 20 ms of s16le at 16 kHz, one channel,"
    " 640 bytes.",
)


@dataclass(frozen=True, slots=True)
class Socket:
    """One endpoint for bots."""

    path: str
    call_type: CallType
    summary: str
    text: str
    commands: tuple[type[BaseModel], ...]
    events: tuple[type[events.Event], ...]
    binary_in: tuple[Binary, ...]
    binary_out: tuple[Binary, ...]


_INCOMING = (commands.Ringing, commands.Accept, commands.Reject)
_PLACED = tuple(kind for kind in COMMANDS if kind not in _INCOMING)
_SENT_THERE = tuple(kind for kind in EVENTS if kind is not events.Incoming)

SOCKETS = (
    Socket(
        "/call",
        CallType.WEBSOCKET,
        "A call whose audio is binary frames of this socket.",
        "The call begins with `invite` and stands at once.",
        _PLACED,
        _SENT_THERE,
        (AUDIO_IN,),
        (AUDIO_OUT,),
    ),
    Socket(
        "/call/webrtc",
        CallType.WEBRTC,
        "A call of a browser.",
        "`invite` brings the browser's offer, `answer` our answer to it.",
        _PLACED,
        _SENT_THERE,
        (),
        (SUBSCRIBED,),
    ),
    Socket(
        "/call/sip",
        CallType.SIP,
        "A telephone call, incoming or outgoing.",
        "A bot waits for a call, takes the one that a webhook told it of, or places one.",
        COMMANDS,
        EVENTS,
        (),
        (SUBSCRIBED,),
    ),
)
