"""The media of one call leg: rtpengine between the peer's stream and a slot of a media worker.

rtpengine relays without transcoding; towards us the stream is always plain RTP, whatever the peer speaks
(RTP, or SRTP with keys in the SDP), and RTCP has a port of its own. It sees of the peer's description the audio
stream alone, so that other streams cost it nothing, and of that the chosen codec alone: its own ``codec`` lists
would drop a telephone-event whose clock is not that of the codec, and the peer's digits with it.

``port-latching`` in every command keeps rtpengine's ports over hold, a new address of the peer and a change
of codec: media workers tell calls apart by the source port.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal

from control.errors import NgError, SdpError
from control.rtpengine.ng import NgClient, Reply
from control.rtpengine.profile import SIP, Profile
from control.rtpengine.stream import Endpoint, Stream, stream_of
from control.sip.offer_answer import (
    Choice,
    audio_of,
    build_answer,
    build_offer,
    choose,
    only,
    renumbered,
)
from control.sip.sdp import DEFAULT_PTIME, Direction, SessionDescription, parse

__all__ = ["Endpoint", "MediaLeg", "Stream"]

log = logging.getLogger(__name__)


class _State(Enum):
    NEW = "new"
    """rtpengine knows nothing of the call."""
    OFFERED = "offered"
    """Our offer waits for the peer's first answer."""
    RELAYING = "relaying"
    DELETED = "deleted"


class MediaLeg:
    """Offers and answers between the peer, rtpengine and one media slot.

    The leg has the rtpengine call `call_id` for itself. The tags name the two sides towards rtpengine; they
    need not be those of the dialog. `external` is rtpengine's interface towards the peer; our side is
    ``int``. `codecs` are names of ours, best first; `profile` is the kind of peer.

    What the peer sent is checked before rtpengine hears of it: SdpError and its kinds leave the media as
    they were. After NgError they are unknown, and the leg is to be ended with `delete`. Methods of one leg
    are called one after the other; `delete` may come at any time.
    """

    def __init__(
        self,
        ng: NgClient,
        call_id: str,
        peer_tag: str,
        local_tag: str,
        external: Literal["pub", "int"],
        codecs: tuple[str, ...],
        profile: Profile = SIP,
    ) -> None:
        self._ng = ng
        self._call_id = call_id
        self._peer_tag = peer_tag
        self._local_tag = local_tag
        self._external = external
        self._codecs = codecs
        self._profile = profile
        self._session_id = str(secrets.randbits(31))
        self._version = 0
        self._state = _State.NEW
        self._lock = asyncio.Lock()
        self._endpoint: Endpoint | None = None
        self.local_sdp = b""
        """The last description given to the peer."""

    async def answer(self, offer: bytes, endpoint: Endpoint) -> tuple[bytes, Stream]:
        """Answer the peer's first offer: (answer for the peer, stream). Raises SdpError and NgError."""
        self._endpoint = endpoint
        return await self.reoffer(offer)

    async def reoffer(self, offer: bytes) -> tuple[bytes, Stream]:
        """Answer a later offer of the peer: hold, resume, new address, new codec.

        Returns and raises like `answer`.
        """
        peer = parse(offer)
        self.local_sdp, stream = await self._relay(peer, self._choose(peer))
        return self.local_sdp, stream

    async def offer(self, endpoint: Endpoint) -> bytes:
        """Our first offer for the peer. Raises NgError."""
        self._endpoint = endpoint
        ours = build_offer(
            self._codecs, endpoint.address, endpoint.port, self._session_id, self._next_version()
        )
        self._enter(_State.OFFERED)
        reply = await self._negotiate(
            "offer",
            self._local_tag,
            self._peer_tag,
            ours,
            {"direction": ["int", self._external], "transport protocol": "RTP/AVP"},
        )
        self.local_sdp = _sdp_of(reply)
        return self.local_sdp

    def renew_offer(self) -> bytes:
        """Offer again what the peer has, ready to send and receive: for a re-INVITE without offer.

        Nothing changes until `accept` gets the peer's answer. Raises NgError before `answer` or `offer`.
        """
        try:
            description = parse(self.local_sdp)
        except SdpError as error:
            raise NgError(f"call {self._call_id}: the peer has no description to renew: {error}") from error
        audio = audio_of(description)
        directions = set(Direction)
        attributes = [attribute for attribute in audio.attributes if attribute[0] not in directions]
        renewed = replace(audio, attributes=(*attributes, (Direction.SENDRECV.value, None)))
        self.local_sdp = bytes(
            replace(
                description,
                origin=replace(description.origin, version=str(self._next_version())),
                media=tuple(renewed if media is audio else media for media in description.media),
            )
        )
        return self.local_sdp

    async def accept(self, answer: bytes) -> Stream:
        """Take the peer's answer to our offer. Raises SdpError and NgError.

        May come again with another answer (183 then 200, another branch of a fork, after `renew_offer`).
        """
        peer = parse(answer)
        choice = self._choose_answered(peer)
        if self._state is not _State.OFFERED:
            _sdp, stream = await self._relay(peer, choice)
            return stream
        reply = await self._negotiate("answer", self._local_tag, self._peer_tag, only(choice, peer))
        self._enter(_State.RELAYING)
        return stream_of(peer, *_read(reply, choice.codec))

    async def delete(self) -> None:
        """Free rtpengine's ports, after the command under way. Does nothing when rtpengine has no such call.

        Raises NgTimeoutError when rtpengine does not answer; what it still has then ends by its own timeout.
        """
        state = self._state
        if state is _State.DELETED:
            return
        self._enter(_State.DELETED)
        if state is not _State.NEW:
            async with self._lock:
                await self._ng.command("delete", **{"call-id": self._call_id, "delete-delay": 0})

    async def _relay(self, peer: SessionDescription, choice: Choice) -> tuple[bytes, Stream]:
        """Make rtpengine relay `choice` to where `peer` says: (our description for the peer, stream).

        A later answer goes this way as well as an offer, because a second ng answer to the same offer cannot
        bring back a codec that the first one left out.
        """
        if self._endpoint is None:
            raise NgError(f"call {self._call_id}: there is no endpoint yet; call answer or offer first")
        self._enter(_State.RELAYING)
        reply = await self._negotiate(
            "offer",
            self._peer_tag,
            self._local_tag,
            only(choice, peer),
            {"direction": [self._external, "int"], "transport protocol": "RTP/AVP"},
        )
        towards_us, choice = _read(reply, choice.codec)
        stream = stream_of(peer, towards_us, choice)
        ours = build_answer(
            towards_us,
            choice,
            self._endpoint.address,
            self._endpoint.port,
            stream.direction,
            self._session_id,
            self._next_version(),
        )
        # No direction here: rtpengine would put the peer's side on our interface.
        reply = await self._negotiate("answer", self._peer_tag, self._local_tag, ours)
        return _sdp_of(reply), stream

    def _choose(self, peer: SessionDescription) -> Choice:
        """What is to be spoken with the peer. Raises SdpError."""
        choice = choose(peer, self._codecs)
        longest = audio_of(peer).maxptime
        if longest is not None and longest < DEFAULT_PTIME:
            log.info(
                "call %s: the peer wants at most %d ms in a packet; it gets %d",
                self._call_id,
                longest,
                DEFAULT_PTIME,
            )
        return choice

    def _choose_answered(self, peer: SessionDescription) -> Choice:
        """What is to be spoken by the peer's answer, with the numbers of our offer. Raises SdpError.

        rtpengine drops a codec that an answer gives another number, and a slot has one number for both
        directions.
        """
        choice = self._choose(peer)
        if not self.local_sdp:
            return choice
        offered = renumbered(choice, parse(self.local_sdp))
        if offered.payload_type != choice.payload_type:
            log.warning(
                "call %s: the peer answers with payload type %d for %s, which we offered as %d:"
                " it may not understand what we send",
                self._call_id,
                choice.payload_type,
                choice.codec,
                offered.payload_type,
            )
        return offered

    async def _negotiate(
        self,
        command: Literal["offer", "answer"],
        from_tag: str,
        to_tag: str,
        sdp: SessionDescription,
        fields: Mapping[str, Any] = MappingProxyType({}),
    ) -> Reply:
        to_us = (command == "offer") == (from_tag == self._peer_tag)
        async with self._lock:
            if self._state is _State.DELETED:
                raise NgError(f"call {self._call_id}: the leg is deleted, it takes no {command}")
            return await self._ng.command(
                command,
                **(self._profile.to_us if to_us else self._profile.to_peer),
                **{"call-id": self._call_id, "from-tag": from_tag, "to-tag": to_tag, "sdp": bytes(sdp)},
                **fields,
            )

    def _enter(self, state: _State) -> None:
        if self._state is _State.DELETED:
            raise NgError(f"call {self._call_id}: the leg is deleted")
        self._state = state

    def _next_version(self) -> int:
        self._version += 1
        return self._version


def _sdp_of(reply: Reply) -> bytes:
    sdp = reply.get("sdp", b"")
    return sdp.encode() if isinstance(sdp, str) else bytes(sdp)


def _read(reply: Reply, codec: str) -> tuple[SessionDescription, Choice]:
    """rtpengine's description towards us, which must have kept `codec`."""
    try:
        description = parse(_sdp_of(reply))
        return description, choose(description, (codec,))
    except SdpError as error:
        raise NgError(f"rtpengine gave a description that we cannot use: {error}") from error
