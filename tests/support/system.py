"""A whole Sidecall of its own: ``sidecall up`` with free ports, watched from the outside."""

import asyncio
import json
import os
import re
import socket
import sys
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import bencodepy
import psutil

from control.config import Settings, load
from control.ports import endpoints
from tests.support import ports, process
from tests.support.bot import PATIENCE, Bot, connect
from tests.support.poll import until
from tests.support.ports import Address

PROJECT = Path(__file__).parents[2]
SIDECALL = Path(sys.executable).with_name("sidecall")
READY_WITHIN = 30.0
STOP_WITHIN = 5.0
MARK = "TEST_SYSTEM_ID"
"""Environment variable that all processes of one system inherit, whatever becomes of their parents."""
WAITING = 'sidecall_bots_waiting{{pool="{}"}}'
"""Gauge of the bots in a pool."""
IDLE = ("sidecall_legs", "sidecall_dialogs", "sidecall_slots_used")
"""Gauges that are zero when no call is left."""
ALWAYS = (
    "sidecall_sessions",
    *(
        f'sidecall_{what}{{process="{process}"}}'
        for what in ("tasks", "open_files")
        for process in ("control", "media")
    ),
)
"""Gauges that are what they were before when no call is left."""
SAMPLE = re.compile(r"^([a-z_]\w*(?:\{.*\})?) (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class System:
    """A running system; made by `running_system`."""

    settings: Settings
    log: Path
    mark: str
    telephony: bool = True
    """False: only ``/call`` is served."""

    @property
    def places(self) -> tuple[str, ...]:
        """Hosts and ports with health and metrics."""
        return (self.control, self.api) if self.telephony else (self.api,)

    @property
    def sip(self) -> Address:
        """Where Kamailio listens."""
        return Address(self.settings.sip.address, self.settings.sip.port)

    @property
    def api(self) -> str:
        """Host and port of the bots' API."""
        return f"{self.settings.api.address}:{self.settings.api.port}"

    @property
    def control(self) -> str:
        """Host and port of control's health and metrics."""
        return f"127.0.0.1:{self.settings.control.port}"

    @property
    def authorization(self) -> dict[str, str]:
        """Header by which the API lets us in."""
        token = self.settings.own_token
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    def uri(self, user: str) -> str:
        """Return the SIP URI of `user` at this system."""
        return f"sip:{user}@{self.sip}"

    def bot(self, path: str = "/call/sip", **query: str) -> AbstractAsyncContextManager[Bot]:
        """Connect a bot; see `tests.support.bot`."""
        return connect(f"ws://{self.api}{path}", **query)

    @asynccontextmanager
    async def waiting_bot(self, route: str = "default") -> AsyncIterator[Bot]:
        """Connect a bot to the pool of `route` and let the block run once a call would find it there."""
        async with self.bot(route=route) as waiting:
            await until(lambda: self._bot_waits(route), within=PATIENCE)
            yield waiting

    async def _bot_waits(self, route: str) -> bool:
        return (await self.metrics()).get(WAITING.format(route), 0) >= 1

    async def metrics(self) -> dict[str, float]:
        """Return all samples of control and media, by ``name`` or ``name{labels}``."""
        samples: dict[str, float] = {}
        async with aiohttp.ClientSession(headers=self.authorization) as session:
            for place in self.places:
                async with session.get(f"http://{place}/metrics") as answer:
                    answer.raise_for_status()
                    found = SAMPLE.findall(await answer.text())
                    samples |= {name: float(value) for name, value in found}
        return samples

    async def rtpengine_calls(self) -> list[str]:
        """Return the call-ids that rtpengine holds (ng ``list``)."""
        request = bencodepy.encode({"command": "list", "limit": "10000"})
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(("127.0.0.1", self.settings.rtpengine.ng_port))
            async with asyncio.timeout(5):
                await loop.sock_sendall(sock, f"{uuid.uuid4().hex} ".encode() + request)
                reply = await loop.sock_recv(sock, 65535)
        answer = bencodepy.decode(reply.partition(b" ")[2])
        return [call.decode() for call in answer[b"calls"]]

    async def leftovers(self) -> dict[str, float]:
        """Return what calls still hold: gauges and rtpengine's calls that are not zero."""
        metrics = await self.metrics()
        held = {name: metrics[name] for name in IDLE if self.telephony or name in metrics}
        if self.telephony:
            held["rtpengine_calls"] = len(await self.rtpengine_calls())
        return {name: value for name, value in held.items() if value}

    async def idle(self, before: Mapping[str, float] = MappingProxyType({}), within: float = 10.0) -> None:
        """Wait until calls hold nothing but what they held `before`; raises AssertionError with what they do."""

        async def is_idle() -> bool:
            return all(value <= before.get(name, 0) for name, value in (await self.leftovers()).items())

        try:
            await until(is_idle, within, every=0.05)
        except TimeoutError:
            held = await self.leftovers()
            raise AssertionError(f"held {within} s after the last call: {held}; before: {before}") from None

    async def held(self) -> dict[str, float]:
        """Return the sessions, tasks and open files of control (where it runs) and media."""
        metrics = await self.metrics()
        return {name: metrics[name] for name in ALWAYS if self.telephony or name in metrics}

    def processes(self) -> list[psutil.Process]:
        """Return every living process of this system."""
        found = []
        for candidate in psutil.process_iter():
            try:
                if candidate.environ().get(MARK) == self.mark:
                    found.append(candidate)
            except psutil.Error:
                continue
        return found

    def remains(self) -> list[str]:
        """Return what should not be there once the system has ended: processes, sockets, ports."""
        found = [f"process {left.pid} {left.name()}" for left in self.processes()]
        found += [f"socket {path}" for path in self.settings.run_dir.rglob("*") if path.is_socket()]
        used = self.used_ports()
        for connection in psutil.net_connections("inet"):
            transport = "tcp" if connection.type is socket.SOCK_STREAM else "udp"
            listens = connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
            if listens and (transport, *connection.laddr) in used:
                found.append(f"port {connection.laddr} ({transport})")
        return found

    def used_ports(self) -> set[tuple[str, str, int]]:
        """Return every transport, address and port that this system listens on, those of calls left out."""
        points = endpoints(self.settings, [self.sip.host] if self.telephony else [])
        return {(point.transport, point.address, point.port) for point in points}


@asynccontextmanager
async def running_system(
    folder: Path,
    *,
    bot: bool = False,
    telephony: bool = True,
    log_level: str = "info",
    **overrides: Mapping[str, Any] | Sequence[Mapping[str, Any]],
) -> AsyncIterator[System]:
    """Run ``sidecall up`` while the block runs; `overrides` are sections of sidecall.toml.

    Ports and addresses belong to this test process. `bot` also starts the example bot;
    without `telephony` neither Kamailio nor rtpengine runs.
    Raises AssertionError when the system does not become ready, does not end within 5 s of SIGTERM
    with exit code 0, or leaves a process, a socket or a port behind.
    """
    config = folder / "sidecall.toml"
    sections = {"log_level": log_level} | _sections(folder, overrides)
    config.write_text(to_toml(sections), "utf-8")
    system = System(load(config, {}), folder / "sidecall.log", uuid.uuid4().hex, telephony)
    environ = {name: text for name, text in os.environ.items() if not name.startswith("SIDECALL_")}
    environ[MARK] = system.mark
    extra = [option for option, given in (("--no-bot", not bot), ("--no-sip", not telephony)) if given]
    up = await process.start(SIDECALL, "up", "-c", config, *extra, log=system.log, env=environ, cwd=PROJECT)
    try:
        await _ready(system, up)
        yield system
    finally:
        await _end(system, up)


def _sections(folder: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    sections: dict[str, Any] = {
        "run_dir": str(folder / "run"),
        "api": {"port": ports.port()},
        "sip": {"address": ports.host(1), "port": ports.port()},
        "kamailio": {"evapi_port": ports.port(), "shared_memory": 64},
        "rtpengine": {name: ports.port() for name in ("ng_port", "cli_port", "http_port")},
        "control": {"port": ports.port()},
        "media": {
            "rtp_port": ports.row(2 * overrides.get("media", {}).get("workers", 1)),
            "allow_private_urls": True,
            "recordings": str(folder / "recordings"),
        },
        "records": {"folder": str(folder / "records")},
    }
    for name, value in overrides.items():
        sections[name] = sections.get(name, {}) | value if isinstance(value, Mapping) else value
    return sections


async def _ready(system: System, up: Process) -> None:
    try:
        async with (
            asyncio.timeout(READY_WITHIN),
            aiohttp.ClientSession(headers=system.authorization) as session,
        ):
            for place in system.places:
                while not await _answers(session, f"http://{place}/readyz"):
                    if up.returncode is not None:
                        raise AssertionError(
                            f"sidecall up ended with {up.returncode}:\n{process.tail(system.log)}"
                        )
                    await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not ready within {READY_WITHIN} s:\n{process.tail(system.log)}") from None


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _end(system: System, up: Process) -> None:
    faults = []
    try:
        code = await process.stop(up, STOP_WITHIN)
        if code:
            faults.append(f"sidecall up ended with exit code {code}")
    except TimeoutError:
        faults.append(f"sidecall up still ran {STOP_WITHIN} s after SIGTERM")
    faults += system.remains()
    for left in system.processes():
        left.kill()
    if faults:
        raise AssertionError("\n".join([*faults, process.tail(system.log)]))


def to_toml(data: Mapping[str, Any], within: str = "") -> str:
    """Write `data` (scalars, lists of scalars, tables, lists of tables) as TOML; `within`: the table it belongs to."""
    plain: list[str] = []
    tables: list[str] = []
    for key, value in data.items():
        name = f"{within}{key}"
        if isinstance(value, Mapping):
            tables.append(f"[{name}]\n{to_toml(value, f'{name}.')}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            tables += [f"[[{name}]]\n{to_toml(entry, f'{name}.')}" for entry in value]
        else:
            plain.append(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(plain) + "".join(tables)
