"""One SIP call between us and a peer: its machine, its media, and the bot session that owns it.

A leg turns the effects of its SIP machine into commands for Kamailio and notices for its owner. Media is negotiated
in the order in which the peer asked for it; nothing is told to the owner after the leg has ended.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from control.api import models
from control.api.server import Worker
from control.calls.channel import LOST_SECONDS, SipChannel, Timers
from control.calls.parts import Coupling, LegMedia, Machine
from control.errors import NgError, SdpError, UnreachableError
from control.rtpengine.stream import Stream
from control.sip import effects as fx
from control.sip.message import Request, Response
from control.tasks import Tasks

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Owner:
    """The bot session that a leg belongs to, or is offered to."""

    worker: Worker
    session: str


class Exchange(Protocol):
    """What a leg needs of the service that holds it."""

    channel: SipChannel
    tasks: Tasks

    def leg_ended(self, leg: "Leg", ended: fx.Ended) -> None:
        """`leg` is over."""


class Leg(ABC):
    """A call leg; `id` is its name in the leg API, `local_tag` our SIP tag."""

    machine: Machine
    media: LegMedia

    def __init__(self, exchange: Exchange, leg_id: str, local_tag: str, caller: str, callee: str) -> None:
        self.id = leg_id
        self.local_tag = local_tag
        self.caller = caller
        """URI in its From."""
        self.callee = callee
        """URI in its To."""
        self.owner: Owner | None = None
        self.over = False
        self.stream: Stream | None = None
        self.answered = False
        """Whether the owner was told that the call stands."""
        self.transfer: Coupling | None = None
        """Set while its peer is connected, or to be connected, with somebody else."""
        self.negotiation = asyncio.Lock()
        """Held by the negotiation of media that is under way."""
        self._exchange = exchange
        self._timers = Timers(self._fired)
        self._commands = asyncio.Lock()

    @property
    @abstractmethod
    def invite_key(self) -> tuple[str, str] | None:
        """Call-ID and From tag of the INVITE that made it; None for legs that we dialled."""

    @abstractmethod
    def hang_up(self, reason: str, headers: fx.Headers = (), *, refusal: int = 603) -> None:
        """End the leg, whatever state it is in; `refusal` answers an INVITE that still waits."""

    # Inputs

    def on_request(self, request: Request, transaction: str, source: str) -> None:
        """A request within the dialog."""
        self.act(self.machine.on_request(request, transaction, source))

    def on_cancel(self) -> None:
        """CANCEL of the INVITE or of a re-INVITE."""
        self.act(self.machine.on_cancel())

    def on_ack(self, request: Request) -> None:
        """An ACK."""
        self.act(self.machine.on_ack(request))

    def on_response(self, response: Response, source: str) -> None:
        """A response to a request of ours."""
        self.act(self.machine.on_response(response, source))

    def on_timeout(self, code: int, cseq: int | None) -> None:
        """A request of ours was not answered."""
        self.act(self.machine.on_timeout(code, cseq))

    def _fired(self, timer: fx.Timer) -> None:
        if timer is fx.Timer.LOST:
            self.on_timeout(408, None)
        else:
            self.act(self.machine.on_timer(timer))

    # Effects

    def act(self, effects: Iterable[fx.Effect]) -> None:
        """Carry out what the machine asks for, and react to what it reports."""
        for effect in effects:
            match effect:
                case fx.StartTimer() | fx.StopTimer():
                    self._timers.carry_out(effect)
                case fx.Reply() | fx.Send() | fx.CancelInvite():
                    if isinstance(effect, fx.Send) and effect.method == "BYE":
                        self._timers.carry_out(fx.StartTimer(fx.Timer.LOST, LOST_SECONDS))
                    self._exchange.tasks.spawn(self._command(effect))
                case fx.Ended():
                    self._end(effect)
                case fx.Offered(transaction, sdp):
                    self._negotiate(self._reoffer, transaction, sdp)
                case fx.Digit(digit=digit):
                    self.notify(models.Digit, digit=digit)
                case _:
                    self.report(effect)

    @abstractmethod
    def report(self, report: fx.Effect) -> None:
        """React to a report that only one kind of leg knows."""

    async def _command(self, command: fx.Reply | fx.Send | fx.CancelInvite) -> None:
        async with self._commands:
            try:
                await self._exchange.channel.carry_out(command)
            except UnreachableError as error:
                log.warning("leg %s: %s", self.id, error)
                self.act(self.machine.on_timeout(503))

    def _end(self, ended: fx.Ended) -> None:
        if self.over:
            return
        self.over = True
        self._timers.close()
        # Who hung up is told before what follows from it.
        self.conclude(ended)
        if self.transfer is not None:
            self.transfer.abandon()
        self._exchange.leg_ended(self, ended)

    def conclude(self, ended: fx.Ended) -> None:
        """Tell the sessions that the leg is over, and free its media."""
        for owner in self.audience():
            self.tell_end(owner, ended)
        self.owner = None
        self._exchange.tasks.spawn(free(self.media))

    def tell_end(self, owner: Owner, ended: fx.Ended) -> None:
        """Tell a session that the leg is over (for it)."""
        owner.worker.notify(
            models.Ended(
                leg=self.id,
                session=owner.session,
                initiator=ended.initiator.value,
                reason=ended.reason or ended.initiator.value,
                code=ended.code,
            )
        )

    # Media

    def _negotiate(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Run `work` after all negotiation before it, unless the leg is over by then."""
        self._exchange.tasks.spawn(self._in_order(work, arguments))

    async def _in_order(
        self, work: Callable[..., Coroutine[Any, Any, None]], arguments: tuple[Any, ...]
    ) -> None:
        async with self.negotiation:
            if self.negotiable:
                await work(*arguments)

    @property
    def negotiable(self) -> bool:
        """Whether media may still be negotiated."""
        return not self.over

    async def _reoffer(self, transaction: str, sdp: bytes) -> None:
        """The peer offers a new session: hold, resume, another address or codec."""
        session = self.machine.session
        if session is None:
            return
        try:
            if not sdp:
                self.act(session.answer_offer(transaction, self.media.renew_offer()))
                return
            answer, stream = await self.media.reoffer(sdp)
        except SdpError as error:
            log.info("leg %s: offer refused: %s", self.id, error)
            self.act(session.refuse_offer(transaction, 488))
        except NgError as error:
            log.error("leg %s: %s", self.id, error)
            self.act(session.refuse_offer(transaction, 503))
        else:
            self.act(session.answer_offer(transaction, answer))
            self.change_media(stream)

    async def take_answer(self, sdp: bytes) -> None:
        """The peer answered an offer of ours; the call stands then."""
        try:
            stream = await self.media.accept(sdp)
        except SdpError as error:
            self._give_up(488, f"the answer of the far end cannot be used: {error}")
        except NgError as error:
            self._give_up(503, str(error))
        else:
            if self.answered:
                self.change_media(stream)
            else:
                self.stand(stream, sdp)

    def stand(self, stream: Stream, sdp: bytes) -> None:
        """Tell the owner that the call stands."""
        if not self.over:
            self.stream, self.answered = stream, True
            self.notify(models.Answered, stream=stream, sdp=sdp.decode("utf-8", "replace"))

    def change_media(self, stream: Stream) -> None:
        """Tell the owner that its slot must follow the peer."""
        if not self.over:
            self.stream = stream
            self.notify(models.MediaChanged, stream=stream)

    def _give_up(self, code: int, reason: str) -> None:
        log.warning("leg %s: %s", self.id, reason)
        self.notify(models.Rejected, code=code, reason=reason)
        if self.machine.session is not None:
            self.act(self.machine.session.bye(reason, initiator=fx.Initiator.SYSTEM, code=code))

    # The owner

    def audience(self) -> list[Owner]:
        """The sessions that are told of the end."""
        return [] if self.owner is None else [self.owner]

    def let_go(self) -> None:
        """The owner hangs up: it is told nothing more."""
        self.owner = None
        if self.transfer is not None:
            self.transfer.abandon()

    def notify(self, kind: type[models.Notice], **fields: Any) -> None:
        """Tell the owner, if there is one."""
        if self.owner is not None:
            self.owner.worker.notify(kind(leg=self.id, session=self.owner.session, **fields))


async def free(media: LegMedia) -> None:
    """Free what rtpengine has of a leg; its own timeout does when it does not answer."""
    try:
        await media.delete()
    except NgError as error:
        log.warning("rtpengine may still hold a call: %s", error)
