"""One media worker: the engine, the API port, the connection to control, and the sessions between them."""

import argparse
import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from control import process
from control.api.client import LegClient
from control.api.models import Answered, Done, Hangup, Incoming, Killed, Leave, Message, Notice
from control.config import Settings
from control.errors import ConfigError, LegError, SetupError
from control.ports import rtp_ports
from control.tasks import Tasks
from media.api.calltype import CallType
from media.api.commands import parse
from media.api.gate import Arrival, CallSummary, Refusal
from media.api.outbox import Outbox
from media.api.server import make_app
from media.callquality import CallQuality
from media.engine import reports
from media.engine.clock import TickClock
from media.engine.engine import Engine
from media.engine.overload import Level, Overload
from media.fetch import Fetcher
from media.files import LocalFiles
from media.metrics import Metrics
from media.node import NodeSessions
from media.realtime import SafePoint, prioritise
from media.recorder import Recorder
from media.records.service import Records
from media.session.clock import now_ms
from media.session.heard import heard
from media.session.lines.sip import full, join_pool
from media.session.services import Services
from media.session.session import Session
from media.session.state import Parting, State
from media.sounds import Sounds
from media.speech.cache import SpeechCache
from media.speech.catalogue import names
from media.speech.eou.http import RemoteDetector
from media.speech.hub.client import SpeechHub
from media.speech.precache import Precache
from media.speechtimes import SpeechTimes
from media.store import Memory, Store

log = logging.getLogger(__name__)

STOP_SECONDS = 2.0
MEMORY_BYTES = 64_000_000
"""Samples of files and texts that are kept in memory: 33 minutes at 16 kHz."""
IDLE_TICKS = 3000
"""Ticks (a minute) from one full garbage collection without a call to the next."""


class Worker:
    """Sessions by id and by slot; passes on what control and the engine report.

    It is the `Gate` of the API server.
    """

    def __init__(self, settings: Settings, number: int, *, sip: bool = True) -> None:
        self.settings = settings
        self.sip = sip
        """Whether there is a control that makes telephone calls."""
        self.name = f"{settings.control.name}-{number}"
        self.engine = Engine("127.0.0.1", rtp_ports(settings)[number], settings.media.slots)
        self.clock = TickClock(self.engine, self._engine_events, self._rest)
        self.overload = Overload()
        self._late = 0
        self._garbage = SafePoint()
        self._idle_at = 0
        self.call_quality = CallQuality()
        self.recorder = Recorder(settings.media.recordings, self._post)
        self.records = Records(settings.records, settings.media.recordings, self.name)
        self.speech = SpeechHub(settings.speech_socket)
        self.speech_times = SpeechTimes(names)
        self.turn_detector = RemoteDetector(allow_private=settings.media.allow_private_urls)
        self.fetcher = Fetcher(
            allow_private=settings.media.allow_private_urls, max_bytes=settings.media.max_file_bytes
        )
        store = (
            Store(settings.media.cache, settings.media.cache_bytes) if settings.media.cache_bytes else None
        )
        memory = Memory(MEMORY_BYTES if store is not None else 0)
        local = LocalFiles(settings.media.sounds)
        self.sounds = Sounds(self.fetcher, local, store, memory)
        self.spoken = SpeechCache(store, memory, f"{settings.speech.tts} {settings.speech.speaker}")
        self._precache = Precache(self.speech, self.spoken)
        self.tasks = Tasks(f"media {self.name}")
        self._connecting = Tasks(f"leg API of {self.name}")
        self.legs = LegClient(
            f"ws://127.0.0.1:{settings.control.port}/legs",
            self.name,
            legs=self._held_legs,
            on_notice=self._notice,
            on_welcome=self._welcome,
        )
        self.node = NodeSessions(self.legs, self.tasks)
        self.sessions: dict[str, Session] = {}
        self._slots: dict[int, Session] = {}
        self._draining = False
        self._services = Services(
            settings,
            self.engine,
            self.legs,
            self.speech,
            self.speech_times,
            self.turn_detector,
            self.sounds,
            self.spoken,
            self.recorder,
            self.records,
            self.tasks,
        )
        self._metrics = Metrics(self)

    # Gate

    async def refusal(self, arrival: Arrival) -> Refusal | None:
        """Why this bot cannot be served now, or None."""
        reason = self._busy()
        if reason is None and arrival.call_type is not CallType.WEBSOCKET:
            reason = self._no_telephony()
        if reason is not None:
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, reason)
        return await self.node.admit(arrival, now_ms())

    def session(self, arrival: Arrival, outbox: Outbox) -> Session:
        """A session for a bot whose socket is about to open."""
        session = Session(arrival, self._services, outbox, self)
        self.sessions[session.id] = session
        return session

    async def calls(self) -> list[CallSummary]:
        """Every session of this node."""
        return await self.node.calls(session.describe() for session in list(self.sessions.values()))

    async def kill(self, session_id: str) -> bool:
        """End a session of this node; whether there was one."""
        if (session := self.sessions.get(session_id)) is not None:
            session.kill()
            return True
        return await self.node.kill(session_id)

    async def precache(self, body: bytes) -> int:
        """Make the speech of a ``tts`` command and keep it; its ms. Raises CommandError and SpeechError."""
        return await self._precache.fill(parse(body))

    @property
    def keep_time(self) -> Callable[[], None]:
        """Ticks, if that is due, before more messages of bots are read."""
        return self.clock.keep

    def ready(self) -> str | None:
        """Why this worker cannot take calls, or None when it can."""
        return self._busy() or (self._no_telephony() if self.sip else None)

    def _busy(self) -> str | None:
        if self._draining:
            return "this worker is shutting down"
        if self.overload.level is Level.FULL:
            return f"this worker is at its limit with {self.engine.used} calls"
        return None

    def _no_telephony(self) -> str | None:
        if not self.sip:
            return "this node runs without telephony: only /call is served"
        if not self.legs.connected:
            return "control cannot be reached; calls are not possible now"
        return None

    def metrics(self) -> tuple[bytes, str]:
        """Prometheus exposition and its content type."""
        return self._metrics.exposition()

    # Directory of sessions

    def took_slot(self, session: Session, slot: int) -> None:
        """`session` has a slot of the engine from now on."""
        self._slots[slot] = session

    def described(self, session: Session) -> None:
        """The option of `session`'s call is known."""
        self.node.described(session.id, session.describe().option)

    def gave_slot(self, slot: int) -> None:
        """`slot` belongs to nobody any more."""
        del self._slots[slot]

    def ended(self, session: Session) -> None:
        """`session` is over."""
        if (quality := session.call.quality) is not None:
            self.call_quality.ended(quality.mos, quality.max_jitter_ms / 1000, quality.loss_fraction)
        del self.sessions[session.id]
        self.node.closed(session.id)

    # From control

    def _held_legs(self) -> Collection[str]:
        return [leg for session in self.sessions.values() for leg in session.legs]

    def _notice(self, notice: Notice) -> None:
        session = self.sessions.get(notice.session)
        if session is not None and isinstance(notice, Incoming) and self.overload.level is Level.FULL:
            self.tasks.spawn(self._decline(full(session)))
        elif session is not None and isinstance(notice, Killed):
            session.kill()
        elif session is not None:
            session.noticed(notice)
        elif isinstance(notice, Incoming):
            self.tasks.spawn(self._decline(Leave(session=notice.session)))
        elif isinstance(notice, Answered):
            self.tasks.spawn(self._decline(Hangup(leg=notice.leg, reason="the bot has left")))

    async def _decline(self, message: Message) -> None:
        """A session takes no call, or had just gone when one was answered: nobody is to wait for it."""
        try:
            await self.legs.request(message, Done)
        except LegError as error:
            log.debug("control was not told that a session takes no call: %s", error)

    def _welcome(self, standing: Collection[str]) -> None:
        """Control is (back) there: end calls it does not know, let waiting bots wait there again."""
        self.tasks.spawn(self.node.resume())
        for session in list(self.sessions.values()):
            for leg in session.legs:
                if leg not in standing:
                    session.lost(leg)
            if session.state is State.WAITING:
                self.tasks.spawn(join_pool(session))

    # From the engine

    def _engine_events(self, happened: Iterable[reports.Event]) -> None:
        for event in happened:
            session = self._slots.get(event.slot)
            if session is None:
                continue
            try:
                heard(session, event)
            except Exception:
                # A fault in one call must not cost another the events of this tick.
                log.exception("session %s: %s", session.id, type(event).__name__)
                session.finish("system", "failed", Parting.FAULT)

    def _rest(self, busy: int, left: int) -> None:
        """The work of a tick is done: `left` ns are there for what must not hold up one."""
        late, self._late = self.clock.schedule.late - self._late, self.clock.schedule.late
        before = self.overload.level
        level = self.overload.observe(busy, late)
        if level is not before:
            log.warning(
                "load is %s: %d calls, %.0f %% of each tick",
                level.name,
                self.engine.used,
                100 * self.overload.share,
            )
            self.engine.economise(on=level >= Level.SAVING)
            if Level.FULL in (level, before):
                self._accept_calls(wanted=level is not Level.FULL)
        ticks = self.clock.schedule.ticks
        if self.engine.used or ticks - self._idle_at < IDLE_TICKS:
            self._garbage.rest(left)
        else:
            self._idle_at = ticks
            self._garbage.idle()

    def _accept_calls(self, *, wanted: bool) -> None:
        """Let the waiting bots wait in their pools, or, while there is no time for more calls, not."""
        self.engine.accepting = wanted
        for session in self.sessions.values():
            if session.state is State.WAITING:
                told = join_pool(session) if wanted else self._decline(full(session))
                self.tasks.spawn(told)

    def _post(self, callback: Callable[[], None]) -> None:
        """Run `callback` in the thread of the sessions, from another one."""
        self._loop.call_soon_threadsafe(callback)

    # Life

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then end every call and leave nothing behind. Raises SetupError."""
        api = self.settings.api
        self._loop = asyncio.get_running_loop()
        runner = web.AppRunner(make_app(self.settings, self), access_log=None, shutdown_timeout=STOP_SECONDS)
        try:
            self.speech.start()
            self.recorder.start()
            self.records.start()
            prioritise(self.settings.media.realtime)
            self._garbage.start()
            self.clock.start()
            if self.sip:
                self._connecting.spawn(self.legs.run())
            await runner.setup()
            await _listen(web.TCPSite(runner, api.address, api.port, reuse_port=True), api.address, api.port)
            log.info("bots connect to ws://%s:%d/call/sip", api.address, api.port)
            await stop.wait()
        finally:
            await self._close(runner)

    async def _close(self, runner: web.AppRunner) -> None:
        self._draining = True
        for session in list(self.sessions.values()):
            session.finish("system", "shutdown", Parting.RESTART)
        await runner.cleanup()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.tasks.settle()
        except TimeoutError:
            log.warning("control was not told of the end of every call: it does not answer")
        await self.tasks.close()
        await self._connecting.close()
        await self.sounds.close()
        await self.spoken.settle()
        await self.fetcher.close()
        self.recorder.close()
        await asyncio.to_thread(self.records.close)
        self.clock.stop()
        self._garbage.stop()
        self.engine.close()
        await self.speech.stop()
        await self.turn_detector.close()


async def _listen(site: web.TCPSite, address: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        raise SetupError(f"API port {address}:{port}/tcp cannot be opened: {error.strerror}") from error


async def serve(settings: Settings, stop: asyncio.Event, number: int, *, sip: bool = True) -> None:
    """Run worker `number`, with telephony if `sip`, until `stop` is set. Raises ConfigError and SetupError."""
    if number not in range(settings.media.workers):
        raise ConfigError(f"there is no media worker {number}: media.workers is {settings.media.workers}")
    await Worker(settings, number, sip=sip).run(stop)


def main() -> None:
    """Entry of ``python -m media``."""
    parser = argparse.ArgumentParser(prog="sidecall media", description="Run one media worker.")
    parser.add_argument("-c", "--config", type=Path, help="path of sidecall.toml")
    parser.add_argument("--worker", type=int, default=0, help="number of this worker, from 0")
    parser.add_argument("--no-sip", action="store_true", help="serve only /call; there is no control")
    arguments = parser.parse_args()
    process.run(
        arguments.config,
        lambda settings, stop: serve(settings, stop, arguments.worker, sip=not arguments.no_sip),
    )
