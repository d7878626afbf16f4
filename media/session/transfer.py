"""``refer``: a second call, to the party that the caller is to talk to.

The caller hears music until the target answers. A caller who came by SIP or WebRTC is then connected to it by
rtpengine, without us: our slots hear both by taps. A caller whose audio comes over the WebSocket is connected by
bridges between the two slots. When the target is gone the caller is hung up, or back with the bot.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from control.api import models
from control.errors import CommandError, EngineFullError, LegError, MediaError
from control.rtpengine.media import Stream
from control.sip.sdp import Direction
from media.api import events
from media.api.calltype import CallType
from media.api.options import ReferOption
from media.engine import reports
from media.engine.bridge import Bridge
from media.session.clock import now_ms
from media.session.ending import referred_hangup
from media.session.lines import status
from media.session.listening import Listening
from media.session.music import Music
from media.session.state import TransferRecord
from media.session.target import target_call

if TYPE_CHECKING:
    from media.commands.refer import Refer
    from media.session.session import Session


class Phase(Enum):
    """Where a transfer is."""

    CALLING = "calling the target"
    CONNECTED = "connected"
    OVER = "over"


class Transfer:
    """The target's leg and slot, from the command to the end of either."""

    def __init__(self, session: "Session", command: "Refer", slot: int, caller_slot: int) -> None:
        self._session = session
        self._engine = session.services.engine
        self._command = command
        self._caller_slot, self.slot = caller_slot, slot
        self.leg: str | None = None
        self.record = TransferRecord(callee=command.callee)
        self._phase = Phase.CALLING
        self._joined: int | None = None
        """When the target was first heard: its track begins; ms since the epoch."""
        self._relayed = session.arrival.call_type is not CallType.WEBSOCKET
        self._bridges: list[Bridge] = []
        self._held = False
        """Whether the target has put the caller on hold."""
        self._listening: Listening | None = None
        self._music = Music(session, caller_slot, command.options.moh)

    @classmethod
    async def begin(cls, session: "Session", command: "Refer") -> None:
        """Call the target for the caller of `session`, which talks. Raises CommandError when that does not fit now."""
        if session.transfer is not None or session.slot is None:
            raise command.unfit("a transfer is under way")
        if not command.callee:
            raise CommandError('command "refer": "callee" must not be empty')
        if not session.arrival.may_dial(command.callee):
            raise CommandError(f'command "refer": this token may not call {command.callee}', 403)
        try:
            slot = session.services.engine.allocate()
        except EngineFullError as error:
            raise CommandError(str(error), 503) from error
        session.directory.took_slot(session, slot)
        session.player.interrupt()
        transfer = session.transfer = cls(session, command, slot, session.slot)
        session.call.transfers.append(transfer.record)
        await transfer._call()

    async def _call(self) -> None:
        request = target_call(self._session, self._command, relayed=self._relayed)
        try:
            invited = await self._session.services.legs.request(request, models.Invited)
        except LegError as error:
            self._refused(status(error), str(error))
            return
        if self._phase is Phase.OVER:
            self._session.tell_control(models.Hangup(leg=invited.leg, reason="cancelled"))
        else:
            self.leg = invited.leg

    @property
    def connected(self) -> bool:
        """Whether the caller talks to the target, and not to the bot."""
        return self._phase is Phase.CONNECTED

    @property
    def joined(self) -> bool:
        """Whether the caller hears the target, if only its early media."""
        return self._joined is not None

    @property
    def options(self) -> ReferOption:
        """What the bot asked for."""
        return self._command.options

    # What control and the engine report

    def noticed(self, notice: models.Notice) -> None:
        """Something happened to the target's leg."""
        match notice:
            case models.Ringing(stream=stream):
                self._ringing(stream)
            case models.Answered(stream=stream, sdp=sdp):
                self._answered(stream, sdp)
            case models.MediaChanged(stream=stream):
                if self._join(stream):
                    self._hold(held=stream.direction in (Direction.RECVONLY, Direction.INACTIVE))
            case models.Digit(digit=digit):
                self._digit(digit)
            case models.Rejected(code=code, reason=reason):
                self._refused(code, reason)
            case models.Ended(initiator=initiator, reason=reason, code=code):
                self._end(initiator, reason, code)

    def heard(self, event: reports.Event) -> None:
        """The engine reports something of the target's slot."""
        if isinstance(event, reports.DigitPressed):
            self._digit(event.digit)

    def interrupt(self) -> None:
        """The bot wants silence."""
        self._music.stop()

    def _ringing(self, stream: Stream | None) -> None:
        session = self._session
        if stream is not None and not self._join(stream):
            return
        session.send(
            events.Ringing(
                track_id=session.track.id, timestamp=now_ms(), early_media=stream is not None, refer=True
            )
        )

    def _answered(self, stream: Stream, sdp: str) -> None:
        session = self._session
        self._phase = Phase.CONNECTED
        self.record.answer = now_ms()
        if self._join(stream):
            session.send(events.Answer(track_id=session.track.id, timestamp=now_ms(), sdp=sdp, refer=True))
            if self._listening is not None:
                self._listening.answered()

    def _digit(self, digit: str) -> None:
        session = self._session
        session.send(events.Dtmf(track_id=session.track.id, timestamp=now_ms(), digit=digit, refer=True))

    def _refused(self, code: int, reason: str) -> None:
        session = self._session
        self.record.code, self.record.reason = code, reason
        session.send(
            events.Reject(track_id=session.track.id, timestamp=now_ms(), reason=reason, code=code, refer=True)
        )
        self._leave()

    # Media

    def _join(self, stream: Stream) -> bool:
        """Let the two hear each other as `stream` says, and listen to both; whether that could be done."""
        session, engine = self._session, self._engine
        self._music.stop()
        try:
            engine.connect(self.slot, stream)
        except MediaError as error:
            session.error("refer", str(error), 500)
            self.hang_up("failed")
            return False
        if self._joined is None:
            session.player.interrupt()
            self._joined = now_ms()
            engine.denoise(self.slot, on=self.options.denoise)
            self._bridge()
            self._listen()
            session.send(events.TrackStart(track_id=session.track.id, timestamp=self._joined))
        return True

    def _listen(self) -> None:
        """Recognise what the target says, if the bot wants that."""
        session, option = self._session, self.options.asr
        if option is not None:
            speech = session.services.speech
            self._listening = Listening(session, self._engine, speech, option, session.track.id)
            self._listening.start(self.slot)

    def _hold(self, *, held: bool) -> None:
        """Tell the bot when the target holds or comes back; a tap has no direction of its own to tell it by."""
        if not self._relayed and held is not self._held:
            self._held = held
            session = self._session
            session.send(events.Hold(track_id=session.track.id, timestamp=now_ms(), on_hold=held, refer=True))

    def _bridge(self) -> None:
        """Let the caller's slot play the target: to the caller, or where rtpengine relays, for who listens in."""
        engine, caller = self._engine, self._caller_slot
        if self._relayed:
            engine.shadow(caller, on=True)
            # The caller has heard somebody else when we send again (RFC 3550 section 8).
            engine.renew(caller)
        else:
            self._bridges.append(Bridge(engine, caller, self.slot))
        self._bridges.append(Bridge(engine, self.slot, caller))

    # The end

    def hang_up(self, reason: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        """End the target's leg because the bot wants it."""
        if self.leg is not None:
            self._session.tell_control(models.Hangup(leg=self.leg, reason=reason, headers=dict(headers)))
        if self.connected:
            self._farewell("system", reason)
            self._leave()
        elif self._phase is Phase.CALLING:
            self._refused(487, reason)

    def close(self) -> None:
        """The session ends."""
        session = self._session
        if self._phase is Phase.OVER:
            return
        if self.leg is not None:
            session.tell_control(models.Hangup(leg=self.leg, reason="the call has ended"))
        else:
            session.tell_control(models.Leave(session=session.id))
        if self.connected:
            self._farewell("system", "the call has ended")
            self._leave()
        else:
            self._refused(487, "the call has ended")

    def _end(self, initiator: str, reason: str, code: int) -> None:
        """The target's leg is over: hang up the caller, or leave it to the bot."""
        if self._phase is Phase.OVER:
            return
        if not self.connected:
            self._refused(code, reason)
            return
        self.record.code, self.record.reason = code, reason
        self._farewell(initiator, reason)
        self._leave()
        if self.options.auto_hangup:
            self._session.finish("system", "refer")

    def _farewell(self, initiator: str, reason: str) -> None:
        session = self._session
        self._end_track()
        session.send(referred_hangup(session, self.record, initiator, reason))

    def _end_track(self) -> None:
        if self._joined is not None:
            now, since = now_ms(), self._joined
            self._joined = None
            self._session.send(
                events.TrackEnd(
                    track_id=self._session.track.id,
                    timestamp=now,
                    duration=now - since,
                    ssrc=self._engine.ssrc(self.slot),
                )
            )

    def _leave(self) -> None:
        """Leave nothing of it behind."""
        if self._phase is Phase.OVER:
            return
        session = self._session
        self._phase = Phase.OVER
        self._music.stop()
        self._end_track()
        for bridge in self._bridges:
            bridge.close()
        self._bridges.clear()
        if self._listening is not None:
            self._listening.stop()
        if self._relayed:
            self._engine.shadow(self._caller_slot, on=False)
        self._engine.release(self.slot)
        session.directory.gave_slot(self.slot)
        self.record.end = now_ms()
        session.transfer = None
