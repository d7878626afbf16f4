"""The calls of this control process: answers media workers, and takes Kamailio's events to the legs they concern."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection

import aiohttp

from control.api import models
from control.api.server import Worker
from control.calls.addresses import contact, interface
from control.calls.arrivals import Arrivals
from control.calls.browser import Browsers
from control.calls.channel import SipChannel
from control.calls.incoming import IncomingLeg
from control.calls.leg import Leg, Owner, free
from control.calls.outgoing import OutgoingLeg
from control.calls.registrations import Registrations
from control.calls.registry import Registry
from control.calls.trunks import choose_destination
from control.config import Settings
from control.errors import LegError, LegErrorCode, NgError, ResolveError, SipError, SipParseError
from control.kamailio import events as kamailio
from control.rtpengine.media import Endpoint, MediaLeg
from control.rtpengine.ng import NgClient
from control.sip import effects as fx
from control.sip.dialog import make_tag
from control.sip.digest import Credentials
from control.sip.headers import safe_headers
from control.sip.message import Request, Response, parse
from control.sip.replies import no_such_dialog
from control.sip.status import phrase
from control.sip.uac import OutgoingInvite
from control.sip.uri import NameAddr
from control.tasks import Tasks

log = logging.getLogger(__name__)


class CallService:
    """All legs, and what moves them."""

    def __init__(
        self, settings: Settings, channel: SipChannel, ng: NgClient, http: aiohttp.ClientSession
    ) -> None:
        self.settings = settings
        self.channel = channel
        self.tasks = Tasks("calls")
        self.legs: Registry[Leg] = Registry()
        self.registrations = Registrations(settings, channel, self.tasks)
        self.arrivals = Arrivals(settings, self, self.legs, ng, http, self.registrations.name_of)
        self.browsers = Browsers(settings, self, self.legs, ng)
        self.closing = False
        """Whether no new call is taken or made."""
        self._dialling: set[Owner] = set()
        """Sessions whose outgoing call is prepared, until they leave."""
        self._ng = ng
        self._leg_gone = asyncio.Event()

    # Events of Kamailio

    def on_event(self, event: kamailio.Event) -> None:
        """Take `event` to the leg it concerns; what concerns none is answered or noted."""
        try:
            message = parse(event.message)
        except SipParseError as error:
            self._unreadable(event, error)
            return
        match event, message:
            case kamailio.RequestEvent(), Request():
                self._request(event, message)
            case kamailio.AckEvent(), Request():
                self._to_leg(message.to_tag, lambda leg: leg.on_ack(message))
            case kamailio.CancelEvent(), Request():
                self._cancel(message)
            case kamailio.ReplyEvent(source=source), Response():
                if not self.registrations.on_response(message):
                    self._to_leg(message.from_tag, lambda leg: leg.on_response(message, str(source)))
            case kamailio.UasTimeoutEvent(method="INVITE"), Request():
                leg = self.legs.by_invite(message.call_id, message.from_tag)
                if isinstance(leg, IncomingLeg) and not message.to_tag:
                    leg.on_transaction_timeout()
            case kamailio.UacTimeoutEvent(code=code, cseq=cseq), Request():
                if not self.registrations.on_timeout(message, code):
                    self._to_leg(message.from_tag, lambda leg: leg.on_timeout(code, cseq))
            case _:
                log.debug("kamailio: %s has no use here", type(event).__name__)

    def _request(self, event: kamailio.RequestEvent, request: Request) -> None:
        if not request.to_tag and request.method == "INVITE":
            if self.closing:
                self.arrivals.refuse(event, 503, "shutting down")
            else:
                self.arrivals.invite(request, event)
            return
        leg = self.legs.by_tag(request.to_tag)
        if leg is not None:
            leg.on_request(request, event.transaction, str(event.source))
        else:
            tag = make_tag(self.settings.control.name)
            self._reply(no_such_dialog(request, event.transaction, tag))

    def _cancel(self, request: Request) -> None:
        leg = self.legs.by_invite(request.call_id, request.from_tag) or self.legs.by_tag(request.to_tag)
        if leg is None:
            log.debug("CANCEL of a call that is over: %s", request.call_id)
        else:
            leg.on_cancel()

    def _to_leg(self, tag: str | None, deliver: Callable[[Leg], None]) -> None:
        leg = self.legs.by_tag(tag)
        if leg is None:
            log.debug("event for the leg %s, which is over", tag)
        else:
            deliver(leg)

    def _unreadable(self, event: kamailio.Event, error: SipParseError) -> None:
        log.warning("%s from Kamailio: %s", type(event).__name__, error)
        if isinstance(event, kamailio.RequestEvent):
            self._reply(fx.Reply(event.transaction, 400, phrase(400), make_tag(self.settings.control.name)))

    def _reply(self, reply: fx.Reply) -> None:
        self.tasks.spawn(self.channel.carry_out(reply))

    # Requests of media workers

    async def on_request(self, worker: Worker, request: models.Request) -> models.Model:
        """Carry out what a bot's session asks for. Raises LegError."""
        if self.closing and isinstance(request, models.Invite | models.Connect):
            raise LegError(LegErrorCode.UNAVAILABLE, "control is shutting down")
        match request:
            case models.Join(session=session, pool=pool):
                self.arrivals.join(pool, Owner(worker, session))
            case models.Leave(session=session, full=full):
                self._leave(Owner(worker, session), full)
            case models.Claim(session=session):
                leg = self._incoming(request.leg)
                leg.claim(Owner(worker, session))
                return leg.description(session)
            case models.Ring(session=session, endpoint=endpoint):
                return await self._take(request.leg, Owner(worker, session)).ring(endpoint)
            case models.Accept(session=session, endpoint=endpoint):
                return await self._take(request.leg, Owner(worker, session)).accept(endpoint)
            case models.Reject(session=session, code=code, reason=reason):
                self._take(request.leg, Owner(worker, session)).reject(code, reason)
            case models.Invite():
                return await self._invite(Owner(worker, request.session), request)
            case models.Connect():
                return await self.browsers.connect(Owner(worker, request.session), request)
            case models.Reconnect():
                return await self.browsers.reconnect(Owner(worker, request.session), request)
            case models.Hangup(reason=reason, headers=headers):
                self._hang_up(request.leg, reason, headers)
        return models.Done()

    def _incoming(self, leg_id: str) -> IncomingLeg:
        leg = self.legs.get(leg_id)
        if not isinstance(leg, IncomingLeg):
            raise LegError(LegErrorCode.NO_SUCH_LEG, f"no incoming call {leg_id} waits")
        return leg

    def _take(self, leg_id: str, owner: Owner) -> IncomingLeg:
        leg = self._incoming(leg_id)
        leg.claim(owner)
        self.arrivals.forget_timer(leg)
        return leg

    def _leave(self, owner: Owner, full: str | None) -> None:
        self.arrivals.leave(owner, full)
        self._dialling.discard(owner)
        for leg in self.legs:
            if leg.owner == owner and not leg.answered:
                leg.hang_up("the bot has left", refusal=480)

    def _hang_up(self, leg_id: str, reason: str, headers: dict[str, str]) -> None:
        leg = self.legs.get(leg_id)
        if leg is None:
            return
        try:
            leg.hang_up(reason, _safe(headers))
        except LegError:
            leg.hang_up(reason)
            raise

    async def _invite(self, owner: Owner, request: models.Invite) -> models.Invited:
        self._dialling.add(owner)
        try:
            return await self._dial(owner, request)
        finally:
            self._dialling.discard(owner)

    async def _dial(self, owner: Owner, request: models.Invite) -> models.Invited:
        settings = self.settings
        credentials = None
        if request.username is not None and request.password is not None:
            credentials = Credentials(request.username, request.password, request.realm)
        headers = _safe(request.headers)
        destination = choose_destination(
            settings, request.callee, request.caller, credentials, domain=self.channel.domain
        )
        leg_id = uuid.uuid4().hex
        tag = make_tag(settings.control.name)
        try:
            location = await self.channel.locate(destination.next_hop)
        except ResolveError as error:
            raise LegError(LegErrorCode.UNAVAILABLE, str(error)) from error
        external = interface(location.local)
        media = MediaLeg(self._ng, leg_id, "peer", "bot", external, settings.calls.codecs)
        offer = await self._offer(media, owner, request.endpoint)
        machine = OutgoingInvite(
            uri=destination.uri,
            caller=destination.caller,
            callee=NameAddr("", destination.uri),
            call_id=leg_id,
            local_tag=tag,
            contact=contact(settings.sip, destination.caller.uri.user, location.local, location.transport),
            offer=offer,
            next_hop=location.uri,
            headers=headers,
            credentials=destination.credentials,
            ring_timeout=request.timeout or settings.calls.ring_timeout,
        )
        leg = OutgoingLeg(self, leg_id, tag, machine, media, owner)
        self.legs.add(leg)
        log.info("< call %s to %s%s", leg_id, destination.uri, f" by {t}" if (t := destination.trunk) else "")
        leg.start()
        return models.Invited(leg=leg_id, caller=str(destination.caller.uri), callee=str(destination.uri))

    async def _offer(self, media: MediaLeg, owner: Owner, endpoint: Endpoint) -> bytes:
        """Our offer for a call that `owner` still wants, else rtpengine keeps nothing. Raises LegError."""
        wanted = False
        try:
            offer = await media.offer(endpoint)
            wanted = owner in self._dialling
        except NgError as error:
            raise LegError(LegErrorCode.UNAVAILABLE, str(error)) from error
        finally:
            if not wanted:
                self.tasks.spawn(free(media))
        if not wanted:
            raise LegError(LegErrorCode.CONFLICT, "the call was given up before it was sent")
        return offer

    # Media workers

    def on_hello(self, worker: Worker, held: Collection[str]) -> tuple[str, ...]:
        """End the legs of `worker` that it does not hold; the ones that stand."""
        standing = []
        for leg in self.legs:
            if leg.owner is not None and leg.owner.worker is worker:
                if leg.id in held:
                    standing.append(leg.id)
                else:
                    leg.hang_up("the media worker lost the call", refusal=503)
        return tuple(standing)

    def on_lost(self, worker: Worker) -> None:
        """The connection of `worker` is gone; its calls go on for a while."""
        self.arrivals.lost(worker)

    def on_gone(self, worker: Worker) -> None:
        """`worker` did not come back: its calls have no media and end."""
        for leg in self.legs:
            if leg.owner is not None and leg.owner.worker is worker:
                leg.hang_up("the media worker is gone", refusal=503)

    # Life

    def leg_ended(self, leg: Leg, ended: fx.Ended) -> None:
        """`leg` is over."""
        log.info(
            "x call %s: %s (%s, %d)", leg.id, ended.reason or "hung up", ended.initiator.value, ended.code
        )
        self.legs.remove(leg)
        self._leg_gone.set()
        if isinstance(leg, IncomingLeg):
            self.arrivals.leg_ended(leg)

    async def close(self, seconds: float) -> None:
        """Hang up every call and unregister; wait at most `seconds` until the far ends have agreed."""
        self.closing = True
        self._dialling.clear()
        self.registrations.stop()
        for leg in self.legs:
            leg.hang_up("shutdown", refusal=503)
        try:
            async with asyncio.timeout(seconds):
                while self.legs:
                    self._leg_gone.clear()
                    await self._leg_gone.wait()
                await self.registrations.stopped()
                await self.tasks.settle()
        except TimeoutError:
            log.warning(
                "not all calls and registrations ended in %g s; calls left: %d", seconds, len(self.legs)
            )
        await self.tasks.close()


def _safe(headers: dict[str, str]) -> fx.Headers:
    """Extra headers, checked. Raises LegError."""
    try:
        return safe_headers(headers)
    except SipError as error:
        raise LegError(LegErrorCode.INVALID_PARAMS, str(error)) from error
