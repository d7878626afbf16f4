"""Offer and answer for one audio stream (RFC 3264): codec, telephone-event, direction, hold."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from control.errors import NoAudioError, UnsupportedCodecError
from control.sip.sdp import (
    DEFAULT_PTIME,
    STATIC_PAYLOAD_TYPES,
    Attribute,
    Direction,
    Media,
    Origin,
    RtpMap,
    SessionDescription,
)
from control.sip.uri import shorten

CODECS: Final = {
    name: STATIC_PAYLOAD_TYPES[number] for name, number in (("pcmu", 0), ("pcma", 8), ("g722", 9))
}
"""Our codecs: name in settings and commands → encoding."""
EVENT_PAYLOAD_TYPE: Final = 101
"""Payload type of telephone-event in our offers (RFC 4733)."""

_STATIC_NUMBERS: Final = {rtpmap: number for number, rtpmap in STATIC_PAYLOAD_TYPES.items()}
_RTP_PROTOCOLS: Final = frozenset(
    ("RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF")
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is spoken on a stream."""

    codec: str
    """Name of our codec, a key of CODECS."""
    payload_type: int
    event_payload_type: int | None
    """Payload type of telephone-event with the codec's clock rate; None: no events."""


def audio_of(description: SessionDescription) -> Media:
    """The first audio stream that is not disabled and runs over RTP.

    Raises NoAudioError when there is none, or when its address is absent or a host name.
    """
    for media in description.media:
        if media.kind == "audio" and media.port and media.proto.upper() in _RTP_PROTOCOLS:
            break
    else:
        found = ", ".join(f"{media.kind} {media.port} {media.proto}" for media in description.media)
        raise NoAudioError(
            f"SDP: no audio stream over RTP with a port, only {shorten(found)}; offer RTP/AVP audio"
        )
    address = description.address_of(media)
    if address is None:
        raise NoAudioError("SDP: the audio stream has no c= line; add one to it or to the session")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise NoAudioError(
            f"SDP: address {shorten(address)} of the audio stream is not an IP address"
        ) from None
    return media


def only_audio(description: SessionDescription) -> SessionDescription:
    """The description with every stream disabled but `audio_of`, whose address becomes the session's.

    Raises NoAudioError.
    """
    audio = audio_of(description)
    return replace(
        description,
        connection=description.address_of(audio),
        media=tuple(
            replace(media, connection=None) if media is audio else media.rejected()
            for media in description.media
        ),
    )


def choose(description: SessionDescription, codecs: Sequence[str]) -> Choice:
    """Pick the codec of the audio stream: the first of the peer's formats that is one of `codecs`.

    The peer's order decides, not that of `codecs`: it put its best first (RFC 3264 section 6.1).
    Raises NoAudioError, or UnsupportedCodecError naming what is there instead.
    """
    maps = audio_of(description).rtpmaps()
    for payload_type, rtpmap in maps.items():
        codec = next((name for name in codecs if CODECS[name].same(rtpmap)), None)
        if codec:
            events = RtpMap("telephone-event", rtpmap.clock_rate)
            event_payload_type = next((number for number, other in maps.items() if events.same(other)), None)
            return Choice(codec, payload_type, event_payload_type)
    found = ", ".join(str(rtpmap) for rtpmap in maps.values())
    raise UnsupportedCodecError(f"SDP: offers {shorten(found)}; offer one of {', '.join(codecs)}")


def answer_direction(offered: Direction, *, held: bool) -> Direction:
    """What we may do with a stream that its writer calls `offered` (RFC 3264 sections 6.1 and 8.4).

    `held`: its address is 0.0.0.0, so that nothing may be sent there.
    """
    return Direction.of(sends=offered.receives and not held, receives=offered.sends)


def our_direction(description: SessionDescription) -> Direction:
    """What we may do with the audio stream of the peer's description; raises NoAudioError."""
    audio = audio_of(description)
    return answer_direction(description.direction_of(audio), held=description.is_held(audio))


def build_offer(
    codecs: Sequence[str], address: str, port: int, session_id: str, version: int
) -> SessionDescription:
    """Our offer: `codecs`, best first, with static payload types, and telephone-event 0-15."""
    formats = [(_STATIC_NUMBERS[CODECS[name]], CODECS[name]) for name in codecs]
    formats.append((EVENT_PAYLOAD_TYPE, RtpMap("telephone-event", 8000)))
    audio = _our_audio(port, "RTP/AVP", formats, Direction.SENDRECV)
    return _our_description(address, session_id, version, (audio,))


def build_answer(
    offer: SessionDescription,
    choice: Choice,
    address: str,
    port: int,
    direction: Direction,
    session_id: str,
    version: int,
) -> SessionDescription:
    """Our answer: the audio stream with `choice`; every other stream is rejected in its place.

    Raises NoAudioError when `offer` has no audio stream.
    """
    rtpmap = CODECS[choice.codec]
    formats = [(choice.payload_type, rtpmap)]
    if choice.event_payload_type is not None:
        formats.append((choice.event_payload_type, RtpMap("telephone-event", rtpmap.clock_rate)))
    offered = audio_of(offer)
    audio = _our_audio(port, offered.proto, formats, direction)
    media = tuple(audio if media is offered else media.rejected() for media in offer.media)
    return _our_description(address, session_id, version, media)


def _our_description(
    address: str, session_id: str, version: int, media: tuple[Media, ...]
) -> SessionDescription:
    origin = Origin("-", session_id, str(version), address)
    return SessionDescription(origin, connection=address, media=media)


def _our_audio(port: int, proto: str, formats: Sequence[tuple[int, RtpMap]], direction: Direction) -> Media:
    attributes: list[Attribute] = []
    for number, rtpmap in formats:
        attributes.append(("rtpmap", f"{number} {rtpmap}"))
        if rtpmap.encoding == "telephone-event":
            attributes.append(("fmtp", f"{number} 0-15"))
    attributes += [("ptime", str(DEFAULT_PTIME)), (direction.value, None)]
    return Media(
        "audio", port, proto, tuple(str(number) for number, _ in formats), attributes=tuple(attributes)
    )
