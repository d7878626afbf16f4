"""Bots arrive at the API port."""

import asyncio

import pytest

from media.api.calltype import CallType
from media.api.gate import Arrival
from tests.support.apiport import PATIENCE, UPGRADE, Deaf, serving


async def test_what_a_bot_asks_for() -> None:
    async with (
        serving() as port,
        port.bot("?id=d-1._~x&route=sales&serverSideTrack=bot&dump=false&ping=7&unknown=1"),
    ):
        assert port.stub.arrival == Arrival(
            session_id="d-1._~x",
            call_type=CallType.SIP,
            claims=True,
            pool="sales",
            track_id="bot",
            dump=False,
            ping=7,
        )


@pytest.mark.parametrize("query", ["", "?id=", "?id=&serverSideTrack="])
async def test_a_bot_without_an_id_gets_one_and_claims_nothing(query: str) -> None:
    async with serving() as port:
        async with port.bot(query):
            first = port.stub.arrival
        async with port.bot(query):
            second = port.stub.arrival
    assert first.session_id != second.session_id
    assert first.session_id.startswith("s.")
    assert (first.claims, first.pool, first.track_id) == (False, None, "server-side-track")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("id=a%20b", "id"),
        ("id=a/b", "id"),
        ("id=" + "x" * 129, "id"),
        ("id=%00", "id"),
        ("route=", "route"),
        ("route=a.b", "route"),
        ("route=" + "x" * 33, "route"),
        ("serverSideTrack=a%20b", "serverSideTrack"),
        ("serverSideTrack=" + "x" * 129, "serverSideTrack"),
        ("dump=1", "dump"),
        ("dump=", "dump"),
        ("ping=", "ping"),
        ("ping=-1", "ping"),
        ("ping=1.5", "ping"),
        ("ping=3601", "ping"),
        ("ping=%D9%A3", "ping"),
    ],
)
async def test_a_bad_parameter_is_named(query: str, field: str) -> None:
    async with serving() as port:
        error = await port.refused(f"/call/sip?{query}", 400, headers=UPGRADE)
        assert error["field"] == field
        assert field in error["message"]
        assert port.door.stubs == []


async def test_an_id_that_is_open_is_refused() -> None:
    async with serving() as port, port.bot("?id=mine"):
        error = await port.refused("/call/sip?id=mine", 409, headers=UPGRADE)
        assert "open" in error["message"]
        assert len(port.door.stubs) == 1


async def test_a_worker_that_takes_no_calls_says_why() -> None:
    async with serving() as port:
        port.door.away = "control cannot be reached"
        error = await port.refused("/call/sip", 503, headers=UPGRADE)
        assert error["message"] == "control cannot be reached"


@pytest.mark.parametrize("path", ["/call", "/call/", "/call/sip", "/call/webrtc"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Connection": "Upgrade"},
        UPGRADE | {"Upgrade": "h2c"},
        UPGRADE | {"Connection": "keep-alive"},
        UPGRADE | {"Sec-WebSocket-Version": "8"},
    ],
)
async def test_what_is_no_websocket_is_told_to_become_one(path: str, headers: dict[str, str]) -> None:
    async with serving() as port:
        error = await port.refused(path, 426, headers=headers)
        assert "upgrade" in error["message"]
        async with port.http.get(path, headers=headers) as response:
            assert response.headers["Upgrade"] == "websocket"
            assert response.headers["Sec-WebSocket-Version"] == "13"
        assert port.door.stubs == []


@pytest.mark.parametrize("key", ["", "dGhl", "no base64!"])
async def test_a_key_that_is_none(key: str) -> None:
    async with serving() as port:
        headers = UPGRADE | {"Sec-WebSocket-Key": key}
        assert (await port.refused("/call", 400, headers=headers))["field"] == "Sec-WebSocket-Key"


@pytest.mark.parametrize(
    ("path", "call_type"),
    [("/call", "webSocket"), ("/call/", "webSocket"), ("/call/webrtc", "webrtc"), ("/call/sip", "sip")],
)
async def test_the_path_is_the_type_of_the_call(path: str, call_type: str) -> None:
    async with serving() as port, port.http.ws_connect(path):
        assert port.stub.arrival.call_type == call_type


async def test_a_bot_that_goes_while_the_gate_is_asked_leaves_no_session() -> None:
    async with asyncio.timeout(PATIENCE), serving() as port:
        port.door.asked = asyncio.Event()
        with Deaf(port) as bot:
            await bot.ask()
            await port.door.asked.wait()
        for _ in range(20):
            # Let the server see the end of the connection.
            await asyncio.sleep(0)
        port.door.answer.set()
        await port.door.opened.wait()
        await port.stub.gone.wait()
        assert not port.stub.opened.is_set()
