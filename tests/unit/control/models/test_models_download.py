"""Downloads: whole, broken and gone on with, too large, elsewhere, not there."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control.errors import SetupError
from control.models.config import ModelSource
from control.models.download import ATTEMPTS, Part, download, shown
from tests.support.fileserver import FileServer, Served, file_server

DATA = os.urandom(700_000)


@pytest.fixture
async def server() -> AsyncIterator[FileServer]:
    async with file_server() as server:
        yield server


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return Part(tmp_path / "parts", "0" * 64)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def source(server: FileServer, name: str = "f", served: Served | None = None) -> ModelSource:
    return ModelSource(url=server.url(name), sha256=(served or server.files[name]).sha256)


def ranges(server: FileServer) -> list[str | None]:
    return [wanted for _, wanted, _ in server.asked]


async def fetch(
    server: FileServer, part: Part, *, max_bytes: int = 10**9, name: str = "f"
) -> list[tuple[int, int | None]]:
    told: list[tuple[int, int | None]] = []
    url = ModelSource(url=server.url(name), sha256="0" * 64)
    await download(url, part, max_bytes, lambda done, total: told.append((done, total)))
    return told


async def refusal(server: FileServer, part: Part, *, max_bytes: int = 10**9, name: str = "f") -> str:
    with pytest.raises(SetupError) as caught:
        await fetch(server, part, max_bytes=max_bytes, name=name)
    return str(caught.value)


async def test_a_whole_file(server: FileServer, part: Part) -> None:
    server.put("f", DATA)
    told = await fetch(server, part)
    assert part.path.read_bytes() == DATA
    assert told[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in told] == sorted({done for done, _ in told})


async def test_an_empty_file(server: FileServer, part: Part) -> None:
    server.put("f", b"")
    await fetch(server, part)
    assert part.path.read_bytes() == b""


async def test_a_file_of_unknown_length(server: FileServer, part: Part) -> None:
    server.put("f", DATA, chunked=True)
    assert (await fetch(server, part))[-1] == (len(DATA), None)
    assert part.path.read_bytes() == DATA


async def test_a_break_is_mended_at_once(server: FileServer, part: Part) -> None:
    server.put("f", DATA, cuts=[100_000, 650_000])
    await fetch(server, part)
    assert part.path.read_bytes() == DATA
    assert ranges(server) == [None, "bytes=100000-", "bytes=650000-"]


async def test_what_a_killed_run_left_is_gone_on_with(server: FileServer, part: Part, tmp_path: Path) -> None:
    server.put("f", DATA)
    part.begin('"v1"')
    part.append(DATA[:5])
    await fetch(server, Part(tmp_path / "parts", "0" * 64))
    assert part.path.read_bytes() == DATA
    assert server.asked == [("f", "bytes=5-", '"v1"')]


async def test_a_file_that_changed_meanwhile_begins_again(server: FileServer, part: Part) -> None:
    server.put("f", DATA, etag='"v2"')
    part.begin('"v1"')
    part.append(b"old")
    await fetch(server, part)
    assert part.path.read_bytes() == DATA


async def test_a_server_that_sends_no_parts_begins_again(server: FileServer, part: Part) -> None:
    server.put("f", DATA, ranges=False)
    part.begin('"v1"')
    part.append(DATA[:5])
    await fetch(server, part)
    assert part.path.read_bytes() == DATA


async def test_more_than_the_server_has_begins_again(server: FileServer, part: Part) -> None:
    server.put("f", DATA)
    part.begin('"v1"')
    part.append(DATA + b"more")
    await fetch(server, part)
    assert part.path.read_bytes() == DATA
    assert ranges(server) == ["bytes=700004-", None]


async def test_nothing_is_kept_of_a_file_without_version(server: FileServer, part: Part) -> None:
    server.put("f", DATA, etag=None, cuts=[100_000, 100_000])
    assert "the connection broke" in await refusal(server, part)
    assert part.begun() is None
    assert ranges(server) == [None, None]


async def test_a_server_that_breaks_again_and_again(server: FileServer, part: Part) -> None:
    server.put("f", DATA, cuts=[10, 20, 30, 40, 50, 60])
    reason = await refusal(server, part)
    assert (
        reason
        == f"{server.url('f')}: the connection breaks again and again; 50 bytes are kept, fetch again to go on"
    )
    assert len(server.asked) == ATTEMPTS


async def test_a_break_without_progress_is_the_end(server: FileServer, part: Part) -> None:
    server.put("f", DATA, cuts=[10, 10])
    assert "the connection broke; 10 bytes are kept" in await refusal(server, part)


async def test_a_length_that_is_too_large(server: FileServer, part: Part) -> None:
    server.put("f", DATA)
    assert "larger than max_bytes of this model (699999)" in await refusal(server, part, max_bytes=699_999)
    assert part.size == 0


async def test_more_than_was_announced(server: FileServer, part: Part) -> None:
    server.put("f", DATA, chunked=True)
    assert "larger than max_bytes" in await refusal(server, part, max_bytes=699_999)
    assert part.size == 0


async def test_just_as_large_as_allowed(server: FileServer, part: Part) -> None:
    server.put("f", DATA, chunked=True)
    await fetch(server, part, max_bytes=700_000)
    assert part.size == 700_000


async def test_a_redirect_is_followed(server: FileServer, part: Part) -> None:
    server.put("f", DATA, cuts=[5])
    server.redirects["old"] = "/f"
    await fetch(server, part, name="old")
    assert part.path.read_bytes() == DATA


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/f"])
async def test_a_redirect_out_of_http(target: str, server: FileServer, part: Part) -> None:
    server.redirects["old"] = target
    assert "neither http nor https" in await refusal(server, part, name="old")


async def test_redirects_without_end(server: FileServer, part: Part) -> None:
    server.redirects["old"] = "/old"
    assert "more than 5 redirects" in await refusal(server, part, name="old")


async def test_a_file_that_is_not_there(server: FileServer, part: Part) -> None:
    assert await refusal(server, part) == f"{server.url('f')}: the server answered 404"


async def test_a_server_that_is_not_there(server: FileServer, part: Part) -> None:
    server.base = "http://127.0.0.1:1"
    assert await refusal(server, part) == "http://127.0.0.1:1/f: the server cannot be reached"


async def test_a_checksum_that_differs(server: FileServer, part: Part) -> None:
    served = server.put("f", DATA)
    await fetch(server, part)
    assert not part.is_whole()
    with pytest.raises(SetupError, match=f"sha256 {served.sha256}, the configuration says {'0' * 64}"):
        part.verify()
    assert not part.path.exists()


async def test_a_checksum_that_fits(server: FileServer, tmp_path: Path) -> None:
    part = Part(tmp_path, server.put("f", DATA).sha256)
    await fetch(server, part)
    assert part.is_whole()
    part.verify()


def test_no_secret_of_a_url_is_shown() -> None:
    assert shown("https://me:pw@h.example:81/a/b?key=x#y") == "https://h.example:81/a/b"
