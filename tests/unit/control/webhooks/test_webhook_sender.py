import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from control.webhooks.sender import Delivered, Outcome, Refused, Retry, new_id, place, post, seconds
from control.webhooks.signature import verify

SECRET = "whsec_c2VjcmV0"
NOW = 784111777.0
"""Sun, 06 Nov 1994 08:49:37 GMT."""


class Receiver:
    """Answers with one status; 0 never answers."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status, self.headers = status, headers
        self.requests: list[tuple[web.Request, bytes]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append((request, await request.read()))
        if not self.status:
            await asyncio.Event().wait()
        return web.Response(status=self.status, headers=self.headers)


@asynccontextmanager
async def receiver(status: int, **headers: str) -> AsyncIterator[Receiver]:
    served = Receiver(status, headers)
    app = web.Application()
    app.router.add_post("/{any}", served.take)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield served
    finally:
        await runner.cleanup()


async def send(url: str, within: float = 5.0, headers: dict[str, str] | None = None) -> Outcome:
    async with aiohttp.ClientSession() as http:
        return await post(http, url, SECRET, b"{}", "msg_1", within=within, headers=headers)


async def test_a_message_is_delivered_with_its_signature_and_the_given_headers() -> None:
    async with receiver(202) as server:
        assert (
            await send(server.url, headers={"Authorization": "Bearer x", "Webhook-Id": "no"}) == Delivered()
        )
    ((request, body),) = server.requests
    assert body == b"{}"
    assert request.headers["Authorization"] == "Bearer x"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers.getall("webhook-id") == ["msg_1"]
    assert verify(SECRET, request.headers, body, int(request.headers["webhook-timestamp"]))


@pytest.mark.parametrize("status", [301, 302, 307, 308, 408, 425, 429, 500, 503])
async def test_what_may_pass_is_to_be_tried_again(status: int) -> None:
    async with receiver(status, Location="/other") as server:
        assert await send(server.url) == Retry(f"HTTP {status}")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 410, 413])
async def test_a_refusal_is_told_apart(status: int) -> None:
    async with receiver(status) as server:
        assert await send(server.url) == Refused(f"HTTP {status}")


async def test_the_receiver_may_ask_for_time() -> None:
    async with receiver(429, **{"Retry-After": "17"}) as server:
        assert await send(server.url) == Retry("HTTP 429", 17.0)


async def test_a_receiver_that_does_not_answer_is_given_up() -> None:
    async with receiver(0) as server:
        outcome = await send(server.url, within=0.05)
    assert isinstance(outcome, Retry)
    assert "Timeout" in outcome.reason


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/x",
        "http://u:hush@/x?hush",
        "ftp://u:hush@127.0.0.1/hush",
        "hush",
        "http://hush..x/",
        "http://[::1/hush",
    ],
)
async def test_a_place_that_cannot_be_reached_is_no_exception(url: str) -> None:
    outcome = await send(url)
    assert isinstance(outcome, Retry)
    assert "hush" not in outcome.reason.replace("hush..x", "")


async def raw(answer: bytes | None) -> Outcome:
    """What becomes of a message to a server that says `answer`, or nothing for ever; its URL has secrets."""

    served: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()
        served.set_result(None)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        url = f"http://user:hush@{host}:{port}/hush?token=hush"
        outcome = await send(url, within=0.1 if answer is None else 5.0)
        await served
    return outcome


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 999999 hush\r\n\r\n", None])
async def test_a_server_that_speaks_no_http_tells_nothing_of_the_url(answer: bytes | None) -> None:
    outcome = await raw(answer)
    assert isinstance(outcome, Retry)
    assert outcome.reason
    assert "hush" not in outcome.reason


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:49:27 GMT", 0.0),
        ("9" * 400, 999999999.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("Sun, 06 Nov 99999999999 08:49:37 GMT", None),
    ],
)
def test_the_time_asked_for_is_a_number_or_a_date(text: str, wanted: float | None) -> None:
    assert seconds(text, NOW) == wanted


def test_ids_differ_and_hold_no_separator() -> None:
    assert new_id() != new_id()
    assert "." not in new_id()


def test_a_place_in_the_log_has_no_secrets() -> None:
    assert place("https://user:hush@a.example:8443/x?token=hush#f") == "https://a.example:8443/x"
