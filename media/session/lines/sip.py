"""Telephone calls by SIP: incoming ones, claimed or waited for in a pool, and outgoing ones."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from control.api import models
from control.errors import CommandError, LegError, LegErrorCode
from media.api import events
from media.api.gate import DEFAULT_POOL
from media.api.options import RecorderOption
from media.commands.accept import Accept
from media.commands.invite import Invite
from media.commands.play import Play
from media.commands.reject import Reject
from media.commands.ringing import Ringing
from media.session.clock import now_ms
from media.session.lines.base import Line, status
from media.session.play import Play as Playback
from media.session.state import Parting, State
from media.session.target import signalling

if TYPE_CHECKING:
    from media.session.session import Session

JOIN_SECONDS = 0.5
"""A bot that names no route and says nothing for so long waits for a call."""


class SipLine(Line):
    """A leg of control's."""

    _ringtone: Playback | None = None
    _recorder: RecorderOption | None = None
    """As ``ringing`` asked for; holds from the answer on where there is no early media."""

    async def arrive(self) -> None:
        """Claim the call the bot was told of, or let it wait for one, unless it speaks first."""
        session = self.session
        if session.arrival.claims:
            await self._claim()
        if session.state is not State.IDLE:
            return
        if session.arrival.pool is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(JOIN_SECONDS):
                    await session.commanded()
                    return
        if not session.arrival.may_wait:
            return
        session.step(State.WAITING)
        await join_pool(session)

    async def _claim(self) -> None:
        session = self.session
        request = models.Claim(session=session.id, leg=session.id)
        try:
            self._offered(await session.services.legs.request(request, models.Incoming))
        except LegError as error:
            if error.code is not LegErrorCode.NO_SUCH_LEG:
                _give_up(session, "sip", error)

    async def invite(self, command: Invite) -> None:
        """Dial out."""
        session, option = self.session, command.option
        if not option.callee:
            raise CommandError('command "invite": field "option.callee" is missing')
        if not session.arrival.may_dial(option.callee):
            raise CommandError(f'command "invite": this token may not call {option.callee}', 403)
        endpoint = session.caller.endpoint()
        waited = session.state is State.WAITING
        session.step(State.DIALING)
        session.call.start = now_ms()
        session.remember(option)
        session.call.caller, session.call.callee = option.caller or "", option.callee
        request = models.Invite(
            session=session.id,
            caller=option.caller,
            callee=option.callee,
            endpoint=endpoint,
            **signalling(option.sip),
        )
        try:
            if waited:
                await session.services.legs.request(models.Leave(session=session.id), models.Done)
            invited = await session.services.legs.request(request, models.Invited)
        except LegError as error:
            self.refused(status(error), str(error))
            session.finish("system", "rejected")
            return
        session.leg = invited.leg
        session.call.caller, session.call.callee = invited.caller, invited.callee

    async def ringing(self, command: Ringing) -> None:
        """Ring: 180, or 183 with early media."""
        session = self.session
        session.require(command.command, State.OFFERED)
        early = bool(command.early_media or command.ringtone)
        request = models.Ring(
            leg=session.leg or "",
            session=session.id,
            endpoint=session.caller.endpoint() if early else None,
        )
        media = await session.services.legs.request(request, models.Media)
        session.call.ringing = session.call.ringing or now_ms()
        self._recorder = command.recorder
        if media.stream is not None:
            if not session.connect(media.stream):
                return
            session.begin_playing()
            session.caller.record(command.recorder)
        if command.ringtone:
            self._ringtone = Play(url=command.ringtone).start(session)

    async def accept(self, command: Accept) -> None:
        """Answer; the ``answer`` event follows when the caller has acknowledged."""
        session = self.session
        session.require(command.command, State.OFFERED)
        option = command.option
        if option.recorder is None and self._recorder is not None:
            option = option.model_copy(update={"recorder": self._recorder})
        session.remember(option)
        request = models.Accept(leg=session.leg or "", session=session.id, endpoint=session.caller.endpoint())
        session.step(State.ANSWERING)
        try:
            media = await session.services.legs.request(request, models.Media)
        except LegError as error:
            _give_up(session, "command", error)
            return
        if self._ringtone is not None and session.player.current is self._ringtone:
            session.player.interrupt()
        if media.stream is not None:
            session.connect(media.stream)

    async def reject(self, command: Reject) -> None:
        """Refuse."""
        session = self.session
        session.require(command.command, State.OFFERED)
        code = command.code or 603
        request = models.Reject(leg=session.leg or "", session=session.id, code=code, reason=command.reason)
        await session.services.legs.request(request, models.Done)
        session.call.code = code
        session.finish("callee", "rejected", Parting.KNOWN)

    def _offered(self, incoming: models.Incoming) -> None:
        """A call is offered to the session."""
        session = self.session
        if session.state not in (State.IDLE, State.WAITING):
            return
        session.step(State.OFFERED)
        session.leg = incoming.leg
        session.call.start = now_ms()
        session.call.caller, session.call.callee = incoming.caller, incoming.callee
        session.send(
            events.Incoming(
                track_id=session.id,
                timestamp=now_ms(),
                caller=incoming.caller,
                callee=incoming.callee,
                sdp=incoming.sdp,
                dialog_id=incoming.leg,
                headers=incoming.headers,
            )
        )

    def noticed(self, notice: models.Notice) -> None:
        """What control reports of the session's leg."""
        session = self.session
        if isinstance(notice, models.Incoming):
            self._offered(notice)
            return
        match notice:
            case models.Ringing(stream=stream):
                session.call.ringing = session.call.ringing or now_ms()
                if stream is not None and not session.connect(stream):
                    return
                session.send(
                    events.Ringing(track_id=session.id, timestamp=now_ms(), early_media=stream is not None)
                )
            case models.Answered(stream=stream, sdp=sdp):
                self.answered(sdp, stream)
            case models.MediaChanged(stream=stream):
                session.connect(stream)
            case models.Digit(digit=digit):
                session.caller.pressed_by_signal(digit)
            case models.Rejected(code=code, reason=reason):
                self.refused(code, reason)
            case models.Ended(initiator=initiator, reason=reason, code=code):
                session.call.code = session.call.code or code
                session.finish(initiator, reason, Parting.KNOWN)

    def farewell(self, reason: str, parting: Parting) -> models.Message | None:
        """As `Line.farewell`; a call that came in and was not answered may go to another bot."""
        session = self.session
        if parting is Parting.KNOWN:
            return None
        pending = session.state in (State.OFFERED, State.ANSWERING)
        if pending and parting is not Parting.HANG_UP:
            return models.Leave(session=session.id)
        if session.state is State.OFFERED and session.leg is not None:
            # Unlike a hangup, it spares the call that another bot has accepted meanwhile.
            return models.Reject(leg=session.leg, session=session.id, reason=reason)
        return super().farewell(reason, parting)


async def join_pool(session: "Session") -> None:
    """Wait in the pool of the bot's route; when control is away, the worker calls this again once it is back."""
    request = models.Join(session=session.id, pool=session.arrival.pool or DEFAULT_POOL)
    try:
        await session.services.legs.request(request, models.Done)
    except LegError as error:
        if error.code is not LegErrorCode.NOT_CONNECTED:
            _give_up(session, "sip", error)


def full(session: "Session") -> models.Leave:
    """What control must be told of a waiting session whose worker has too much to do."""
    return models.Leave(session=session.id, full=session.arrival.pool or DEFAULT_POOL)


def _give_up(session: "Session", sender: str, error: LegError) -> None:
    """Control's refusal leaves nothing to wait for."""
    session.error(sender, str(error), status(error))
    session.finish("system", "failed", Parting.LEAVE)
