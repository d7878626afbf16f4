"""The examples of the API contract, sent to whole sessions of all three kinds of call: none is refused."""

import itertools
import json
from collections.abc import Callable

import pytest

from control.api import models
from control.errors import MediaError
from media.api.calltype import CallType
from media.fetch import Fetcher
from media.session.state import State
from tests.support import contract, wav
from tests.support.contract import COMMANDS, Json
from tests.support.lab import Lab
from tests.support.sessions import Guest, House, idle

VARIANTS: dict[str, Callable[[Json], Json]] = {
    "as it stands": lambda example: example,
    "unknown fields": contract.with_unknown,
    "shuffled": lambda example: contract.shuffled(example, 1),
    "all that is optional null": lambda example: _with_nulls(example),
}
OVER_SOCKET = ("tts", "pause", "resume", "mute", "unmute", "interrupt", "history")
FIRST = {"invite", "accept", "reject", "ringing"}
"""Commands that make a call; the others find one."""


def _with_nulls(example: Json) -> Json:
    needed = contract.MANDATORY.get(example["command"], frozenset())
    for way in contract.fields(example):
        if len(way) == 1 and way[0] not in needed:
            example = contract.having(example, way, None)
    return example


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch(self: Fetcher, url: str) -> bytes:
        raise MediaError(f"{url} cannot be fetched")

    monkeypatch.setattr(Fetcher, "fetch", fetch)


async def started(house: House, name: str, kind: CallType) -> Guest:
    """A session in which the command fits."""
    guest = house.guest(f"s.{len(house.guests)}", call_type=kind)
    if name in FIRST:
        if name != "invite":
            await guest.be_offered()
        return guest
    await guest.do("invite", option={"callee": "sip:bob@example.com", "offer": "v=0"})
    if kind is CallType.SIP:
        guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    if name in ("pause", "resume"):
        await guest.do("tts", text="one two three")
    return guest


def cases() -> list[object]:
    return [
        pytest.param(name, kind, id=f"{kind}: {name}")
        for name, example in COMMANDS.items()
        for kind in CallType
        if kind is CallType.SIP or example["command"] not in FIRST - {"invite"}
    ]


@pytest.mark.parametrize(("name", "kind"), cases())
async def test_no_session_refuses_an_example(house: House, name: str, kind: CallType) -> None:
    example = COMMANDS[name]
    for variant, change in VARIANTS.items():
        guest = await started(house, example["command"], kind)
        given = change(example)
        if "trackId" in example:
            # The contract's id is nobody's; that of a track is what every track event carries.
            given = given | {"trackId": guest.session.id}
        guest.session.receive(json.dumps(given))
        await idle()
        refused = [error for error in guest.box.all("error") if error["sender"] == "command"]
        assert refused == [], variant
        await guest.leave()


@pytest.mark.parametrize("name", [name for name in COMMANDS if "trackId" in COMMANDS[name]])
async def test_track_that_nobody_has_is_told(house: House, name: str) -> None:
    guest = await started(house, name, CallType.WEBSOCKET)
    guest.session.receive(json.dumps(COMMANDS[name]))
    error = await guest.box.event("error")
    assert (error["sender"], error["code"]) == ("command", 404)
    assert guest.state is State.TALKING


@pytest.mark.daemons
async def test_examples_over_a_real_socket(lab: Lab) -> None:
    """Those that make no call of their own and fetch nothing from the network."""
    wav.write(lab.sounds / "pausable.wav", wav.tone(440, 5))
    async with lab.system.bot("/call") as bot:
        await bot.socket.send_str(json.dumps(COMMANDS["invite"]))
        session = (await bot.event("answer"))["trackId"]
        for name, change in itertools.product(OVER_SOCKET, VARIANTS.values()):
            given = change(COMMANDS[name])
            if "trackId" in given:
                given["trackId"] = session
            if name in ("pause", "resume"):
                await bot.send("play", url="pausable.wav")
            await bot.socket.send_str(json.dumps(given))
            await bot.socket.send_str(json.dumps(COMMANDS["history"]))
            await bot.event("addHistory")
        await bot.socket.send_str(json.dumps(contract.with_unknown(COMMANDS["hangup"])))
        assert (await bot.ended())["reason"] == COMMANDS["hangup"]["reason"]
    errors = [error for error in bot.events if error["event"] == "error" and error["sender"] == "command"]
    assert [error["error"] for error in errors] == []
