"""What a media slot is told of the stream of its call."""

from dataclasses import dataclass

from control.sip.offer_answer import EVENT_CLOCK_RATE, Choice, audio_of, our_direction
from control.sip.sdp import Direction, SessionDescription


@dataclass(frozen=True, slots=True)
class Endpoint:
    """RTP socket of the media worker that has the slot."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Stream:
    """All that a media slot must know of its stream."""

    address: str
    port: int
    """rtpengine's port towards us: where we send to, and the source port of what it sends, unless that is given."""
    codec: str
    """Name of our codec: ``pcmu``, ``pcma``, ``g722``, ``opus`` or ``pcmu16``."""
    payload_type: int
    event_payload_type: int | None
    """Payload type of telephone-event (RFC 4733), None when the peer takes no events."""
    ptime: int
    """Milliseconds of audio in a packet to the peer."""
    direction: Direction
    """What we may do. rtpengine enforces nothing of it: the slot has to."""
    event_clock_rate: int = EVENT_CLOCK_RATE
    """Hz that telephone-event was negotiated with: not always the codec's. Telephones that have 8000 with Opus may
    count in 48000 all the same.
    """
    rtcp_address: str = ""
    rtcp_port: int = 0
    """rtpengine's RTCP port towards us: where our reports go to, and the source port of the peer's; 0: unknown."""
    source_address: str = ""
    """Where packets come from; empty: from `address`."""
    source_port: int = 0
    """Port that packets come from, when it is another than we send to; 0: it is `port`."""


def stream_of(peer: SessionDescription, towards_us: SessionDescription, choice: Choice) -> Stream:
    """What the slot must know of `choice`: addresses from rtpengine's description, wishes from the peer's.

    Raises NoAudioError.
    """
    audio = audio_of(towards_us)
    # On hold rtpengine hands on the peer's 0.0.0.0, but its own address is still the origin's.
    held = towards_us.is_held(audio)
    address = (towards_us.origin.address if held else towards_us.address_of(audio)) or ""
    rtcp_port, rtcp_address = audio.rtcp
    return Stream(
        address=address,
        port=audio.port,
        codec=choice.codec,
        payload_type=choice.payload_type,
        event_payload_type=choice.event_payload_type,
        ptime=audio_of(peer).packet_time,
        direction=our_direction(peer),
        event_clock_rate=choice.event_clock_rate,
        rtcp_address=rtcp_address or address,
        rtcp_port=rtcp_port,
    )
