"""The API port: REST, and what is refused before anything else."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from control.config import Api, Settings
from media.api.server import make_app
from tests.support.apiport import TOKEN, UPGRADE, Door, client, listening, serving


async def test_health_says_whether_it_lives_and_whether_it_takes_calls() -> None:
    async with serving() as port:
        async with port.http.get("/healthz") as response:
            assert (response.status, await response.json()) == (200, {"status": "alive"})
        async with port.http.get("/readyz") as response:
            assert (response.status, await response.json()) == (200, {"status": "ready"})
        port.door.away = "control cannot be reached"
        async with port.http.get("/readyz") as response:
            assert response.status == 503
            assert await response.json() == {"status": "not ready", "reason": "control cannot be reached"}
        async with port.http.get("/healthz") as response:
            assert response.status == 200


async def test_metrics_are_what_the_worker_exposes() -> None:
    async with serving() as port, port.http.get("/metrics") as response:
        assert await response.text() == "sidecall_slots 7\n"
        assert response.headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"


async def test_unknown_paths_and_methods_are_refused_as_json() -> None:
    async with serving() as port:
        for path in ("/nowhere", "/elsewhere"):
            assert (await port.refused(path, 404))["message"] == f"GET {path}: Not Found"
        async with port.http.post("/healthz") as response:
            assert response.status == 405
            assert "GET" in response.headers["Allow"]
            assert (await response.json())["error"]["code"] == 405


async def test_a_redirect_stays_a_redirect() -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("/healthz")

    app = make_app(Settings(), Door())
    app.router.add_get("/old", elsewhere)
    async with (
        listening(app) as address,
        client(address) as http,
        http.get("/old", allow_redirects=False) as response,
    ):
        assert (response.status, response.headers["Location"]) == (302, "/healthz")


@pytest.mark.parametrize("path", ["/call/sip", "/readyz", "/metrics", "/nowhere"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer"},
    ],
)
async def test_without_a_valid_token_nothing_is_told(
    path: str, headers: dict[str, str], logged: Callable[[], str]
) -> None:
    async with serving(Api(tokens=("another", TOKEN))) as port:
        error = await port.refused(path, 401, headers=headers)
        assert "Bearer" in error["message"]
        async with port.http.get(path, headers=headers) as response:
            assert response.headers["WWW-Authenticate"] == "Bearer"
        assert port.door.stubs == []
    assert TOKEN not in logged()


async def test_a_token_that_is_no_text() -> None:
    lines = ["GET /readyz HTTP/1.1", "Host: x", "Connection: close", "Authorization: Bearer "]
    async with serving(Api(tokens=(TOKEN,))) as port:
        reader, writer = await asyncio.open_connection(*port.address)
        writer.write("\r\n".join(lines).encode() + b"\xff\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%FF", f"?Token={TOKEN}"])
async def test_a_wrong_token_in_the_query(query: str) -> None:
    async with serving(Api(tokens=(TOKEN,))) as port:
        await port.refused(f"/readyz{query}", 401)


async def test_health_needs_no_token() -> None:
    async with serving(Api(tokens=(TOKEN,))) as port, port.http.get("/healthz") as response:
        assert response.status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
@pytest.mark.parametrize("token", [TOKEN, "umlaut-ä"])
async def test_a_token_in_the_header(scheme: str, token: str) -> None:
    async with serving(Api(tokens=(TOKEN, "umlaut-ä"))) as port:
        async with port.bot(headers={"Authorization": f"{scheme} {token}"}) as bot:
            assert not bot.closed
        async with port.http.get("/metrics", headers={"Authorization": f"{scheme} {token}"}) as response:
            assert response.status == 200


async def test_a_token_in_the_query() -> None:
    async with serving(Api(tokens=(TOKEN,))) as port, port.bot(f"?token={TOKEN}&route=sales") as bot:
        assert not bot.closed
        assert port.stub.arrival.pool == "sales"


async def test_no_refusal_repeats_the_token(logged: Callable[[], str]) -> None:
    async with serving(Api(tokens=(TOKEN,))) as port:
        await port.refused(f"/call/sip?token={TOKEN}&id=a%20b", 400)
        await port.refused(f"/call/sip?token={TOKEN}", 426)
        await port.refused(f"/nowhere?token={TOKEN}", 404)
        port.door.away = "control cannot be reached"
        await port.refused(f"/call/sip?token={TOKEN}", 503, headers=UPGRADE)
    assert TOKEN not in logged()
