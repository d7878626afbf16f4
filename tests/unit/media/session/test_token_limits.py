"""What the token of a bot keeps it from."""

from control.api import models
from control.config import Token
from media.session.lines.sip import JOIN_SECONDS
from media.session.state import State
from tests.support.sessions import CALLEE, House, idle

TOKEN = Token(name="shop", token="t", callees=(r"\+49\d+",), pools=("shop",))


async def test_a_callee_that_the_token_does_not_allow_is_not_dialled(house: House) -> None:
    guest = house.guest(token=TOKEN)
    await guest.do("invite", option={"callee": CALLEE})
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("command", 403)
    assert "may not call" in error["error"]
    assert models.Invite.method not in house.control.methods
    await guest.do("invite", option={"callee": "+4930123"})
    assert guest.state is State.DIALING


async def test_nor_is_the_caller_transferred_there(house: House) -> None:
    guest = house.guest(pool="shop", token=TOKEN)
    await idle()
    guest.tell(models.Incoming, caller="sip:a@b", callee="sip:c@d", sdp="v=0", headers={})
    await guest.do("accept", option={})
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    await guest.do("refer", caller="sip:c@d", callee=CALLEE)
    assert guest.box.last("error")["code"] == 403
    assert house.services.engine.used == 1


async def test_a_bot_that_may_not_wait_in_the_default_pool_waits_in_none(house: House) -> None:
    guest = house.guest(token=TOKEN)
    await idle()
    await house.clock.advance(JOIN_SECONDS)
    await idle()
    assert guest.state is State.IDLE
    assert models.Join.method not in house.control.methods
