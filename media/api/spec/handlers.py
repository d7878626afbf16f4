"""``/openapi.json`` and ``/asyncapi.json``."""

import json
from functools import cache

from aiohttp import web

from media.api.spec.asyncapi import asyncapi
from media.api.spec.openapi import openapi

_DOCUMENTS = {"/openapi.json": openapi, "/asyncapi.json": asyncapi}


def add_to(router: web.UrlDispatcher) -> None:
    """Serve both. They are made here, once in a process: it takes a tenth of a second."""
    _bodies()
    for path in _DOCUMENTS:
        router.add_get(path, _document)


@cache
def _bodies() -> dict[str, bytes]:
    return {path: json.dumps(make()).encode() for path, make in _DOCUMENTS.items()}


async def _document(request: web.Request) -> web.Response:
    return web.Response(body=_bodies()[request.path], content_type="application/json")
