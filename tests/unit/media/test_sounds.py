"""Sounds are fetched, kept, asked for again, and decoded no more often than needed."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from aiohttp import web
from aiohttp.test_utils import TestServer

from control.errors import AudioFileError
from media import files
from media import sounds as module
from media.fetch import Fetcher
from media.files import LocalFiles
from media.sounds import Sounds
from media.store import Memory, Store


def encoded(level: float = 0.5, kind: str = "WAV", subtype: str | None = None, rate: int = 8000) -> bytes:
    """A file of one second."""
    out = io.BytesIO()
    soundfile.write(out, level * np.sin(np.arange(rate) * 0.3), rate, format=kind, subtype=subtype)
    return out.getvalue()


class Site:
    """A server with one sound."""

    def __init__(self, server: TestServer, root: Path) -> None:
        self.server = server
        self.root = root
        self.body = encoded()
        self.headers: dict[str, str] = {}
        self.reached, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.asked: list[web.Request] = []
        self.libraries: list[tuple[Fetcher, Sounds]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        self.reached.set()
        await self.gate.wait()
        etag = self.headers.get("ETag")
        if etag is not None and request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=self.headers)
        return web.Response(body=self.body, headers=self.headers)

    def sounds(self, max_bytes: int = 1_000_000) -> Sounds:
        """The sounds of a worker that has just started."""
        fetcher = Fetcher(allow_private=True)
        store = Store(self.root / "cache", max_bytes) if max_bytes else None
        library = Sounds(fetcher, LocalFiles(self.root), store, Memory(max_bytes))
        self.libraries.append((fetcher, library))
        return library

    @property
    def url(self) -> str:
        return str(self.server.make_url("/a.wav?signature=1"))


@pytest_asyncio.fixture(name="site")
async def _site(tmp_path: Path) -> AsyncIterator[Site]:
    app = web.Application()
    server = TestServer(app, host="127.0.0.1")
    site = Site(server, tmp_path)
    app.router.add_get("/{name}", site.answer)
    async with server:
        yield site
        for fetcher, library in site.libraries:
            await library.close()
            await fetcher.close()


@pytest.fixture(name="decoded")
def _decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rates at which files were decoded."""
    rates: list[int] = []

    def counted(data: bytes, rate: int) -> object:
        rates.append(rate)
        return files.load(data, rate)

    monkeypatch.setattr(module, "load", counted)
    return rates


async def test_a_hundred_calls_share_one_download_and_one_decoding(site: Site, decoded: list[int]) -> None:
    sounds = site.sounds()
    site.gate.clear()
    calls = [asyncio.create_task(sounds.load(site.url, 8000)) for _ in range(100)]
    await site.reached.wait()
    calls[0].cancel()
    site.gate.set()
    samples = await asyncio.gather(*calls[1:])
    assert all(each is samples[0] for each in samples)
    assert samples[0].size == 8000
    assert (await sounds.load(site.url, 16000)).size == 16000
    await sounds.load(site.url, 8000)
    assert (len(site.asked), decoded) == (1, [8000, 16000])


async def test_another_worker_finds_it_on_the_disk(site: Site) -> None:
    first = await site.sounds().load(site.url, 8000)
    assert np.array_equal(first, await site.sounds().load(site.url, 8000))
    assert len(site.asked) == 1


async def test_a_stale_sound_is_asked_for_and_kept_when_unchanged(site: Site, decoded: list[int]) -> None:
    site.headers = {"Cache-Control": "max-age=0", "ETag": '"1"'}
    sounds = site.sounds()
    for _ in range(3):
        await sounds.load(site.url, 8000)
    assert [request.headers.get("If-None-Match") for request in site.asked] == [None, '"1"', '"1"']
    assert decoded == [8000]
    site.headers["ETag"] = '"2"'
    site.body = encoded(0.1)
    assert abs((await sounds.load(site.url, 8000)).max() - 3277) < 10


@pytest.mark.parametrize(("headers", "size"), [({"Cache-Control": "no-store"}, 1_000_000), ({}, 0)])
async def test_what_is_not_kept_is_fetched_each_time(site: Site, headers: dict[str, str], size: int) -> None:
    sounds = site.sounds(size)
    site.headers = headers
    for level in (0.5, 0.1):
        site.body = encoded(level)
        assert abs((await sounds.load(site.url, 8000)).max() - level * 32768) < 10
    assert len(site.asked) == 2
    assert not list(site.root.glob("cache/*"))


async def test_what_is_no_sound_is_asked_for_again(site: Site) -> None:
    sounds = site.sounds()
    site.body = b"<html>sorry</html>"
    with pytest.raises(AudioFileError) as caught:
        await sounds.load(site.url, 8000)
    assert caught.value.code == 415
    site.body = encoded()
    assert (await sounds.load(site.url, 8000)).size == 8000


@pytest.mark.parametrize(
    ("kind", "subtype", "rate"),
    [
        ("WAV", None, 8000),
        ("MP3", None, 44100),
        ("OGG", "VORBIS", 44100),
        ("OGG", "OPUS", 48000),
        ("FLAC", None, 16000),
    ],
)
async def test_formats_from_a_url(site: Site, kind: str, subtype: str | None, rate: int) -> None:
    site.body = encoded(0.5, kind, subtype, rate)
    samples = await site.sounds().load(site.url, 8000)
    assert samples.size == pytest.approx(8000, rel=0.15)
    assert np.abs(samples).max() > 10_000


async def test_a_local_file_is_decoded_once_until_it_changes(site: Site, decoded: list[int]) -> None:
    sounds = site.sounds()
    (site.root / "a.wav").write_bytes(encoded())
    for _ in range(2):
        await asyncio.gather(*(sounds.load("a.wav", 8000) for _ in range(10)))
    assert decoded == [8000]
    (site.root / "a.wav").write_bytes(encoded(0.5, rate=16000))
    await sounds.load("a.wav", 8000)
    assert decoded == [8000, 8000]
    with pytest.raises(AudioFileError) as caught:
        await sounds.load("b.wav", 8000)
    assert caught.value.code == 404


async def test_only_so_many_urls_are_remembered(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_URLS", 2)
    sounds = site.sounds()
    for name in "abc":
        await sounds.load(str(site.server.make_url(f"/{name}.wav")), 8000)
    assert len(sounds._fresh) == 2
