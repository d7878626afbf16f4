"""The readiness questions: right answers, wrong answers, silence."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from control import probes
from tests.support.ports import port as spare_port

HOST = "127.0.0.1"


class Answerer(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.asked: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        if answer := self.answer(data):
            self.transport.sendto(answer, addr)


@asynccontextmanager
async def answering(
    answer: Callable[[bytes], bytes], path: Path | None = None
) -> AsyncIterator[tuple[int, Answerer]]:
    loop = asyncio.get_running_loop()
    server = Answerer(answer)
    if path is None:
        transport, _ = await loop.create_datagram_endpoint(lambda: server, (HOST, 0))
    else:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.bind(str(path))
        transport, _ = await loop.create_datagram_endpoint(lambda: server, sock=sock)
    try:
        name = transport.get_extra_info("sockname")
        yield (name[1] if path is None else 0), server
    finally:
        transport.close()


@asynccontextmanager
async def http(status: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n" if request.startswith(b"GET /readyz ") else status)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("status", "ready"), [(b"200 OK", True), (b"503 Service Unavailable", False), (b"", False)]
)
async def test_http(status: bytes, ready: bool) -> None:
    async with http(status) as port:
        assert await probes.http_ok(HOST, port) is ready


async def test_http_with_a_token() -> None:
    asked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        await probes.http_ok(HOST, server.sockets[0].getsockname()[1], "/healthz", "secret")
    assert await asked == (
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer secret\r\n\r\n"
    )


async def test_http_without_a_server() -> None:
    assert not await probes.http_ok(HOST, spare_port())


async def test_http_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "TIMEOUT", 0.02)
    with socket.create_server((HOST, 0)) as mute:
        assert not await probes.http_ok(HOST, mute.getsockname()[1])


async def test_kamailio(tmp_path: Path) -> None:
    path = tmp_path / "rpc"

    def answer(question: bytes) -> bytes:
        asked = json.loads(question)
        return json.dumps({"jsonrpc": "2.0", "result": asked["method"], "id": asked["id"]}).encode()

    async with answering(answer, path) as (_, server):
        assert await probes.kamailio_answers(path)
    assert json.loads(server.asked[0])["method"] == "core.version"
    assert os.listdir(tmp_path) == ["rpc"]  # noqa: PTH208 - a blocking call is harmless here


async def test_kamailio_that_refuses(tmp_path: Path) -> None:
    async with answering(lambda _: b'{"error": 1}', tmp_path / "rpc"):
        assert not await probes.kamailio_answers(tmp_path / "rpc")


async def test_kamailio_without_a_socket(tmp_path: Path) -> None:
    assert not await probes.kamailio_answers(tmp_path / "rpc")


async def test_rtpengine_gets_a_new_cookie_each_time() -> None:
    def answer(question: bytes) -> bytes:
        cookie, _, command = question.partition(b" ")
        assert command == b"d7:command4:pinge"
        return cookie + b" d6:result4:ponge"

    async with answering(answer) as (port, server):
        assert await probes.rtpengine_answers(port)
        assert await probes.rtpengine_answers(port)
    assert server.asked[0] != server.asked[1]


async def test_an_answer_to_another_question_does_not_count() -> None:
    async with answering(lambda _: b"other d6:result4:ponge") as (port, _):
        assert not await probes.rtpengine_answers(port)


async def test_rtpengine_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "TIMEOUT", 0.02)
    async with answering(lambda _: b"") as (port, _):
        assert not await probes.rtpengine_answers(port)


async def test_rtpengine_that_is_not_there() -> None:
    assert not await probes.rtpengine_answers(spare_port())
