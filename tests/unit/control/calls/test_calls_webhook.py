import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from control.calls import webhook
from control.calls.webhook import Announcement, announce
from control.errors import WebhookError
from control.webhooks.signature import sign

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NEWS = Announcement(
    dialog_id="d1",
    caller="sip:\u00e4@b",
    callee="sip:c@d",
    offer="v=0\r\n",
    headers=("X-A: 1", "X-A: 2"),
    created_at="2026-01-02T03:04:05.678Z",
)

pytestmark = pytest.mark.usefixtures("_quick")


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "RETRY_SECONDS", (0.0, 0.0))


HANG, ABORT = -1, 0
"""Instead of a status: never answer; cut the connection."""


class Hook:
    """A bot's HTTP server that answers with the given statuses, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = statuses
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((headers, await request.read()))
        status = self.statuses[min(len(self.requests), len(self.statuses)) - 1]
        if status == HANG:
            await asyncio.Event().wait()
        if status == ABORT:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status or 500, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def hook(*statuses: int) -> AsyncIterator[Hook]:
    served = Hook(*statuses)
    app = web.Application()
    app.router.add_post("/calls", served.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/calls"
        yield served
    finally:
        await runner.cleanup()


async def tell(url: str, secret: str | None = None) -> None:
    async with aiohttp.ClientSession() as http:
        await announce(http, url, secret, NEWS)


def standard_webhooks_signature(key: bytes, headers: dict[str, str], body: bytes) -> str:
    """What https://www.standardwebhooks.com asks for: base64(HMAC-SHA256(key, id.timestamp.body))."""
    content = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


async def test_the_bots_server_is_told_of_the_call() -> None:
    async with hook(204) as server:
        await tell(server.url, SECRET)
    ((headers, body),) = server.requests
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "event": "invite",
        "dialogId": "d1",
        "createdAt": "2026-01-02T03:04:05.678Z",
        "caller": "sip:\u00e4@b",
        "callee": "sip:c@d",
        "headers": ["X-A: 1", "X-A: 2"],
        "offer": "v=0\r\n",
    }
    assert headers["webhook-signature"] == standard_webhooks_signature(KEY, headers, body)


async def test_without_a_secret_the_message_is_not_signed() -> None:
    async with hook(200) as server:
        await tell(server.url)
    ((headers, _),) = server.requests
    assert headers["webhook-id"].startswith("msg_")
    assert "webhook-signature" not in headers


def test_the_example_of_the_standard_is_signed_as_it_says() -> None:
    headers = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b'{"test": 2432232314}',
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["plain", "whsec_no base64", "whsec_\u00fc"])
def test_any_other_secret_is_the_key_itself(secret: str) -> None:
    headers = sign(secret, b"{}", "id", 1)
    assert headers["webhook-signature"] == standard_webhooks_signature(secret.encode(), headers, b"{}")


@given(st.binary(), st.binary(min_size=1), st.integers(0, 2**33))
def test_every_body_is_signed(body: bytes, key: bytes, now: int) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = sign(secret, body, "id", now)
    assert headers["webhook-signature"] == standard_webhooks_signature(key, headers, body)


@pytest.mark.parametrize("trouble", [500, 503, 302, 408, 425, 429, ABORT])
async def test_a_server_with_trouble_is_asked_again_with_the_same_id(trouble: int) -> None:
    async with hook(trouble, trouble, 200) as server:
        await tell(server.url, SECRET)
    assert len(server.requests) == 3
    assert len({headers["webhook-id"] for headers, _ in server.requests}) == 1


@pytest.mark.parametrize(
    ("statuses", "tries"), [((400,), 1), ((404, 200), 1), ((500, 403, 200), 2), ((500,), 3)]
)
async def test_a_server_that_refuses_does_not_take_the_call(statuses: tuple[int, ...], tries: int) -> None:
    async with hook(*statuses) as server:
        with pytest.raises(WebhookError, match=r"did not take the call: HTTP \d+"):
            await tell(server.url)
    assert len(server.requests) == tries


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "nonsense", "ftp://127.0.0.1/x"])
async def test_a_server_that_is_not_there_does_not_take_the_call(url: str) -> None:
    with pytest.raises(WebhookError, match="did not take the call"):
        await tell(url)


async def test_a_server_that_does_not_answer_does_not_take_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", 0.05)
    async with hook(HANG) as server:
        with pytest.raises(WebhookError, match="TimeoutError"):
            await tell(server.url)


async def test_secrets_of_the_url_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "control")
    with pytest.raises(WebhookError, match="webhook http://127.0.0.1:9/hook did not") as caught:
        await tell("http://user:swordfish@127.0.0.1:9/hook?token=swordfish")
    assert "swordfish" not in caplog.text + str(caught.value)
