"""The control process: channels to Kamailio and rtpengine, the calls, and the leg API with health and metrics."""

import argparse
import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

import aiohttp
from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from control import process
from control.api.models import Model, Request
from control.api.server import LegServer, Worker
from control.api.sessions import SessionRequest
from control.calls.admission_desk import AdmissionDesk
from control.calls.channel import SipChannel
from control.calls.service import CallService
from control.config import Settings
from control.errors import NgError, SetupError
from control.gauges import process_gauges
from control.kamailio.events import EventChannel
from control.kamailio.rpc import KamailioRpc
from control.network import sip_addresses
from control.rtpengine.ng import NgClient
from control.tasks import Tasks

log = logging.getLogger(__name__)

STOP_SECONDS = 1.5


class Control(Collector):
    """Everything of one control process."""

    def __init__(
        self, settings: Settings, rpc: KamailioRpc, ng: NgClient, http: aiohttp.ClientSession
    ) -> None:
        channel = SipChannel(rpc, sip_addresses(settings), settings.sip.port)
        self.settings = settings
        self.calls = CallService(settings, channel, ng, http)
        self.sessions = AdmissionDesk()
        self.server = LegServer(
            settings.control.name,
            on_request=self._on_request,
            on_hello=self.calls.on_hello,
            on_lost=self.calls.on_lost,
            on_gone=self._on_gone,
        )
        self.events = EventChannel(
            settings.kamailio.evapi_port, settings.control.slot, settings.control.name, self.calls.on_event
        )
        self._ng = ng
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def app(self) -> web.Application:
        """Leg API, health and metrics, for loopback."""
        app = web.Application()
        app.router.add_get("/legs", self.server.handle)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def _on_request(self, worker: Worker, request: Request) -> Model:
        if isinstance(request, SessionRequest):
            return self.sessions.on_request(worker, request)
        return await self.calls.on_request(worker, request)

    def _on_gone(self, worker: Worker) -> None:
        self.sessions.forget(worker)
        self.calls.on_gone(worker)

    async def register(self) -> None:
        """Begin the registrations once Kamailio tells us how they go."""
        await self.events.connected.wait()
        self.calls.registrations.start()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readyz(self, _: web.Request) -> web.Response:
        faults = ["this process is shutting down"] if self.calls.closing else []
        if not self.events.connected.is_set():
            faults.append("Kamailio cannot be reached")
        try:
            await self._ng.ping()
        except NgError as error:
            faults.append(str(error))
        if faults:
            return web.json_response({"status": "not ready", "reason": "; ".join(faults)}, status=503)
        return web.json_response({"status": "ready"})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST}
        )

    def collect(self) -> Iterable[Metric]:
        """State when asked, for the registry."""
        calls = self.calls
        yield from process_gauges("control")
        yield GaugeMetricFamily("sidecall_legs", "Calls that stand or are being set up.", len(calls.legs))
        answered = sum(leg.answered for leg in calls.legs)
        yield GaugeMetricFamily("sidecall_dialogs", "SIP calls that are answered.", answered)
        yield GaugeMetricFamily(
            "sidecall_node_sessions", "Bot connections of all workers.", len(self.sessions)
        )
        yield GaugeMetricFamily("sidecall_media_workers", "Media workers connected.", self.server.workers)
        waiting = GaugeMetricFamily("sidecall_bots_waiting", "Bots that wait for a call.", labels=["pool"])
        for pool, number in calls.arrivals.waiting().items():
            waiting.add_metric([pool], number)
        yield waiting
        registered = GaugeMetricFamily(
            "sidecall_registration_state", "1 for the state of each registration.", labels=["name", "state"]
        )
        for account in calls.registrations.accounts:
            registered.add_metric([account.name, account.state.value], 1)
        yield registered


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run until `stop` is set. Raises SetupError."""
    rpc = KamailioRpc.open(settings.rpc_socket)
    ng = await NgClient.open("127.0.0.1", settings.rtpengine.ng_port)
    async with aiohttp.ClientSession() as http:
        control = Control(settings, rpc, ng, http)
        runner = web.AppRunner(control.app(), access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        tasks = Tasks("control")
        try:
            await _listen(runner, settings.control.port)
            control.events.start()
            tasks.spawn(control.register())
            await stop.wait()
        finally:
            await tasks.close()
            await control.calls.close(STOP_SECONDS)
            await control.events.close()
            await control.server.close()
            await runner.cleanup()
            ng.close()
            rpc.close()


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError as error:
        raise SetupError(
            f"leg API port 127.0.0.1:{port}/tcp cannot be opened ({error.strerror}); set control.port"
        ) from error


def main() -> None:
    """Entry of ``python -m control``."""
    parser = argparse.ArgumentParser(prog="sidecall control", description="Run the control process.")
    parser.add_argument("-c", "--config", type=Path, help="path of sidecall.toml")
    process.run(parser.parse_args().config, serve)
