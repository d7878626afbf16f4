"""A real Kamailio with our configuration on ports of its own, and raw SIP peers to talk to it."""

import asyncio
import contextlib
import itertools
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Self, TypeVar, cast

from control.config import Calls, Kamailio, Rtpengine, Settings, Sip, Trunk
from control.errors import KamailioError
from control.kamailio.events import Address, Event, EventChannel
from control.kamailio.rpc import KamailioRpc
from control.probes import kamailio_answers
from control.render import write
from tests.support import ports, process

START_SECONDS = 10.0
STOP_SECONDS = 15.0
PATIENCE = 8.0
"""Seconds that a test waits for what must happen."""
POLL = 0.02

_numbers = itertools.count(1)

E = TypeVar("E", bound=Event)


@cache
def _port(use: str) -> int:
    """A port for `use`, the same for every instance of this process: they run one after the other."""
    return ports.port()


def settings(folder: Path, flood_limit: int = 0, trunks: Sequence[Trunk] = ()) -> Settings:
    """Settings of an instance that lives in `folder` and disturbs no other process.

    It has one worker for UDP: messages are handled in the order of their arrival.
    """
    return Settings(
        run_dir=folder,
        sip=Sip(address=ports.host(1), port=_port("sip")),
        kamailio=Kamailio(evapi_port=_port("evapi"), children=1, shared_memory=64, flood_limit=flood_limit),
        rtpengine=Rtpengine(ng_port=_port("ng"), cli_port=_port("cli"), http_port=_port("http")),
        calls=Calls(),
        trunks=tuple(trunks),
    )


class Server:
    """One Kamailio: started, stopped and started again."""

    def __init__(self, config: Settings) -> None:
        self.settings = config
        self.log = config.run_dir / "kamailio.log"
        self.address = Address("udp", config.sip.address, config.sip.port)
        self._process: Process | None = None

    async def start(self) -> None:
        """Start and wait until it answers on its RPC socket."""
        folder = self.settings.run_dir
        arguments = ("-DD", "-E", "-f", folder / "kamailio.cfg", "-w", folder, "-Y", folder)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "kamailio", *arguments, stdout=log, stderr=log, start_new_session=True
            )
        async with asyncio.timeout(START_SECONDS):
            while not await kamailio_answers(self.settings.rpc_socket):
                if not self.running:
                    raise RuntimeError(f"kamailio did not start:\n{process.tail(self.log)}")
                await asyncio.sleep(POLL)

    async def stop(self) -> None:
        """End it and all its children, which outlive their parent when they block each other."""
        if self._process is None:
            return
        try:
            await process.stop(self._process, STOP_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process = None

    @property
    def running(self) -> bool:
        """Whether the main process lives: it ends when any of its children dies."""
        return self._process is not None and self._process.returncode is None


def _unchanged(text: str) -> str:
    return text


@asynccontextmanager
async def running(config: Settings, edit: Callable[[str], str] = _unchanged) -> AsyncIterator[Server]:
    """Kamailio with the rendered configuration, changed by `edit`."""
    write(config)
    path = config.run_dir / "kamailio.cfg"
    path.write_text(edit(path.read_text("utf-8")), "utf-8")
    server = Server(config)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


class Control:
    """A control process as Kamailio sees it: heartbeats, events into a queue, commands."""

    def __init__(self, config: Settings, slot: int = 0, name: str = "a") -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.name = name
        self.rpc = KamailioRpc.open(config.rpc_socket)
        self.channel = EventChannel(config.kamailio.evapi_port, slot, name, self.events.put_nowait)

    async def __aenter__(self) -> Self:
        self.channel.start()
        await self.known()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        self.rpc.close()

    async def known(self) -> None:
        """Wait until Kamailio has taken a heartbeat of ours."""
        await self._until(self.name, alive=True)

    async def gone(self, name: str) -> None:
        """Wait until Kamailio has noticed that the control `name` left."""
        await self._until(name, alive=False)

    async def _until(self, name: str, alive: bool) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self.rpc.call("htable.get", "alive", name)
                    found = True
                except KamailioError:
                    found = False
                if found == alive:
                    return
                await asyncio.sleep(POLL)

    async def event(self, kind: type[E]) -> E:
        """The next event, which must be of `kind`."""
        async with asyncio.timeout(PATIENCE):
            event = await self.events.get()
        assert isinstance(event, kind), event
        return event


class Peer(asyncio.DatagramProtocol):
    """A UDP socket that sends and receives SIP messages as they are."""

    def __init__(self, address: ports.Address, server: Address) -> None:
        self.address = address
        self.server = server
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self._transport: asyncio.DatagramTransport

    @classmethod
    @asynccontextmanager
    async def at(cls, last: int, server: Address, use: str = "peer") -> AsyncIterator[Self]:
        """Bound to 127.77.<claim>.`last` and the port for `use`, talking to `server`."""
        address = ports.Address(ports.host(last), _port(use))
        transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: cls(address, server), local_addr=address, remote_addr=(server.host, server.port)
        )
        try:
            yield peer
        finally:
            transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.put_nowait(data)

    def send(self, message: str | bytes) -> None:
        """Send `message`; the lines of a text end with CRLF on the wire."""
        self._transport.sendto(wire(message) if isinstance(message, str) else message)

    async def receive(self) -> str:
        """The next message."""
        async with asyncio.timeout(PATIENCE):
            return (await self.received.get()).decode("utf-8", "surrogateescape")

    async def status(self) -> int:
        """Status code of the next message, a reply."""
        return int((await self.receive()).split(" ", 2)[1])

    async def options_until(self, status: int) -> None:
        """Ask again and again until OPTIONS are answered with `status`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                if (await self.options()).startswith(f"SIP/2.0 {status} "):
                    return
                await asyncio.sleep(POLL)

    async def options(self) -> str:
        """The next message after OPTIONS of ours: its reply, unless something else was on its way."""
        self.send(request("OPTIONS", self, f"options-{next(_numbers)}"))
        return await self.receive()


def wire(text: str) -> bytes:
    """`text` with CRLF line ends."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "surrogateescape")


def request(
    method: str,
    peer: Peer,
    call_id: str,
    *,
    user: str = "bot",
    cseq: int = 1,
    to_tag: str = "",
    branch: str = "",
    headers: str = "",
    body: str = "",
    transport: str = "UDP",
) -> str:
    """A request from `peer` to the server; `headers` are whole lines."""
    server = peer.server
    lines = (
        f"{method} sip:{user}@{server.host}:{server.port} SIP/2.0",
        f"Via: SIP/2.0/{transport} {peer.address};branch={branch or f'z9hG4bK-{call_id}-{cseq}-{method}'}",
        "Max-Forwards: 70",
        'From: "Ann" <sip:ann@example.com>;tag=ann1',
        f"To: <sip:{user}@{server.host}>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        f"Contact: <sip:ann@{peer.address}>",
    )
    return "\n".join(lines) + f"\n{headers}Content-Length: {len(wire(body))}\n\n{body}"


def response(to: str, status: str, to_tag: str = "far1", headers: str = "", body: str = "") -> str:
    """A reply to the request `to`; `status` is like ``180 Ringing``, `headers` are whole lines."""
    tag = "" if ";tag=" in fields(to, "To")[0] else f";tag={to_tag}"
    lines = [f"SIP/2.0 {status}", *(f"Via: {via}" for via in fields(to, "Via"))]
    lines += [f"{name}: {fields(to, name)[0]}" for name in ("From", "Call-ID", "CSeq")]
    lines.append(f"To: {fields(to, 'To')[0]}{tag}")
    return "\n".join(lines) + f"\n{headers}Content-Length: {len(wire(body))}\n\n{body}"


def fields(message: str, name: str) -> list[str]:
    """Values of all header fields `name` of `message`."""
    head = message.replace("\r\n", "\n").partition("\n\n")[0]
    pairs = (line.partition(":") for line in head.splitlines()[1:])
    return [value.strip() for key, _, value in pairs if key.strip().lower() == name.lower()]


def body_of(message: str) -> str:
    """What follows the header fields."""
    return message.partition("\r\n\r\n")[2]
