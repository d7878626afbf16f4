"""Session descriptions: a tolerant parser and an exact writer (RFC 8866).

Read is what a telephone call needs. Lines ``i= u= e= p= b= t= r= z= k=``, unknown line types, a multicast TTL
and a number of ports are read over and not written again; attributes are kept as they are, in order.
Text is UTF-8; other bytes survive as surrogate escapes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple, Self

from control.errors import SdpError
from control.sip.uri import shorten

MAX_BYTES: Final = 32_768
"""Largest description; with all else it has to fit into one ng datagram."""
MAX_LINES: Final = 2000
MAX_MEDIA: Final = 32
MAX_FORMATS: Final = 128

DEFAULT_PTIME: Final = 20
"""Milliseconds of audio in a packet when the peer does not say (RFC 3551 section 4.2)."""

_DISCARD_PORT: Final = 9
"""Port of an ICE offer without a candidate yet (RFC 8840): it comes with c=0.0.0.0 and is no hold."""
_PORT = re.compile(r"([0-9]{1,5})(?:/[0-9]+)?")
_RTPMAP = re.compile(r"([0-9]{1,3})[ \t]+([^/\s]+)[ \t]*/[ \t]*([0-9]{1,6})(?:[ \t]*/[ \t]*([0-9]{1,2}))?\s*")
_RTCP = re.compile(r"\s*([0-9]{1,5})(?:\s+IN\s+IP[46]\s+(\S+))?\s*")
_MILLISECONDS = re.compile(r"\s*([0-9]{1,4})(?:\.[0-9]*)?\s*")

Attribute = tuple[str, str | None]
"""An ``a=`` line: (name, value); None where there is no colon."""


class Direction(StrEnum):
    """What the one who writes it wants to do with a stream (RFC 8866 section 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """Whether its writer sends."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """Whether its writer wants to receive."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> Self:
        """The direction of one who does this."""
        if sends:
            return cls("sendrecv" if receives else "sendonly")
        return cls("recvonly" if receives else "inactive")


@dataclass(frozen=True, slots=True)
class RtpMap:
    """Encoding of a payload type; the encoding's name is compared without case."""

    encoding: str
    clock_rate: int
    channels: int = 1

    def __str__(self) -> str:
        channels = f"/{self.channels}" if self.channels != 1 else ""
        return f"{self.encoding}/{self.clock_rate}{channels}"

    def same(self, other: "RtpMap") -> bool:
        """Whether both are the same encoding."""
        return str(self).lower() == str(other).lower()


STATIC_PAYLOAD_TYPES: Final = {
    0: RtpMap("PCMU", 8000),
    3: RtpMap("GSM", 8000),
    4: RtpMap("G723", 8000),
    8: RtpMap("PCMA", 8000),
    9: RtpMap("G722", 8000),
    13: RtpMap("CN", 8000),
    18: RtpMap("G729", 8000),
}
"""Payload types that need no rtpmap (RFC 3551 section 6), as far as telephony meets them."""


@dataclass(frozen=True, slots=True)
class Media:
    """One ``m=`` section. `connection` is its own address; see `SessionDescription.address_of`."""

    kind: str
    port: int
    proto: str
    formats: tuple[str, ...]
    connection: str | None = None
    attributes: tuple[Attribute, ...] = ()

    def attribute(self, name: str) -> str | None:
        """Value of the first attribute `name`; "" when it has none, None when it is absent."""
        return _attribute(self.attributes, name)

    @property
    def direction(self) -> Direction | None:
        """Its own direction; None: that of the session."""
        return _direction(self.attributes)

    @property
    def ptime(self) -> int | None:
        """Milliseconds of audio in a packet that the writer wishes to receive."""
        return _milliseconds(self.attribute("ptime"))

    @property
    def maxptime(self) -> int | None:
        """Milliseconds of audio that a packet to the writer may hold at most."""
        return _milliseconds(self.attribute("maxptime"))

    @property
    def packet_time(self) -> int:
        """Milliseconds to put into a packet for the writer: `ptime` within 10 to 200 (RFC 3551 section 4.2),
        not above `maxptime`; else 20.
        """
        wished = min(self.ptime or DEFAULT_PTIME, self.maxptime or 200)
        return wished if 10 <= wished <= 200 else DEFAULT_PTIME

    @property
    def rtcp(self) -> tuple[int, str | None]:
        """Port that takes its RTCP, and the address where it is not that of RTP (``a=rtcp``, RFC 3605);
        without a usable attribute the port after that of RTP (RFC 3550 section 11).
        """
        match = _RTCP.fullmatch(self.attribute("rtcp") or "")
        if not match or not 0 < int(match[1]) < 65_536:
            return self.port + 1, None
        return int(match[1]), match[2]

    def rtpmaps(self) -> dict[int, RtpMap]:
        """Encoding of each payload type, in the order of `formats`; unknown ones are left out."""
        written = {}
        for name, value in self.attributes:
            if name == "rtpmap" and (match := _RTPMAP.fullmatch(value or "")):
                number, encoding, clock_rate, channels = match.groups()
                written[int(number)] = RtpMap(encoding, int(clock_rate), int(channels or 1))
        maps = STATIC_PAYLOAD_TYPES | written
        numbers = (int(text) for text in self.formats if re.fullmatch("[0-9]{1,3}", text))
        return {number: maps[number] for number in numbers if number in maps and number < 128}

    def fmtp(self, payload_type: int) -> str | None:
        """Format parameters of a payload type, None when there are none."""
        for name, value in self.attributes:
            if name == "fmtp" and value is not None:
                number, _, parameters = value.strip().partition(" ")
                if number == str(payload_type):
                    return parameters
        return None

    def rejected(self) -> "Media":
        """The same section refused or disabled: port 0 (RFC 3264 section 6)."""
        return Media(self.kind, 0, self.proto, self.formats or ("0",))


@dataclass(frozen=True, slots=True)
class Origin:
    """The ``o=`` line: who made the description, and which version of it this is."""

    username: str
    session_id: str
    version: str
    address: str


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A session description; ``bytes()`` writes it and raises SdpError for a value with a line end or NUL."""

    origin: Origin
    name: str = "-"
    connection: str | None = None
    attributes: tuple[Attribute, ...] = ()
    media: tuple[Media, ...] = ()

    def address_of(self, media: Media) -> str | None:
        """Address of a section: its own, else that of the session."""
        return media.connection or self.connection

    def direction_of(self, media: Media) -> Direction:
        """Direction of a section: its own, else that of the session, else sendrecv."""
        return media.direction or _direction(self.attributes) or Direction.SENDRECV

    def is_held(self, media: Media) -> bool:
        """Whether the address 0.0.0.0 or :: asks to send nothing (RFC 3264 section 8.4)."""
        return self.address_of(media) in ("0.0.0.0", "::") and media.port != _DISCARD_PORT

    def __bytes__(self) -> bytes:
        origin = self.origin
        lines = [
            "v=0",
            f"o={origin.username} {origin.session_id} {origin.version} {_address(origin.address)}",
            f"s={self.name}",
            *_connection_lines(self.connection),
            "t=0 0",
            *_attribute_lines(self.attributes),
        ]
        for media in self.media:
            lines.append(f"m={media.kind} {media.port} {media.proto} {' '.join(media.formats)}".rstrip(" "))
            lines += _connection_lines(media.connection)
            lines += _attribute_lines(media.attributes)
        for line in lines:
            if re.search(r"[\r\n\0]", line):
                raise SdpError(f"SDP: the line {shorten(line)} holds a line end or NUL and cannot be written")
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def _address(address: str) -> str:
    return f"IN IP{6 if ':' in address else 4} {address}"


def _connection_lines(connection: str | None) -> Iterable[str]:
    return [] if connection is None else [f"c={_address(connection)}"]


def _attribute_lines(attributes: Iterable[Attribute]) -> Iterable[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]


def _attribute(attributes: Iterable[Attribute], name: str) -> str | None:
    return next((value or "" for key, value in attributes if key == name), None)


def _direction(attributes: Iterable[Attribute]) -> Direction | None:
    names = (name for name, value in attributes if value is None)
    return next((Direction(name) for name in names if name in Direction.__members__.values()), None)


def _milliseconds(text: str | None) -> int | None:
    match = _MILLISECONDS.fullmatch(text or "")
    return int(match[1]) if match else None


_LINE = re.compile(r"[A-Za-z]=[^\r\0]*")


class _Line(NamedTuple):
    number: int
    kind: str
    value: str

    def error(self, what: str) -> SdpError:
        return SdpError(f"SDP line {self.number}, {shorten(f'{self.kind}={self.value}')}: {what}")


@lru_cache(64)
def parse(data: bytes) -> SessionDescription:
    """Parse a description. Raises SdpError, naming the line and what is wrong with it.

    Lines may end in LF alone; empty lines, and missing ``s=`` and ``t=`` are accepted.
    """
    sections: list[list[_Line]] = [[]]
    for line in _lines(data):
        if line.kind == "m":
            sections.append([])
        sections[-1].append(line)
    session, *media = sections
    if not session or session[0][1:] != ("v", "0"):
        raise SdpError("SDP: the first line is not v=0")
    if len(media) > MAX_MEDIA:
        raise SdpError(f"SDP: {len(media)} m= lines are more than {MAX_MEDIA}")
    return SessionDescription(
        origin=_parse_origin(session),
        name=next((line.value for line in session if line.kind == "s"), "") or "-",
        connection=_parse_connection(session),
        attributes=_parse_attributes(session),
        media=tuple(_parse_media(section) for section in media),
    )


def _lines(data: bytes) -> list[_Line]:
    if len(data) > MAX_BYTES:
        raise SdpError(f"SDP: {len(data)} bytes are more than {MAX_BYTES}")
    texts = data.decode("utf-8", "surrogateescape").split("\n")
    if len(texts) > MAX_LINES:
        raise SdpError(f"SDP: {len(texts)} lines are more than {MAX_LINES}")
    lines = []
    for number, text in enumerate(texts, 1):
        text = text.removesuffix("\r")
        if not text.strip():
            continue
        if not _LINE.fullmatch(text):
            raise SdpError(f"SDP line {number}: {shorten(text)} is not a letter, '=' and a value")
        lines.append(_Line(number, text[0], text[2:]))
    return lines


def _parse_origin(section: Sequence[_Line]) -> Origin:
    for line in section:
        if line.kind == "o":
            fields = line.value.split()
            if len(fields) != 6:
                raise line.error("takes username, session id, version, IN, IP4 or IP6, and address")
            username, session_id, version, _network, _type, address = fields
            return Origin(username, session_id, version, address)
    raise SdpError("SDP: there is no o= line")


def _parse_connection(section: Sequence[_Line]) -> str | None:
    for line in section:
        if line.kind == "c":
            fields = line.value.split()
            if len(fields) != 3 or not (address := fields[2].partition("/")[0]):
                raise line.error("takes IN, IP4 or IP6, and an address")
            return address
    return None


def _parse_attributes(section: Sequence[_Line]) -> tuple[Attribute, ...]:
    attributes = []
    for line in section:
        if line.kind == "a":
            name, colon, value = line.value.partition(":")
            attributes.append((name, value if colon else None))
    return tuple(attributes)


def _parse_media(section: Sequence[_Line]) -> Media:
    line = section[0]
    kind, port, proto, *formats = [*line.value.split(), "", "", ""][: MAX_FORMATS + 4]
    match = _PORT.fullmatch(port)
    if not match or int(match[1]) > 65_535 or not proto:
        raise line.error("takes a media type, a port from 0 to 65535, a protocol and formats")
    formats = [text for text in formats if text]
    if len(formats) > MAX_FORMATS:
        raise line.error(f"has more than {MAX_FORMATS} formats")
    return Media(
        kind, int(match[1]), proto, tuple(formats), _parse_connection(section), _parse_attributes(section)
    )
