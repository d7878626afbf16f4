"""Calls of browsers (WebRTC): the bot hands over the browser's offer and takes our answer back to it."""

import asyncio

from control.api import models
from control.errors import CommandError, LegError
from media.commands.invite import Invite
from media.session.clock import now_ms
from media.session.lines.base import Line, status
from media.session.state import Parting, State


class BrowserLine(Line):
    """A leg without SIP: its signalling is the bot's own socket."""

    gone_after = 30.0
    _handshake: asyncio.TimerHandle | None = None

    async def invite(self, command: Invite) -> None:
        """Take the browser's offer; the ``answer`` event brings ours."""
        session, option = self.session, command.option
        if not option.offer:
            raise CommandError('command "invite": field "option.offer" is missing: the SDP of the browser')
        endpoint = session.caller.endpoint()
        session.step(State.DIALING)
        session.call.start = now_ms()
        session.remember(option)
        session.call.caller, session.call.callee = option.caller or "", option.callee or ""
        request = models.Connect(
            session=session.id, endpoint=endpoint, offer=option.offer, ipv6=option.enable_ipv6
        )
        try:
            connected = await session.services.legs.request(request, models.Connected)
        except LegError as error:
            self.refused(status(error), str(error))
            session.error("invite", str(error), status(error))
            session.finish("system", "failed")
            return
        session.leg = connected.leg
        if option.handshake_timeout:
            loop = asyncio.get_running_loop()
            self._handshake = loop.call_later(option.handshake_timeout, self._no_media)
        self.answered(connected.sdp, connected.stream)

    def media_started(self) -> None:
        """ICE and DTLS are through."""
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None

    def _no_media(self) -> None:
        session = self.session
        session.error("media", "no audio came from the browser within handshakeTimeout", 408)
        session.finish("system", "handshakeTimeout")

    def noticed(self, notice: models.Notice) -> None:
        """What control reports of the session's leg."""
        match notice:
            case models.MediaChanged(stream=stream):
                self.session.connect(stream)
            case models.Ended(initiator=initiator, reason=reason):
                self.session.finish(initiator, reason, Parting.KNOWN)

    def farewell(self, reason: str, parting: Parting) -> models.Message | None:
        """As `Line.farewell`."""
        self.media_started()
        return super().farewell(reason, parting)
