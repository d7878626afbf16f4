"""How a session's call comes to be and ends: one kind of call a file."""

from media.api.calltype import CallType
from media.session.lines.base import Line, status
from media.session.lines.browser import BrowserLine
from media.session.lines.sip import SipLine
from media.session.lines.socket import SocketLine

__all__ = ["LINES", "Line", "status"]

LINES: dict[CallType, type[Line]] = {
    CallType.SIP: SipLine,
    CallType.WEBRTC: BrowserLine,
    CallType.WEBSOCKET: SocketLine,
}
