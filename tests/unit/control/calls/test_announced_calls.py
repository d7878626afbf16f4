import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from control.api import models
from control.calls import webhook
from control.config import Route
from control.errors import LegError, LegErrorCode
from control.sip.effects import Reply
from tests.support.callworld import (
    PATIENCE,
    SLOT,
    MakeWorld,
    World,
    calls,
    sdp,
    settings,
)

BY_WEBHOOK = "^hook$"


def reason(reply: Reply) -> str:
    """The Reason header of a refusal."""
    return dict(reply.headers).get("Reason", "")


async def answered(one: World, leg: str, session: str) -> None:
    """Let `session` accept, and take the 200."""
    await one.ask(models.Accept(leg=leg, session=session, endpoint=SLOT))
    await one.channel.reply(200)


class Hook:
    """A bot's HTTP server."""

    def __init__(self) -> None:
        self.status = 200
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()
        self.left = asyncio.Event()
        """Set when control went away before the answer."""

    async def handle(self, request: web.Request) -> web.Response:
        self.told.put_nowait(json.loads(await request.read()))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        return web.Response(status=self.status)


@asynccontextmanager
async def hooked(
    make_world: MakeWorld, secret: str | None = None, **sections: Any
) -> AsyncIterator[tuple[World, Hook]]:
    """A world whose user `hook` is announced to an HTTP server."""
    hook = Hook()
    app = web.Application()
    app.router.add_post("/", hook.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://me:swordfish@127.0.0.1:{runner.addresses[0][1]}/"
        route = Route(callee=BY_WEBHOOK, webhook=url, secret=secret)
        async with asyncio.timeout(PATIENCE):
            yield await make_world(settings(route, **sections)), hook
    finally:
        await runner.cleanup()


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "RETRY_SECONDS", (0.0,))


async def test_a_bot_claims_the_call_that_its_server_was_told_of(make_world: MakeWorld) -> None:
    async with hooked(make_world) as (one, hook):
        one.peer().invite(uri="sip:hook@127.0.0.1", headers=(("X-Name", "M\udcfcller"),))
        told = await hook.told.get()
        assert (told["event"], told["caller"], told["callee"]) == (
            "invite",
            "sip:alice@127.0.0.9",
            "sip:bot@127.0.0.1",
        )
        assert "CSeq: 1 INVITE" in told["headers"]
        assert "X-Name: M\ufffdller" in told["headers"]
        assert told["offer"] == sdp().decode()
        assert told["createdAt"].endswith("Z")
        leg = told["dialogId"]
        incoming = await one.ask(models.Claim(session="s1", leg=leg))
        assert (incoming.leg, incoming.session, incoming.sdp) == (leg, "s1", sdp().decode())
        with pytest.raises(LegError) as caught:
            await one.ask(models.Claim(session="s2", leg=leg))
        assert caught.value.code is LegErrorCode.CONFLICT
        await answered(one, leg, "s1")
    assert one.worker.silent


async def test_a_dialog_id_that_nobody_knows_cannot_be_claimed(one: World) -> None:
    _, invited, _ = await one.dialled()
    for leg in ("nothing", invited.leg):
        with pytest.raises(LegError, match="no incoming call") as caught:
            await one.ask(models.Claim(session="s1", leg=leg))
        assert caught.value.code is LegErrorCode.NO_SUCH_LEG


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("status", [404, 500])
async def test_a_call_that_no_server_takes_is_refused(
    make_world: MakeWorld, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with hooked(make_world) as (one, hook):
        hook.status = status
        one.peer().invite(uri="sip:hook@127.0.0.1")
        reply = await one.channel.reply(503)
    assert "bot's server" in reason(reply)
    assert "127.0.0.1" not in reason(reply)
    assert f"HTTP {status}" in caplog.text
    assert "swordfish" not in caplog.text


@pytest.mark.usefixtures("_quick")
async def test_a_bot_may_come_before_its_server_has_answered_badly(make_world: MakeWorld) -> None:
    async with hooked(make_world) as (one, hook):
        hook.gate.clear()
        hook.status = 404
        one.peer().invite(uri="sip:hook@127.0.0.1")
        leg = (await hook.told.get())["dialogId"]
        await one.ask(models.Claim(session="s1", leg=leg))
        hook.gate.set()
        await one.settle()
        await answered(one, leg, "s1")


async def test_a_server_is_told_nothing_more_of_a_call_that_is_over(make_world: MakeWorld) -> None:
    async with hooked(make_world) as (one, hook):
        hook.gate.clear()
        peer = one.peer()
        peer.invite(uri="sip:hook@127.0.0.1")
        await hook.told.get()
        peer.cancel()
        await one.channel.reply(487)
        await hook.left.wait()
        await one.settle()
        assert one.channel.rest == []


async def test_a_bot_that_never_comes_costs_the_caller_480(make_world: MakeWorld) -> None:
    async with hooked(make_world, calls=calls(answer_timeout=0.05)) as (one, hook):
        one.peer().invite(uri="sip:hook@127.0.0.1")
        await hook.told.get()
        await one.channel.reply(480)


async def test_a_bot_that_claimed_and_leaves_ends_the_call(make_world: MakeWorld) -> None:
    async with hooked(make_world) as (one, hook):
        one.peer().invite(uri="sip:hook@127.0.0.1")
        leg = (await hook.told.get())["dialogId"]
        await one.ask(models.Claim(session="s1", leg=leg))
        await one.ask(models.Leave(session="s1"))
        assert "the bot has left" in reason(await one.channel.reply(480))
