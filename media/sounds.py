"""Sounds that bots play: files under a folder and files behind URLs, decoded once for all who want them.

A file from a URL is kept on disk as it came, for as long as its server allows (RFC 9111), and then asked for again.
Decoded samples are kept in memory. Calls that want the same at the same time share one download and one decoding.
"""

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any

from control.errors import AudioFileError
from media.fetch import Fetcher
from media.files import LocalFiles, load
from media.flights import Flights
from media.freshness import Freshness
from media.speech.voice import Samples
from media.store import Entry, Memory, Store

_URLS = 1000
"""Whose freshness is remembered without a look at the disk."""
_HTTP = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Page:
    """What is behind a URL."""

    version: str
    """Hash of the body."""
    body: bytes
    until: float
    """When it must be asked for again: seconds since the epoch."""


class Sounds:
    """All sounds of a worker."""

    def __init__(self, fetcher: Fetcher, files: LocalFiles, store: Store | None, memory: Memory) -> None:
        self._fetcher = fetcher
        self._files = files
        self._store = store
        self._memory = memory
        self._pages: Flights[_Page] = Flights("sounds")
        self._decoding: Flights[Samples] = Flights("sounds")
        self._fresh: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """Version of what is behind a URL, and until when."""

    async def load(self, name: str, rate: int) -> Samples:
        """The samples of the sound `name`, an http(s) URL or a name under the folder, at `rate` Hz; leave them as
        they are. Raises AudioFileError.
        """
        return await (self._behind(name, rate) if _HTTP.match(name) else self._local(name, rate))

    async def close(self) -> None:
        """Stop loading."""
        await self._pages.close()
        await self._decoding.close()

    async def _local(self, name: str, rate: int) -> Samples:
        key = (*await asyncio.to_thread(self._files.version, name), rate)

        async def decode() -> Samples:
            return await asyncio.to_thread(lambda: load(self._files.read(name), rate))

        return await self._decoded(key, decode)

    async def _behind(self, url: str, rate: int) -> Samples:
        version, until = self._fresh.get(url, ("", 0.0))
        if until > time.time() and (samples := self._memory.get((version, rate))) is not None:
            return samples
        page = await self._pages.join(url, lambda: self._page(url))

        async def decode() -> Samples:
            try:
                return await asyncio.to_thread(load, page.body, rate)
            except AudioFileError:
                # It may be an error page that calls itself a success: ask again next time.
                await self._drop(url)
                raise

        return await self._decoded((page.version, rate), decode)

    async def _decoded(
        self, key: tuple[object, ...], decode: Callable[[], Coroutine[Any, Any, Samples]]
    ) -> Samples:
        samples = self._memory.get(key)
        if samples is None:
            samples = await self._decoding.join(key, decode)
            self._memory.put(key, samples)
        return samples

    async def _page(self, url: str) -> _Page:
        """What is behind `url`: from the disk while that is fresh, else from its server."""
        store, key = self._store, _key(url)
        kept = await asyncio.to_thread(store.get, key) if store is not None else None
        if kept is not None and kept.notes["until"] > time.time():
            page = _Page(kept.notes["version"], kept.data, kept.notes["until"])
        else:
            known = Freshness(**kept.notes["freshness"]) if kept is not None else None
            fetched = await self._fetcher.get(url, known)
            if fetched.body is None and kept is not None:
                body, fresh = kept.data, _renewed(known, fetched.freshness)
            else:
                body, fresh = fetched.body or b"", fetched.freshness
            version = await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
            page = _Page(version, body, time.time() + fresh.seconds)
            if store is not None:
                notes = {"version": version, "until": page.until, "freshness": asdict(fresh)}
                if fresh.keep:
                    await asyncio.to_thread(store.put, key, Entry(body, notes))
                else:
                    await asyncio.to_thread(store.remove, key)
            if not fresh.keep:
                return page
        self._remember(url, page)
        return page

    def _remember(self, url: str, page: _Page) -> None:
        self._fresh[url] = page.version, page.until
        self._fresh.move_to_end(url)
        if len(self._fresh) > _URLS:
            self._fresh.popitem(last=False)

    async def _drop(self, url: str) -> None:
        self._fresh.pop(url, None)
        if self._store is not None:
            await asyncio.to_thread(self._store.remove, _key(url))


def _key(url: str) -> str:
    return hashlib.sha256(f"url:{url}".encode("utf-8", "surrogatepass")).hexdigest()


def _renewed(known: Freshness | None, said: Freshness) -> Freshness:
    """What holds after a 304, which need not repeat what identifies the answer (RFC 9111 section 4.3.4)."""
    if known is None:
        return said
    return Freshness(said.keep, said.seconds, said.etag or known.etag, said.modified or known.modified)
