"""The API port: who comes in, what is served there, and the clock of its pings."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from control.config import Settings
from control.tasks import Tasks
from media.api.access import Origins, Tokens, authentication, cross_origin
from media.api.door import Door
from media.api.gate import Gate
from media.api.heartbeat import Heartbeats
from media.api.refusals import errors_as_json
from media.api.rest import Rest

TURN_SECONDS = 1.0


def make_app(settings: Settings, gate: Gate) -> web.Application:
    """The aiohttp application of one worker."""
    heartbeats = Heartbeats()

    async def beating(_: web.Application) -> AsyncIterator[None]:
        tasks = Tasks("pings")
        tasks.spawn(_turn(heartbeats))
        yield
        await tasks.close()

    tokens = Tokens(settings.api.tokens, settings.tokens)
    app = web.Application(
        middlewares=[errors_as_json, cross_origin(Origins(settings)), authentication(tokens)]
    )
    Door(gate, settings.api, heartbeats).add_to(app.router)
    Rest(gate, settings.ice).add_to(app.router)
    app.cleanup_ctx.append(beating)
    return app


async def _turn(heartbeats: Heartbeats) -> None:
    while True:
        await asyncio.sleep(TURN_SECONDS)
        heartbeats.turn()
