"""Status codes: their phrases (RFC 3261 section 21), and the Reason header (RFC 3326)."""

import re
from typing import Final

from control.errors import UriError
from control.sip.headers import printable
from control.sip.message import Request, Response
from control.sip.uri import find_param, parse_params

PHRASES: Final = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    469: "Bad Info Package",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}

_CLASSES: Final = ("", "Progress", "OK", "Redirection", "Request Failure", "Server Failure", "Global Failure")
_MAX_TEXT: Final = 200


def phrase(code: int) -> str:
    """The standard reason phrase of `code` (100 to 699); that of its class when it has none."""
    return PHRASES.get(code) or _CLASSES[code // 100]


def reason_header(cause: int, text: str, protocol: str = "SIP") -> tuple[str, str]:
    """A Reason header; control characters of `text` become spaces, and it is cut at 200 characters."""
    clean = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", " ", text[:_MAX_TEXT])
    quoted = re.sub(r'(["\\])', r"\\\1", clean)
    return "Reason", f'{protocol};cause={cause};text="{quoted}"'


def reason_text(request: Request, default: str) -> str:
    """The text of the request's first Reason header that has one, else `default`."""
    for value in request.headers.split("Reason"):
        _protocol, semicolon, params = value.partition(";")
        try:
            text = find_param(parse_params(semicolon + params), "text") or ""
        except UriError:
            continue
        if text.startswith('"'):
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        if text:
            return printable(text)
    return default


def response_reason(response: Response) -> str:
    """The reason phrase of a response; the standard one when it has none."""
    return printable(response.reason) or phrase(response.code)
