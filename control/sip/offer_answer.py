"""Offer and answer for one audio stream (RFC 3264): codec, telephone-event, direction, hold.

Dynamic payload types are the offerer's: an answer repeats them.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from control.errors import NoAudioError, UnsupportedCodecError
from control.sip.sdp import (
    DEFAULT_PTIME,
    Attribute,
    Direction,
    Media,
    Origin,
    RtpMap,
    SessionDescription,
)
from control.sip.uri import shorten

MAX_PTIME: Final = 60
"""Milliseconds of audio in a packet that media can take."""
OPUS_PARAMETERS: Final = (
    "minptime=10;useinbandfec=1;maxaveragebitrate=24000;maxplaybackrate=16000;sprop-maxcapturerate=16000"
)
"""What we want to receive as Opus (RFC 7587 section 6.1). Bots hear 16 kHz: more bandwidth costs the sender
bits and us time, and nobody hears it. 24 kbit/s is what wideband speech takes.
"""


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec as descriptions name it."""

    rtpmap: RtpMap
    payload_type: int
    """That of our offers."""
    parameters: str | None = None
    """Our ``a=fmtp``."""


CODECS: Final = {
    "pcmu": Codec(RtpMap("PCMU", 8000), 0),
    "pcma": Codec(RtpMap("PCMA", 8000), 8),
    # Its RTP clock is 8000 although it samples at 16 kHz (RFC 3551 section 4.5.2).
    "g722": Codec(RtpMap("G722", 8000), 9),
    "opus": Codec(RtpMap("opus", 48000, 2), 111, OPUS_PARAMETERS),
    # For what rtpengine transcodes; no telephone speaks it.
    "pcmu16": Codec(RtpMap("PCMU", 16000), 112),
}
"""Our codecs by their names in settings and streams."""
EVENT_PAYLOAD_TYPES: Final = {8000: 101, 16000: 102, 48000: 110}
"""Payload types of telephone-event in our offers (RFC 4733), by clock rate."""
EVENT_CLOCK_RATE: Final = 8000
"""Clock of the telephone-event that goes with every codec when there is none of the codec's own."""

_EVENT_PARAMETERS: Final = "0-15"
_FORMAT_ATTRIBUTES: Final = frozenset(("rtpmap", "fmtp", "rtcp-fb"))
_Format = tuple[int, RtpMap, str | None]
"""Payload type, encoding, parameters."""

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
    """Payload type of telephone-event; None: no events."""
    event_clock_rate: int = EVENT_CLOCK_RATE
    """Hz of the timestamps of telephone-event."""

    @property
    def rtpmaps(self) -> dict[int, RtpMap]:
        """The encodings of its payload types, codec first."""
        maps = {self.payload_type: CODECS[self.codec].rtpmap}
        if self.event_payload_type is not None:
            maps[self.event_payload_type] = RtpMap("telephone-event", self.event_clock_rate)
        return maps


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


def only(choice: Choice, description: SessionDescription) -> SessionDescription:
    """The description with every stream disabled but `audio_of`, which offers nothing but `choice`.

    The address of that stream becomes the session's. Raises NoAudioError.
    """
    audio = audio_of(description)
    chosen = replace(
        audio,
        formats=tuple(str(number) for number in choice.rtpmaps),
        connection=None,
        attributes=(
            *(("rtpmap", f"{number} {rtpmap}") for number, rtpmap in choice.rtpmaps.items()),
            *(attribute for attribute in audio.attributes if _concerns(choice, attribute)),
        ),
    )
    return replace(
        description,
        connection=description.address_of(audio),
        media=tuple(chosen if media is audio else media.rejected() for media in description.media),
    )


def _concerns(choice: Choice, attribute: Attribute) -> bool:
    """Whether an attribute of a stream is one of `choice` or of the stream as a whole."""
    name, value = attribute
    if name not in _FORMAT_ATTRIBUTES:
        return True
    number = (value or "").partition(" ")[0]
    return name != "rtpmap" and number in {"*", *(str(number) for number in choice.rtpmaps)}


def choose(description: SessionDescription, codecs: Sequence[str]) -> Choice:
    """Pick the codec of the audio stream: the first of the peer's formats that is one of `codecs`.

    The peer's order decides, not that of `codecs`: it put its best first (RFC 3264 section 6.1).
    Raises NoAudioError, or UnsupportedCodecError naming what is there instead.
    """
    maps = audio_of(description).rtpmaps()
    for payload_type, rtpmap in maps.items():
        codec = next((name for name in codecs if CODECS[name].rtpmap.same(rtpmap)), None)
        if codec:
            return Choice(codec, payload_type, *_events(maps, rtpmap.clock_rate))
    found = ", ".join(str(rtpmap) for rtpmap in maps.values())
    raise UnsupportedCodecError(f"SDP: offers {shorten(found)}; offer one of {', '.join(codecs)}")


def renumbered(choice: Choice, offer: SessionDescription) -> Choice:
    """`choice`, made of an answer, with the payload types that `offer` has for the same: by them its writer sends.

    Raises NoAudioError.
    """
    numbers = {str(rtpmap).lower(): number for number, rtpmap in audio_of(offer).rtpmaps().items()}
    payload_type, *events = (
        numbers.get(str(rtpmap).lower(), number) for number, rtpmap in choice.rtpmaps.items()
    )
    # An encoding that was not offered keeps the answer's number, which the offer may have for the other.
    event = next((number for number in events if number != payload_type), None)
    return replace(choice, payload_type=payload_type, event_payload_type=event)


def _events(maps: Mapping[int, RtpMap], clock_rate: int) -> tuple[int | None, int]:
    """Payload type and clock rate of the telephone-event for a codec of `clock_rate`.

    Both should have one clock (RFC 4733 section 2.1), but some telephones have events at 8000 Hz alone,
    whatever the codec.
    """
    for rate in (clock_rate, EVENT_CLOCK_RATE):
        events = RtpMap("telephone-event", rate)
        for number, rtpmap in maps.items():
            if events.same(rtpmap):
                return number, rate
    return None, EVENT_CLOCK_RATE


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
    """Our offer: `codecs`, best first, and telephone-event 0-15 at the clock rate of each and at 8000 Hz."""
    offered = [CODECS[name] for name in codecs]
    rates = dict.fromkeys([*(codec.rtpmap.clock_rate for codec in offered), EVENT_CLOCK_RATE])
    formats = [
        *((codec.payload_type, codec.rtpmap, codec.parameters) for codec in offered),
        *((EVENT_PAYLOAD_TYPES[rate], RtpMap("telephone-event", rate), _EVENT_PARAMETERS) for rate in rates),
    ]
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
    parameters = {choice.payload_type: CODECS[choice.codec].parameters}
    formats = [
        (number, rtpmap, parameters.get(number, _EVENT_PARAMETERS))
        for number, rtpmap in choice.rtpmaps.items()
    ]
    offered = audio_of(offer)
    audio = _our_audio(port, offered.proto, formats, direction)
    media = tuple(audio if media is offered else media.rejected() for media in offer.media)
    return _our_description(address, session_id, version, media)


def _our_description(
    address: str, session_id: str, version: int, media: tuple[Media, ...]
) -> SessionDescription:
    origin = Origin("-", session_id, str(version), address)
    return SessionDescription(origin, connection=address, media=media)


def _our_audio(port: int, proto: str, formats: Sequence[_Format], direction: Direction) -> Media:
    attributes: list[Attribute] = []
    for number, rtpmap, parameters in formats:
        attributes.append(("rtpmap", f"{number} {rtpmap}"))
        if parameters is not None:
            attributes.append(("fmtp", f"{number} {parameters}"))
    attributes += [("ptime", str(DEFAULT_PTIME)), ("maxptime", str(MAX_PTIME)), (direction.value, None)]
    return Media(
        "audio", port, proto, tuple(str(number) for number, *_ in formats), attributes=tuple(attributes)
    )
