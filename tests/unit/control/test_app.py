import asyncio
import base64
import json
import re
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import bencodepy
import pytest
import pytest_asyncio

from control import app, process
from control.api import models
from control.api.client import LegClient
from control.config import Control, Kamailio, Registration, Rtpengine, Settings, Sip
from control.errors import SetupError
from control.rtpengine.ng import NgClient
from tests.support import ports
from tests.support.callworld import PATIENCE, SLOT, sdp
from tests.support.poll import until
from tests.support.siptext import encode

HOST = "127.0.0.1"
INVITE = encode(
    "INVITE sip:bot@127.0.0.1:5060 SIP/2.0",
    (
        ("Via", "SIP/2.0/UDP 127.0.0.9;branch=z9hG4bK1"),
        ("From", "<sip:alice@127.0.0.9>;tag=1"),
        ("To", "<sip:bot@127.0.0.1>"),
        ("Call-ID", "c1"),
        ("CSeq", "1 INVITE"),
        ("Contact", "<sip:alice@127.0.0.9>"),
        ("Content-Type", "application/sdp"),
    ),
    sdp(),
)


class FakeRtpengine(asyncio.DatagramProtocol):
    """Answers ping, and every command with the description it brought."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        cookie, _, body = data.partition(b" ")
        fields = bencodepy.Bencode(encoding="latin-1").decode(body)
        reply = {"result": "pong"} if fields["command"] == "ping" else {"result": "ok"}
        if "sdp" in fields:
            reply["sdp"] = fields["sdp"]
        self.transport.sendto(cookie + b" " + bencodepy.encode(reply), addr)


class FakeKamailioRpc(asyncio.DatagramProtocol):
    """Keeps the commands and says yes to each."""

    def __init__(self) -> None:
        self.commands: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        command = json.loads(data.decode("latin-1"))
        self.commands.put_nowait(command)
        self.transport.sendto(
            json.dumps({"jsonrpc": "2.0", "result": {}, "id": command["id"]}).encode(), addr
        )


class Node:
    """What stands around a control process: stand-ins for Kamailio and rtpengine, on ports of their own."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.settings = Settings(
            **{
                "run_dir": folder,
                "sip": Sip(address=HOST),
                "control": Control(name="x", port=ports.port()),
                "kamailio": Kamailio(evapi_port=ports.port()),
                "rtpengine": Rtpengine(ng_port=ports.port()),
            }
            | sections
        )
        self.rpc = FakeKamailioRpc()
        self.heartbeats: asyncio.Queue[bytes] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []

    async def _evapi(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while data := await reader.read(1000):
            self.heartbeats.put_nowait(data)
            self.event(ev="alive")
        writer.close()

    def event(self, **fields: str) -> None:
        """Tell control of an event."""
        text = json.dumps(fields).encode()
        self.writers[-1].write(b"%d:%s," % (len(text), text))

    @asynccontextmanager
    async def kamailio(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self.rpc, local_addr=str(self.settings.rpc_socket), family=socket.AF_UNIX
        )
        server = await asyncio.start_server(self._evapi, HOST, self.settings.kamailio.evapi_port)
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()
            transport.close()

    @asynccontextmanager
    async def rtpengine(self) -> AsyncIterator[None]:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            FakeRtpengine, local_addr=(HOST, self.settings.rtpengine.ng_port)
        )
        try:
            yield
        finally:
            transport.close()

    @asynccontextmanager
    async def control(self) -> AsyncIterator[asyncio.Event]:
        """Control runs; the event stops it before the end of the block."""
        stop = asyncio.Event()
        serving = asyncio.create_task(app.serve(self.settings, stop))
        try:
            async with asyncio.timeout(PATIENCE):
                await until(lambda: self.answers("/healthz", 200), PATIENCE)
                yield stop
        finally:
            stop.set()
            await serving

    async def get(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://{HOST}:{self.settings.control.port}{path}") as answer,
        ):
            return answer.status, await answer.text()

    async def answers(self, path: str, status: int) -> bool:
        try:
            return (await self.get(path))[0] == status
        except aiohttp.ClientError:
            return False


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest_asyncio.fixture
async def whole(node: Node) -> AsyncIterator[Node]:
    """Kamailio, rtpengine and control."""
    async with node.kamailio(), node.rtpengine(), node.control():
        await until(lambda: node.answers("/readyz", 200), PATIENCE)
        yield node


@asynccontextmanager
async def worker(node: Node, on_notice: Callable[[models.Notice], None]) -> AsyncIterator[LegClient]:
    """A media worker that is connected."""
    welcomed = asyncio.Event()
    client = LegClient(
        f"ws://{HOST}:{node.settings.control.port}/legs",
        "x-0",
        legs=lambda: (),
        on_notice=on_notice,
        on_welcome=lambda _: welcomed.set(),
    )
    running = asyncio.create_task(client.run())
    try:
        await welcomed.wait()
        yield client
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_is_alive_and_ready(whole: Node) -> None:
    assert await whole.get("/healthz") == (200, '{"status": "alive"}')
    assert await whole.get("/readyz") == (200, '{"status": "ready"}')
    assert await whole.heartbeats.get() == b"5:H 0 x,"


async def test_is_not_ready_without_kamailio(node: Node) -> None:
    async with node.rtpengine(), node.control():
        status, text = await node.get("/readyz")
    assert status == 503
    assert json.loads(text) == {"status": "not ready", "reason": "Kamailio cannot be reached"}


async def test_is_not_ready_without_rtpengine(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = NgClient.open
    monkeypatch.setattr(NgClient, "open", lambda host, port: opened(host, port, schedule=(0.01,)))
    async with node.kamailio(), node.control():
        await until(lambda: node.answers("/readyz", 503), PATIENCE)
        _, text = await node.get("/readyz")
    assert "rtpengine" in json.loads(text)["reason"]


async def test_is_not_ready_while_it_shuts_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Registration(name="pbx", registrar="sip:127.0.0.9", username="u", password="p")
    node = Node(tmp_path, registrations=(account,))
    monkeypatch.setattr(app, "STOP_SECONDS", PATIENCE)
    async with node.kamailio(), node.rtpengine(), node.control() as stop:
        register = await node.rpc.commands.get()
        assert (register["method"], register["params"][0]) == ("tm.t_uac_start", "REGISTER")
        stop.set()
        unregister = await node.rpc.commands.get()
        assert "Expires: 0" in unregister["params"][4]
        status, text = await node.get("/readyz")
        assert status == 503
        assert "shutting down" in json.loads(text)["reason"]
        node.event(**reply_to(unregister["params"]))


def reply_to(params: list[Any]) -> dict[str, str]:
    """The event of a 200 to the request that `params` of tm.t_uac_start send."""
    fields = re.findall(r"^(From|To|Call-ID|CSeq): (.*?)\r$", params[4], re.MULTILINE)
    message = encode("SIP/2.0 200 OK", (("Via", "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1"), *fields))
    return {
        "ev": "reply",
        "code": "200",
        "cseq": "2",
        "src": "udp:127.0.0.9:5060",
        "dst": "udp:127.0.0.1:5060",
        "msg": base64.b64encode(message).decode(),
    }


async def test_a_call_comes_in_and_is_answered(whole: Node) -> None:
    notices: asyncio.Queue[models.Notice] = asyncio.Queue()
    async with worker(whole, notices.put_nowait) as client:
        await client.request(models.Join(session="s1", pool="default"), models.Done)
        assert sample(await whole.get("/metrics"), 'sidecall_bots_waiting{pool="default"}') == 1
        whole.event(
            ev="request",
            tid="1:2",
            method="INVITE",
            src="udp:127.0.0.9:5060",
            dst="udp:127.0.0.1:5060",
            msg=base64.b64encode(INVITE).decode(),
        )
        incoming = await notices.get()
        assert isinstance(incoming, models.Incoming)
        await client.request(models.Accept(leg=incoming.leg, session="s1", endpoint=SLOT), models.Media)
        command = await whole.rpc.commands.get()
        assert (command["method"], command["params"][0]) == ("tm.reply", 200)
        metrics = await whole.get("/metrics")
        assert sample(metrics, "sidecall_legs") == 1
        assert sample(metrics, "sidecall_dialogs") == 0
        assert sample(metrics, "sidecall_media_workers") == 1
        assert sample(metrics, 'sidecall_bots_waiting{pool="default"}') == 0


def sample(metrics: tuple[int, str], name: str) -> float:
    """Value of one metric."""
    status, text = metrics
    assert status == 200
    return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + " "))


async def test_registrations_are_in_the_metrics(tmp_path: Path) -> None:
    account = Registration(name="pbx", registrar="sip:127.0.0.9", username="u", password="p")
    node = Node(tmp_path, registrations=(account,))
    async with node.kamailio(), node.rtpengine(), node.control():
        await node.rpc.commands.get()
        await until(lambda: node.answers("/readyz", 200), PATIENCE)
        metrics = await node.get("/metrics")
        assert sample(metrics, 'sidecall_registration_state{name="pbx",state="registering"}') == 1


async def test_a_port_that_is_taken_is_named(node: Node) -> None:
    server = await asyncio.start_server(lambda *_: None, HOST, node.settings.control.port)
    async with server:
        with pytest.raises(
            SetupError, match=rf"127\.0\.0\.1:{node.settings.control.port}/tcp.*control\.port"
        ):
            await app.serve(node.settings, asyncio.Event())


async def test_stops_at_once_when_kamailio_was_never_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    account = Registration(name="pbx", registrar="sip:127.0.0.9", username="u", password="p")
    node = Node(tmp_path, registrations=(account,))
    async with node.rtpengine(), node.control():
        pass
    assert "not all calls" not in caplog.text


async def test_nothing_is_left_in_the_run_folder(node: Node) -> None:
    async with node.kamailio(), node.rtpengine(), node.control():
        pass
    assert [path.name for path in node.settings.run_dir.iterdir()] == [node.settings.rpc_socket.name]


def test_main_takes_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setattr(process, "run", lambda *arguments: given.extend(arguments))
    monkeypatch.setattr(sys, "argv", ["control", "-c", "x.toml"])
    app.main()
    assert given == [Path("x.toml"), app.serve]
