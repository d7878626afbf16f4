"""An incoming call: offered to bots, rung, answered or refused by the one that takes it."""

import logging

from control.api import models
from control.calls.leg import Exchange, Leg, Owner
from control.errors import LegError, LegErrorCode, NgError, SdpError
from control.rtpengine.media import Endpoint, MediaLeg
from control.sip import effects as fx
from control.sip.headers import printable
from control.sip.message import Request
from control.sip.session import State
from control.sip.uas import IncomingInvite

log = logging.getLogger(__name__)

ANSWERED_ELSEWHERE = fx.Ended(fx.Initiator.SYSTEM, "answered elsewhere", 200)
NO_MEDIA = "no media can be set up"
"""What the caller is told when rtpengine fails; its own words concern the operator alone."""


class IncomingLeg(Leg):
    """Before a session owns it, the call may be offered to several; the first to ring or accept gets it."""

    def __init__(
        self, exchange: Exchange, leg_id: str, request: Request, machine: IncomingInvite, media: MediaLeg
    ) -> None:
        caller, callee = (printable(str(party.uri)) for party in (request.from_, request.to))
        super().__init__(exchange, leg_id, machine.dialog.local_tag, caller, callee)
        self.media: MediaLeg = media
        self.machine: IncomingInvite = machine
        self.request = request
        self.pool: str | None = None
        """The pool it was offered in; None when a webhook announced it."""
        self.offers: list[Owner] = []
        self._invite_key = (request.call_id, request.from_tag or "")
        self._answer: bytes | None = None
        """Our answer, once negotiated."""

    @property
    def invite_key(self) -> tuple[str, str] | None:
        """Call-ID and From tag of its INVITE."""
        return self._invite_key

    @property
    def taken(self) -> bool:
        """Whether a session has it, or had it and hangs up."""
        return self.owner is not None or self.machine.session is not None

    # What sessions do

    def offer(self, owner: Owner) -> None:
        """Offer the call to a session."""
        if owner not in self.offers:
            self.offers.append(owner)
        owner.worker.notify(self.description(owner.session))

    def description(self, session: str) -> models.Incoming:
        """What a session is told of the call."""
        return models.Incoming(
            leg=self.id,
            session=session,
            caller=self.caller,
            callee=self.callee,
            sdp=self.request.sdp.decode("utf-8", "replace"),
            headers={
                name: printable(value)
                for name, value in self.request.headers
                if name.lower().startswith("x-")
            },
        )

    def claim(self, owner: Owner) -> None:
        """Give the call to `owner`. Raises LegError when another session has it."""
        if self.owner == owner:
            return
        if self.over or self.taken:
            raise LegError(LegErrorCode.CONFLICT, "another bot has taken this call")
        self.owner = owner
        for other in self.offers:
            if other != owner:
                self.tell_end(other, ANSWERED_ELSEWHERE)
        self.offers.clear()

    def audience(self) -> list[Owner]:
        """The owner, or those whom it is offered to."""
        return [*super().audience(), *self.offers]

    async def ring(self, endpoint: Endpoint | None) -> models.Media:
        """180, or 183 with early media; a caller without an offer gets none. Raises LegError."""
        if endpoint is None or not self.machine.offer:
            self.act(self.machine.ring())
            return models.Media()
        media = await self._answer_media(endpoint)
        self._require_standing()
        self.act(self.machine.ring(183, self._answer or b""))
        return media

    async def accept(self, endpoint: Endpoint) -> models.Media:
        """200 with our answer. Raises LegError."""
        if self.machine.offer:
            media = await self._answer_media(endpoint)
        else:
            # The caller left the offer to us: its answer comes with the ACK.
            media = await self._offer_media(endpoint)
        self._require_standing()
        self.act(self.machine.accept(self._answer or b""))
        return media

    def reject(self, code: int, reason: str) -> None:
        """Refuse. Raises LegError when it is answered already."""
        if self.machine.session is not None:
            raise LegError(LegErrorCode.CONFLICT, "the call is answered already; hang up instead")
        self.owner = None
        self.act(self.machine.reject(code, reason))

    def hang_up(self, reason: str, headers: fx.Headers = (), *, refusal: int = 603) -> None:
        """BYE, or `refusal` before it is answered."""
        self.let_go()
        if self.machine.session is not None:
            self.act(self.machine.session.bye(reason, headers))
        else:
            self.act(self.machine.reject(refusal, reason))

    async def _answer_media(self, endpoint: Endpoint) -> models.Media:
        async with self.negotiation:
            if self._answer is None:
                try:
                    self._answer, self.stream = await self.media.answer(self.machine.offer, endpoint)
                except SdpError as error:
                    raise self._refuse(LegErrorCode.NOT_ACCEPTABLE, error, str(error)) from error
                except NgError as error:
                    raise self._refuse(LegErrorCode.UNAVAILABLE, error, NO_MEDIA) from error
        return models.Media(stream=self.stream, sdp=self._answer.decode("utf-8", "replace"))

    async def _offer_media(self, endpoint: Endpoint) -> models.Media:
        async with self.negotiation:
            if self._answer is None:
                try:
                    self._answer = await self.media.offer(endpoint)
                except NgError as error:
                    raise self._refuse(LegErrorCode.UNAVAILABLE, error, NO_MEDIA) from error
        return models.Media(stream=self.stream, sdp=self._answer.decode("utf-8", "replace"))

    def _require_standing(self) -> None:
        if self.over:
            raise LegError(LegErrorCode.NO_SUCH_LEG, "the caller has hung up")

    def _refuse(self, code: LegErrorCode, error: Exception, reason: str) -> LegError:
        """Refuse the call by the status `code`, because there can be no media; the caller is told `reason`."""
        self._require_standing()
        log.warning("leg %s: %s", self.id, error)
        self.act(self.machine.reject(int(code), reason))
        return LegError(code, str(error))

    # What the caller does

    def on_ack(self, request: Request) -> None:
        """The ACK; when the offer was ours it must bring the answer (RFC 3261 section 13.2.1)."""
        super().on_ack(request)
        session = self.machine.session
        stands = session is not None and session.state is State.CONFIRMED
        if stands and self.stream is None and not request.sdp:
            self._give_up(488, "the ACK brings no answer to our offer")

    def on_transaction_timeout(self) -> None:
        """Kamailio gave up waiting for our final response."""
        self.act(self.machine.on_transaction_timeout())

    def report(self, report: fx.Effect) -> None:
        """The ACK, and an answer that comes with it."""
        match report:
            case fx.Confirmed() if self.stream is not None:
                self.stand(self.stream, self._answer or b"")
            case fx.Answered(sdp=sdp):
                self._negotiate(self.take_answer, sdp)
            case _:
                log.debug("leg %s: %s", self.id, report)
