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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from control.errors import NgError, UnsupportedCodecError
from control.rtpengine.descriptions import Author, directed, placed
from control.rtpengine.media import MediaLeg
from control.rtpengine.party import Interface, Party
from control.rtpengine.replies import description_of
from control.rtpengine.stream import Stream
from control.rtpengine.tap import Tap
from control.sip.offer_answer import CODECS, Choice, audio_of, choose, only, our_direction, renumbered
from control.sip.sdp import Direction, RtpMap, SessionDescription, parse

KEYS = RtpMap("telephone-event", 8000)


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
        self._author = Author()
        self._offered = b""
        self._answer: _Answer | None = None
        self._leg_tap: Tap | None = None
        self._party_tap: Tap | None = None
        self._taps = 0
        """Taps of the party so far."""

    # What the slots are told

    @property
    def leg_stream(self) -> Stream:
        """What the slot has with the peer."""
        ordinary = self._party_of_leg.stream
        tap = None if self._leg_tap is None else self._leg_tap.stream
        if tap is None or self.state is State.RELEASED:
            return ordinary
        if self.state is State.CONNECTED:
            return tap
        return replace(ordinary, source_port=tap.port, source_address=tap.address)

    # Life

    async def tap(self) -> Stream:
        """Tap the peer, before `offer`."""
        self._leg_tap = Tap(self._leg, f"{self._tag}-leg")
        await self._leg_tap.open(self._leg.peer_tag, self._party_of_leg.choice.codec)
        return self.leg_stream

    async def offer(self) -> bytes:
        """The offer for the party; the slot hears the peer by the tap alone from now on."""
        self._enter(State.OFFERED)
        self._leg.relay = self
        towards = await self._offer()
        # What the party says before its answer would be a second stream at the peer.
        await self._leg.command("block media", **{"from-tag": self._tag})
        self._offered = self._author.write(towards, Direction.SENDRECV)
        return self._offered

    async def accept(self, answer: bytes) -> Stream:
        """Take the party's answer and connect: the tap of the party. Raises SdpError also.

        May come again with another answer: 183 then 200, another branch of a fork, after `renew_offer`.
        """
        self._require_standing()
        party = parse(answer)
        choice = renumbered(choose(party, self._codecs), parse(self._offered))
        if self.state is State.CONNECTED:
            await self._offer()
        await self._connect(_Answer(party, choice))
        return await self._tap_party()

    async def reoffer(self, offer: bytes) -> tuple[bytes, Stream]:
        """A later offer of the party, which must have the codec in use: (answer for it, tap). Raises SdpError also."""
        self._require_standing()
        party = parse(offer)
        choice = choose(party, (self._answered.choice.codec,))
        if choice.payload_type != self._answered.choice.payload_type:
            raise UnsupportedCodecError(
                f"SDP: {choice.codec} has the payload type {choice.payload_type} now; keep"
                f" {self._answered.choice.payload_type} within the call"
            )
        towards = await self._offer()
        await self._connect(_Answer(party, choice))
        self._offered = self._author.write(towards, our_direction(party), choice.rtpmaps, party)
        return self._offered, await self._tap_party()

    def renew_offer(self) -> bytes:
        """The description that the party has, with the codec in use: for a re-INVITE without offer."""
        offered, numbers = parse(self._offered), self._answered.choice.rtpmaps
        self._offered = self._author.write(offered, Direction.SENDRECV, numbers, offered)
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
            party = {"from-tag": self._tag, "via-branch": self._tag, "delete-delay": 0}
            await self._leg.command("delete", **party)
        for tap in (self._leg_tap, self._party_tap):
            if tap is not None:
                await tap.close()
        return self.leg_stream

    async def delete(self) -> None:
        """`release`, for those who need no stream."""
        await self.release()

    # Commands

    async def _offer(self) -> SessionDescription:
        """Offer the party what the peer speaks: rtpengine's description for it."""
        known = self._party_of_leg
        reply = await self._leg.offer_to(
            self._tag,
            known.description,
            known.choice,
            self._external,
            codec={"transcode": [_full(each) for each in self._further(known.choice)]},
            **{"via-branch": self._tag},
        )
        return description_of(reply, known.choice.codec)[0]

    def _further(self, choice: Choice) -> list[RtpMap]:
        """What the party may speak besides what the peer does, and keys for those who have them at 8000 Hz only."""
        codecs = [CODECS[name].rtpmap for name in self._codecs[1:]]
        has_keys = choice.event_payload_type is not None and choice.event_clock_rate == KEYS.clock_rate
        return codecs if has_keys else [*codecs, KEYS]

    async def _connect(self, answer: _Answer) -> None:
        await self._answer_leg(answer)
        if self.state is not State.CONNECTED:
            self._enter(State.CONNECTED)
            # A packet of the slot that is on its way would be a second stream at the peer.
            await self._leg.command("block media", **{"from-tag": self._leg.local_tag})
            await self._leg.command("unblock media", **{"from-tag": self._tag})

    async def _answer_leg(self, answer: _Answer) -> bytes:
        """Let the party answer: the description for the peer, which must be what it has."""
        known = self._party_of_leg
        party = only(answer.choice, answer.description)
        audio = directed(audio_of(party), our_direction(known.description))
        # rtpengine counts streams: those of the peer that are no audio are refused in their places.
        answered = replace(party, media=placed(audio, known.description))
        sdp = await self._leg.answer_from(self._tag, answered, **{"via-branch": self._tag})
        description_of({"sdp": sdp}, known.choice.codec)
        self._answer = answer
        return sdp

    async def _tap_party(self) -> Stream:
        """The tap of the party, made anew when it speaks something else."""
        codec = self._answered.choice.codec
        tap = self._party_tap
        if tap is not None and (tap.stream is None or tap.stream.codec != codec):
            await tap.close()
            tap = None
        if tap is None or tap.stream is None:
            self._taps += 1
            self._party_tap = tap = Tap(self._leg, f"{self._tag}-party-{self._taps}")
            return await tap.open(self._tag, codec)
        return tap.stream

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
        self._require_standing()
        self.state = state

    def _require_standing(self) -> None:
        if self.state is State.RELEASED:
            raise NgError("the peer is back at its slot already")


def _full(rtpmap: RtpMap) -> str:
    """With the number of channels: without it rtpengine takes any clock rate for the same codec."""
    return f"{rtpmap.encoding}/{rtpmap.clock_rate}/{rtpmap.channels}"
