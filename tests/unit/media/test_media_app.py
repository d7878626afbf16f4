"""One media worker, with its clock, its API port and its connection to a control that does as it is told."""

import asyncio
import base64
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from control import process
from control.api import client as leg_client
from control.api import models
from control.api.server import LegServer
from control.api.server import Worker as Peer
from control.api.sessions import SessionRequest
from control.calls.admission_desk import AdmissionDesk
from control.config import Api, Control, Media, Settings
from control.errors import ConfigError, EngineFullError, LegError, LegErrorCode, SetupError
from media import app
from media.app import Worker
from media.engine import reports
from media.engine.clock import PERIOD
from media.engine.overload import CALM
from media.engine.segment import Segment
from media.session.state import Parting, State
from tests.support import bot, ports
from tests.support.farend import FarEnd
from tests.support.sessions import CALLEE, CALLER, LEG, NOT_CONNECTED, FakeControl, idle, stream

TONE = base64.b64encode(np.full(1600, 5000, "<i2").tobytes()).decode()
TOKEN = "s3cret-token"


class ControlStub:
    """Control's end of the leg API: it grants everything; media comes from `far`."""

    def __init__(self, port: int, far: FarEnd) -> None:
        self.port = port
        self.far = far
        self.asked: asyncio.Queue[models.Message] = asyncio.Queue()
        self.desk = AdmissionDesk()
        self.silent = False
        """Whether hanging up is never answered."""
        self._peer: Peer | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        self.server = LegServer(
            "a",
            on_request=self._request,
            on_hello=self._hello,
            on_lost=lambda worker: None,
            on_gone=lambda worker: None,
        )
        application = web.Application()
        application.router.add_get("/legs", self.server.handle)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        await self.server.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def expect(self, kind: type[models.Message]) -> models.Message:
        """The next request, which must be of `kind`."""
        async with asyncio.timeout(10):
            request = await self.asked.get()
        assert isinstance(request, kind), request
        return request

    def tell(self, kind: type[models.Notice], session: str, **fields: Any) -> None:
        assert self._peer is not None
        self._peer.notify(kind(leg=LEG, session=session, **fields))

    def offer(self, session: str) -> None:
        self.tell(models.Incoming, session, caller=CALLER, callee=CALLEE, sdp="v=0")

    def answered(self, session: str) -> None:
        self.tell(models.Answered, session, stream=stream(self.far), sdp="v=0")

    def _hello(self, worker: Peer, held: Collection[str]) -> tuple[str, ...]:
        self._peer = worker
        return ()

    async def _request(self, worker: Peer, request: models.Request) -> models.Model:
        if isinstance(request, SessionRequest):
            return self.desk.on_request(worker, request)
        self.asked.put_nowait(request)
        match request:
            case models.Claim():
                raise LegError(LegErrorCode.NO_SUCH_LEG, "no incoming call waits")
            case models.Accept():
                return models.Media(stream=stream(self.far), sdp="v=0")
            case models.Hangup() if self.silent:
                await asyncio.Event().wait()
        return models.Done()


def configured(tmp_path: Path, **api: Any) -> Settings:
    return Settings(
        run_dir=tmp_path,
        api=Api(port=ports.port(), **api),
        control=Control(port=ports.port()),
        media=Media(rtp_port=ports.row(2), slots=4, sounds=tmp_path, realtime="off"),
    )


class Node:
    """A running worker and its control."""

    def __init__(
        self, worker: Worker, control: ControlStub, task: asyncio.Task[None], stop: asyncio.Event
    ) -> None:
        self.worker = worker
        self.control = control
        self.task = task
        self.stopping = stop
        self.url = f"http://127.0.0.1:{worker.settings.api.port}"

    async def stop(self) -> None:
        self.stopping.set()
        await self.task

    async def readiness(self, status: int) -> dict[str, Any]:
        """Ask ``/readyz`` until it answers with `status`."""
        async with asyncio.timeout(10), aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(f"{self.url}/readyz") as response:
                        if response.status == status:
                            body: dict[str, Any] = await response.json()
                            return body
                except aiohttp.ClientConnectionError:
                    assert not self.task.done()
                await asyncio.sleep(0.005)

    async def text(self, path: str) -> str:
        async with aiohttp.ClientSession() as http, http.get(self.url + path) as response:
            return await response.text()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect again at once."""
    monkeypatch.setattr(leg_client, "RECONNECT_SECONDS", 0.01)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Node]:
    stop = asyncio.Event()
    worker = Worker(settings, 0)
    with FarEnd(worker.engine.port) as far:
        control = ControlStub(settings.control.port, far)
        await control.start()
        node = Node(worker, control, asyncio.create_task(worker.run(stop)), stop)
        try:
            await node.readiness(200)
            yield node
        finally:
            await node.stop()
            await control.stop()


@asynccontextmanager
async def talking(node: Node, session: str = "s.1") -> AsyncIterator[bot.Bot]:
    """A bot that has taken a call."""
    async with bot.connect(f"{node.url}/call/sip", id=session, route="sales") as each:
        await node.control.expect(models.Claim)
        await node.control.expect(models.Join)
        node.control.offer(session)
        await each.event("incoming")
        await each.send("accept", option={})
        await node.control.expect(models.Accept)
        node.control.answered(session)
        await each.event("answer")
        yield each


# The whole worker


async def test_a_call_from_offer_to_hangup(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as node, talking(node) as each:
        text = await node.text("/metrics")
        assert "sidecall_sessions 1.0" in text
        assert "sidecall_slots_used 1.0" in text
        assert "sidecall_slots 4.0" in text
        assert "sidecall_ticks_total" in text
        assert "sidecall_ticks_late_total" in text
        assert 'sidecall_tick_lateness_seconds_bucket{le="0.001"}' in text
        assert 'sidecall_tick_lateness_seconds_bucket{le="+Inf"}' in text
        assert 'sidecall_rtp_packets_total{outcome="stranger"} 0.0' in text
        await each.send("tts", text=TONE, base64=True, option={"samplerate": 8000}, playId="a")
        assert (await each.event("trackEnd"))["duration"] == 200
        node.control.far.press(9)
        assert (await each.event("dtmf"))["digit"] == "9"
        node.control.tell(models.Digit, "s.1", digit="#")
        assert (await each.event("dtmf"))["digit"] == "#"
        await each.send("hangup", reason="all said")
        assert (await each.ended())["reason"] == "all said"
        assert await node.control.expect(models.Hangup) == models.Hangup(leg=LEG, reason="all said")
        assert "sidecall_slots_used 0.0" in await node.text("/metrics")


async def test_an_id_that_is_open_is_refused_and_free_again_afterwards(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as node:
        async with bot.connect(f"{node.url}/call/sip", id="mine", route="sales") as each:
            await node.control.expect(models.Claim)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with bot.connect(f"{node.url}/call/sip", id="mine"):
                    pass
            assert refused.value.status == 409
            await node.control.expect(models.Join)
            await each.send("hangup")
            await each.ended()
        await node.control.expect(models.Leave)
        async with bot.connect(f"{node.url}/call/sip", id="mine", route="sales"):
            await node.control.expect(models.Claim)


async def test_stopping_ends_every_session_and_tells_bots_and_control(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as node:
        async with talking(node) as busy, bot.connect(f"{node.url}/call/sip", route="sales") as idle_bot:
            await node.control.expect(models.Join)
            await node.stop()
            for each in (busy, idle_bot):
                assert await each.closed() == 1012
                assert each.names[-1] == "hangup"
                assert (each.events[-1]["reason"], each.events[-1]["initiator"]) == ("shutdown", "system")
            assert busy.names == ["incoming", "trackStart", "answer", "metrics", "trackEnd", "hangup"]
        told = [await node.control.expect(models.Message) for _ in range(2)]
        assert models.Hangup(leg=LEG, reason="shutdown") in told
        assert any(isinstance(each, models.Leave) for each in told)
        assert node.worker.ready() == "this worker is shutting down"
        assert not node.worker.sessions
        assert not node.worker._slots


async def test_stopping_does_not_wait_for_ever_for_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "STOP_SECONDS", 0.05)
    async with running(configured(tmp_path)) as node, talking(node) as each:
        node.control.silent = True
        await node.stop()
        assert await each.closed() == 1012
        assert "control was not told" in caplog.text


async def test_control_lost_and_back(tmp_path: Path) -> None:
    async with (
        running(configured(tmp_path)) as node,
        talking(node) as busy,
        bot.connect(f"{node.url}/call/sip", route="support") as waiting,
    ):
        await node.control.expect(models.Join)
        await node.control.stop()
        body = await node.readiness(503)
        assert "control cannot be reached" in body["reason"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with bot.connect(f"{node.url}/call/sip"):
                pass
        assert refused.value.status == 503
        await busy.send("history", speaker="bot", text="the call goes on")
        await busy.event("addHistory")
        await node.control.start()
        hangup = await busy.ended()
        assert (hangup["reason"], hangup["initiator"]) == ("control was restarted", "system")
        joined = await node.control.expect(models.Join)
        assert isinstance(joined, models.Join)
        assert joined.pool == "support"
        await node.readiness(200)
        assert waiting.names == []
        node.control.offer(next(iter(node.worker.sessions)))
        await waiting.event("incoming")
        assert node.worker.engine.used == 0


async def test_the_token_is_in_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        running_with_token(configured(tmp_path, tokens=(TOKEN,))) as url,
        aiohttp.ClientSession() as http,
    ):
        async with http.get(f"{url}/readyz?token={TOKEN}") as response:
            assert response.status in (200, 503)
        async with http.get(f"{url}/nowhere?token={TOKEN}") as response:
            assert response.status == 404
    assert TOKEN not in caplog.text


@asynccontextmanager
async def running_with_token(settings: Settings) -> AsyncIterator[str]:
    """A worker without control."""
    stop = asyncio.Event()
    task = asyncio.create_task(app.serve(settings, stop, 0))
    url = f"http://127.0.0.1:{settings.api.port}"
    try:
        async with asyncio.timeout(10), aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(f"{url}/healthz") as response:
                        assert response.status == 200
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.005)
        yield url
    finally:
        stop.set()
        await task


# Starting


async def test_an_api_port_in_use_is_a_setup_error(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    taken = f"127.0.0.1:{settings.api.port}/tcp"
    with socket.create_server(("127.0.0.1", settings.api.port)), pytest.raises(SetupError, match=taken):
        await app.serve(settings, asyncio.Event(), 0)


@pytest.mark.parametrize("number", [-1, 1])
async def test_a_worker_that_is_not_configured(tmp_path: Path, number: int) -> None:
    with pytest.raises(ConfigError, match=r"media\.workers is 1"):
        await app.serve(configured(tmp_path), asyncio.Event(), number)


@pytest.mark.parametrize(("more", "sip"), [((), True), (("--no-sip",), False)])
def test_the_command_line(
    more: tuple[str, ...], sip: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served: list[object] = []

    async def serve(*arguments: object, sip: bool) -> None:
        served.extend((*arguments, sip))

    def run(config: Path | None, work: Callable[..., Any]) -> None:
        served.append(config)
        asyncio.run(work("settings", "stop"))

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setattr(sys, "argv", ["media", "-c", str(tmp_path / "sidecall.toml"), "--worker", "3", *more])
    app.main()
    assert served == [tmp_path / "sidecall.toml", "settings", "stop", 3, sip]


# What reaches nobody


@asynccontextmanager
async def resting(tmp_path: Path) -> AsyncIterator[tuple[Worker, FakeControl]]:
    """A worker that does not run, whose control writes everything down."""
    worker = Worker(configured(tmp_path), 0)
    with FarEnd(worker.engine.port) as far:
        worker.legs = control = FakeControl(stream(far))
        yield worker, control
        await worker.tasks.settle()
        worker.engine.close()


async def test_notices_for_sessions_that_are_gone(tmp_path: Path) -> None:
    gone: dict[str, str] = {"leg": LEG, "session": "s.1"}
    async with resting(tmp_path) as (worker, control):
        worker._notice(models.Ended(**gone, initiator="caller", reason="caller", code=200))
        worker._notice(models.Digit(**gone, digit="1"))
        await idle()
        assert control.requests == []
        worker._notice(models.Incoming(**gone, caller=CALLER, callee=CALLEE, sdp=""))
        await idle()
        assert control.requests == [models.Leave(session="s.1")]
        worker._notice(models.Answered(**gone, stream=control.stream, sdp=""))
        await idle()
        assert control.requests[1:] == [models.Hangup(leg=LEG, reason="the bot has left")]
        control.answers[models.Leave] = NOT_CONNECTED
        worker._notice(models.Incoming(**gone, caller=CALLER, callee=CALLEE, sdp=""))


async def test_under_load_work_is_saved_and_then_calls_are_refused(tmp_path: Path) -> None:
    async with resting(tmp_path) as (worker, _):
        assert worker.ready() == "control cannot be reached; calls are not possible now"
        slot = worker.engine.allocate()
        for _ in range(100):
            worker._rest(PERIOD, 0)
        assert worker.overload.level.name == "FULL"
        assert worker.ready() == "this worker is at its limit with 1 calls"
        with pytest.raises(EngineFullError, match="no time for more than its 1 calls"):
            worker.engine.allocate()
        for _ in range(3 * CALM):
            worker._rest(0, PERIOD)
        assert worker.overload.level.name == "EASY"
        worker.engine.release(worker.engine.allocate())
        worker.engine.release(slot)


async def test_bots_of_a_full_worker_wait_for_no_call(tmp_path: Path) -> None:
    async with resting(tmp_path) as (worker, control):
        told: list[object] = []
        session: Any = SimpleNamespace(
            id="s.1",
            state=State.WAITING,
            arrival=SimpleNamespace(pool="sales"),
            services=SimpleNamespace(legs=control),
            send=told.append,
        )
        worker.sessions["s.1"] = session
        for _ in range(100):
            worker._rest(PERIOD, 0)
        await idle()
        worker._notice(models.Incoming(leg=LEG, session="s.1", caller=CALLER, callee=CALLEE, sdp=""))
        await idle()
        assert control.requests == [models.Leave(session="s.1", full="sales")] * 2
        assert told == []
        for _ in range(2 * CALM):
            worker._rest(0, PERIOD)
        await idle()
        assert control.requests[2:] == [models.Join(session="s.1", pool="sales")]
        worker.sessions.clear()


async def test_garbage_is_collected_when_nobody_waits_for_a_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with resting(tmp_path) as (worker, _):
        done: list[str] = []
        monkeypatch.setattr(
            worker, "_garbage", SimpleNamespace(rest=lambda left: None, idle=lambda: done.append("all"))
        )
        worker.clock.schedule.ticks = app.IDLE_TICKS
        for _ in range(3):
            worker._rest(0, PERIOD)
        assert done == ["all"]
        slot = worker.engine.allocate()
        worker.clock.schedule.ticks = 5 * app.IDLE_TICKS
        worker._rest(0, PERIOD)
        assert done == ["all"]
        worker.engine.release(slot)


async def test_reports_of_slots_that_are_nobodys(tmp_path: Path) -> None:
    async with resting(tmp_path) as (worker, _):
        worker._engine_events(
            [reports.DigitPressed(0, "1"), reports.MediaStarted(1), reports.SegmentEnded(2, Segment())]
        )
        assert worker.engine.used == 0


async def test_a_fault_in_one_call_costs_no_other_its_events(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    class Caller:
        """Who presses keys."""

        def __init__(self, name: str) -> None:
            self.name = name

        def pressed(self, key: str) -> None:
            if self.name == "bad":
                raise ZeroDivisionError
            heard.append(key)

    async with resting(tmp_path) as (worker, _):
        ends: list[object] = []
        for slot, name in enumerate(("bad", "good")):
            session: Any = SimpleNamespace(
                id=name, slot=slot, caller=Caller(name), finish=lambda *how: ends.append(how)
            )
            worker.took_slot(session, slot)
        worker._engine_events([reports.DigitPressed(0, "1"), reports.DigitPressed(1, "2")])
    assert heard == ["2"]
    assert ends == [("system", "failed", Parting.FAULT)]
    assert "ZeroDivisionError" in caplog.text
