import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from control.errors import AudioFileError
from media.fetch import Fetcher, PublicResolver, is_public

BODY = bytes(range(256)) * 100
PUBLIC = "93.184.215.14"


class FixedResolver(AbstractResolver):
    """Answers each look-up with the next of `answers`, the last one for ever."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer
        ]

    async def close(self) -> None:
        self.answers = [OSError("closed")]


async def audio(request: web.Request) -> web.Response:
    assert request.headers["Accept-Encoding"] == "identity"
    return web.Response(body=BODY)


async def dated(request: web.Request) -> web.Response:
    unchanged = "always" in request.query or request.headers.get("If-None-Match") == '"1"'
    return web.Response(
        status=304 if unchanged else 200, body=None if unchanged else BODY, headers={"ETag": '"1"'}
    )


async def missing(_: web.Request) -> web.Response:
    raise web.HTTPNotFound(text="internal details")


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(BODY)


async def stalled(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await asyncio.Event().wait()
    return response


async def broken(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"short")
    assert request.transport is not None
    request.transport.close()
    return response


async def packed(_: web.Request) -> web.Response:
    return web.Response(body=gzip.compress(bytes(100_000)), headers={"Content-Encoding": "gzip"})


async def redirect(request: web.Request) -> web.Response:
    return web.Response(
        status=int(request.query.get("code", "302")), headers={"Location": request.query["to"]}
    )


async def down(request: web.Request) -> web.Response:
    steps = int(request.match_info["steps"])
    raise web.HTTPFound(f"/down/{steps - 1}" if steps > 1 else "/audio")


async def nowhere(_: web.Request) -> web.Response:
    return web.Response(status=302)


@asynccontextmanager
async def serving() -> AsyncIterator[TestServer]:
    app = web.Application()
    for handler in (audio, dated, missing, endless, stalled, broken, packed, redirect, nowhere):
        app.router.add_get(f"/{handler.__name__}", handler)
    app.router.add_get("/down/{steps}", down)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()


async def refusal(fetcher: Fetcher, url: str) -> str:
    async with fetcher:
        with pytest.raises(AudioFileError) as caught:
            await fetcher.fetch(url)
    return str(caught.value)


def anywhere(max_bytes: int = 100_000, timeout: float = 20.0) -> Fetcher:
    return Fetcher(allow_private=True, max_bytes=max_bytes, timeout=timeout)


async def test_a_file_is_fetched() -> None:
    async with serving() as server, anywhere() as fetcher:
        assert await fetcher.fetch(str(server.make_url("/audio"))) == BODY
        assert await fetcher.fetch(str(server.make_url("/audio?token=1#x"))) == BODY


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(code: int) -> None:
    async with serving() as server, anywhere() as fetcher:
        for target in ("/audio", str(server.make_url("/audio"))):
            url = server.make_url("/redirect").with_query(to=target, code=code)
            assert await fetcher.fetch(str(url)) == BODY


async def test_redirects_are_counted() -> None:
    async with serving() as server:
        async with anywhere() as fetcher:
            assert await fetcher.fetch(str(server.make_url("/down/5"))) == BODY
        assert "more than 5 redirects" in await refusal(anywhere(), str(server.make_url("/down/6")))


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/missing", "the server answered 404"),
        ("/nowhere", "the server answered 302"),
        ("/endless", "larger than 100000 bytes"),
        ("/broken", "the connection broke"),
        ("/redirect?to=ftp://example.com/x", "only http:// and https:// URLs are fetched"),
        ("/redirect?to=file:///etc/passwd", "only http:// and https:// URLs are fetched"),
        ("/redirect?to=http://[bad", "not a URL"),
    ],
)
async def test_what_goes_wrong_is_told(path: str, complaint: str) -> None:
    async with serving() as server:
        message = await refusal(anywhere(), str(server.make_url("/")).rstrip("/") + path)
    assert message.endswith(complaint)
    assert "internal details" not in message


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("missing", 404),
        ("nowhere", 502),
        ("endless", 413),
        ("stalled", 504),
        ("broken", 502),
        ("redirect?to=ftp://example.com/x", 400),
    ],
)
async def test_what_goes_wrong_has_a_code(path: str, code: int) -> None:
    async with serving() as server, anywhere(timeout=0.5) as fetcher:
        with pytest.raises(AudioFileError) as caught:
            await fetcher.fetch(str(server.make_url("/")) + path)
    assert caught.value.code == code


async def test_what_has_not_changed_has_no_body() -> None:
    async with serving() as server, anywhere() as fetcher:
        url = str(server.make_url("/dated"))
        first = await fetcher.get(url)
        assert (first.body, first.freshness.etag) == (BODY, '"1"')
        assert (await fetcher.get(url, first.freshness)).body is None


async def test_an_answer_that_nobody_asked_for_is_refused() -> None:
    async with serving() as server:
        message = await refusal(anywhere(), str(server.make_url("/dated?always")))
    assert message.endswith("the server answered 304")


async def test_a_declared_size_is_enough_to_refuse() -> None:
    async with serving() as server:
        message = await refusal(anywhere(max_bytes=len(BODY) - 1), str(server.make_url("/audio")))
        assert message.endswith(f"larger than {len(BODY) - 1} bytes")
        async with anywhere(max_bytes=len(BODY)) as fetcher:
            assert await fetcher.fetch(str(server.make_url("/audio"))) == BODY


async def test_a_server_that_stalls_is_given_up() -> None:
    async with serving() as server:
        message = await refusal(anywhere(timeout=0.05), str(server.make_url("/stalled")))
    assert message.endswith("not there after 0.05 s")


async def test_packed_answers_are_not_unpacked() -> None:
    async with serving() as server, anywhere() as fetcher:
        assert len(await fetcher.fetch(str(server.make_url("/packed")))) < 1000


async def test_a_server_that_is_not_there_and_a_name_that_is_unknown() -> None:
    async with serving() as server:
        port = server.port
    gone = await refusal(anywhere(), f"http://127.0.0.1:{port}/a.wav")
    assert gone == f"http://127.0.0.1:{port}/a.wav: the server cannot be reached"
    unknown = Fetcher(resolver=FixedResolver(OSError("no such name")))
    assert await refusal(unknown, "http://a.test/a.wav") == "http://a.test/a.wav: the host is not known"


async def test_a_name_that_cannot_be_looked_up_is_no_url() -> None:
    resolver = FixedResolver(UnicodeError("label too long"))
    assert (
        await refusal(Fetcher(resolver=resolver), "http://a.test/a.wav") == "http://a.test/a.wav: not a URL"
    )


async def test_plain_http_is_no_https() -> None:
    async with serving() as server:
        message = await refusal(anywhere(), str(server.make_url("/audio").with_scheme("https")))
    assert message.endswith("the server offers no valid TLS (certificate or protocol)")


async def test_messages_keep_passwords_and_signatures_to_themselves() -> None:
    fetcher = Fetcher(resolver=FixedResolver(OSError("no such name")))
    message = await refusal(fetcher, "http://user:hush@a.test/a.wav?signature=hush#hush")
    assert message == "http://a.test/a.wav: the host is not known"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.wav",
        "//host/x",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "data:,x",
        "http://[::1",
    ],
)
async def test_what_is_no_http_url_is_refused(url: str) -> None:
    assert "only http:// and https://" in (message := await refusal(Fetcher(), url)) or "not a URL" in message


PRIVATE = ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"] + [
    *("224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "fec0::1"),
    *("ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "2002:7f00:1::", "64:ff9b::7f00:1"),
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
async def test_private_addresses_are_refused(address: str) -> None:
    assert not is_public(address)
    literal = f"[{address}]" if ":" in address else address
    assert "is not on the public internet" in await refusal(Fetcher(), f"http://{literal}/a.wav")
    resolver = FixedResolver([address])
    message = await refusal(Fetcher(resolver=resolver), "http://a.test/a.wav")
    assert message == "a.test is not on the public internet: nothing is fetched from there"
    assert resolver.asked == ["a.test"]


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", PUBLIC, "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "8.8.8", "2130706433"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "2130706433",
        "127.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "１２７.0.0.1",
        "[::ffff:7f00:1]",
    ],
)
async def test_loopback_in_disguise_is_refused(host: str) -> None:
    """With the real resolver, against a server that would answer."""
    async with serving() as server:
        message = await refusal(Fetcher(), f"http://{host}:{server.port}/audio")
    assert "not on the public internet" in message or "the host is not known" in message


@asynccontextmanager
async def internet(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """Every address leads to a test server; gives the addresses that were connected to."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    connected: list[str] = []
    async with serving() as server:

        async def sock_connect(sock: socket.socket, address: tuple[str, int]) -> None:
            connected.append(address[0])
            await connect(sock, ("127.0.0.1", server.port))

        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        yield connected


async def test_the_checked_address_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = FixedResolver(["10.0.0.1", PUBLIC, "127.0.0.1"])
    async with internet(monkeypatch) as connected, Fetcher(resolver=resolver) as fetcher:
        assert await fetcher.fetch("http://a.test/audio") == BODY
        assert connected == [PUBLIC]


async def test_a_name_that_changes_its_address_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = FixedResolver([PUBLIC], ["127.0.0.1"])
    async with internet(monkeypatch) as connected:
        async with Fetcher(resolver=resolver) as fetcher:
            assert await fetcher.fetch("http://a.test/audio") == BODY
        assert resolver.asked == ["a.test"]
        resolver.answers = [["127.0.0.1"]]
        assert "not on the public internet" in await refusal(
            Fetcher(resolver=resolver), "http://a.test/audio"
        )
        assert connected == [PUBLIC]


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:1/audio", "http://[::1]/", "http://b.test/audio", "//b.test/audio"]
)
async def test_a_redirect_to_a_private_address_is_refused(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = FixedResolver([PUBLIC], ["10.0.0.1"])
    async with internet(monkeypatch) as connected:
        message = await refusal(Fetcher(resolver=resolver), f"http://a.test/redirect?to={target}")
        assert message.endswith("is not on the public internet: nothing is fetched from there")
        assert connected == [PUBLIC]


async def test_a_redirect_to_a_public_address_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = FixedResolver([PUBLIC], ["8.8.8.8"])
    async with internet(monkeypatch) as connected, Fetcher(resolver=resolver) as fetcher:
        assert await fetcher.fetch("http://a.test/redirect?to=http://b.test/audio") == BODY
        assert connected == [PUBLIC, "8.8.8.8"]


async def test_public_resolver_keeps_what_is_public() -> None:
    resolver = PublicResolver(FixedResolver(["10.0.0.1", PUBLIC, "::1"]))
    assert [found["host"] for found in await resolver.resolve("a.test", 80)] == [PUBLIC]
    await resolver.close()


@given(st.text(st.characters()))
def test_any_text_is_a_url_or_an_audio_file_error(url: str) -> None:
    fetcher = Fetcher(resolver=FixedResolver(OSError("no such name")))
    assert asyncio.run(refusal(fetcher, url))
    assert asyncio.run(refusal(Fetcher(resolver=FixedResolver(OSError("x"))), "http://" + url))
