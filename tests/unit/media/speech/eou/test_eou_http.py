"""What is asked of a detector's server, and all that it may answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ProviderError
from media.api.options import EouOption
from media.speech.eou.http import MAX_ANSWER, Asked, RemoteDetector, question, verdict
from media.speech.eou.rule import Pause, Verdict

ASKED = Asked("s.1", "s.1", "en-US")
PAUSE = Pause("my name is", 120, 900)
SECRET = "k-secret"


class Detector:
    """A server that answers as the test wants."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.answer: Callable[[], web.Response] = lambda: web.json_response({"completed": True})
        self.released = asyncio.Event()
        self.released.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((await request.json(), dict(request.headers)))
        await self.released.wait()
        return self.answer()

    async def cut(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 10_000)


@pytest.fixture
async def detector() -> AsyncIterator[Detector]:
    found = Detector()
    yield found
    found.released.set()


@pytest.fixture
async def server(detector: Detector) -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_post("/", detector.handle)
    app.router.add_post("/cut", detector.cut)
    app.router.add_post("/endless", detector.endless)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    yield server
    detector.released.set()
    await server.close()


@pytest.fixture
async def remote() -> AsyncIterator[RemoteDetector]:
    found = RemoteDetector(allow_private=True, seconds=5)
    yield found
    await found.close()


def option(server: TestServer, path: str = "/", **fields: Any) -> EouOption:
    return EouOption(endpoint=str(server.make_url(path)), secret_key=SECRET, **fields)


async def refused(remote: RemoteDetector, option: EouOption) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        await remote.ask(option, ASKED, PAUSE)
    assert SECRET not in str(raised.value)
    return raised.value


async def test_a_pause_is_posted_with_what_is_known_of_it(
    detector: Detector, server: TestServer, remote: RemoteDetector
) -> None:
    assert await remote.ask(option(server, secret_id="me"), ASKED, PAUSE) == 0
    assert await remote.ask(EouOption(endpoint=str(server.make_url("/"))), Asked("a", "b"), PAUSE) == 0
    (body, headers), (bare, without) = detector.requests
    assert body == {
        "sessionId": "s.1",
        "trackId": "s.1",
        "text": "my name is",
        "silence": 120,
        "speech": 900,
        "language": "en-US",
    }
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["X-Secret-Id"] == "me"
    assert headers["Content-Type"] == "application/json"
    assert "language" not in bare
    assert not {"Authorization", "X-Secret-Id"} & set(without)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"completed": True}, 0),
        ({"completed": False}, Verdict.LIMIT),
        ({"completed": True, "wait": 400}, 400),
        ({"completed": False, "wait": 1200.4, "more": [1]}, 1200),
        ({"completed": False, "wait": None}, Verdict.LIMIT),
    ],
)
def test_answers(answer: object, expected: int | Verdict) -> None:
    assert verdict(json.dumps(answer).encode()) == expected


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no",
        b"\xff\xfe",
        b"[true]",
        b"{}",
        b'{"completed": 1}',
        b'{"completed": "true"}',
        b'{"completed": true, "wait": -1}',
        b'{"completed": true, "wait": true}',
        b'{"completed": true, "wait": NaN}',
        b'{"completed": true, "wait": "1"}',
        b'{"completed": true, "wait": 1e12}',
        b'{"a":' * 20_000,
    ],
)
def test_what_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ProviderError) as raised:
        verdict(answer)
    assert raised.value.retry


@given(st.binary())
def test_any_bytes_are_an_answer_or_refused(answer: bytes) -> None:
    with pytest.raises(ProviderError):
        verdict(answer)


@pytest.mark.parametrize(
    ("response", "code", "retry"),
    [
        (lambda: web.Response(status=302, headers={"Location": "/"}), 502, False),
        (lambda: web.Response(status=308, headers={"Location": "http://127.0.0.1/"}), 502, False),
        (lambda: web.Response(status=401, text="key?"), 401, False),
        (lambda: web.Response(status=404), 404, False),
        (lambda: web.Response(status=429), 429, True),
        (lambda: web.Response(status=500, text="x" * 10_000), 502, True),
        (lambda: web.Response(status=204), 502, True),
        (lambda: web.Response(text="<html>"), 502, True),
        (lambda: web.Response(body=b" " * (MAX_ANSWER + 1)), 502, True),
    ],
)
async def test_a_server_that_refuses_or_talks_nonsense(
    detector: Detector,
    server: TestServer,
    remote: RemoteDetector,
    response: Callable[[], web.Response],
    code: int,
    retry: bool,
) -> None:
    detector.answer = response
    error = await refused(remote, option(server))
    assert (error.code, error.retry) == (code, retry)
    assert len(detector.requests) == 1


async def test_a_slow_server_is_given_up(detector: Detector, server: TestServer) -> None:
    detector.released.clear()
    remote = RemoteDetector(allow_private=True, seconds=0.05)
    error = await refused(remote, option(server))
    assert (error.code, error.retry) == (504, True)
    await remote.close()


async def test_an_answer_without_end_is_given_up(server: TestServer, remote: RemoteDetector) -> None:
    assert "bytes" in str(await refused(remote, option(server, "/endless")))


async def test_a_server_that_hangs_up_or_is_not_there(server: TestServer, remote: RemoteDetector) -> None:
    assert (await refused(remote, option(server, "/cut"))).retry
    gone = option(server)
    await server.close()
    assert (await refused(remote, gone)).code == 503


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://10.1.2.3/", "http://[::1]/", "http://localhost:9/"]
)
async def test_private_addresses_are_not_asked(url: str) -> None:
    remote = RemoteDetector()
    error = await refused(remote, EouOption(endpoint=url, secret_key=SECRET))
    assert (error.code, error.retry) == (403, False)
    await remote.close()


@pytest.mark.parametrize("url", ["ftp://example.com/", "no url", "http://", "http://[/"])
async def test_what_is_no_address(remote: RemoteDetector, url: str) -> None:
    error = await refused(remote, EouOption(endpoint=url, secret_key=SECRET))
    assert (error.code, error.retry) == (400, False)


@pytest.mark.parametrize("key", ["a\r\nX-More: 1", "schlüssel"])
async def test_a_key_that_no_header_can_hold(server: TestServer, remote: RemoteDetector, key: str) -> None:
    error = await refused(remote, EouOption(endpoint=str(server.make_url("/")), secret_key=key))
    assert (error.code, error.retry) == (400, False)
    assert key not in str(error)


def test_a_question_has_no_language_when_none_is_known() -> None:
    assert "language" not in question(Asked("s", "t"), PAUSE)
