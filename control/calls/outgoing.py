"""An outgoing call: dialled for a bot, answered or refused by the far end."""

import logging

from control.api import models
from control.calls.leg import Exchange, Leg, Owner
from control.calls.parts import LegMedia
from control.errors import NgError, SdpError
from control.sip import effects as fx
from control.sip.uac import OutgoingInvite

log = logging.getLogger(__name__)


class OutgoingLeg(Leg):
    """Belongs to the session that dialled, from the beginning."""

    def __init__(
        self,
        exchange: Exchange,
        leg_id: str,
        local_tag: str,
        machine: OutgoingInvite,
        media: LegMedia,
        owner: Owner,
        caller: str,
        callee: str,
    ) -> None:
        super().__init__(exchange, leg_id, local_tag, caller, callee)
        self.machine: OutgoingInvite = machine
        self.media = media
        self.owner = owner

    @property
    def invite_key(self) -> tuple[str, str] | None:
        """None: nobody can CANCEL it but we."""
        return None

    def start(self) -> None:
        """Send the INVITE."""
        self.act(self.machine.start())

    def hang_up(self, reason: str, headers: fx.Headers = (), *, refusal: int = 603) -> None:  # noqa: ARG002
        """BYE, or CANCEL before it is answered."""
        self.let_go()
        self.leave(reason, headers)

    def leave(self, reason: str, headers: fx.Headers = ()) -> None:
        """BYE, or CANCEL before it is answered."""
        if self.machine.session is not None:
            self.act(self.machine.session.bye(reason, headers))
        else:
            self.act(self.machine.cancel(reason or "cancelled"))

    def report(self, report: fx.Effect) -> None:
        """Progress of the call."""
        match report:
            case fx.Ringing(sdp=sdp):
                self._negotiate(self._ring, sdp)
            case fx.Answered(sdp=sdp):
                self._negotiate(self._answered, sdp)
            case fx.Rejected(code, reason):
                self.notify(models.Rejected, code=code, reason=reason)
            case _:
                log.debug("leg %s: %s", self.id, report)

    async def _ring(self, sdp: bytes) -> None:
        """The callee rings; what it plays meanwhile is worth hearing, but no call fails for want of it."""
        if self.answered:
            return
        if sdp:
            try:
                self.stream = await self.media.accept(sdp)
            except (SdpError, NgError) as error:
                log.warning("leg %s: early media cannot be used: %s", self.id, error)
        if not self.over:
            self.notify(models.Ringing, stream=self.stream)

    async def _answered(self, sdp: bytes) -> None:
        """The callee answered; a 2xx without description confirms that of its early media (RFC 3261, 13.2.1)."""
        if not sdp and self.stream is not None:
            self.stand(self.stream, b"")
        else:
            await self.take_answer(sdp)
