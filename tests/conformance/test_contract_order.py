"""Every command in every state of every kind of call: carried out, or answered by an ``error`` event with this code."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from control.api import models
from media.api.calltype import CallType
from media.session.state import State
from tests.support.sessions import TARGET, Guest, House, idle

OFFER = {"callee": "sip:bob@example.com", "offer": "v=0"}
FIELDS: dict[str, dict[str, Any]] = {
    "invite": {"option": OFFER},
    "accept": {"option": {}},
    "reject": {"reason": "Busy"},
    "tts": {"text": "one"},
    "play": {"url": "nowhere.wav"},
    "refer": {"caller": "", "callee": "sip:charlie@example.com"},
    "dtmf": {"digits": "1"},
    "history": {"speaker": "bot", "text": "hello"},
    "hangup refer": {"refer": True},
}
SIP = """
              idle waiting offered answering dialing talking playing calling early transferred
invite        ok   ok      409     409       409     409     409     409     409   409
ringing       409  409     ok      409       409     409     409     409     409   409
accept        409  409     ok      409       409     409     409     409     409   409
reject        409  409     ok      409       409     409     409     409     409   409
tts           409  409     ok      ok        ok      ok      ok      ok      409   409
play          409  409     ok      ok        ok      ok      ok      ok      409   409
interrupt     ok   ok      ok      ok        ok      ok      ok      ok      ok    ok
pause         409  409     409     409       409     409     ok      409     409   409
resume        409  409     409     409       409     409     ok      409     409   409
mute          409  409     ok      ok        ok      ok      ok      ok      409   409
unmute        409  409     ok      ok        ok      ok      ok      ok      ok    ok
refer         409  409     409     409       409     ok      ok      409     409   409
dtmf          409  409     409     409       409     ok      ok      ok      409   409
history       ok   ok      ok      ok        ok      ok      ok      ok      ok    ok
hangup refer  409  409     409     409       409     409     409     ok      ok    ok
hangup        ok   ok      ok      ok        ok      ok      ok      ok      ok    ok
"""
OTHERS = """
              idle talking playing calling early transferred
invite        ok   409     409     409     409   409
ringing       409  409     409     409     409   409
accept        409  409     409     409     409   409
reject        409  409     409     409     409   409
tts           409  ok      ok      ok      409   409
play          409  ok      ok      ok      409   409
interrupt     ok   ok      ok      ok      ok    ok
pause         409  409     ok      409     409   409
resume        409  409     ok      409     409   409
mute          409  ok      ok      ok      409   409
unmute        409  ok      ok      ok      ok    ok
refer         409  ok      ok      409     409   409
dtmf          409  ok      ok      ok      409   409
history       ok   ok      ok      ok      ok    ok
hangup refer  409  409     409     ok      ok    ok
hangup        ok   ok      ok      ok      ok    ok
"""
TABLES = {CallType.SIP: SIP, CallType.WEBRTC: OTHERS, CallType.WEBSOCKET: OTHERS}
COLUMN = 14
"""Where the first state begins: a command's name may have a blank."""


def cells() -> list[Any]:
    found = []
    for kind, table in TABLES.items():
        head, *rows = table.strip("\n").splitlines()
        states = head.split()
        found += [
            pytest.param(kind, state, rows, index, id=f"{kind}: {state}")
            for index, state in enumerate(states)
        ]
    return found


async def nothing(guest: Guest) -> None:
    await idle()


async def talk(guest: Guest) -> None:
    await guest.do("invite", option=OFFER)
    if guest.session.arrival.call_type is CallType.SIP:
        guest.tell(models.Answered, stream=guest.house.stream(), sdp="v=0")
    assert guest.state is State.TALKING


async def play(guest: Guest) -> None:
    await talk(guest)
    await guest.do("tts", text="one two three")
    await guest.made()
    await guest.hear("trackStart")


async def refer(guest: Guest) -> None:
    await talk(guest)
    await guest.do("refer", **FIELDS["refer"])


async def early(guest: Guest) -> None:
    await refer(guest)
    elsewhere = guest.house.stream(port=guest.house.far.port - 1)
    guest.tell(models.Ringing, TARGET, stream=elsewhere)


async def transferred(guest: Guest) -> None:
    await refer(guest)
    elsewhere = guest.house.stream(port=guest.house.far.port - 1)
    guest.tell(models.Answered, TARGET, stream=elsewhere, sdp="v=0")


REACH: dict[str, Callable[[Guest], Awaitable[None]]] = {
    "idle": nothing,
    "waiting": Guest.wait_in_pool,
    "offered": Guest.be_offered,
    "answering": Guest.answering,
    "dialing": Guest.dial,
    "talking": talk,
    "playing": play,
    "calling": refer,
    "early": early,
    "transferred": transferred,
}


async def outcome(guest: Guest, command: str) -> str:
    """What the bot is told: the code of the error, or ok."""
    before = len(guest.box.events)
    name, _, option = command.partition(" ")
    await guest.do(name, **FIELDS.get(command, {}))
    refused = [
        str(event["code"])
        for event in guest.box.events[before:]
        if event["event"] == "error" and event["sender"] == "command"
    ]
    return " ".join(refused) or "ok"


@pytest.mark.parametrize(("kind", "state", "rows", "index"), cells())
async def test_commands_in_this_state(
    house: House, kind: CallType, state: str, rows: list[str], index: int
) -> None:
    wanted, found = {}, {}
    if kind is CallType.WEBSOCKET:
        # Such a caller has no leg: the target's is the only one.
        house.control.answers[models.Invite] = models.Invited(leg=TARGET, caller="", callee="")
    for row in rows:
        command = row[:COLUMN].strip()
        wanted[command] = row[COLUMN:].split()[index]
        guest = house.guest(f"s.{len(house.guests)}", call_type=kind)
        await REACH[state](guest)
        found[command] = await outcome(guest, command)
        if found[command] != "ok":
            assert guest.state is not State.ENDED
        await guest.leave()
    assert found == wanted
