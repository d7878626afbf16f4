"""What is asked by plain HTTP: lists, killing, ICE servers, health and metrics."""

import time
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from control.config import Ice
from control.errors import CommandError, SpeechError
from media.api.access import OPEN_PATH, TOKEN
from media.api.events import iso8601
from media.api.gate import CallSummary, Gate
from media.api.iceservers import ice_servers
from media.api.refusals import refused

NO_STORE = {hdrs.CACHE_CONTROL: "no-store"}


class Rest:
    """The handlers; `add_to` puts them on their paths."""

    def __init__(self, gate: Gate, ice: Ice) -> None:
        self._gate = gate
        self._ice = ice

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve."""
        router.add_get("/call/lists", self._lists)
        router.add_post("/call/kill/{id}", self._kill)
        router.add_post("/precache", self._precache)
        router.add_get("/iceservers", self._iceservers)
        router.add_get(OPEN_PATH, self._healthz)
        router.add_get("/readyz", self._readyz)
        router.add_get("/metrics", self._metrics)

    async def _lists(self, _: web.Request) -> web.Response:
        calls = [_listed(call) for call in await self._gate.calls()]
        return web.json_response({"calls": calls}, headers=NO_STORE)

    async def _kill(self, request: web.Request) -> web.Response:
        if not await self._gate.kill(request.match_info["id"]):
            raise refused(HTTPStatus.NOT_FOUND, "there is no call with this id", "id")
        return web.json_response(True)

    async def _precache(self, request: web.Request) -> web.Response:
        try:
            duration = await self._gate.precache(await request.read())
        except (CommandError, SpeechError) as error:
            raise refused(HTTPStatus(error.code), str(error)) from error
        return web.json_response({"duration": duration})

    async def _iceservers(self, request: web.Request) -> web.Response:
        token = request.get(TOKEN)
        user = "sidecall" if token is None else token.name
        return web.json_response(ice_servers(self._ice, user, time.time()), headers=NO_STORE)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readyz(self, _: web.Request) -> web.Response:
        if (reason := self._gate.ready()) is not None:
            return web.json_response({"status": "not ready", "reason": reason}, status=503)
        return web.json_response({"status": "ready"})

    async def _metrics(self, _: web.Request) -> web.Response:
        body, content_type = self._gate.metrics()
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})


def _listed(call: CallSummary) -> dict[str, Any]:
    return {
        "id": call.id,
        "call_type": call.call_type,
        "created_at": iso8601(call.created_at),
        "option": dict(call.option),
    }
