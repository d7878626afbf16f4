"""Keeps the configured registrations at PBXs and carriers alive."""

import asyncio
import logging
import secrets
import uuid
from collections.abc import Iterable

from control.calls.addresses import contact
from control.calls.channel import LOST_SECONDS, SipChannel, Timers
from control.config import Registration, Settings
from control.errors import ResolveError, UnreachableError
from control.sip import effects as fx
from control.sip.dialog import make_tag
from control.sip.digest import Credentials
from control.sip.message import Request, Response
from control.sip.registration import RegistrationClient
from control.sip.uri import SipUri, escape_user, parse_uri
from control.tasks import Tasks

log = logging.getLogger(__name__)


class Account:
    """One registration: its machine and what it looks like from outside."""

    def __init__(self, settings: Settings, account: Registration, channel: SipChannel, tasks: Tasks) -> None:
        self.name = account.name
        self.tag = make_tag(settings.control.name)
        self.user = f"reg-{account.name}-{secrets.token_hex(4)}"
        """User of our Contact: tells which INVITEs come by this registration."""
        self.stopped = asyncio.Event()
        """Set once the registrar knows that we have left, or did not want to know."""
        self._settings = settings
        self._account = account
        self._channel = channel
        self._tasks = tasks
        self._timers = Timers(self._fired)
        self._starting: asyncio.Task[None] | None = None
        self._machine: RegistrationClient | None = None

    @property
    def state(self) -> fx.RegistrationState:
        """Where it stands."""
        return self._machine.state if self._machine else fx.RegistrationState.UNREGISTERED

    def start(self) -> None:
        """Register, and stay registered."""
        self._starting = self._tasks.spawn(self._start())

    async def _start(self) -> None:
        """Find out which address of ours the registrar sees, then begin."""
        account, registrar = self._account, parse_uri(self._account.registrar)
        try:
            location = await self._channel.locate(registrar)
        except ResolveError as error:
            log.warning("registration %s: %s; trying again in %g s", self.name, error, account.retry)
            self._timers.carry_out(fx.StartTimer(fx.Timer.REFRESH, account.retry))
            return
        domain = account.domain or registrar.host
        local = contact(self._settings.sip, self.user, location.local, location.transport)
        self._machine = RegistrationClient(
            registrar=SipUri("sip", host=domain),
            aor=SipUri("sip", escape_user(account.username), host=domain),
            contact=parse_uri(local),
            call_id=uuid.uuid4().hex,
            local_tag=self.tag,
            credentials=Credentials(account.username, account.password, account.realm),
            next_hop=str(registrar),
            expires=account.expires,
            retry=account.retry,
            refresh_at=0.75 + secrets.randbelow(150) / 1000,
        )
        self._act(self._machine.start())

    def stop(self) -> None:
        """Take the binding back; `stopped` is set when that is done."""
        self._timers.close()
        if self._machine is not None:
            self._act(self._machine.stop())
            return
        if self._starting is not None:
            self._starting.cancel()
        self.stopped.set()

    def on_response(self, response: Response) -> None:
        """A response to our REGISTER."""
        if self._machine is not None:
            self._act(self._machine.on_response(response))

    def on_timeout(self, code: int) -> None:
        """Our REGISTER was not answered."""
        if self._machine is not None:
            self._act(self._machine.on_timeout(code))

    def _fired(self, timer: fx.Timer) -> None:
        if self._machine is None:
            self.start()
        elif timer is fx.Timer.LOST:
            self.on_timeout(408)
        else:
            self._act(self._machine.on_timer(timer))

    def _act(self, effects: Iterable[fx.Effect]) -> None:
        for effect in effects:
            match effect:
                case fx.StartTimer() | fx.StopTimer():
                    self._timers.carry_out(effect)
                case fx.Send():
                    self._timers.carry_out(fx.StartTimer(fx.Timer.LOST, LOST_SECONDS))
                    self._tasks.spawn(self._send(effect))
                case fx.RegistrationChanged():
                    self._changed(effect)

    async def _send(self, send: fx.Send) -> None:
        try:
            await self._channel.carry_out(send)
        except UnreachableError as error:
            log.warning("registration %s: %s", self.name, error)
            self.on_timeout(503)

    def _changed(self, change: fx.RegistrationChanged) -> None:
        if change.state is fx.RegistrationState.STOPPED:
            self.stopped.set()
        why = f": {change.code} {change.reason}".rstrip() if change.code else ""
        log.log(
            logging.WARNING if change.state is fx.RegistrationState.FAILED else logging.INFO,
            "registration %s is %s%s",
            self.name,
            change.state.value,
            why,
        )


class Registrations:
    """All accounts of ``[[registrations]]``."""

    def __init__(self, settings: Settings, channel: SipChannel, tasks: Tasks) -> None:
        self.accounts = [Account(settings, account, channel, tasks) for account in settings.registrations]

    def start(self) -> None:
        """Register all."""
        for account in self.accounts:
            account.start()

    def stop(self) -> None:
        """Unregister all."""
        for account in self.accounts:
            account.stop()

    async def stopped(self) -> None:
        """Wait until all are unregistered."""
        for account in self.accounts:
            await account.stopped.wait()

    def name_of(self, user: str) -> str | None:
        """Name of the account whose Contact has this user: the call came by it."""
        return next((account.name for account in self.accounts if account.user == user), None)

    def on_response(self, response: Response) -> bool:
        """Take a response to a REGISTER of ours; whether it was one."""
        account = self._by_tag(response.from_tag)
        if account is not None:
            account.on_response(response)
        return account is not None

    def on_timeout(self, request: Request, code: int) -> bool:
        """Take the timeout of a REGISTER of ours; whether it was one."""
        account = self._by_tag(request.from_tag)
        if account is not None:
            account.on_timeout(code)
        return account is not None

    def _by_tag(self, tag: str | None) -> Account | None:
        return next((account for account in self.accounts if account.tag == tag), None)
