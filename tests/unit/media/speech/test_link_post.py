"""An answer over HTTP that breaks off, by a server that is none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from control.errors import ProviderError
from media.speech import link
from media.speech.link import post

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"5\r\nhello\r\n"


class Far:
    """Sends HEAD and a chunk, then `rest` once it is told that the chunk was read."""

    def __init__(self, rest: bytes, *, close: bool) -> None:
        self.read = asyncio.Event()
        self.sent = asyncio.Event()
        self.url = ""
        self._rest = rest
        self._close = close

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + CHUNK)
        await self.read.wait()
        writer.write(self._rest)
        await writer.drain()
        if not self._close:
            await reader.read()
        writer.close()
        self.sent.set()


@asynccontextmanager
async def far_server(rest: bytes, *, close: bool = True) -> AsyncIterator[Far]:
    far = Far(rest, close=close)
    server = await asyncio.start_server(far.serve, "127.0.0.1", 0)
    async with server:
        far.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield far


async def pieces(far: Far, *, late: bool) -> bytes:
    """All that is read of its answer; `late`: only when it has sent everything."""
    found = b""
    async with aiohttp.ClientSession() as http:
        async for piece in post(http, "someone", far.url):
            found += piece
            far.read.set()
            if late:
                await far.sent.wait()
    return found


@pytest.mark.parametrize("late", [False, True])
async def test_an_answer_that_is_whole(late: bool) -> None:
    async with far_server(CHUNK + b"0\r\n\r\n") as far:
        assert await pieces(far, late=late) == b"hellohello"


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "rest", [b"", b"no size of a chunk\r\n", b"5\r\nhel"], ids=["cut", "garbled", "short"]
)
async def test_an_answer_that_breaks(monkeypatch: pytest.MonkeyPatch, rest: bytes, late: bool) -> None:
    monkeypatch.setattr(link, "READ_SECONDS", 0.5)
    async with far_server(rest) as far:
        with pytest.raises(ProviderError, match="^someone: ") as caught:
            await pieces(far, late=late)
    assert caught.value.code in (502, 504)
    assert caught.value.retry


async def test_an_answer_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "READ_SECONDS", 0.05)
    async with far_server(CHUNK, close=False) as far:
        with pytest.raises(ProviderError, match=r"^someone: its answer stopped for 0.05 s$") as caught:
            await pieces(far, late=False)
    assert caught.value.code == 504
