"""SIP, SIPS and tel URIs, and the name-addr of From, To, Contact and Route (RFC 3261 section 25.1, RFC 3966).

Text is kept as it was written (escapes, case), because peers compare what we echo byte by byte.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn
from urllib.parse import quote, unquote

from control.errors import UriError

Params = tuple[tuple[str, str | None], ...]
"""Parameters in order: (name, value); None where there is no ``=``. Quoted values keep their quotes."""

SIP_SCHEMES: Final = ("sip", "sips")
CACHED: Final = 1024
"""Texts whose parsed form is kept: the messages of a call repeat its addresses."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST = re.compile(r"[A-Za-z0-9_.-]+")
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]+)\]")
_HOST_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_NUMBER = re.compile(r"\+?[0-9A-Fa-f*#().-]+")
_NOT_IN_URI = re.compile(r'[\x00-\x20\x7f<>"]')
_NOT_IN_DISPLAY = re.compile(r'[\x00-\x08\x0a-\x1f\x7f",;:<>@\\]')
_QUOTED = re.compile(r'"((?:[^"\\\r\n]|\\[^\r\n])*)"')
_PARAM = re.compile(
    r"""[ \t]*;[ \t]*([A-Za-z0-9.!%*_+`'~-]+)"""
    r"""(?:[ \t]*=[ \t]*("(?:[^"\\\r\n]|\\[^\r\n])*"|[^\x00-\x20\x7f;,"<>]*))?"""
)


def shorten(text: str) -> str:
    """`text` as a Python literal of at most about 80 characters, for error messages."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def find_param(params: Params, name: str) -> str | None:
    """Value of the first parameter `name` (case-insensitive); "" when it has none, None when it is absent."""
    for key, value in params:
        if key.lower() == name.lower():
            return value or ""
    return None


def _join(params: Params, separator: str) -> str:
    return separator.join(name if value is None else f"{name}={value}" for name, value in params)


def _pair(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name, value if equals else None


@dataclass(frozen=True, slots=True)
class SipUri:
    """A URI in its parts, as written; ``str()`` gives the text. Raises UriError for parts that cannot stand.

    ``sip:user:password@host:port;params?headers``. A ``tel:`` URI has its number in `user` and no host;
    any other scheme has all that follows the colon in `user`.
    """

    scheme: str
    user: str = ""
    password: str | None = None
    host: str = ""
    """Domain name, IPv4 address, or IPv6 address in brackets."""
    port: int | None = None
    params: Params = ()
    headers: Params = ()

    def __post_init__(self) -> None:
        text = str(self)
        if bad := _NOT_IN_URI.search(text):
            raise UriError(f"URI {shorten(text)}: character {bad.group()!r} must be escaped")
        if self.scheme in SIP_SCHEMES:
            self._check_sip(text)
        elif self.host or self.password is not None or self.port is not None or self.headers:
            raise UriError(f"URI {shorten(text)}: only sip: and sips: have a host, port, password or headers")
        elif self.scheme == "tel":
            if not _NUMBER.fullmatch(self.user):
                raise UriError(f"URI {shorten(text)}: {shorten(self.user)} is not a telephone number")
            self._check_params(text)
        elif self.params or not self.user or not _SCHEME.fullmatch(self.scheme):
            raise UriError(f"URI {shorten(text)}: needs a scheme and something after the colon")

    def _check_sip(self, text: str) -> None:
        if "@" in self.user + (self.password or "") or ":" in self.user:
            raise UriError(f"URI {shorten(text)}: '@' and ':' in the user part must be escaped")
        if self.password is not None and not self.user:
            raise UriError(f"URI {shorten(text)}: a password needs a user before it")
        if ipv6 := _IPV6.fullmatch(self.host):
            try:
                ipaddress.IPv6Address(ipv6[1])
            except ValueError as error:
                raise UriError(f"URI {shorten(text)}: bad IPv6 host: {error}") from error
        elif not _HOST.fullmatch(self.host):
            raise UriError(f"URI {shorten(text)}: {shorten(self.host)} is not a host name or address")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise UriError(f"URI {shorten(text)}: port {self.port} is not within 1 to 65535")
        self._check_params(text)
        for name, value in self.headers:
            if not name or set("=&@") & set(name) or set("&@") & set(value or ""):
                raise UriError(f"URI {shorten(text)}: bad header {shorten(name)}")

    def _check_params(self, text: str) -> None:
        for name, value in self.params:
            if not name or set(";=?@") & set(name) or set(";?@") & set(value or ""):
                raise UriError(f"URI {shorten(text)}: bad parameter {shorten(name)}")

    def __str__(self) -> str:
        text = f"{self.scheme}:{self.user}"
        if self.password is not None:
            text += f":{self.password}"
        if self.host:
            text += f"@{self.host}" if self.user else self.host
        if self.port is not None:
            text += f":{self.port}"
        if self.params:
            text += ";" + _join(self.params, ";")
        if self.headers:
            text += "?" + _join(self.headers, "&")
        return text

    @property
    def username(self) -> str:
        """The user part with its escapes decoded; bytes that are no UTF-8 are surrogate escapes."""
        return unquote(self.user, errors="surrogateescape")

    def param(self, name: str) -> str | None:
        """Value of a parameter: "" when it has none, None when it is absent."""
        return find_param(self.params, name)


@dataclass(frozen=True, slots=True)
class NameAddr:
    """``"display" <uri>;params``; ``str()`` gives the text. Raises UriError for parts that cannot stand."""

    display: str
    """Display name without quotes and escapes; empty when there is none."""
    uri: SipUri
    params: Params = ()

    def __post_init__(self) -> None:
        if "\r" in self.display or "\n" in self.display:
            raise UriError(f"display name {shorten(self.display)}: holds a line break")
        text = ";" + _join(self.params, ";") if self.params else ""
        if parse_params(text) != self.params:
            raise UriError(f"parameters {shorten(text)}: break the grammar of header parameters")

    def __str__(self) -> str:
        display = ""
        if self.display:
            display = '"' + re.sub(r'([\x00-\x08\x0b-\x1f\x7f"\\])', r"\\\1", self.display) + '" '
        return f"{display}<{self.uri}>" + "".join(f";{_join((param,), '')}" for param in self.params)

    def param(self, name: str) -> str | None:
        """Value of a header parameter: "" when it has none, None when it is absent."""
        return find_param(self.params, name)

    @property
    def tag(self) -> str | None:
        """The ``tag`` parameter; None when absent or empty."""
        return self.param("tag") or None


def escape_user(text: str) -> str:
    """`text` as the user part of a URI: what may not stand there is escaped (RFC 3261 section 25.1)."""
    return quote(text, safe="-_.!~*'()&=+$,;?/")


@lru_cache(CACHED)
def parse_uri(text: str) -> SipUri:
    """Parse a URI of any scheme; sip, sips and tel are taken apart. Raises UriError."""
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or not _SCHEME.fullmatch(scheme):
        raise UriError(f"URI {shorten(text)}: has no scheme; write sip:user@host")
    if scheme not in (*SIP_SCHEMES, "tel"):
        return SipUri(scheme, rest)
    userinfo, at, rest = rest.rpartition("@") if scheme != "tel" else ("", "", rest)
    if at and not userinfo:
        raise UriError(f"URI {shorten(text)}: has '@' but no user before it")
    rest, _, headers = rest.partition("?")
    main, _, params = rest.partition(";")
    parameters = tuple(_pair(param) for param in params.split(";") if param)
    if scheme == "tel":
        if headers:
            raise UriError(f"URI {shorten(text)}: a tel URI has no headers")
        return SipUri(scheme, main, params=parameters)
    user, colon, password = userinfo.partition(":")
    host = _HOST_PORT.fullmatch(main)
    if not host:
        raise UriError(f"URI {shorten(text)}: {shorten(main)} is not host or host:port")
    return SipUri(
        scheme,
        user,
        password if colon else None,
        host["host"],
        int(host["port"]) if host["port"] else None,
        parameters,
        tuple(_pair(header) for header in headers.split("&")) if headers else (),
    )


def parse_params(text: str) -> Params:
    """Parse ``;name=value;name`` as it follows a header's main value. Raises UriError."""
    params = []
    position = 0
    text = text.rstrip(" \t")
    while position < len(text):
        match = _PARAM.match(text, position)
        if not match:
            raise UriError(f"parameters {shorten(text)}: expected ';name' or ';name=value' at {position}")
        params.append((match[1], match[2]))
        position = match.end()
    return tuple(params)


@lru_cache(CACHED)
def parse_name_addr(text: str) -> NameAddr:
    """Parse one name-addr or addr-spec with its header parameters. Raises UriError.

    Without angle brackets everything from the first ``;`` belongs to the header, and ``?`` and ``,`` are
    refused (section 20.10).
    """
    text = text.strip(" \t")
    display, rest = _take_display(text)
    if not rest.startswith("<"):
        uri, semicolon, params = rest.partition(";")
        if "?" in uri or "," in uri:
            _refuse(text, "a URI with '?' or ',' must stand in <>")
        return NameAddr("", parse_uri(uri.rstrip(" \t")), parse_params(semicolon + params))
    uri, bracket, params = rest[1:].partition(">")
    if not bracket:
        _refuse(text, "'<' is never closed")
    return NameAddr(display, parse_uri(uri), parse_params(params))


def _take_display(text: str) -> tuple[str, str]:
    """Split off the display name; the rest begins with ``<`` if there was one."""
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if not quoted:
            _refuse(text, "the quoted display name is never closed")
        rest = text[quoted.end() :].lstrip(" \t")
        if not rest.startswith("<"):
            _refuse(text, "a display name must be followed by <URI>")
        return re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL), rest
    display, bracket, _ = text.partition("<")
    if not bracket:
        return "", text
    name = display.strip(" \t")
    if bad := _NOT_IN_DISPLAY.search(name):
        _refuse(text, f"{bad.group()!r} in a display name needs quotes")
    return name, text[len(display) :]


def _refuse(text: str, why: str) -> NoReturn:
    raise UriError(f"address {shorten(text)}: {why}")
