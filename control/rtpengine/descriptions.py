"""Descriptions that we make of rtpengine's for a party that is to know nothing of the peer but its audio stream."""

import secrets
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from control.sip.offer_answer import audio_of
from control.sip.sdp import Direction, Media, Origin, SessionDescription

_NUMBERED: Final = frozenset(("rtpmap", "fmtp"))
_KEPT: Final = _NUMBERED | {"ptime", "maxptime", "rtcp"}


class Author:
    """Writes the descriptions of one session, each a newer version of the last."""

    def __init__(self) -> None:
        self._session_id = str(secrets.randbits(31))
        self._version = 0

    def write(
        self,
        towards: SessionDescription,
        direction: Direction,
        numbers: Collection[int] | None = None,
        like: SessionDescription | None = None,
    ) -> bytes:
        """The audio stream of rtpengine's description `towards` the party, with the payload types `numbers` alone.

        In the place that the audio stream has in `like`, else alone. Raises NoAudioError.
        """
        audio = audio_of(towards)
        numbers = audio.rtpmaps() if numbers is None else numbers
        kept = tuple(
            (name, value)
            for name, value in audio.attributes
            if name in _KEPT and (name not in _NUMBERED or _number(value) in numbers)
        )
        formats = tuple(text for text in audio.formats if _number(text) in numbers)
        audio = replace(audio, formats=formats, connection=None, attributes=(*kept, (direction.value, None)))
        # rtpengine hands on the 0.0.0.0 of a peer on hold; its own address is still the origin's.
        address = towards.origin.address
        self._version += 1
        origin = Origin("-", self._session_id, str(self._version), address)
        media = (audio,) if like is None else placed(audio, like)
        return bytes(SessionDescription(origin, connection=address, media=media))


def placed(audio: Media, like: SessionDescription) -> tuple[Media, ...]:
    """`audio` in the place of the audio stream of `like`, whose other streams are refused."""
    theirs = audio_of(like)
    return tuple(audio if each is theirs else each.rejected() for each in like.media)


def directed(audio: Media, direction: Direction) -> Media:
    """`audio` with this direction instead of its own."""
    directions = set(Direction)
    attributes = tuple(attribute for attribute in audio.attributes if attribute[0] not in directions)
    return replace(audio, attributes=(*attributes, (direction.value, None)))


def _number(text: str | None) -> int | None:
    number = (text or "").partition(" ")[0]
    return int(number) if number.isdecimal() else None
