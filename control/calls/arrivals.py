"""Incoming calls on their way to a bot: trunk, route, pool or webhook."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp

from control.api.server import Worker
from control.calls.addresses import contact, interface
from control.calls.incoming import IncomingLeg
from control.calls.leg import Exchange, Leg, Owner
from control.calls.pool import Pools
from control.calls.registry import Registry
from control.calls.routes import choose_route
from control.calls.trunks import trunk_of
from control.calls.webhook import Announcement, announce
from control.config import Route, Settings
from control.errors import SdpError, SipError, WebhookError
from control.kamailio.events import Address, RequestEvent
from control.rtpengine.media import MediaLeg
from control.rtpengine.ng import NgClient
from control.sip.dialog import make_tag
from control.sip.effects import Reply
from control.sip.headers import printable
from control.sip.message import Request
from control.sip.offer_answer import choose
from control.sip.replies import screen_offer
from control.sip.sdp import parse as parse_sdp
from control.sip.status import phrase, reason_header
from control.sip.uas import IncomingInvite
from control.sip.uri import SipUri, parse_uri

log = logging.getLogger(__name__)


class Arrivals:
    """Takes new INVITEs and finds a bot for each."""

    def __init__(
        self,
        settings: Settings,
        exchange: Exchange,
        legs: Registry[Leg],
        ng: NgClient,
        http: aiohttp.ClientSession,
        registration_of: Callable[[str], str | None],
    ) -> None:
        self._settings = settings
        self._exchange = exchange
        self._legs = legs
        self._ng = ng
        self._http = http
        self._registration_of = registration_of
        self._pools: Pools[Owner, IncomingLeg] = Pools()
        self._full: dict[Owner, str] = {}
        """Bots that would wait in a pool if their workers had not too much to do."""
        self._timers: dict[IncomingLeg, asyncio.TimerHandle] = {}
        self._webhooks: dict[IncomingLeg, asyncio.Task[None]] = {}

    # New calls

    def invite(self, request: Request, event: RequestEvent) -> None:
        """A new INVITE: refused at once when nobody can take it, else announced."""
        if self._legs.by_invite(request.call_id, request.from_tag) is not None:
            # The same call over two ways (RFC 3261 section 8.2.2.2).
            self.refuse(event, 482, "this INVITE has arrived before by another way")
            return
        if refusal := screen_offer(request, event.transaction, make_tag(self._settings.control.name)):
            self._reply(event, refusal, "it asks for what we do not have")
            return
        try:
            callee = parse_uri(request.uri)
            route = self._route(request, callee, event.source)
            if route is None:
                self.refuse(event, 404, "no route takes this call")
                return
            leg = self._leg(request, callee, event)
            if request.sdp:
                choose(parse_sdp(request.sdp), self._settings.calls.codecs)
        except SdpError as error:
            self.refuse(event, 488, str(error))
            return
        except SipError as error:
            self.refuse(event, 400, str(error))
            return
        log.info("> call %s from %s to %s", leg.id, request.from_.uri, request.to.uri)
        self._legs.add(leg)
        leg.act(leg.machine.start())
        self._announce(leg, route)

    def _route(self, request: Request, callee: SipUri, source: Address) -> Route | None:
        trunk = self._registration_of(callee.user)
        if trunk is None and (found := trunk_of(self._settings.trunks, source.host)) is not None:
            trunk = found.name
        return choose_route(self._settings.routes, trunk=trunk, caller=request.from_.uri, callee=callee)

    def _leg(self, request: Request, callee: SipUri, event: RequestEvent) -> IncomingLeg:
        """Raises SipError for an INVITE that makes no dialog."""
        settings, ours = self._settings, event.destination
        leg_id = uuid.uuid4().hex
        machine = IncomingInvite(
            request,
            event.transaction,
            make_tag(settings.control.name),
            contact(settings.sip, callee.user, ours.host, ours.transport),
            str(event.source),
            answer_timeout=settings.calls.answer_timeout,
        )
        media = MediaLeg(self._ng, leg_id, "peer", "bot", interface(ours.host), settings.calls.codecs)
        return IncomingLeg(self._exchange, leg_id, request, machine, media)

    def refuse(self, event: RequestEvent, code: int, why: str) -> None:
        """Refuse a new INVITE."""
        reply = Reply(
            event.transaction,
            code,
            phrase(code),
            make_tag(self._settings.control.name),
            (reason_header(code, why),),
        )
        self._reply(event, reply, why)

    def _reply(self, event: RequestEvent, reply: Reply, why: str) -> None:
        log.info("> call from %s refused with %d: %s", event.source, reply.code, why)
        self._exchange.tasks.spawn(self._exchange.channel.carry_out(reply))

    # Finding a bot

    def _announce(self, leg: IncomingLeg, route: Route) -> None:
        if route.pool is not None:
            leg.pool = route.pool
            self._offer(leg)
        elif route.webhook is not None:
            self._webhooks[leg] = self._exchange.tasks.spawn(
                self._call_webhook(leg, route.webhook, route.secret)
            )

    def _offer(self, leg: IncomingLeg) -> None:
        """Offer `leg` to the bot that has waited longest; it may wait a moment for one."""
        assert leg.pool is not None  # noqa: S101 - only calls of a pool are offered
        owner = self._pools.offer(leg.pool, leg)
        if owner is not None:
            leg.offer(owner)
            self._after(leg, self._settings.calls.offer_timeout, self._offer_again)
        elif not leg.offers:
            self._after(leg, self._settings.calls.pool_wait, self._nobody_came)

    def _offer_again(self, leg: IncomingLeg) -> None:
        if not leg.over and not leg.taken:
            self._offer(leg)

    def _nobody_came(self, leg: IncomingLeg) -> None:
        self._pools.withdraw(leg)
        if not leg.over and not leg.taken and not leg.offers:
            if leg.pool in self._full.values():
                leg.reject(503, "all workers are at their limit")
            else:
                leg.reject(480, f"no bot waits in pool {leg.pool}")

    async def _call_webhook(self, leg: IncomingLeg, url: str, secret: str | None) -> None:
        request = leg.request
        announcement = Announcement(
            dialog_id=leg.id,
            caller=printable(str(request.from_.uri)),
            callee=printable(str(request.to.uri)),
            offer=request.sdp.decode("utf-8", "replace"),
            headers=tuple(f"{name}: {printable(value)}" for name, value in request.headers),
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )
        try:
            await announce(self._http, url, secret, announcement)
        except WebhookError as error:
            log.warning("call %s: %s", leg.id, error)
            if not leg.over and not leg.taken:
                leg.reject(503, "the bot's server does not take the call")

    def _after(self, leg: IncomingLeg, seconds: float, then: Callable[[IncomingLeg], None]) -> None:
        self.forget_timer(leg)
        self._timers[leg] = asyncio.get_running_loop().call_later(seconds, then, leg)

    def forget_timer(self, leg: IncomingLeg) -> None:
        """Offer `leg` to nobody else by time."""
        if (timer := self._timers.pop(leg, None)) is not None:
            timer.cancel()

    # Bots

    def join(self, pool: str, owner: Owner) -> None:
        """`owner` waits for a call of `pool`."""
        self._pools.leave(owner)
        self._full.pop(owner, None)
        while (leg := self._pools.join(pool, owner)) is not None:
            if not leg.over and not leg.taken:
                leg.offer(owner)
                self._after(leg, self._settings.calls.offer_timeout, self._offer_again)
                return

    def leave(self, owner: Owner, full: str | None = None) -> None:
        """`owner` takes no call: what was offered to it goes to another.

        `full` is the pool that it would wait in if its worker had not too much to do.
        """
        self._pools.leave(owner)
        self._full.pop(owner, None)
        if full is not None:
            self._full[owner] = full
        for leg in self._legs:
            if isinstance(leg, IncomingLeg) and owner in leg.offers:
                leg.offers.remove(owner)
                if not leg.offers and leg.pool is not None:
                    self._offer(leg)

    def lost(self, worker: Worker) -> None:
        """A worker is gone: its bots wait no more."""
        self._full = {owner: pool for owner, pool in self._full.items() if owner.worker is not worker}
        self._pools.leave_all(lambda owner: owner.worker is worker)
        for leg in self._legs:
            if isinstance(leg, IncomingLeg):
                for owner in [owner for owner in leg.offers if owner.worker is worker]:
                    self.leave(owner)

    def leg_ended(self, leg: IncomingLeg) -> None:
        """`leg` is over: nobody is to take it any more."""
        self.forget_timer(leg)
        if (task := self._webhooks.pop(leg, None)) is not None:
            task.cancel()
        self._pools.withdraw(leg)

    def waiting(self) -> dict[str, int]:
        """Number of waiting bots, by pool; those of all routes are there."""
        pools = {route.pool: 0 for route in self._settings.routes if route.pool is not None}
        return pools | self._pools.waiting()
