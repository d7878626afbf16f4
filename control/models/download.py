"""Files from servers, onto the disk: in pieces, gone on with when broken, verified."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from control.errors import SetupError
from control.models.config import ModelSource
from control.models.resume import Begun, Body, Refused, Stale, conditions, judge

ATTEMPTS = 5
"""A download that breaks is gone on with at once, as long as each try brought something."""
MAX_REDIRECTS = 5
_CONNECT_SECONDS = 15
_SILENCE_SECONDS = 60
_CHUNK = 262_144

Progress = Callable[[int, int | None], None]
"""Is told how many bytes are there, and of how many if that is known."""


class Part:
    """A file on its way: its bytes so far, and beside them what the server called its version.

    It is named by what will be in it, so a catalogue that changes leads to another part.
    """

    def __init__(self, folder: Path, sha256: str) -> None:
        self.path = folder / sha256
        self._sha256 = sha256
        self._version = folder / f"{sha256}.version"

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def begun(self) -> Begun | None:
        """What can be gone on with."""
        if not self.size or not self._version.is_file():
            return None
        return Begun(self.size, self._version.read_text("ascii"))

    def begin(self, validator: str | None) -> None:
        """Begin again, with a version that is called `validator`."""
        self.drop()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        if validator is not None:
            self._version.write_text(validator, "ascii")

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        with self.path.open("ab") as file:
            file.write(data)

    def drop(self) -> None:
        """Forget what is there."""
        self._version.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def take(self, target: Path) -> None:
        """Move the file to `target`."""
        self.path.rename(target)
        self.drop()

    def is_whole(self) -> bool:
        """Whether it is here and what it should be."""
        return self.path.is_file() and digest(self.path) == self._sha256

    def verify(self) -> None:
        """Raise SetupError, and forget what is there, unless it is what it should be."""
        found = digest(self.path)
        if found != self._sha256:
            self.drop()
            raise SetupError(
                f"what came has the sha256 {found}, the configuration says {self._sha256}:"
                " nothing was installed; find out which of the two is right"
            )


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def download(source: ModelSource, part: Part, max_bytes: int, progress: Progress) -> None:
    """Bring what is behind `source` into `part`; it is not verified yet. Raises SetupError."""
    where = shown(source.url)
    async with _session() as http:
        for _ in range(ATTEMPTS):
            before = part.size
            try:
                if await _attempt(http, source.url, part, max_bytes, progress):
                    return
            except (TimeoutError, aiohttp.ClientError, ValueError) as error:
                if part.size <= before:
                    raise SetupError(f"{where}: {_reason(error)}{_later(part)}") from error
    raise SetupError(f"{where}: the connection breaks again and again{_later(part)}")


async def _attempt(
    http: aiohttp.ClientSession, url: str, part: Part, max_bytes: int, progress: Progress
) -> bool:
    """Ask once; whether `part` is whole now."""
    begun = part.begun()
    async with http.get(url, headers=conditions(begun), max_redirects=MAX_REDIRECTS) as response:
        match judge(response.status, response.headers, begun):
            case Body() as body:
                await _store(response, body, part, max_bytes, progress)
            case Refused(status):
                raise SetupError(f"{shown(url)}: the server answered {status}")
            case Stale():
                part.drop()
                return False
    return True


async def _store(
    response: aiohttp.ClientResponse, body: Body, part: Part, max_bytes: int, progress: Progress
) -> None:
    too_large = SetupError(
        f"{shown(str(response.url))}: larger than max_bytes of this model ({max_bytes}): raise it if that is right"
    )
    if (body.total or 0) > max_bytes:
        raise too_large
    if body.offset == 0:
        part.begin(body.validator)
    there = body.offset
    async for data in response.content.iter_chunked(_CHUNK):
        there += len(data)
        if there > max_bytes:
            part.drop()
            raise too_large
        part.append(data)
        progress(there, body.total)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        # The checksum is that of the file as it is on the server.
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "Sidecall"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS),
        trust_env=True,
    )


def shown(url: str) -> str:
    """`url` for people: user, password and query may be secrets, so they go."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _later(part: Part) -> str:
    return f"; {part.size} bytes are kept, fetch again to go on" if part.begun() else ""


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "the server does not answer"
        case aiohttp.TooManyRedirects():
            return f"more than {MAX_REDIRECTS} redirects"
        case aiohttp.NonHttpUrlClientError():
            return "it leads to an address that is neither http nor https"
        case aiohttp.ClientConnectorDNSError():
            return "the host is not known"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "the server offers no valid TLS (certificate or protocol)"
        case aiohttp.ClientConnectorError():
            return "the server cannot be reached"
        case aiohttp.InvalidURL() | ValueError():
            return "it leads to what is no URL"
        case _:
            return "the connection broke"
