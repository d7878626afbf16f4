"""A call of a browser: offer in, answer out."""

import pytest

from control.api import models
from control.errors import LegError, LegErrorCode
from media.api.calltype import CallType
from media.session.state import State
from tests.support.sessions import LEG, Guest, House, idle

OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n"


def browser(house: House) -> Guest:
    """A bot at /call/webrtc."""
    return house.guest(call_type=CallType.WEBRTC)


async def test_the_offer_is_answered(house: House) -> None:
    guest = browser(house)
    await guest.do("invite", option={"offer": OFFER, "enableIpv6": True, "caller": "me"})
    asked = house.control.last(models.Connect)
    assert (asked.offer, asked.ipv6, asked.session) == (OFFER, True, "s.1")
    assert guest.box.names == ["trackStart", "answer"]
    assert guest.box.last("answer")["sdp"] == "v=0 ours"
    assert guest.state is State.TALKING
    await guest.do("hangup", reason="done")
    assert house.control.last(models.Hangup).leg == LEG
    hangup = guest.check_end()
    assert (hangup["reason"], hangup["from"]["username"]) == ("done", "me")


async def test_a_browser_waits_in_no_pool(house: House) -> None:
    guest = browser(house)
    await idle()
    await house.clock.advance(60)
    assert (guest.state, house.control.requests) == (State.IDLE, [])


@pytest.mark.parametrize("command", ["accept", "ringing", "reject"])
async def test_nothing_comes_in(house: House, command: str) -> None:
    guest = browser(house)
    await guest.do(command, option={}, reason="no")
    error = guest.box.events[-1]
    assert (error["code"], guest.state) == (409, State.IDLE)
    assert "invite" in error["error"]


async def test_an_invite_without_an_offer_may_be_sent_again(house: House) -> None:
    guest = browser(house)
    await guest.do("invite", option={})
    assert guest.box.events[-1]["code"] == 400
    assert "option.offer" in guest.box.events[-1]["error"]
    await guest.do("invite", option={"offer": OFFER})
    assert guest.state is State.TALKING


async def test_an_offer_that_cannot_be_used_ends_the_call(house: House) -> None:
    house.control.answers[models.Connect] = LegError(LegErrorCode.NOT_ACCEPTABLE, "no audio is offered")
    guest = browser(house)
    await guest.do("invite", option={"offer": "nonsense"})
    assert guest.box.names == ["reject", "error", "hangup"]
    assert guest.box.last("reject")["code"] == 488
    assert guest.box.last("error")["error"] == "no audio is offered"
    guest.check_end()


async def test_a_browser_that_sends_nothing_in_time(house: House) -> None:
    guest = browser(house)
    await guest.do("invite", option={"offer": OFFER, "handshakeTimeout": "5s"})
    await house.clock.advance(4.9)
    assert guest.state is State.TALKING
    await house.clock.advance(0.2)
    assert guest.box.last("error")["code"] == 408
    assert guest.check_end()["reason"] == "handshakeTimeout"


async def test_a_browser_that_is_heard_in_time(house: House) -> None:
    guest = browser(house)
    await guest.do("invite", option={"offer": OFFER, "handshakeTimeout": 5})
    house.far.send(bytes(160))
    house.tick()
    await house.clock.advance(60)
    assert guest.state is State.TALKING


async def test_the_leg_ends(house: House) -> None:
    guest = browser(house)
    await guest.do("invite", option={"offer": OFFER})
    guest.tell(models.MediaChanged, stream=house.stream())
    guest.tell(models.Ended, initiator="caller", reason="the browser is gone", code=200)
    hangup = guest.check_end()
    assert (hangup["initiator"], hangup["reason"]) == ("caller", "the browser is gone")


async def test_a_binary_frame_is_refused(house: House) -> None:
    guest = browser(house)
    guest.session.receive_binary(bytes(4))
    assert guest.box.last("error")["code"] == 400
