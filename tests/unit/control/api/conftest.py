"""WebSockets over loopback."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio
from aiohttp import web

from tests.support.callworld import Serve


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves a handler and returns its URL."""
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        app = web.Application()
        app.router.add_get("/legs", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        return f"ws://127.0.0.1:{port}/legs"

    yield start
    for runner in runners:
        await runner.cleanup()
