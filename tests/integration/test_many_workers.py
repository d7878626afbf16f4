"""What holds over all workers of a node: ids, limits of tokens, lists, killing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support import ports, process
from tests.support.bot import PATIENCE, connect
from tests.support.poll import until
from tests.support.system import PROJECT, SIDECALL, System, running_system, to_toml

TOKEN = "the-shops-token"
TOKENS = [{"name": "shop", "token": TOKEN, "max_calls": 3}]
TRIES = 40
"""Connections after which both workers were met, but for one in a million million."""


class Node:
    """The API of a system, which needs tokens."""

    def __init__(self, system: System, http: aiohttp.ClientSession) -> None:
        self.system = system
        self.http = http

    async def lists(self) -> dict[str, dict[str, Any]]:
        """Every call by its id, asked on a connection of its own."""
        async with self.http.get("/call/lists") as response:
            assert response.status == 200
            return {call["id"]: call for call in (await response.json())["calls"]}

    async def kill(self, session: str) -> int:
        """Kill, on a connection of its own; the status."""
        async with self.http.post(f"/call/kill/{session}") as response:
            body = await response.json()
            assert body is True or body["error"]["field"] == "id"
            return response.status

    async def both_connected(self) -> bool:
        """Whether control has both workers."""
        return (await self.system.metrics())["sidecall_media_workers"] == 2

    async def empty(self) -> bool:
        """Whether no session is left."""
        return not await self.lists()


async def refused(system: System, session: str) -> int:
    """The status with which a bot is not let in."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        async with connect(f"ws://{system.api}/call/sip", id=session, token=TOKEN):
            pass
    return refusal.value.status


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node of two workers."""
    async with running_system(tmp_path, media={"workers": 2}, tokens=TOKENS) as system:
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(
            f"http://{system.api}", headers=system.authorization, connector=connector
        ) as http:
            node = Node(system, http)
            await until(node.both_connected, PATIENCE)
            yield node


async def test_two_workers_are_one_node(node: Node) -> None:
    ids = ("one", "two", "three")
    async with AsyncExitStack() as stack:
        bots = {
            session: await stack.enter_async_context(
                node.system.bot(id=session, token=TOKEN, route="nobody-calls")
            )
            for session in ids
        }
        for _ in range(TRIES):
            calls = await node.lists()
            assert calls.keys() == bots.keys()
        assert {call["call_type"] for call in calls.values()} == {"sip"}
        assert calls["one"]["option"] == {}
        assert calls["one"]["created_at"].endswith("Z")
        for _ in range(TRIES // 2):
            assert await refused(node.system, "one") == 409
            assert await refused(node.system, "four") == 429
        assert await node.kill("nobody") == 404
        for session, bot in bots.items():
            assert await node.kill(session) == 200
            assert (await bot.ended())["reason"] == "killed"
    await until(node.empty, PATIENCE)
    async with node.system.bot(id="one", token=TOKEN) as again:
        assert not again.socket.closed
    await until(node.empty, PATIENCE)
    assert (await node.system.metrics())["sidecall_node_sessions"] == 0


async def test_a_node_without_telephony(tmp_path: Path) -> None:
    """Each worker is ready by itself and serves /call alone."""
    settings: dict[str, Any] = {
        "run_dir": str(tmp_path / "run"),
        "api": {"port": ports.port()},
        "media": {"rtp_port": ports.row(2)},
    }
    config = tmp_path / "sidecall.toml"
    config.write_text(to_toml(settings), "utf-8")
    log = tmp_path / "sidecall.log"
    up = await process.start(SIDECALL, "up", "-c", config, "--no-sip", log=log, cwd=PROJECT)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{settings['api']['port']}") as http:
            await until(lambda: is_ready(http), 30)
            async with http.ws_connect("/call?id=here") as bot:
                async with http.get("/call/lists") as response:
                    (call,) = (await response.json())["calls"]
                    assert (call["id"], call["call_type"]) == ("here", "webSocket")
                async with http.post("/call/kill/here") as response:
                    assert await response.json() is True
                while (message := await bot.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
                assert message.data == 1000
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await http.ws_connect("/call/sip")
    finally:
        assert await process.stop(up, 5.0) == 0


async def is_ready(http: aiohttp.ClientSession) -> bool:
    """Whether ``/readyz`` says so."""
    try:
        async with http.get("/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
