"""One bot connection and its call: its state, the order of what it does, and its end.

What a command does stands in one module for each family; this one knows which commands there are and that every
session ends exactly once, with ``trackEnd``, ``hangup`` and the closing of its socket in that order.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from aiohttp import WSCloseCode

from control.api.client import LegClient
from control.api.models import Done, Message
from control.config import Settings
from control.errors import CommandError, EngineFullError, LegError, MediaError
from control.rtpengine.media import Endpoint, Stream
from control.tasks import Tasks
from media.api import commands, events
from media.api.server import Arrival, Outbox
from media.engine.engine import Engine
from media.fetch import Fetcher
from media.recorder import Recorder
from media.session import calling, muting, playback
from media.session.clock import now_ms
from media.session.hearing import Hearing
from media.session.play import Play
from media.session.player import Player
from media.session.recording import CallRecording
from media.session.state import CLOSE_CODES, STEPS, CallRecord, Parting, State
from media.session.track import ServerSideTrack
from media.sounds import Sounds
from media.speech.cache import SpeechCache
from media.speech.tts.base import Tts

log = logging.getLogger(__name__)

PLAYING_COMMANDS = commands.Tts | commands.Play | commands.Pause | commands.Resume
"""What ``interrupt`` makes pointless while it waits."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a worker offers to its sessions."""

    settings: Settings
    engine: Engine
    legs: LegClient
    tts: Tts
    fetcher: Fetcher
    sounds: Sounds
    spoken: SpeechCache
    recorder: Recorder
    tasks: Tasks
    """Owns what must outlive a session, such as the last request about its leg."""


class Directory(Protocol):
    """Who must know of a session's slot and end."""

    def took_slot(self, session: "Session", slot: int) -> None:
        """`session` has a slot of the engine from now on."""

    def ended(self, session: "Session") -> None:
        """`session` is over."""


class Session:
    """A bot's connection, from the open socket to its end."""

    def __init__(self, arrival: Arrival, services: Services, outbox: Outbox, directory: Directory) -> None:
        self.id = arrival.session_id
        self.arrival = arrival
        self.services = services
        self.state = State.IDLE
        self.leg: str | None = None
        self.slot: int | None = None
        self.call = CallRecord()
        self.option = commands.CallOption()
        self.track = ServerSideTrack(self, services.engine, arrival.track_id)
        self.player = Player(self.track, self.track)
        self.hearing = Hearing(self, services.engine, self.track)
        self.recording = CallRecording(self, services.engine, services.recorder)
        self.ringtone: Play | None = None
        self.caller_muted = False
        self._outbox = outbox
        self._directory = directory
        self._connected: int | None = None
        self._equipped: commands.CallOption | None = None
        self._queue: deque[commands.Command] = deque()
        self._queued = asyncio.Event()
        self._tasks = Tasks(f"session {self.id}")
        self._runner: asyncio.Task[None] | None = None
        """Carries out the commands."""

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
        if self.state is State.ENDED:
            return
        try:
            command = commands.parse(text)
            match command:
                case commands.Hangup():
                    calling.hangup(self, command)
                case commands.Interrupt():
                    self._queue = deque(
                        queued for queued in self._queue if not isinstance(queued, PLAYING_COMMANDS)
                    )
                    playback.interrupt(self, command)
                case _:
                    self._queue.append(command)
                    self._queued.set()
        except CommandError as error:
            self.error("command", str(error), error.code)

    def receive_binary(self, data: bytes) -> None:
        """Binary frames carry audio of another call type."""
        if self.state is not State.ENDED:
            self.error("command", f"{len(data)} binary bytes: /call/sip takes commands as text only", 400)

    async def disconnected(self) -> None:
        """The socket is closed: end the call if it still stands."""
        self.finish("system", "the bot disconnected", Parting.LEAVE)
        await self.player.close()
        await self._tasks.close()

    async def commanded(self) -> None:
        """Wait until a command waits to be carried out."""
        await self._queued.wait()

    async def _run(self) -> None:
        await calling.arrive(self)
        while True:
            while self._queue:
                await self._carry_out(self._queue.popleft())
            self._queued.clear()
            await self._queued.wait()

    async def _carry_out(self, command: commands.Command) -> None:
        try:
            match command:
                case commands.Invite():
                    await calling.invite(self, command)
                case commands.Ringing():
                    await calling.ringing(self, command)
                case commands.Accept():
                    await calling.accept(self, command)
                case commands.Reject():
                    await calling.reject(self, command)
                case commands.Tts():
                    playback.tts(self, command)
                case commands.Play():
                    playback.play(self, command)
                case commands.Pause():
                    playback.pause(self, command)
                case commands.Resume():
                    playback.resume(self, command)
                case commands.Mute():
                    muting.mute(self, command)
                case commands.Unmute():
                    muting.unmute(self, command)
                case commands.Dtmf():
                    playback.press(self, command)
                case commands.History():
                    playback.history(self, command)
                case _:
                    raise CommandError(f'command "{command.command}" is not offered by this version', 501)
        except CommandError as error:
            self.error("command", str(error), error.code)
        except LegError as error:
            self.error("command", str(error), calling.status(error))

    # Media

    def endpoint(self) -> Endpoint:
        """The socket that this call's media comes to; takes a slot. Raises CommandError when none is left."""
        engine = self.services.engine
        if self.slot is None:
            try:
                self.slot = engine.allocate()
            except EngineFullError as error:
                raise CommandError(str(error), 503) from error
            self._directory.took_slot(self, self.slot)
        return Endpoint(engine.address, engine.port)

    def connect(self, stream: Stream) -> bool:
        """Let media flow as `stream` says; whether it does. One that the engine cannot use ends the call."""
        if self.slot is None:
            return False
        try:
            self.services.engine.connect(self.slot, stream)
        except MediaError as error:
            self.error("media", str(error), 500)
            self.finish("system", "failed")
            return False
        if self._connected is None:
            self._connected = now_ms()
            self.send(events.TrackStart(track_id=self.id, timestamp=self._connected))
        self._equip(self.slot)
        return True

    @property
    def caller_connected(self) -> bool:
        """Whether the caller's track has begun."""
        return self._connected is not None

    def mute_caller(self, *, muted: bool) -> None:
        """Hear nothing of the caller, or hear again; nothing before there is a slot."""
        if self.slot is not None:
            self.caller_muted = muted
            self.services.engine.mute_in(self.slot, muted=muted)

    def _equip(self, slot: int) -> None:
        """Give the slot what the bot asked for, once."""
        option, engine = self.option, self.services.engine
        self.hearing.listen(slot, option.vad)
        if option is not self._equipped:
            self._equipped = option
            engine.denoise(slot, on=option.denoise)
            engine.detect_tones(slot, on=option.dtmf is not None and option.dtmf.inband)

    def begin_playing(self) -> None:
        """The far end can hear: what was said before is played now."""
        if self.slot is not None:
            self.track.attach(self.slot)

    # Events and the end

    def send(self, event: events.Event) -> None:
        """Tell the bot."""
        self._outbox.send(event)

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        """Tell the bot that something went wrong; the call goes on."""
        self.send(events.Error(track_id=self.id, timestamp=now_ms(), sender=sender, error=message, code=code))

    def hang_up(self, reason: str) -> None:
        """End the call on our side."""
        self.finish("system", reason)

    def finish(self, initiator: str, reason: str, parting: Parting = Parting.HANG_UP) -> None:
        """End the session; the first call of this decides how, any other does nothing."""
        if self.state is State.ENDED:
            return
        farewell = calling.farewell(self, reason, parting)
        self.step(State.ENDED)
        if self._runner is not None:
            self._runner.cancel()
        self.player.interrupt()
        self.track.close()
        ended = now_ms()
        self.recording.stop()
        if self.slot is not None:
            if self._connected is not None:
                self.call.quality = self.services.engine.quality(self.slot)
            ssrc = self.services.engine.ssrc(self.slot)
            self.services.engine.release(self.slot)
            if self._connected is not None:
                duration = ended - self._connected
                self.send(events.TrackEnd(track_id=self.id, timestamp=ended, duration=duration, ssrc=ssrc))
        self.send(calling.hangup_event(self, ended, initiator, reason))
        self._outbox.close(CLOSE_CODES.get(parting, WSCloseCode.OK), reason)
        self._directory.ended(self)
        self.leg = self.slot = None
        if farewell is not None:
            self.services.tasks.spawn(self._tell(farewell))

    async def _tell(self, farewell: Message) -> None:
        try:
            await self.services.legs.request(farewell, Done)
        except LegError as error:
            # Control ends the legs and forgets the waiting sessions of a worker it has lost.
            log.debug("session %s: %s: %s", self.id, farewell.method, error)
