"""One bot connection and its call: its state, the order of what it does, and its end.

What a command does stands in `media.commands`, what differs between kinds of calls in `media.session.lines`. This
module keeps their order, and sees to it that every session ends exactly once, with ``trackEnd``, ``hangup`` and the
closing of its socket in that order.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import WSCloseCode

from control.api.models import Done, Ended, Incoming, Message, Notice
from control.errors import CommandError, LegError, MediaError
from control.rtpengine.media import Stream
from control.tasks import Tasks
from media.api import commands, events
from media.api.gate import Arrival, CallSummary
from media.api.masking import masked
from media.api.options import CallOption
from media.api.outbox import Outbox
from media.commands.base import Queued, Urgent
from media.session.caller import Caller
from media.session.clock import now_ms
from media.session.ending import facts, hangup_event
from media.session.lines import LINES, status
from media.session.player import Player
from media.session.services import Directory, Services
from media.session.state import CLOSE_CODES, STEPS, CallRecord, Parting, State
from media.session.track import ServerSideTrack
from media.session.transfer import Transfer

log = logging.getLogger(__name__)


class Session:
    """A bot's connection, from the open socket to its end."""

    def __init__(self, arrival: Arrival, services: Services, outbox: Outbox, directory: Directory) -> None:
        self.id = arrival.session_id
        self.arrival = arrival
        self.services = services
        self.directory = directory
        self.state = State.IDLE
        self.leg: str | None = None
        self.call = CallRecord()
        self.option = CallOption()
        self.track = ServerSideTrack(self, services.engine, arrival.track_id)
        self.player = Player(self.track, self.track)
        self.caller = Caller(self)
        self.line = LINES[arrival.call_type](self)
        self.transfer: Transfer | None = None
        self.journal = services.records.open(self.id, dump=arrival.dump)
        self._outbox = outbox
        self._created = now_ms()
        self._queue: deque[Queued] = deque()
        self._queued = asyncio.Event()
        self._tasks = Tasks(f"session {self.id}")
        self._runner: asyncio.Task[None] | None = None
        """Carries out the commands."""

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self.state is State.ENDED

    def step(self, state: State) -> None:
        """Change the state; the only place where it changes."""
        if state not in STEPS[self.state]:
            raise AssertionError(f"session {self.id}: {self.state.value} → {state.value}")
        log.debug("- session %s: %s → %s", self.id, self.state.value, state.value)
        self.state = state

    def require(self, command: str, *states: State) -> None:
        """Raise CommandError unless the session is in one of `states`."""
        if self.state not in states:
            raise CommandError(
                f'command "{command}" does not fit now: the session is {self.state.value}', 409
            )

    # From the socket

    def open(self) -> None:
        """The socket is open: find out what the bot came for, and carry out its commands."""
        self._runner = self._tasks.spawn(self._run())
        self._runner.add_done_callback(self._stopped)

    def _stopped(self, runner: asyncio.Task[None]) -> None:
        """A fault of ours is in the log; the bot must not wait for an answer that never comes."""
        if not runner.cancelled() and runner.exception() is not None:
            self.error("server", "an internal error ends this call; the operator's log tells more", 500)
            self.finish("system", "failed", Parting.FAULT)

    def receive(self, text: str) -> None:
        """A command came in. ``hangup`` and ``interrupt`` overtake what waits; the rest keeps its order."""
        if self.over:
            return
        try:
            command = commands.parse(text)
        except CommandError as error:
            self.journal.unparsed(len(text), str(error))
            self.error("command", str(error), error.code)
            return
        self.journal.command(command, len(text))
        try:
            if isinstance(command, Urgent):
                command.check(self)
                command.act(self)
            else:
                self._queue.append(command)
                self._queued.set()
        except CommandError as error:
            self.error("command", str(error), error.code)

    def receive_binary(self, data: bytes) -> None:
        """A binary frame came in: audio, where it comes this way."""
        if not self.over:
            self.line.audio(data)

    def pinged(self, payload: str) -> None:
        """A WebSocket ping was sent."""
        self.journal.event(events.encode(events.Ping(timestamp=now_ms(), payload=payload)))

    def describe(self) -> CallSummary:
        """What lists show of this session."""
        return CallSummary(
            id=self.id,
            call_type=self.arrival.call_type,
            created_at=self._created,
            option=masked(self.option),
        )

    def kill(self) -> None:
        """End the call because an operator wants it."""
        self.finish("system", "killed")

    async def disconnected(self) -> None:
        """The socket is closed: end the call if it still stands."""
        self.finish("system", "the bot disconnected", Parting.LEAVE)
        await self.player.close()
        await self._tasks.close()

    def forget_plays(self) -> None:
        """Carry out none of the waiting commands that would play something."""
        self._queue = deque(command for command in self._queue if not command.plays)

    async def commanded(self) -> None:
        """Wait until a command waits to be carried out."""
        await self._queued.wait()

    async def _run(self) -> None:
        await self.line.arrive()
        while not self.over:
            while self._queue and not self.over:
                await self._carry_out(self._queue.popleft())
            self._queued.clear()
            await self._queued.wait()

    async def _carry_out(self, command: Queued) -> None:
        try:
            command.check(self)
            await command.carry_out(self)
        except CommandError as error:
            self.error("command", str(error), error.code)
        except LegError as error:
            self.error("command", str(error), status(error))

    # Media

    @property
    def slot(self) -> int | None:
        """The caller's slot of the engine."""
        return self.caller.slot

    def connect(self, stream: Stream) -> bool:
        """Let media flow as `stream` says; whether it does. One that the engine cannot use ends the call."""
        try:
            self.caller.connect(stream)
        except MediaError as error:
            self.error("media", str(error), 500)
            self.finish("system", "failed")
            return False
        return not self.over and self.slot is not None

    def begin_playing(self) -> None:
        """The far end can hear: what was said before is played now."""
        if self.slot is not None:
            self.track.attach(self.slot)

    def remember(self, option: CallOption) -> None:
        """Keep what later commands and the end of the call need."""
        self.option = option
        self.call.extra = option.extra
        if option.sip is not None and option.sip.hangup_headers:
            self.call.bye_headers = dict(option.sip.hangup_headers)
        self.directory.described(self)

    # Notices

    def noticed(self, notice: Notice) -> None:
        """Control reports something of a leg of this session; of one that is no more its own, nothing is left to do."""
        transfer = self.transfer
        if transfer is not None and notice.leg == transfer.leg:
            transfer.noticed(notice)
        elif notice.leg == self.leg or isinstance(notice, Incoming):
            self.line.noticed(notice)

    def lost(self, leg: str) -> None:
        """Control was restarted and knows nothing of `leg` any more."""
        if self.transfer is not None and leg == self.transfer.leg:
            ended = Ended(
                leg=leg, session=self.id, initiator="system", reason="control was restarted", code=503
            )
            self.transfer.noticed(ended)
        elif leg == self.leg:
            self.finish("system", "control was restarted", Parting.KNOWN)

    @property
    def legs(self) -> list[str]:
        """Legs of control's that the session holds."""
        referred = self.transfer.leg if self.transfer is not None else None
        return [leg for leg in (self.leg, referred) if leg is not None]

    def interrupt(self, *, graceful: bool = False, fade_ms: int = 0) -> None:
        """Cut what the caller hears of us, within the fade, or gracefully; nothing when nothing is on."""
        spoken = self.caller.hearing.speaking_ms
        if self.player.interrupt(graceful=graceful, fade_ms=fade_ms) is not None and spoken is not None:
            self.call.barge_ins.add(spoken)
        if self.transfer is not None:
            self.transfer.interrupt()

    # Events and the end

    def send(self, event: events.Event) -> None:
        """Tell the bot."""
        if isinstance(event, events.Metrics):
            self.services.speech_times.told(event)
        text = events.encode(event)
        self.journal.event(text)
        self._outbox.send(text)

    @property
    def audio_sink(self) -> Callable[[bytes], None]:
        """Sends the bot a binary frame."""
        return self._outbox.send_audio

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        """Tell the bot that something went wrong; the call goes on."""
        self.send(events.Error(track_id=self.id, timestamp=now_ms(), sender=sender, error=message, code=code))

    def trouble(self, sender: str) -> Callable[[str, int], None]:
        """Tells the bot (message, code) of what went wrong with `sender` and was mended."""
        return lambda message, code: self.error(sender, message, code)

    def hang_up(self, reason: str) -> None:
        """End the call on our side."""
        self.finish("system", reason)

    def finish(self, initiator: str, reason: str, parting: Parting = Parting.HANG_UP) -> None:
        """End the session; the first call of this decides how, any other does nothing."""
        if self.over:
            return
        farewell = self.line.farewell(reason, parting)
        began = self.state not in (State.IDLE, State.WAITING)
        self.step(State.ENDED)
        if self._runner is not None:
            self._runner.cancel()
        self.player.interrupt()
        if self.transfer is not None:
            self.transfer.close()
        self.track.close()
        self.caller.release()
        hangup = hangup_event(self, initiator, reason)
        self.send(hangup)
        self.journal.close(facts(self, hangup) if began else None)
        self._outbox.close(CLOSE_CODES.get(parting, WSCloseCode.OK), reason)
        self.directory.ended(self)
        self.leg = None
        if farewell is not None:
            self.tell_control(farewell)

    def tell_control(self, message: Message) -> None:
        """Tell control what needs no answer."""
        self.services.tasks.spawn(self._tell(message))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do `work` until the session's socket is closed at the latest."""
        return self._tasks.spawn(work)

    async def _tell(self, message: Message) -> None:
        try:
            await self.services.legs.request(message, Done)
        except LegError as error:
            # Control ends the legs and forgets the waiting sessions of a worker it has lost.
            log.debug("session %s: %s: %s", self.id, message.method, error)
