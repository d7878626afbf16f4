"""A bot's HTTP server is told of a call and the bot connects for it."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.bot import PATIENCE
from tests.support.lab import ANSWER_TIMEOUT, SECRET, Lab
from tests.support.sipp import sipp

pytestmark = pytest.mark.daemons


class Hook:
    """The bot's HTTP server."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.count = 0
        self._requests: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def take(self, request: web.Request) -> web.Response:
        """Keep the request and answer with the status."""
        self.count += 1
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._requests.put_nowait((headers, await request.read()))
        return web.Response(status=self.status)

    async def request(self) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the next request."""
        async with asyncio.timeout(PATIENCE):
            return await self._requests.get()


@asynccontextmanager
async def hook(lab: Lab, status: int = 200) -> AsyncIterator[Hook]:
    """Serve the place that the configuration names."""
    served = Hook(status)
    app = web.Application()
    app.router.add_post("/calls", served.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, lab.webhook.host, lab.webhook.port).start()
        yield served
    finally:
        await runner.cleanup()


async def test_bot_connects_with_the_dialog_id(lab: Lab, tmp_path: Path) -> None:
    local = lab.caller()
    async with (
        hook(lab) as server,
        sipp("uac_answer", tmp_path, local=local, remote=lab.system.sip, user="hook") as call,
    ):
        headers, body = await server.request()
        told: dict[str, Any] = json.loads(body)
        async with lab.system.bot(id=told["dialogId"]) as bot:
            incoming = await bot.event("incoming")
            await bot.send("ringing")
            await bot.send("accept", option={})
            await bot.event("answer")
            await call.succeeded()
            await bot.ended()
    assert headers["content-type"] == "application/json"
    assert told["event"] == "invite"
    assert told["caller"] == f"sip:caller@{local}"
    assert told["callee"] == lab.system.uri("hook")
    assert "m=audio" in told["offer"]
    assert "CSeq: 1 INVITE" in told["headers"]
    assert told["createdAt"]
    assert incoming["dialogId"] == incoming["trackId"] == told["dialogId"]


async def test_announcement_is_signed_as_standard_webhooks_says(lab: Lab, tmp_path: Path) -> None:
    values = {"code": "480"}
    async with (
        hook(lab) as server,
        sipp(
            "uac_rejected", tmp_path, local=lab.caller(), remote=lab.system.sip, user="hook", values=values
        ) as call,
    ):
        headers, body = await server.request()
        await call.succeeded()
    assert headers["webhook-id"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert f"v1,{digest}" in headers["webhook-signature"].split(" ")


async def refused(lab: Lab, tmp_path: Path) -> None:
    """Call and want 503, and not only after a timer."""
    async with sipp(
        "uac_rejected",
        tmp_path,
        local=lab.caller(),
        remote=lab.system.sip,
        user="hook",
        values={"code": "503"},
    ) as call:
        report = await call.succeeded()
    assert report.response_ms[0] < ANSWER_TIMEOUT * 1000


async def test_server_that_is_away_costs_the_caller_503(lab: Lab, tmp_path: Path) -> None:
    await refused(lab, tmp_path)


async def test_server_that_refuses_costs_the_caller_503(lab: Lab, tmp_path: Path) -> None:
    async with hook(lab, status=404) as server:
        await refused(lab, tmp_path)
    assert server.count == 1


async def test_server_with_trouble_is_asked_again(lab: Lab, tmp_path: Path) -> None:
    async with hook(lab, status=500) as server:
        await refused(lab, tmp_path)
    assert server.count > 1


async def test_bot_with_an_unknown_dialog_id_gets_no_call(lab: Lab) -> None:
    async with lab.system.bot(id="no-such-call") as bot:
        await bot.send("accept", option={})
        error = await bot.event("error")
        assert not [name for name in bot.names if name != "error"]
    assert error["code"] in (404, 409)
