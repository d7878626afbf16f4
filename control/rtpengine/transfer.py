"""A third party in the call of a media leg: rtpengine relays the peer and it, and the slot listens to both.

The order of the commands, with the peer's tag and one of ours for the party:

1. *Tap the peer.* From the moment of the next offer the slot hears it no more any other way; the peer still hears
   the slot.
2. *offer* from the peer to the party, with the codec that the peer speaks now, and what rtpengine can make of it.
3. *answer* of the party. The peer hears the party, and would hear the slot as well: *block media* of the slot.
   *Tap the party.*
4. *offer* and *answer* between peer and slot, as before all this; *delete* the party and both taps.

Whatever one of the two describes later goes the way of 2 and 3 again, because either reply has the description for
one of them: that of the offer for the party, that of the answer for the peer.
"""

import logging
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from control.errors import NgError, UnsupportedCodecError
from control.rtpengine.media import Interface, MediaLeg, Party
from control.rtpengine.replies import description_of
from control.rtpengine.stream import Stream, stream_of
from control.sip.offer_answer import (
    CODECS,
    Choice,
    audio_of,
    build_answer,
    choose,
    only,
    our_direction,
    renumbered,
)
from control.sip.sdp import Direction, Media, Origin, SessionDescription, parse

log = logging.getLogger(__name__)

_NUMBERED: Final = frozenset(("rtpmap", "fmtp"))
_KEPT: Final = _NUMBERED | {"ptime", "maxptime", "rtcp"}
"""Attributes of the peer's stream that concern the party."""


class State(Enum):
    """How far the party is."""

    NEW = "new"
    OFFERED = "offered"
    """The peer hears the slot; the slot hears the tap of the peer."""
    CONNECTED = "connected"
    """Peer and party hear each other; the slot hears the taps of both."""
    RELEASED = "released"
    """The peer is back at the slot."""


@dataclass(frozen=True, slots=True)
class _Tap:
    tag: str
    stream: Stream


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the party described last."""

    description: SessionDescription
    choice: Choice


class Bridge:
    """Connects the peer of `leg` with a party that is called `tag` towards rtpengine, at our `external` interface.

    `codecs` are names of ours that the party may choose from when it cannot speak the peer's. Every method but
    `party_stream` and `leg_stream` raises NgError; afterwards `release` is to be called. They are called one after
    the other, and not while the leg negotiates.
    """

    def __init__(self, leg: MediaLeg, tag: str, external: Interface, codecs: Sequence[str]) -> None:
        if leg.party is None:
            raise NgError("there is no media that could be handed over")
        self.state = State.NEW
        self._leg = leg
        self._tag = tag
        self._external = external
        spoken = leg.party.choice.codec
        self._codecs = (spoken, *(codec for codec in codecs if codec != spoken))
        self._session_id = str(secrets.randbits(31))
        self._version = 0
        self._offered = b""
        self._answer: _Answer | None = None
        self._tags: list[str] = []
        self._leg_tap: _Tap | None = None
        self._party_tap: _Tap | None = None

    # What the slots are told

    @property
    def leg_stream(self) -> Stream:
        """What the slot has with the peer."""
        ordinary = self._party_of_leg.stream
        if self._leg_tap is None or self.state is State.RELEASED:
            return ordinary
        if self.state is State.CONNECTED:
            return self._leg_tap.stream
        tap = self._leg_tap.stream
        return replace(ordinary, source_port=tap.port, source_address=tap.address)

    # Life

    async def tap(self) -> Stream:
        """Tap the peer, before `offer`."""
        self._leg_tap = await self._subscribe(self._leg.peer_tag, self._party_of_leg.choice.codec)
        return self.leg_stream

    async def offer(self) -> bytes:
        """The offer for the party; the slot hears the peer by the tap alone from now on."""
        self._leg.relay = self
        self._enter(State.OFFERED)
        towards = await self._offer()
        audio = audio_of(towards)
        alone = replace(towards, media=(audio,))
        # rtpengine hands on the 0.0.0.0 of a peer on hold; its own address is still the origin's.
        address = towards.origin.address
        self._offered = self._write(audio, address, audio.rtpmaps(), Direction.SENDRECV, alone)
        return self._offered

    async def accept(self, answer: bytes) -> Stream:
        """Take the party's answer and connect: the tap of the party. Raises SdpError also.

        May come again with another answer: 183 then 200, another branch of a fork, after `renew_offer`.
        """
        party = parse(answer)
        choice = renumbered(choose(party, self._codecs), parse(self._offered))
        if self.state is State.CONNECTED:
            await self._offer()
        await self._connect(_Answer(party, choice))
        return await self._tap_party()

    async def reoffer(self, offer: bytes) -> tuple[bytes, Stream]:
        """A later offer of the party, which must have the codec in use: (answer for it, tap). Raises SdpError also."""
        party = parse(offer)
        choice = choose(party, (self._answered.choice.codec,))
        if choice.payload_type != self._answered.choice.payload_type:
            raise UnsupportedCodecError(
                f"SDP: {choice.codec} has the payload type {choice.payload_type} now; keep"
                f" {self._answered.choice.payload_type} within the call"
            )
        towards = await self._offer()
        await self._connect(_Answer(party, choice))
        self._offered = self._write(
            audio_of(towards), towards.origin.address, choice.rtpmaps, our_direction(party), party
        )
        return self._offered, await self._tap_party()

    def renew_offer(self) -> bytes:
        """The description that the party has, with the codec in use: for a re-INVITE without offer."""
        offered, numbers = parse(self._offered), self._answered.choice.rtpmaps
        address = offered.origin.address
        self._offered = self._write(audio_of(offered), address, numbers, Direction.SENDRECV, offered)
        return self._offered

    async def relay(self, peer: SessionDescription, choice: Choice) -> tuple[bytes, Stream]:
        """The peer describes itself anew: (our description for it, stream)."""
        known = self._party_of_leg
        if self.state is State.OFFERED:
            # The slot answers, and then the party is offered the call as before.
            sdp, _stream = await self._leg.relay_to_slot(peer, choice)
            await self._offer()
        else:
            self._leg.party = Party(peer, choice, replace(known.stream, direction=our_direction(peer)))
            await self._offer()
            sdp = await self._answer_leg(self._answered)
        return sdp, self.leg_stream

    async def release(self) -> Stream:
        """Give the peer back to the slot and forget the party: what the slot has with the peer then."""
        before, self._leg.relay = self.state, None
        if before is State.RELEASED:
            return self.leg_stream
        self._enter(State.RELEASED)
        if before is not State.NEW:
            if before is State.CONNECTED:
                await self._leg.command("unblock media", **{"from-tag": self._leg.local_tag})
            known = self._party_of_leg
            await self._leg.relay_to_slot(known.description, known.choice)
            await self._forget(self._tag, **{"via-branch": self._tag})
        for tag in self._tags:
            await self._unsubscribe(tag)
        self._tags.clear()
        return self.leg_stream

    async def delete(self) -> None:
        """`release`, for those who need no stream."""
        await self.release()

    # Commands

    async def _offer(self) -> SessionDescription:
        """Offer the party what the peer speaks: rtpengine's description for it."""
        known = self._party_of_leg
        others = [str(CODECS[name].rtpmap) for name in self._codecs[1:]]
        reply = await self._leg.offer_to(
            self._tag,
            known.description,
            known.choice,
            self._external,
            codec={"transcode": [_full(name) for name in others]},
            **{"via-branch": self._tag},
        )
        return description_of(reply, known.choice.codec)[0]

    async def _connect(self, answer: _Answer) -> None:
        await self._answer_leg(answer)
        if self.state is not State.CONNECTED:
            self._enter(State.CONNECTED)
            # A packet of the slot that is on its way would be a second stream at the peer.
            await self._leg.command("block media", **{"from-tag": self._leg.local_tag})

    async def _answer_leg(self, answer: _Answer) -> bytes:
        """Let the party answer: the description for the peer, which must be what it has."""
        known = self._party_of_leg
        party = only(answer.choice, answer.description)
        directed = _directed(audio_of(party), our_direction(known.description))
        # rtpengine counts streams: those of the peer that are no audio are refused in their places.
        theirs = audio_of(known.description)
        media = tuple(directed if each is theirs else each.rejected() for each in known.description.media)
        sdp = await self._leg.answer_from(self._tag, replace(party, media=media), **{"via-branch": self._tag})
        description_of({"sdp": sdp}, known.choice.codec)
        self._answer = answer
        return sdp

    async def _tap_party(self) -> Stream:
        """The tap of the party, made anew when it speaks something else."""
        codec = self._answered.choice.codec
        if self._party_tap is not None and self._party_tap.stream.codec != codec:
            await self._unsubscribe(self._party_tap.tag)
            self._tags.remove(self._party_tap.tag)
            self._party_tap = None
        if self._party_tap is None:
            self._party_tap = await self._subscribe(self._tag, codec)
        return self._party_tap.stream

    async def _subscribe(self, of: str, codec: str) -> _Tap:
        """Let the slot's socket have what the one called `of` says."""
        endpoint = self._leg.endpoint
        if endpoint is None:
            raise NgError("there is no endpoint that could listen")
        tag = f"{self._tag}-tap-{secrets.token_hex(4)}"
        self._tags.append(tag)
        reply = await self._leg.command(
            "subscribe request",
            **{
                "from-tag": of,
                "to-tag": tag,
                "interface": "int",
                "transport protocol": "RTP/AVP",
                "ICE": "remove",
                "rtcp-mux": ["demux"],
            },
        )
        towards_us, choice = description_of(reply, codec)
        ours = build_answer(
            towards_us,
            choice,
            endpoint.address,
            endpoint.port,
            Direction.RECVONLY,
            self._session_id,
            self._next_version(),
        )
        await self._leg.command(
            "subscribe answer", **{"to-tag": tag, "sdp": bytes(ours), "flags": ["allow-transcoding"]}
        )
        stream = stream_of(towards_us, towards_us, choice)
        stream = replace(
            stream,
            direction=Direction.RECVONLY,
            source_port=stream.port,
            source_address=stream.address,
        )
        return _Tap(tag, stream)

    async def _unsubscribe(self, tag: str) -> None:
        """End a tap; its tag and ports would stay without the second command."""
        await self._leg.command("unsubscribe", **{"to-tag": tag})
        await self._forget(tag)

    async def _forget(self, tag: str, **fields: Any) -> None:
        await self._leg.command("delete", **{"from-tag": tag, "delete-delay": 0}, **fields)

    # Descriptions

    def _write(
        self,
        audio: Media,
        address: str,
        numbers: Collection[int],
        direction: Direction,
        like: SessionDescription,
    ) -> bytes:
        """For the party: `audio` at `address` with `numbers` alone, in the place that it has in `like`."""
        kept = tuple(
            (name, value)
            for name, value in audio.attributes
            if name in _KEPT and (name not in _NUMBERED or int((value or "").partition(" ")[0]) in numbers)
        )
        audio = replace(
            audio,
            formats=tuple(text for text in audio.formats if int(text) in numbers),
            connection=None,
            attributes=(*kept, (direction.value, None)),
        )
        origin = Origin("-", self._session_id, str(self._next_version()), address)
        return bytes(SessionDescription(origin, connection=address, media=_placed(audio, like)))

    # State

    @property
    def _party_of_leg(self) -> Party:
        if self._leg.party is None:
            raise NgError("there is no media that could be handed over")
        return self._leg.party

    @property
    def _answered(self) -> _Answer:
        if self._answer is None:
            raise NgError("the third party has not answered")
        return self._answer

    def _enter(self, state: State) -> None:
        if self.state is State.RELEASED:
            raise NgError("the peer is back at its slot already")
        self.state = state

    def _next_version(self) -> int:
        self._version += 1
        return self._version


def _full(rtpmap: str) -> str:
    """`rtpmap` with its channels: without them rtpengine takes any clock rate for the same codec."""
    return rtpmap if rtpmap.count("/") == 2 else f"{rtpmap}/1"


def _directed(audio: Media, direction: Direction) -> Media:
    directions = set(Direction)
    attributes = tuple(attribute for attribute in audio.attributes if attribute[0] not in directions)
    return replace(audio, attributes=(*attributes, (direction.value, None)))


def _placed(audio: Media, like: SessionDescription) -> tuple[Media, ...]:
    """`audio` in the place of the audio stream of `like`, whose other streams are refused."""
    theirs = audio_of(like)
    return tuple(audio if each is theirs else each.rejected() for each in like.media)
