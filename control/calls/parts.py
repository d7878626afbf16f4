"""What a leg is made of: its SIP machine, its media, and what may tie another leg to it."""

from typing import Protocol

from control.rtpengine.stream import Stream
from control.sip import effects as fx
from control.sip.message import Request, Response
from control.sip.session import Session


class Machine(Protocol):
    """What incoming and outgoing calls have in common."""

    session: Session | None

    def on_request(self, request: Request, transaction: str, source: str = "") -> list[fx.Effect]:
        """A request within the dialog."""

    def on_cancel(self) -> list[fx.Effect]:
        """CANCEL."""

    def on_ack(self, request: Request) -> list[fx.Effect]:
        """An ACK."""

    def on_response(self, response: Response, source: str = "") -> list[fx.Effect]:
        """A response to a request of ours."""

    def on_timeout(self, code: int = 408, cseq: int | None = None) -> list[fx.Effect]:
        """A request of ours was not answered."""

    def on_timer(self, timer: fx.Timer) -> list[fx.Effect]:
        """A timer ran out."""


class LegMedia(Protocol):
    """What every leg needs of its media; `MediaLeg` has more. Raises SdpError and NgError."""

    async def reoffer(self, offer: bytes) -> tuple[bytes, Stream]:
        """Answer a later offer of the peer."""

    def renew_offer(self) -> bytes:
        """Offer again what the peer has."""

    async def accept(self, answer: bytes) -> Stream:
        """Take the peer's answer to our offer."""

    async def delete(self) -> None:
        """Free what rtpengine has."""


class Coupling(Protocol):
    """What ties another leg to this one."""

    def abandon(self) -> None:
        """This leg is over or will be: so is the other."""
