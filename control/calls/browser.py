"""Calls with browsers (WebRTC): no SIP, their offers come in the requests of media workers."""

import logging
import uuid
from collections.abc import Awaitable, Callable

from control.api import models
from control.calls.leg import Exchange, Leg, Owner
from control.calls.registry import Registry
from control.config import Settings
from control.errors import LegError, LegErrorCode, NgError, SdpError
from control.rtpengine.media import MediaLeg, Stream
from control.rtpengine.ng import NgClient
from control.rtpengine.profile import BROWSER
from control.sip import effects as fx
from control.sip.browser_sdp import BrowserOffer, read

log = logging.getLogger(__name__)

_Answering = Callable[[bytes], Awaitable[tuple[bytes, Stream]]]


class BrowserLeg(Leg):
    """Belongs to the session whose bot brought the offer, from the beginning.

    It has no SIP dialog: no tag by which an event of Kamailio could reach it, and no machine.
    """

    def __init__(self, exchange: Exchange, leg_id: str, media: MediaLeg, owner: Owner, *, ipv6: bool) -> None:
        super().__init__(exchange, leg_id, "", media)
        self.owner = owner
        self._ipv6 = ipv6

    @property
    def invite_key(self) -> tuple[str, str] | None:
        """None: there is no INVITE."""
        return None

    async def connect(self, request: models.Connect) -> models.Connected:
        """Answer the first offer. Raises LegError; the leg is over then."""
        try:
            return await self._answer(
                request.offer, lambda reduced: self.media.answer(reduced, request.endpoint)
            )
        finally:
            if not self.answered:
                self.hang_up("the browser was not answered")

    async def reconnect(self, offer: str) -> models.Connected:
        """Answer a later offer. Raises LegError: NOT_ACCEPTABLE leaves all as it was, UNAVAILABLE ends the leg."""
        return await self._answer(offer, self.media.reoffer)

    async def _answer(self, text: str, answering: _Answering) -> models.Connected:
        async with self._negotiation:
            self._require_standing()
            try:
                offer = read(text, ipv6=self._ipv6)
                relayed, stream = await answering(bytes(offer.reduced))
                sdp = _for_browser(offer, relayed)
            except SdpError as error:
                log.info("leg %s: offer refused: %s", self.id, error)
                raise LegError(LegErrorCode.NOT_ACCEPTABLE, str(error)) from error
            except NgError as error:
                self._require_standing()
                log.error("leg %s: %s", self.id, error)
                if self.answered:
                    self.hang_up(str(error), refusal=int(LegErrorCode.UNAVAILABLE))
                raise LegError(LegErrorCode.UNAVAILABLE, str(error)) from error
            self._require_standing()
            self.stream, self.answered = stream, True
            return models.Connected(leg=self.id, stream=stream, sdp=sdp)

    def _require_standing(self) -> None:
        if self.over:
            raise LegError(LegErrorCode.NO_SUCH_LEG, f"call {self.id} with a browser is over")

    def report(self, report: fx.Effect) -> None:
        """Nothing is reported: there is no machine."""
        log.error("leg %s: a call without SIP reports %s", self.id, report)

    def hang_up(self, reason: str, headers: fx.Headers = (), *, refusal: int = 603) -> None:  # noqa: ARG002
        """Free its media. The owner is told when it is we who cannot go on (`refusal` 503)."""
        if refusal != int(LegErrorCode.UNAVAILABLE):
            self.owner = None
        self._end(fx.Ended(fx.Initiator.SYSTEM, reason, refusal))


class Browsers:
    """Makes and finds the legs of browsers."""

    def __init__(self, settings: Settings, exchange: Exchange, legs: Registry[Leg], ng: NgClient) -> None:
        self._settings = settings
        self._exchange = exchange
        self._legs = legs
        self._ng = ng

    async def connect(self, owner: Owner, request: models.Connect) -> models.Connected:
        """A new call. Raises LegError."""
        leg_id = uuid.uuid4().hex
        codecs = self._settings.calls.codecs
        media = MediaLeg(self._ng, leg_id, "peer", "bot", "pub", codecs, BROWSER)
        leg = BrowserLeg(self._exchange, leg_id, media, owner, ipv6=request.ipv6)
        self._legs.add(leg)
        log.info("> call %s from a browser", leg_id)
        return await leg.connect(request)

    async def reconnect(self, owner: Owner, request: models.Reconnect) -> models.Connected:
        """A later offer in a call of `owner`. Raises LegError."""
        leg = self._legs.get(request.leg)
        if not isinstance(leg, BrowserLeg):
            raise LegError(LegErrorCode.NO_SUCH_LEG, f"no call {request.leg} with a browser stands")
        if leg.owner != owner:
            raise LegError(LegErrorCode.FORBIDDEN, f"call {request.leg} belongs to another session")
        return await leg.reconnect(request.offer)


def _for_browser(offer: BrowserOffer, relayed: bytes) -> str:
    try:
        return offer.answer(relayed)
    except SdpError as error:
        raise NgError(f"rtpengine gave a description that we cannot use: {error}") from error
