"""A server of files that behaves as it is told: whole, in parts, cut, changed in mid-way, elsewhere."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Served:
    """A file, and how it is served."""

    data: bytes
    etag: str | None = '"v1"'
    cuts: list[int] = field(default_factory=list)
    """After how many bytes of the file each of the next answers breaks."""
    ranges: bool = True
    """Whether it sends the rest of a file."""
    said_length: int | None = None
    """What the header says; the true length when absent."""
    chunked: bool = False
    """Whether it leaves the length out."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


class FileServer:
    """Its files by name, and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, str | None, str | None]] = []
        """Path, Range and If-Range of each request."""
        self.base = ""

    def put(self, name: str, data: bytes, **how: object) -> Served:
        """Serve `data` as `name`."""
        served = self.files[name] = Served(data, **how)  # type: ignore[arg-type]
        return served

    def url(self, name: str) -> str:
        return f"{self.base}/{name}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path[1:]
        wanted, condition = request.headers.get("Range"), request.headers.get("If-Range")
        self.asked.append((name, wanted, condition))
        if (target := self.redirects.get(name)) is not None:
            return web.Response(status=302, headers={"Location": target})
        served = self.files.get(name)
        if served is None:
            raise web.HTTPNotFound
        start = 0
        if served.ranges and wanted is not None and condition == served.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(served.data) > 0:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(served.data)}"})
        return await self._send(request, served, start)

    async def _send(self, request: web.Request, served: Served, start: int) -> web.StreamResponse:
        size = len(served.data)
        response = web.StreamResponse(status=206 if start else 200)
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        if served.etag is not None:
            response.headers["ETag"] = served.etag
        if served.chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = size - start if served.said_length is None else served.said_length
        await response.prepare(request)
        end = served.cuts.pop(0) if served.cuts else size
        await response.write(served.data[start:end])
        if end < size:
            transport = request.transport
            assert transport is not None
            transport.close()
        return response


@asynccontextmanager
async def file_server() -> AsyncIterator[FileServer]:
    """A server on a loopback port."""
    files = FileServer()
    application = web.Application()
    application.router.add_get("/{name:.*}", files.answer)
    async with TestServer(application) as server:
        files.base = str(server.make_url("")).rstrip("/")
        yield files
