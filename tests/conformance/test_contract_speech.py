"""What needs a provider that is not there is answered with 501 after the answer; the call goes on."""

from typing import Any

import pytest

from control.api import models
from media.api.calltype import CallType
from media.session.state import State
from tests.support.contract import OBJECTS
from tests.support.sessions import TARGET, House, idle

WISHES: dict[str, dict[str, Any]] = {name: OBJECTS["CallOption"][name] for name in ("asr", "eou")}


@pytest.mark.parametrize("kind", CallType)
@pytest.mark.parametrize("name", WISHES)
async def test_wish_for_speech_is_answered_with_501(house: House, name: str, kind: CallType) -> None:
    guest = house.guest(call_type=kind)
    await guest.do("invite", option={"callee": "sip:bob@example.com", "offer": "v=0", name: WISHES[name]})
    if kind is CallType.SIP:
        guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == (name, 501)
    assert guest.box.names.index("answer") < guest.box.names.index("error")
    assert guest.state is State.TALKING


async def test_wish_of_a_transfer_is_answered_with_501(house: House) -> None:
    house.control.answers[models.Invite] = models.Invited(leg=TARGET, caller="", callee="")
    guest = house.guest(call_type=CallType.WEBSOCKET)
    await guest.do("invite", option={})
    await guest.do(
        "refer", caller="", callee="sip:c@example.com", options=OBJECTS["ReferOption"] | {"moh": "x"}
    )
    assert "error" not in guest.box.names or guest.box.last("error")["sender"] == "moh"
    guest.tell(models.Answered, TARGET, stream=house.stream(), sdp="v=0")
    await idle()
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("asr", 501)
    assert guest.box.last("answer")["refer"] is True
