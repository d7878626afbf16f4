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
from control.rtpengine.party import Interface, Party, Relay
from control.rtpengine.profile import SIP, Profile
from control.rtpengine.replies import description_of, sdp_of
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

__all__ = ["Endpoint", "Interface", "MediaLeg", "Stream"]

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
        external: Interface,
        codecs: tuple[str, ...],
        profile: Profile = SIP,
    ) -> None:
        self._ng = ng
        self._call_id = call_id
        self.peer_tag = peer_tag
        self.local_tag = local_tag
        self._external = external
        self._codecs = codecs
        self._profile = profile
        self._session_id = str(secrets.randbits(31))
        self._version = 0
        self._state = _State.NEW
        self._lock = asyncio.Lock()
        self.endpoint: Endpoint | None = None
        self.party: Party | None = None
        """Known once there is media."""
        self.relay: Relay | None = None
        """Set while the peer talks to somebody else; its codec is then fixed."""
        self.local_sdp = b""
        """The last description given to the peer."""

    async def answer(self, offer: bytes, endpoint: Endpoint) -> tuple[bytes, Stream]:
        """Answer the peer's first offer: (answer for the peer, stream). Raises SdpError and NgError."""
        self.endpoint = endpoint
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
        self.endpoint = endpoint
        ours = build_offer(
            self._codecs, endpoint.address, endpoint.port, self._session_id, self._next_version()
        )
        self._enter(_State.OFFERED)
        reply = await self._negotiate(
            "offer",
            self.local_tag,
            self.peer_tag,
            ours,
            {"direction": ["int", self._external], "transport protocol": "RTP/AVP"},
        )
        self.local_sdp = sdp_of(reply)
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
        reply = await self._negotiate("answer", self.local_tag, self.peer_tag, only(choice, peer))
        self._enter(_State.RELAYING)
        stream = stream_of(peer, *description_of(reply, choice.codec))
        self.party = Party(peer, choice, stream)
        return stream

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
        self._enter(_State.RELAYING)
        if self.relay is not None:
            return await self.relay.relay(peer, choice)
        return await self.relay_to_slot(peer, choice)

    async def relay_to_slot(self, peer: SessionDescription, choice: Choice) -> tuple[bytes, Stream]:
        """Make rtpengine relay between the peer and the slot: (our description for the peer, stream).

        Raises SdpError and NgError.
        """
        if self.endpoint is None:
            raise NgError(f"call {self._call_id}: there is no endpoint yet; call answer or offer first")
        reply = await self.offer_to(self.local_tag, peer, choice, "int")
        towards_us, ours = description_of(reply, choice.codec)
        stream = stream_of(peer, towards_us, ours)
        answer = build_answer(
            towards_us,
            ours,
            self.endpoint.address,
            self.endpoint.port,
            stream.direction,
            self._session_id,
            self._next_version(),
        )
        sdp = await self.answer_from(self.local_tag, answer)
        self.party = Party(peer, choice, stream)
        return sdp, stream

    async def offer_to(
        self, tag: str, peer: SessionDescription, choice: Choice, interface: Interface, **fields: Any
    ) -> Reply:
        """Offer what `peer` describes, and of it `choice` alone, to the party `tag` at our `interface`.

        `fields` are more of the command's. Raises NgError.
        """
        towards = {"direction": [self._external, interface], "transport protocol": "RTP/AVP"}
        return await self._negotiate("offer", self.peer_tag, tag, only(choice, peer), towards | fields)

    async def answer_from(self, tag: str, answer: SessionDescription, **fields: Any) -> bytes:
        """Let the party `tag` answer that: our description for the peer. Raises NgError."""
        # No direction here: rtpengine would put the peer's side on our interface.
        return sdp_of(await self._negotiate("answer", self.peer_tag, tag, answer, fields))

    async def command(self, command: str, **fields: Any) -> Reply:
        """Any command about this call but offer, answer and delete of all. Raises NgError."""
        async with self._lock:
            if self._state is _State.DELETED:
                raise NgError(f"call {self._call_id}: the leg is deleted, it takes no {command}")
            return await self._ng.command(command, **{"call-id": self._call_id}, **fields)

    def _choose(self, peer: SessionDescription) -> Choice:
        """What is to be spoken with the peer. Raises SdpError."""
        codecs = self._codecs
        if self.relay is not None and self.party is not None:
            codecs = (self.party.choice.codec,)
        choice = choose(peer, codecs)
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
        to_us = (command == "offer") == (from_tag == self.peer_tag)
        profile = self._profile.to_us if to_us else self._profile.to_peer
        tags = {"from-tag": from_tag, "to-tag": to_tag}
        return await self.command(command, **profile, **tags, sdp=bytes(sdp), **fields)

    def _enter(self, state: _State) -> None:
        if self._state is _State.DELETED:
            raise NgError(f"call {self._call_id}: the leg is deleted")
        self._state = state

    def _next_version(self) -> int:
        self._version += 1
        return self._version
