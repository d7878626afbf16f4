"""The REST endpoints and query parameters of the API contract, on a running system."""

import re
from typing import Any

import aiohttp
import pytest

from tests.support.bot import PATIENCE, Bot
from tests.support.contract import ANSWERS
from tests.support.lab import Lab
from tests.support.poll import until

pytestmark = pytest.mark.daemons

UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PATHS = {"webSocket": "/call", "webrtc": "/call/webrtc", "sip": "/call/sip"}


async def ask(lab: Lab, method: str, path: str) -> tuple[int, Any]:
    """Status and JSON body of the answer."""
    async with (
        aiohttp.ClientSession(headers=lab.system.authorization) as session,
        session.request(method, f"http://{lab.system.api}{path}") as answer,
    ):
        return answer.status, await answer.json()


async def listed(lab: Lab, session: str) -> dict[str, Any]:
    """The call with this id in the list."""
    status, body = await ask(lab, "GET", "/call/lists")
    assert status == 200
    assert set(body) == set(ANSWERS["GET /call/lists"])
    (call,) = [call for call in body["calls"] if call["id"] == session]
    return dict(call)


async def test_list_shows_calls_as_documented(lab: Lab) -> None:
    (example,) = ANSWERS["GET /call/lists"]["calls"]
    async with lab.system.bot("/call", id="listed") as bot:
        tts = {"provider": "x", "secretKey": "do not tell"}
        await bot.send("invite", option=example["option"] | {"tts": tts})
        await bot.event("answer")
        call = await listed(lab, "listed")
        assert set(call) == set(example)
        assert call["call_type"] == "webSocket"
        assert UTC.fullmatch(call["created_at"])
        assert call["option"] | example["option"] == call["option"]
        assert "do not tell" not in str(call)
        await bot.send("hangup")
        await bot.ended()


@pytest.mark.parametrize("kind", PATHS)
async def test_every_kind_of_session_is_listed_and_killed(lab: Lab, kind: str) -> None:
    async with lab.system.bot(PATHS[kind], id="killed") as bot:
        assert (await listed(lab, "killed"))["call_type"] == kind
        assert await ask(lab, "POST", "/call/kill/killed") == (200, ANSWERS["POST /call/kill/{id}"])
        hangup = await bot.ended()
    assert (hangup["initiator"], hangup["reason"]) == ("system", "killed")


async def test_unknown_call_cannot_be_killed(lab: Lab) -> None:
    status, body = await ask(lab, "POST", "/call/kill/nobody")
    assert status == 404
    assert body["error"]["field"] == "id"


async def test_ice_servers_are_as_documented(lab: Lab) -> None:
    status, servers = await ask(lab, "GET", "/iceservers")
    assert status == 200
    assert isinstance(servers, list)
    known = set().union(*ANSWERS["GET /iceservers"])
    for server in servers:
        assert {"urls"} <= set(server) <= known
        assert all(isinstance(url, str) for url in server["urls"])


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health(lab: Lab, path: str) -> None:
    assert (await ask(lab, "GET", path))[0] == 200


# The query


async def speak(bot: Bot) -> str:
    """Make the call play something; the name of the track."""
    await bot.send("invite", option={})
    await bot.event("answer")
    await bot.send("tts", text="Hello", playId="here")
    for _ in range(2):
        started = await bot.event("trackStart")
    return str(started["trackId"])


async def test_id_names_the_session_and_its_track(lab: Lab) -> None:
    async with lab.system.bot("/call", id="session123", dump="true") as bot:
        await bot.send("invite", option={})
        assert (await bot.event("answer"))["trackId"] == "session123"


async def test_id_is_made_when_none_is_given(lab: Lab) -> None:
    async with lab.system.bot("/call") as first, lab.system.bot("/call") as second:
        ids = []
        for bot in (first, second):
            await bot.send("invite", option={})
            ids.append((await bot.event("answer"))["trackId"])
    assert len(set(ids)) == 2


async def test_dump_keeps_the_events_or_spares_them(lab: Lab) -> None:
    async def kept() -> set[str]:
        return {file.name for file in lab.system.settings.records.folder.rglob("dumped*.jsonl")}

    for session, query in (
        ("dumped-false", {"dump": "false"}),
        ("dumped-true", {"dump": "true"}),
        ("dumped", {}),
    ):
        async with lab.system.bot("/call", id=session, **query) as bot:
            await bot.send("invite", option={})
            await bot.event("answer")
            await bot.send("hangup")
            await bot.ended()

    async def written() -> bool:
        return len(await kept()) == 2

    await until(written, within=PATIENCE)
    assert not any("false" in name for name in await kept())


@pytest.mark.parametrize(("given", "name"), [("", "server-side-track"), ("music", "music")])
async def test_server_side_track_has_the_name_that_is_wished(lab: Lab, given: str, name: str) -> None:
    async with lab.system.bot("/call", serverSideTrack=given) as bot:
        assert await speak(bot) == name


async def test_ping_is_sent_at_once_or_never(lab: Lab) -> None:
    for seconds, pings in (("1", True), ("0", False)):
        async with (
            aiohttp.ClientSession(headers=lab.system.authorization) as session,
            session.ws_connect(
                f"ws://{lab.system.api}/call", params={"ping": seconds}, autoping=False
            ) as socket,
        ):
            await socket.send_json({"command": "history", "speaker": "a", "text": "b"})
            first = await socket.receive()
            assert (first.type is aiohttp.WSMsgType.PING) is pings


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("dump", "1"), ("dump", "True"), ("ping", "often"), ("ping", "-1"), ("id", "a b"), ("id", "a/b")),
        *(("serverSideTrack", "a b"), ("route", "no spaces")),
    ],
)
@pytest.mark.parametrize("path", PATHS.values())
async def test_bad_query_is_400_with_its_field(lab: Lab, path: str, name: str, text: str) -> None:
    async with (
        aiohttp.ClientSession(headers=lab.system.authorization) as session,
        session.get(
            f"http://{lab.system.api}{path}",
            params={name: text},
            headers={
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            },
        ) as answer,
    ):
        body = await answer.json()
    assert answer.status == 400
    assert body["error"]["field"] == name
    assert body["error"]["code"] == 400


async def test_unknown_parameters_do_not_matter(lab: Lab) -> None:
    async with lab.system.bot("/call", forward="true", unknown="x") as bot:
        await bot.send("invite", option={})
        await bot.event("answer")
