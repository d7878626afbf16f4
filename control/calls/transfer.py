"""A call handed to a third party: a leg whose peer talks to the peer of another leg, and what couples both.

The party is called by a leg of its own. As soon as it is refused, hung up or over, the peer returns to the bot; when
the peer's leg is hung up or over, so is that of the party.
"""

import logging
from collections.abc import Sequence
from enum import Enum
from typing import Final

from control.api import models
from control.calls.leg import Exchange, Leg, Owner
from control.calls.outgoing import OutgoingLeg
from control.errors import LegError, LegErrorCode, NgError, SdpError
from control.rtpengine.media import Interface, MediaLeg
from control.rtpengine.stream import Stream
from control.rtpengine.transfer import Bridge
from control.sip import effects as fx
from control.sip.uac import OutgoingInvite

log = logging.getLogger(__name__)

TIMEOUT: Final = "Timeout when refer"
"""Reason of a party that did not answer in time."""
PEER_GONE: Final = fx.Ended(fx.Initiator.SYSTEM, "the other party has hung up", 200)
"""How the party's leg ends with that of its peer."""


class Phase(Enum):
    """Where a transfer stands."""

    NEW = "new"
    PREPARING = "preparing"
    """rtpengine is asked for the offer; the party knows nothing yet."""
    ACTIVE = "active"
    """The party was called, and perhaps has answered."""
    RETURNING = "returning"
    """The peer is given back to the bot after the negotiation under way."""
    OVER = "over"


_NEXT: Final = {
    Phase.NEW: (Phase.PREPARING,),
    Phase.PREPARING: (Phase.ACTIVE, Phase.RETURNING, Phase.OVER),
    Phase.ACTIVE: (Phase.RETURNING, Phase.OVER),
    Phase.RETURNING: (Phase.OVER,),
    Phase.OVER: (),
}


class Transfer:
    """Couples `leg`, which `owner` has, with the one that calls the party."""

    def __init__(self, exchange: Exchange, leg: Leg, owner: Owner) -> None:
        self.leg = leg
        self.owner = owner
        self.phase = Phase.NEW
        self.party: ReferredLeg | None = None
        self.bridge: Bridge
        """There from `prepare` on."""
        self._exchange = exchange

    @property
    def active(self) -> bool:
        """Whether what the party says still matters."""
        return self.phase is Phase.ACTIVE

    async def prepare(self, tag: str, external: Interface, codecs: Sequence[str]) -> bytes:
        """The offer for the party, whom rtpengine is to know by `tag`; the bot hears the peer by a tap then.

        Raises LegError: CONFLICT when the leg cannot be transferred now, UNAVAILABLE when rtpengine fails. Nothing
        is left of the transfer then.
        """
        offer: bytes | None = None
        try:
            async with self.leg.negotiation:
                media = self._transferable()
                self.bridge = Bridge(media, tag, external, codecs)
                self._enter(Phase.PREPARING)
                self.leg.transfer = self
                await self.bridge.tap()
                self.tell_leg()
                offer = await self.bridge.offer()
        except NgError as error:
            raise LegError(LegErrorCode.UNAVAILABLE, str(error)) from error
        finally:
            if offer is None:
                self.give_back()
        if self.phase is not Phase.PREPARING:
            raise LegError(LegErrorCode.CONFLICT, "the call was hung up before it was transferred")
        self._enter(Phase.ACTIVE)
        return offer

    def _transferable(self) -> MediaLeg:
        if self.leg.over or self.leg.owner != self.owner:
            raise LegError(LegErrorCode.NO_SUCH_LEG, f"the call {self.leg.id} is over")
        if self.leg.transfer is not None:
            raise LegError(
                LegErrorCode.CONFLICT, "a transfer of this call is under way; wait until it is over"
            )
        if not isinstance(self.leg.media, MediaLeg):
            raise LegError(LegErrorCode.CONFLICT, "this leg is itself the target of a transfer")
        if not self.leg.answered:
            raise LegError(LegErrorCode.CONFLICT, "the call is not answered; transfer it when it is")
        return self.leg.media

    def tell_leg(self) -> None:
        """Tell the owner what it has with the peer, unless it knows."""
        if self.leg.stream != self.bridge.leg_stream:
            self.leg.change_media(self.bridge.leg_stream)

    def give_back(self) -> None:
        """The party does not come, or is gone: the peer returns to the bot."""
        if self.phase in (Phase.PREPARING, Phase.ACTIVE):
            self._enter(Phase.RETURNING)
            self._exchange.tasks.spawn(self._return())

    async def _return(self) -> None:
        async with self.leg.negotiation:
            if self.phase is not Phase.RETURNING:
                return
            try:
                await self.bridge.release()
            except NgError as error:
                if self.phase is Phase.RETURNING:
                    log.error("leg %s: the media may not have returned to the bot: %s", self.leg.id, error)
            self.leg.transfer = None
            if self.phase is Phase.RETURNING:
                self._enter(Phase.OVER)
                self.tell_leg()

    def abandon(self) -> None:
        """The peer is gone or going, and its media with it: hang up the party."""
        if self.phase is Phase.OVER:
            return
        self._enter(Phase.OVER)
        if self.party is not None:
            self.party.drop()

    def _enter(self, phase: Phase) -> None:
        if phase not in _NEXT[self.phase]:
            raise LegError(
                LegErrorCode.CONFLICT, f"a transfer that is {self.phase.value} cannot be {phase.value}"
            )
        self.phase = phase


class ReferredLeg(OutgoingLeg):
    """Calls the party of `transfer`. Its media are negotiated in one order with those of the peer's leg."""

    def __init__(
        self,
        exchange: Exchange,
        leg_id: str,
        local_tag: str,
        machine: OutgoingInvite,
        transfer: Transfer,
        caller: str,
        callee: str,
        *,
        early_media: bool,
    ) -> None:
        media = transfer.bridge
        super().__init__(exchange, leg_id, local_tag, machine, media, transfer.owner, caller, callee)
        self.negotiation = transfer.leg.negotiation
        self._coupling = transfer
        self._early_media = early_media
        self._early_sdp = b""
        self._farewell: fx.Ended | None = None
        transfer.party = self

    @property
    def negotiable(self) -> bool:
        """Whether the peer is still to talk to the party."""
        return super().negotiable and self._coupling.active

    def hang_up(self, reason: str, headers: fx.Headers = (), *, refusal: int = 603) -> None:  # noqa: ARG002
        """BYE or CANCEL; the peer returns to the bot at once, and `Ended` is told all the same."""
        self._coupling.give_back()
        self.leave(reason, headers)

    def drop(self) -> None:
        """The peer is gone."""
        self._tell_end(self._farewell or PEER_GONE)
        self.leave(PEER_GONE.reason)

    def report(self, report: fx.Effect) -> None:
        """A refusal gives the peer back to the bot."""
        match report:
            case fx.Rejected(code, reason):
                self.notify(models.Rejected, code=code, reason=TIMEOUT if code == 408 else reason)
                self._coupling.give_back()
            case _:
                super().report(report)

    async def _ring(self, sdp: bytes) -> None:
        """The party rings; the peer hears what it plays if that was asked for."""
        if self.answered:
            return
        self._early_sdp = sdp or self._early_sdp
        if sdp and self._early_media:
            try:
                self.stream = await self.media.accept(sdp)
            except SdpError as error:
                log.warning("leg %s: early media cannot be used: %s", self.id, error)
            except NgError as error:
                self._give_up(503, str(error))
        if self.negotiable:
            self._coupling.tell_leg()
            self.notify(models.Ringing, stream=self.stream)

    async def _answered(self, sdp: bytes) -> None:
        """The party answered; a 2xx without description confirms that of its early media."""
        if self.stream is not None and sdp in (b"", self._early_sdp):
            self.stand(self.stream, sdp)
        else:
            await self.take_answer(sdp or self._early_sdp)

    def stand(self, stream: Stream, sdp: bytes) -> None:
        """Tell the owner first that the peer hears it no more."""
        if self.negotiable:
            self._coupling.tell_leg()
            super().stand(stream, sdp)

    def _give_up(self, code: int, reason: str) -> None:
        if not self.negotiable:
            return
        super()._give_up(code, reason)
        self._coupling.give_back()
        self.leave(reason)

    def conclude(self, ended: fx.Ended) -> None:
        """Tell the end when the peer is back at the bot."""
        self._farewell = ended
        self._coupling.give_back()
        self._exchange.tasks.spawn(self._conclude(ended))

    async def _conclude(self, ended: fx.Ended) -> None:
        # The lock is fair: the return, which was asked for before, has it first.
        async with self.negotiation:
            self._tell_end(ended)

    def _tell_end(self, ended: fx.Ended) -> None:
        owner, self.owner = self.owner, None
        if owner is not None:
            self.tell_end(owner, ended)
