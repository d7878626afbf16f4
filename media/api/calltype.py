"""What carries the audio of a call."""

from enum import StrEnum


class CallType(StrEnum):
    """The three kinds of call, as they stand in lists and records."""

    WEBSOCKET = "webSocket"
    """``/call``: audio is binary frames of the bot's own socket."""
    WEBRTC = "webrtc"
    SIP = "sip"
