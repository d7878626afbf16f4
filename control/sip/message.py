"""SIP messages as values: parsing what Kamailio hands over, and reading header fields (RFC 3261 section 7).

Kamailio has framed the message already: one buffer holds exactly one message. Text is UTF-8; other bytes
survive as surrogate escapes, so that encoding with ``surrogateescape`` gives the same bytes again.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NoReturn

from control.errors import SipParseError, UriError
from control.sip.headers import COMPACT_FORMS, TOKEN, Headers
from control.sip.uri import NameAddr, Params, parse_name_addr, parse_params, parse_uri, shorten

__all__ = ["MAX_CSEQ", "MAX_HEADERS", "MAX_MESSAGE", "Headers", "Request", "Response", "parse"]

MAX_MESSAGE: Final = 65_535
"""Bytes; the largest UDP datagram."""
MAX_HEADERS: Final = 256
MAX_CSEQ: Final = 2**31 - 1

_MANDATORY: Final = ("From", "To", "Call-ID", "CSeq")
_SINGLE: Final = (*_MANDATORY, "Max-Forwards", "Content-Length", "Content-Type", "Expires", "Min-Expires")
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(r"(?i:SIP/2\.0) ([1-6][0-9]{2})(?: (.*))?")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_CSEQ = re.compile(r"([0-9]{1,20})[ \t]+([^ \t]+)")
_BOUNDARY = re.compile(r';[ \t]*boundary[ \t]*=[ \t]*(?:"([^"]+)"|([^ \t;"]+))', re.IGNORECASE)
_SDP_PART = re.compile(rb"^(?:content-type|c)[ \t]*:[ \t]*application/sdp", re.IGNORECASE | re.MULTILINE)
_VIA = re.compile(
    r"(?i:SIP)[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*[^ \t/;,]+[ \t]+[^ \t;,]+(?:[ \t]*:[ \t]*[0-9]+)?(.*)"
)


class _Message:
    """What requests and responses have in common. The properties raise SipParseError for bad fields,
    which cannot happen to a message that came out of `parse`.
    """

    headers: Headers
    body: bytes

    def _require(self, name: str) -> str:
        value = self.headers.get(name)
        if not value:
            raise SipParseError(f"SIP message: {name} is missing or empty")
        return value

    def _addresses(self, name: str) -> tuple[NameAddr, ...]:
        try:
            return tuple(parse_name_addr(element) for element in self.headers.split(name) if element != "*")
        except UriError as error:
            raise SipParseError(f"SIP message: bad {name}: {error}") from error

    @cached_property
    def call_id(self) -> str:
        """Call-ID."""
        return self._require("Call-ID")

    @cached_property
    def cseq(self) -> tuple[int, str]:
        """CSeq: (number, method)."""
        text = self._require("CSeq")
        match = _CSEQ.fullmatch(text)
        if not match or int(match[1]) > MAX_CSEQ:
            raise SipParseError(f"SIP message: CSeq {shorten(text)} is not a number below 2**31 and a method")
        return int(match[1]), match[2]

    @cached_property
    def from_(self) -> NameAddr:
        """From."""
        return self._one_address("From")

    @cached_property
    def to(self) -> NameAddr:
        """To."""
        return self._one_address("To")

    def _one_address(self, name: str) -> NameAddr:
        try:
            return parse_name_addr(self._require(name))
        except UriError as error:
            raise SipParseError(f"SIP message: bad {name}: {error}") from error

    @property
    def from_tag(self) -> str | None:
        """Tag of From, None when there is none."""
        return self.from_.tag

    @property
    def to_tag(self) -> str | None:
        """Tag of To, None when there is none (outside of a dialog)."""
        return self.to.tag

    @cached_property
    def contacts(self) -> tuple[NameAddr, ...]:
        """All Contact addresses; none for ``Contact: *``."""
        return self._addresses("Contact")

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact address."""
        contacts = self.contacts
        return contacts[0] if contacts else None

    @property
    def record_routes(self) -> tuple[str, ...]:
        """Record-Route elements as written, topmost first."""
        return self.headers.split("Record-Route")

    @property
    def vias(self) -> tuple[str, ...]:
        """Via elements as written, topmost first."""
        return self.headers.split("Via")

    @property
    def content_type(self) -> str:
        """Media type of the body in lower case without parameters; empty when not given."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip(" \t").lower()

    @cached_property
    def sdp(self) -> bytes:
        """The session description: the body, or that part of a multipart body (RFC 5621); else empty."""
        if self.content_type == "application/sdp":
            return self.body
        boundary = _BOUNDARY.search(self.headers.get("Content-Type") or "")
        if not self.content_type.startswith("multipart/") or not boundary:
            return b""
        delimiter = f"--{boundary[1] or boundary[2]}".encode("utf-8", "surrogateescape")
        for part in self.body.split(delimiter)[1:]:
            head, _, content = part.partition(b"\r\n\r\n")
            if _SDP_PART.search(head):
                return content.removesuffix(b"\r\n")
        return b""

    def seconds(self, name: str) -> int | None:
        """Value of a header of whole seconds (Expires, Min-Expires, Retry-After); None when absent or bad."""
        match = re.match(r"[0-9]{1,10}(?![0-9])", self.headers.get(name) or "")
        return int(match[0]) if match else None


@dataclass(frozen=True)
class Request(_Message):
    """A request; `uri` is the Request-URI as written."""

    method: str
    uri: str
    headers: Headers = Headers()
    body: bytes = b""


@dataclass(frozen=True)
class Response(_Message):
    """A response; `reason` may be empty."""

    code: int
    reason: str
    headers: Headers = Headers()
    body: bytes = b""


def parse(data: bytes) -> Request | Response:
    """Parse one message. Raises SipParseError for what RFC 3261 demands to be refused.

    Bytes behind Content-Length are dropped (section 18.3); without it the body reaches to the end.
    """
    if len(data) > MAX_MESSAGE:
        _refuse(f"{len(data)} bytes are more than {MAX_MESSAGE}")
    data = data.lstrip(b"\r\n")
    end = _END_OF_HEADERS.search(data)
    if not end:
        _refuse("no empty line ends the headers")
    start_line, *lines = _lines(data[: end.start()])
    headers = _headers(lines)
    body = _body(headers, data[end.end() :])
    message: Request | Response
    if start_line[:4].upper() == "SIP/":
        message = _response(start_line, headers, body)
    else:
        message = _request(start_line, headers, body)
    _check(message)
    return message


def _refuse(why: str) -> NoReturn:
    raise SipParseError(f"SIP message: {why}")


def _lines(head: bytes) -> list[str]:
    """Start line and header lines, unfolded (section 7.3.1)."""
    lines: list[str] = []
    for line in re.split(r"\r?\n", head.decode("utf-8", "surrogateescape")):
        if "\r" in line:
            _refuse(f"a lone CR in line {shorten(line)}")
        if line[0] not in " \t":
            lines.append(line)
        elif len(lines) > 1:
            lines[-1] += " " + line.strip(" \t")
        else:
            _refuse("white space before the start line or the first header")
    return lines


def _headers(lines: list[str]) -> Headers:
    if len(lines) > MAX_HEADERS:
        _refuse(f"{len(lines)} header fields are more than {MAX_HEADERS}")
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not TOKEN.fullmatch(name):
            _refuse(f"{shorten(line)} is not a header field")
        fields.append((COMPACT_FORMS.get(name.lower(), name), value.strip(" \t")))
    headers = Headers(tuple(fields))
    for name in _SINGLE:
        if len(headers.all(name)) > 1:
            _refuse(f"more than one {name}")
    return headers


def _body(headers: Headers, rest: bytes) -> bytes:
    length = headers.get("Content-Length")
    if length is None:
        return rest
    if not re.fullmatch(r"[0-9]{1,10}", length):
        _refuse(f"Content-Length {shorten(length)} is not a number")
    if int(length) > len(rest):
        _refuse(f"Content-Length is {length}, but only {len(rest)} bytes follow")
    return rest[: int(length)]


def _request(line: str, headers: Headers, body: bytes) -> Request:
    parts = line.split(" ")
    if len(parts) != 3:
        _refuse(f"{shorten(line)} is not METHOD URI SIP/2.0 with single spaces")
    method, uri, version = parts
    if version.upper() != "SIP/2.0":
        _refuse(f"version {shorten(version)} is not SIP/2.0")
    if not TOKEN.fullmatch(method):
        _refuse(f"method {shorten(method)} is not a token")
    return Request(method, uri, headers, body)


def _response(line: str, headers: Headers, body: bytes) -> Response:
    status = _STATUS_LINE.fullmatch(line)
    if not status:
        _refuse(f"{shorten(line)} is not SIP/2.0, a code from 100 to 699 and a reason")
    return Response(int(status[1]), status[2] or "", headers, body)


def _check(message: Request | Response) -> None:
    """Refuse bad values of the fields that transactions and dialogs read (sections 8.1.1 and 8.2)."""
    for name in _MANDATORY:
        message._require(name)
    if _CONTROL.search(message.call_id):
        _refuse(f"Call-ID {shorten(message.call_id)} holds a space or a control character")
    _number, method = message.cseq
    if isinstance(message, Request):
        if method != message.method:
            _refuse(f"CSeq has method {shorten(method)}, the request is {message.method}")
        try:
            parse_uri(message.uri)
        except UriError as error:
            raise SipParseError(f"SIP message: bad Request-URI: {error}") from error
    for name in ("From", "To"):
        message._one_address(name)
    for name in ("Contact", "Route", "Record-Route"):
        message._addresses(name)
    _check_vias(message.vias)


def _check_vias(vias: tuple[str, ...]) -> None:
    if not vias:
        _refuse("Via is missing")
    for via in vias:
        match = _VIA.fullmatch(via)
        try:
            params: Params | None = parse_params(match[1]) if match else None
        except UriError as error:
            raise SipParseError(f"SIP message: bad Via: {error}") from error
        if params is None:
            _refuse(f"Via {shorten(via)} is not SIP/2.0/TRANSPORT host;parameters")
