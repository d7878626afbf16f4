"""Lists, killing and ICE servers."""

import pytest

from control.config import Api, Ice, IceServer, Token
from tests.support.apiport import TOKEN, serving


async def test_calls_are_listed() -> None:
    async with serving() as port:
        async with port.http.get("/call/lists") as response:
            assert await response.json() == {"calls": []}
        async with port.http.ws_connect("/call?id=mine"), port.http.get("/call/lists") as response:
            assert response.headers["Cache-Control"] == "no-store"
            assert await response.json() == {
                "calls": [
                    {
                        "id": "mine",
                        "call_type": "webSocket",
                        "created_at": "1970-01-01T00:00:00Z",
                        "option": {},
                    }
                ]
            }


async def test_a_call_is_killed() -> None:
    async with serving() as port, port.bot("?id=mine") as bot:
        async with port.http.post("/call/kill/mine") as response:
            assert (response.status, await response.json()) == (200, True)
        message = await bot.receive()
        assert (message.data, message.extra) == (1000, "killed")


@pytest.mark.parametrize("session", ["nobody", "a%20b", "%00", "ü"])
async def test_nobody_is_killed(session: str) -> None:
    async with serving() as port, port.http.post(f"/call/kill/{session}") as response:
        assert response.status == 404
        error = (await response.json())["error"]
        assert (error["code"], error["field"]) == (404, "id")


async def test_killing_is_no_get() -> None:
    async with serving() as port:
        await port.refused("/call/kill/x", 405)


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [(b"12345", 200, {"duration": 5}), (b"odd", 400, None), (b"failing", 502, None)],
)
async def test_speech_is_made_in_advance(body: bytes, status: int, answer: object) -> None:
    async with serving() as port, port.http.post("/precache", data=body) as response:
        assert response.status == status
        found = await response.json()
        assert found == answer if answer else found["error"]["code"] == status


async def test_ice_servers() -> None:
    ice = Ice(servers=(IceServer(urls=("stun:s",)),), turn_urls=("turn:t",), turn_secret="north")
    tokens = (Token(name="shop", token=TOKEN),)
    async with serving(Api(), ice=ice, tokens=tokens) as port:
        await port.refused("/iceservers", 401)
        async with port.http.get(f"/iceservers?token={TOKEN}") as response:
            assert response.headers["Cache-Control"] == "no-store"
            stun, turn = await response.json()
            assert stun == {"urls": ["stun:s"]}
            assert turn["username"].endswith(":shop")
            assert "north" not in await response.text()


async def test_no_ice_servers_of_ours() -> None:
    async with serving() as port, port.http.get("/iceservers") as response:
        assert await response.json() == []
