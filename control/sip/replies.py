"""Answers to requests that need no memory of the dialog: OPTIONS, INFO, what is refused, what cannot be.

The dialog's own methods (INVITE, ACK, BYE, CANCEL, UPDATE) are answered by `session`, `uas` and `uac`.
"""

import re
from typing import Final

from control.sip.dialog import ALLOW, CAPABILITIES, Dialog, content
from control.sip.effects import Digit, Effect, Headers, Reply
from control.sip.message import Request
from control.sip.status import phrase

DEFAULT_DIGIT_MS: Final = 160
"""Duration of a digit whose INFO does not tell it."""
MAX_DIGIT_MS: Final = 60_000
RETRY_AFTER: Final[Headers] = (("Retry-After", "3"),)
"""Seconds, for an offer that crosses an unanswered one; the RFC asks for 0 to 10 (section 14.2)."""

_DTMF_TYPES: Final = ("application/dtmf-relay", "application/dtmf")
_SIGNAL = re.compile(r"^[ \t]*signal[ \t]*=[ \t]*([^ \t\r\n]*)", re.IGNORECASE | re.MULTILINE)
_DURATION = re.compile(r"^[ \t]*duration[ \t]*=[ \t]*([0-9]{1,6})", re.IGNORECASE | re.MULTILINE)
_KEYS: Final = "0123456789*#ABCD"
_DIGITS: Final = {str(code): key for code, key in enumerate(_KEYS)} | {key: key for key in _KEYS}
"""Key by its event code (RFC 4733 section 3.2) and by its name."""


def reply(request: Request, transaction: str, tag: str, code: int, headers: Headers = ()) -> Reply:
    """A reply without body and with the standard phrase; a To tag that the request has is kept."""
    return Reply(transaction, code, phrase(code), request.to_tag or tag, headers)


def no_such_dialog(request: Request, transaction: str, tag: str) -> Reply:
    """481 for a request within a dialog that nobody here has (section 12.2.2)."""
    return reply(request, transaction, tag, 481)


def screen(request: Request, transaction: str, tag: str) -> Reply | None:
    """420 for a request that requires an extension: we have none (section 8.2.2.3); else None."""
    required = [option for option in request.headers.split("Require") if option]
    if not required:
        return None
    return reply(request, transaction, tag, 420, (("Unsupported", ", ".join(required)),))


def screen_offer(request: Request, transaction: str, tag: str) -> Reply | None:
    """As `screen`, and 415 when the body holds no session description (section 8.2.3)."""
    refusal = screen(request, transaction, tag)
    if refusal or request.sdp or not request.body:
        return refusal
    return reply(request, transaction, tag, 415, (("Accept", "application/sdp"),))


def accepted(dialog: Dialog, transaction: str, sdp: bytes) -> Reply:
    """The 200 to an INVITE or UPDATE, with our Contact (section 12.1.1) and session description."""
    headers = (dialog.contact_header, *CAPABILITIES, *content(sdp))
    return Reply(transaction, 200, phrase(200), dialog.local_tag, headers, sdp)


def answer(request: Request, transaction: str, tag: str) -> list[Effect]:
    """Answer a request within a dialog (or OPTIONS outside of one) that does not touch the session."""
    if refusal := screen(request, transaction, tag):
        return [refusal]
    match request.method:
        case "OPTIONS":
            return [reply(request, transaction, tag, 200, CAPABILITIES)]
        case "INFO":
            return _info(request, transaction, tag)
        case "NOTIFY":
            # 481 would be right as well, but some peers end the whole call on it (RFC 5057 section 5.1).
            return [reply(request, transaction, tag, 489)]
        case "PRACK":
            return [no_such_dialog(request, transaction, tag)]
        case "REFER":
            return [reply(request, transaction, tag, 603)]
        case _:
            return [reply(request, transaction, tag, 405, (("Allow", ALLOW),))]


def _info(request: Request, transaction: str, tag: str) -> list[Effect]:
    """A digit, or nothing at all; other contents are refused (RFC 6086 sections 4.2.2 and 5.1)."""
    if "Info-Package" in request.headers:
        return [reply(request, transaction, tag, 469, (("Recv-Info", ""),))]
    if not request.body:
        return [reply(request, transaction, tag, 200)]
    if request.content_type not in _DTMF_TYPES:
        return [reply(request, transaction, tag, 415, (("Accept", ", ".join(_DTMF_TYPES)),))]
    digit = _digit(request.body)
    if not digit:
        return [reply(request, transaction, tag, 400)]
    return [reply(request, transaction, tag, 200), digit]


def _digit(body: bytes) -> Digit | None:
    """The key of ``Signal=5`` and ``Duration=160`` lines, or of a body that is nothing but the key."""
    text = body.decode("utf-8", "replace")
    signal = _SIGNAL.search(text)
    key = _DIGITS.get((signal[1] if signal else text.strip()).upper())
    duration = _DURATION.search(text)
    return Digit(key, min(int(duration[1]), MAX_DIGIT_MS) if duration else DEFAULT_DIGIT_MS) if key else None
