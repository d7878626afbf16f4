"""What the engine has to know about the other end of a call's RTP stream."""

from enum import StrEnum
from typing import NamedTuple, Protocol

from control.errors import MediaError
from media.engine.arrays import RATE, WIDE
from media.engine.sockets import packed


class Codec(StrEnum):
    """Codecs that the engine speaks, with 20 ms sent."""

    PCMU = "pcmu"
    PCMA = "pcma"
    PCMU16 = "pcmu16"
    """PCMU at 16 kHz: what rtpengine makes of a codec that is not ours."""
    G722 = "g722"
    OPUS = "opus"


class Format(NamedTuple):
    """How a codec stands in RTP."""

    rate: int
    """Samples per second of what it codes, or of what we take of it."""
    clock: int
    """Steps of the RTP timestamp per second."""
    granule: int
    """Bytes of 10 ms, of which payloads are multiples; 1 where they have any length."""


FORMATS = {
    Codec.PCMU: Format(RATE, 8000, 80),
    Codec.PCMA: Format(RATE, 8000, 80),
    Codec.PCMU16: Format(WIDE, 16_000, 160),
    Codec.G722: Format(WIDE, 8000, 80),  # RFC 3551 section 4.5.2: its clock is not its sampling rate
    Codec.OPUS: Format(WIDE, 48_000, 1),  # RFC 7587 section 4.1
}


class Stream(Protocol):
    """One negotiated audio stream, as our side of the session description sees it."""

    @property
    def address(self) -> str:
        """IPv4 address that we send to."""

    @property
    def port(self) -> int:
        """UDP port that we send to."""

    @property
    def source_address(self) -> str:
        """IPv4 address that packets must come from; empty: `address`."""

    @property
    def source_port(self) -> int:
        """UDP port that packets must come from; 0: `port`."""

    @property
    def codec(self) -> str:
        """One of `Codec`."""

    @property
    def payload_type(self) -> int:
        """RTP payload type of the codec, in both directions."""

    @property
    def event_payload_type(self) -> int | None:
        """RTP payload type of telephone-event; None when it was not negotiated."""

    @property
    def rtcp_address(self) -> str:
        """IPv4 address that reports go to, and come from."""

    @property
    def rtcp_port(self) -> int:
        """UDP port of that; 0: there are none."""

    @property
    def direction(self) -> str:
        """Ours: ``sendrecv``, ``sendonly``, ``recvonly`` or ``inactive``."""


class Peer(NamedTuple):
    """A checked stream in the terms of the arrays."""

    address: int
    """As in `sockets.packed`."""
    port: int
    source_address: int
    source_port: int
    payload_type: int
    event_payload_type: int
    """-1: none."""
    codec: Codec
    sends: bool
    """Whether we send."""
    receives: bool
    """Whether we listen."""


def check(stream: Stream) -> Peer:
    """Read a stream; raises MediaError naming the value that the engine cannot work with."""
    address, source = _packed(stream.address), _packed(stream.source_address or stream.address)
    source_port = stream.source_port or stream.port
    for port in (stream.port, source_port):
        if not 0 < port <= 0xFFFF:
            raise MediaError(f"stream port {port} is not a UDP port: 1 to 65535")
    if stream.codec not in set(Codec):
        raise MediaError(
            f"stream codec {stream.codec!r} is not one of {', '.join(Codec)}: transcode it before"
        )
    event = -1 if stream.event_payload_type is None else stream.event_payload_type
    if not 0 <= stream.payload_type < 128 or not -1 <= event < 128 or event == stream.payload_type:
        raise MediaError(
            f"stream payload types {stream.payload_type} and {stream.event_payload_type}: "
            "they are different numbers of 0 to 127"
        )
    if stream.direction not in {"sendrecv", "sendonly", "recvonly", "inactive"}:
        raise MediaError(f"stream direction {stream.direction!r} is not one of RFC 8866 section 6.7")
    return Peer(
        address=address,
        port=stream.port,
        source_address=source,
        source_port=source_port,
        payload_type=stream.payload_type,
        event_payload_type=event,
        codec=Codec(stream.codec),
        sends=stream.direction in {"sendrecv", "sendonly"},
        receives=stream.direction in {"sendrecv", "recvonly"},
    )


def _packed(address: str) -> int:
    try:
        return packed(address)
    except OSError:
        raise MediaError(f"stream address {address!r} is not IPv4: give dotted decimal") from None
