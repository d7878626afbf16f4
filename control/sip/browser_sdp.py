"""A browser's offer and our answer to it (JSEP, RFC 8829): one audio section between what the browser writes and
what rtpengine is to see.

Of the offer rtpengine gets the audio section alone, without what concerns browsers among themselves (streams,
header extensions, simulcast). Its default address is not handed on, ICE finds the way: a browser that hides its
own writes 0.0.0.0 with a port, which rtpengine would take for hold.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from control.errors import NoAudioError, SdpError
from control.sip.sdp import Attribute, Media, SessionDescription, parse
from control.sip.uri import shorten

_PROTOCOLS: Final = frozenset(("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP"))
"""All of them mean DTLS-SRTP where there is a fingerprint (RFC 8829 section 5.1.2)."""
_PROTOCOL: Final = "UDP/TLS/RTP/SAVPF"
_NOWHERE: Final = "0.0.0.0"
_DISCARD_PORT: Final = 9
"""With the address 0.0.0.0: where is for ICE to say (RFC 8840 section 4.1.1)."""

_CREDENTIALS: Final = ("ice-ufrag", "ice-pwd", "fingerprint")
_TRANSPORT: Final = (*_CREDENTIALS, "ice-options", "setup", "rtcp-mux", "candidate", "end-of-candidates")
"""Attributes that sections of one BUNDLE group share (RFC 8859), and that may stand in the session."""
_OWN: Final = frozenset(("rtpmap", "fmtp", "ptime", "maxptime"))
"""Attributes of the section itself that rtpengine or we need."""

_STREAM: Final = ("msid", "sidecall audio")
"""Names the stream in which a page finds our audio (RFC 8830)."""


@dataclass(frozen=True, slots=True)
class BrowserOffer:
    """An offer that can be answered; make it by `read`."""

    description: SessionDescription
    """The whole of it."""
    audio: Media
    """The section of `description` that is answered; every other one is rejected."""
    reduced: SessionDescription
    """That section alone, for rtpengine."""
    ipv6: bool

    def answer(self, relayed: bytes) -> str:
        """The answer for the browser, made of rtpengine's answer to `reduced`.

        Sections stand in the order of the offer (RFC 3264 section 6), with its mids; BUNDLE has the answered one
        when the offer bundled it (RFC 9143 section 7.3). Raises SdpError.
        """
        description = parse(relayed)
        if not description.media:
            raise SdpError("SDP: rtpengine's answer has no section")
        audio = self._accepted(description.media[0])
        mid = self.audio.attribute("mid")
        bundled = bool(_group(self.description, mid))
        return bytes(
            replace(
                description,
                attributes=(
                    *((("group", f"BUNDLE {mid}"),) if bundled else ()),
                    *(attribute for attribute in description.attributes if attribute[0] != "group"),
                ),
                media=tuple(
                    audio if media is self.audio else replace(media.rejected(), attributes=tuple(_mid(media)))
                    for media in self.description.media
                ),
            )
        ).decode("utf-8", "replace")

    def _accepted(self, relayed: Media) -> Media:
        attributes = (attribute for attribute in relayed.attributes if attribute[0] not in ("mid", "msid"))
        sends = relayed.direction is None or relayed.direction.sends
        return replace(
            relayed,
            proto=self.audio.proto,
            attributes=(
                *_mid(self.audio),
                *((_STREAM,) if sends else ()),
                *(attribute for attribute in attributes if _reachable(attribute, ipv6=self.ipv6)),
            ),
        )


def read(text: str, *, ipv6: bool) -> BrowserOffer:
    """What a browser offers in ``RTCSessionDescription.sdp``; candidates with IPv6 are left out unless `ipv6`.

    Codecs are not looked at. Raises SdpError, or NoAudioError when no audio section can be answered.
    """
    if not text.strip():
        raise NoAudioError("SDP: the offer is empty; give the sdp of RTCPeerConnection.localDescription")
    description = parse(text.encode("utf-8", "replace"))
    audio = _audio_of(description)
    transport = tuple(_transport(description, audio))
    for name in _CREDENTIALS:
        if not any(attribute[0] == name and attribute[1] for attribute in transport):
            raise NoAudioError(
                f"SDP: the audio section has no a={name}; a browser's audio comes by ICE and DTLS-SRTP"
            )
    section = Media(
        "audio",
        _DISCARD_PORT,
        _PROTOCOL,
        audio.formats,
        attributes=(
            *(attribute for attribute in audio.attributes if attribute[0] in _OWN),
            (description.direction_of(audio).value, None),
            *(attribute for attribute in transport if _reachable(attribute, ipv6=ipv6)),
        ),
    )
    reduced = replace(
        description,
        name="-",
        connection=_NOWHERE,
        attributes=tuple(attribute for attribute in description.attributes if attribute[0] == "ice-lite"),
        media=(section,),
    )
    return BrowserOffer(description, audio, reduced, ipv6)


def _audio_of(description: SessionDescription) -> Media:
    """The first audio section with something to hear, else the first one that only listens."""
    offered = [media for media in description.media if _is_audio(media)]
    if not offered:
        found = ", ".join(f"{media.kind} {media.port} {media.proto}" for media in description.media)
        raise NoAudioError(
            f"SDP: no audio section over DTLS-SRTP, only {shorten(found)}; add an audio track or transceiver"
        )
    return next((media for media in offered if description.direction_of(media).sends), offered[0])


def _is_audio(media: Media) -> bool:
    # A section that goes only into its group has port 0 and is offered all the same (RFC 9143 section 6).
    offered = media.port or media.attribute("bundle-only") is not None
    return media.kind == "audio" and bool(offered) and media.proto.upper() in _PROTOCOLS


def _transport(description: SessionDescription, audio: Media) -> Iterator[Attribute]:
    """ICE and DTLS of `audio`: each attribute its own, else that of the section its group is tagged by, else
    that of the session.
    """
    sources = [audio.attributes, description.attributes]
    tags = _group(description, audio.attribute("mid"))
    tagged = next((media for media in description.media if tags and media.attribute("mid") == tags[0]), audio)
    if audio.attribute("ice-ufrag") in (None, tagged.attribute("ice-ufrag")):
        sources.insert(1, tagged.attributes)
    for name in _TRANSPORT:
        found = ([attribute for attribute in source if attribute[0] == name] for source in sources)
        yield from next((attributes for attributes in found if attributes), ())


def _group(description: SessionDescription, mid: str | None) -> list[str]:
    """The mids of the BUNDLE group that `mid` is in; empty when it is in none."""
    for name, value in description.attributes:
        kind, *mids = (value or "").split() or [""]
        if name == "group" and kind == "BUNDLE" and mid in mids:
            return mids
    return []


def _mid(media: Media) -> Iterator[Attribute]:
    if (mid := media.attribute("mid")) is not None:
        yield "mid", mid


def _reachable(attribute: Attribute, *, ipv6: bool) -> bool:
    """False for a candidate whose address is a name (mDNS), malformed, or an IPv6 one that is not wanted."""
    name, value = attribute
    if name != "candidate":
        return True
    fields = (value or "").split()
    try:
        address = ipaddress.ip_address(fields[4])
    except (IndexError, ValueError):
        return False
    return ipv6 or address.version == 4
