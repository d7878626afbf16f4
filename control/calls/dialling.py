"""Calls that we make: from what a session asks for to the INVITE."""

import logging
import uuid
from dataclasses import dataclass

from control.api import models
from control.calls.addresses import contact, interface
from control.calls.channel import Location
from control.calls.leg import Exchange, Leg, Owner, free
from control.calls.outgoing import OutgoingLeg
from control.calls.registry import Registry
from control.calls.transfer import ReferredLeg, Transfer
from control.calls.trunks import Destination, choose_destination, usable_caller
from control.config import Settings
from control.errors import LegError, LegErrorCode, NgError, ResolveError, SipError
from control.rtpengine.media import Endpoint, Interface, MediaLeg
from control.rtpengine.ng import NgClient
from control.sip import effects as fx
from control.sip.dialog import make_tag
from control.sip.digest import Credentials
from control.sip.headers import safe_headers
from control.sip.uac import OutgoingInvite
from control.sip.uri import NameAddr

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a call leaves us."""

    leg_id: str
    tag: str
    destination: Destination
    location: Location
    headers: fx.Headers

    @property
    def interface(self) -> Interface:
        """rtpengine's interface towards the callee."""
        return interface(self.location.local)


class Dialler:
    """Makes calls for sessions, alone or to connect a call with."""

    def __init__(self, settings: Settings, exchange: Exchange, legs: Registry[Leg], ng: NgClient) -> None:
        self._settings = settings
        self._exchange = exchange
        self._legs = legs
        self._ng = ng
        self._dialling: set[Owner] = set()
        """Sessions whose call is prepared, until they leave."""

    def leave(self, owner: Owner) -> None:
        """`owner` wants no call any more."""
        self._dialling.discard(owner)

    def close(self) -> None:
        """Give up the calls that are prepared."""
        self._dialling.clear()

    async def invite(self, owner: Owner, request: models.Invite) -> models.Invited:
        """Call for a bot. Raises LegError."""
        self._dialling.add(owner)
        try:
            plan = await self._plan(request, request.caller, checked_headers(request.headers))
            codecs = self._settings.calls.codecs
            media = MediaLeg(self._ng, plan.leg_id, "peer", "bot", plan.interface, codecs)
            offer = await self._offer(media, owner, request.endpoint)
        finally:
            self._dialling.discard(owner)
        machine = self._machine(plan, offer, request.timeout or self._settings.calls.ring_timeout)
        parties = _parties(plan)
        leg = OutgoingLeg(self._exchange, plan.leg_id, plan.tag, machine, media, owner, *parties)
        return self._start(leg, plan)

    async def refer(self, owner: Owner, request: models.Refer) -> models.Invited:
        """Call a third party to connect the peer of a leg with. Raises LegError."""
        leg = self._legs.get(request.leg)
        if leg is None or leg.owner != owner:
            raise LegError(LegErrorCode.NO_SUCH_LEG, f"the session has no call {request.leg}")
        headers = checked_headers(request.headers)
        caller = request.caller or usable_caller(leg.caller)
        plan = await self._plan(request, caller, headers + _introduction(leg, owner.session, headers))
        transfer = Transfer(self._exchange, leg, owner)
        offer = await transfer.prepare(plan.leg_id, plan.interface, self._settings.calls.codecs)
        machine = self._machine(plan, offer, request.timeout)
        parties = _parties(plan)
        party = ReferredLeg(
            self._exchange,
            plan.leg_id,
            plan.tag,
            machine,
            transfer,
            *parties,
            early_media=request.early_media,
        )
        return self._start(party, plan)

    async def _plan(
        self, request: models.Invite | models.Refer, caller: str | None, headers: fx.Headers
    ) -> _Plan:
        credentials = None
        if request.username is not None and request.password is not None:
            credentials = Credentials(request.username, request.password, request.realm)
        channel = self._exchange.channel
        destination = choose_destination(
            self._settings, request.callee, caller, credentials, domain=channel.domain
        )
        try:
            location = await channel.locate(destination.next_hop)
        except ResolveError as error:
            raise LegError(LegErrorCode.UNAVAILABLE, str(error)) from error
        return _Plan(uuid.uuid4().hex, make_tag(self._settings.control.name), destination, location, headers)

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
                self._exchange.tasks.spawn(free(media))
        if not wanted:
            raise LegError(LegErrorCode.CONFLICT, "the call was given up before it was sent")
        return offer

    def _machine(self, plan: _Plan, offer: bytes, ring_timeout: float) -> OutgoingInvite:
        destination, location = plan.destination, plan.location
        user = destination.caller.uri.user
        return OutgoingInvite(
            uri=destination.uri,
            caller=destination.caller,
            callee=NameAddr("", destination.uri),
            call_id=plan.leg_id,
            local_tag=plan.tag,
            contact=contact(self._settings.sip, user, location.local, location.transport),
            offer=offer,
            next_hop=location.uri,
            headers=plan.headers,
            credentials=destination.credentials,
            ring_timeout=ring_timeout,
        )

    def _start(self, leg: OutgoingLeg, plan: _Plan) -> models.Invited:
        trunk = plan.destination.trunk
        self._legs.add(leg)
        log.info("< call %s to %s%s", leg.id, leg.callee, f" by {trunk}" if trunk else "")
        leg.start()
        return models.Invited(leg=leg.id, caller=leg.caller, callee=leg.callee)


def _parties(plan: _Plan) -> tuple[str, str]:
    return str(plan.destination.caller.uri), str(plan.destination.uri)


def _introduction(leg: Leg, session: str, given: fx.Headers) -> fx.Headers:
    """Who is transferred, as far as headers can say it and those `given` do not."""
    names = {name.lower() for name, _ in given}
    ours = (
        ("X-Referred-From", leg.caller),
        ("X-Referred-To", leg.callee),
        ("X-Referred-Id", session),
    )
    headers: fx.Headers = ()
    for name, value in ours:
        if not value or name.lower() in names:
            continue
        try:
            headers += safe_headers({name: value})
        except SipError as error:
            log.info("leg %s: the third party is not told: %s", leg.id, error)
    return headers


def checked_headers(headers: dict[str, str]) -> fx.Headers:
    """Extra headers for a SIP message. Raises LegError."""
    try:
        return safe_headers(headers)
    except SipError as error:
        raise LegError(LegErrorCode.INVALID_PARAMS, str(error)) from error
