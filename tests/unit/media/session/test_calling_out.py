"""Calls that bots place, and what happens during a call."""

import re
from pathlib import Path

import pytest

from control.api import models
from control.errors import LegError, LegErrorCode
from control.sip.sdp import Direction
from media.session.state import State
from tests.support.sessions import CALLEE, CALLER, LEG, House, idle

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def refusal(code: LegErrorCode, text: str = "refused") -> LegError:
    return LegError(code, text)


# Outgoing


async def test_an_invite_says_all_that_control_must_know(house: House) -> None:
    guest = house.guest()
    sip = {"username": "u", "password": "secret", "realm": "r", "headers": {"X-A": "1"}}
    await guest.do("invite", option={"callee": CALLEE, "caller": CALLER, "sip": sip})
    invite = house.control.last(models.Invite)
    assert (invite.session, invite.callee, invite.caller) == ("s.1", CALLEE, CALLER)
    assert (invite.username, invite.password, invite.realm) == ("u", "secret", "r")
    assert invite.headers == {"X-A": "1"}
    assert invite.endpoint.port == house.services.engine.port
    assert "secret" not in repr(guest.box.events)


async def test_a_call_from_dialling_to_the_far_ends_hangup(house: House) -> None:
    guest = house.guest()
    await guest.dial()
    guest.tell(models.Ringing)
    guest.tell(models.Ringing, stream=house.stream())
    assert [event["earlyMedia"] for event in guest.box.all("ringing")] == [False, True]
    assert guest.box.names == ["ringing", "trackStart", "ringing"]
    guest.tell(models.Answered, stream=house.stream(), sdp="their answer")
    assert guest.box.last("answer")["sdp"] == "their answer"
    guest.tell(models.Ended, initiator="callee", reason="callee", code=200)
    hangup = guest.check_end()
    assert guest.box.names == ["ringing", "trackStart", "ringing", "answer", "trackEnd", "hangup"]
    assert (hangup["initiator"], hangup["from"]["source"], hangup["to"]["source"]) == (
        "callee",
        CALLER,
        CALLEE,
    )
    assert ISO.fullmatch(hangup["ringingTime"])
    assert ISO.fullmatch(hangup["answerTime"])
    await idle()
    assert house.control.methods == ["leg.invite"]


async def test_the_callee_refuses(house: House) -> None:
    guest = house.guest()
    await guest.dial()
    guest.tell(models.Rejected, code=486, reason="Busy Here")
    guest.tell(models.Ended, initiator="callee", reason="rejected", code=486)
    reject = guest.box.events[0]
    assert (reject["event"], reject["code"], reject["reason"]) == ("reject", 486, "Busy Here")
    assert guest.box.names == ["reject", "hangup"]
    guest.check_end()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (LegErrorCode.FORBIDDEN, 403),
        (LegErrorCode.UNAVAILABLE, 503),
        (LegErrorCode.NOT_CONNECTED, 503),
        (LegErrorCode.INVALID_PARAMS, 503),
    ],
)
async def test_an_invite_that_control_refuses(house: House, code: LegErrorCode, told: int) -> None:
    house.control.answers[models.Invite] = refusal(code, "no trunk takes it")
    guest = house.guest()
    await guest.do("invite", option={"callee": CALLEE, "caller": CALLER})
    reject = guest.box.events[0]
    assert (reject["event"], reject["code"], reject["reason"]) == ("reject", told, "no trunk takes it")
    hangup = guest.check_end()
    assert guest.box.names == ["reject", "hangup"]
    assert (hangup["reason"], hangup["to"]["source"]) == ("rejected", CALLEE)


async def test_an_invite_without_callee_is_a_mistake_and_no_more(house: House) -> None:
    guest = house.guest()
    await guest.do("invite", option={})
    assert (guest.box.events[0]["code"], guest.state) == (400, State.IDLE)
    assert '"option.callee"' in guest.box.events[0]["error"]
    await guest.dial()


@pytest.mark.parametrize("end", ["hangup", "disconnect"])
async def test_giving_up_while_the_invite_is_under_way_cancels_it(house: House, end: str) -> None:
    guest = house.guest()
    house.control.hold(models.Invite)
    await guest.do("invite", option={"callee": CALLEE})
    if end == "hangup":
        await guest.do("hangup")
    else:
        await guest.leave()
    guest.check_end()
    await idle()
    assert house.control.last(models.Leave) == models.Leave(session="s.1")
    house.control.release(models.Invite)
    await idle()
    assert (guest.session.leg, guest.box.late) == (None, [])


async def test_hanging_up_a_call_that_rings_cancels_it(house: House) -> None:
    guest = house.guest()
    await guest.do("invite", option={"callee": CALLEE, "sip": {"hangup_headers": {"X-B": "1"}}})
    guest.tell(models.Ringing)
    await guest.do("hangup", reason="never mind", initiator="user", headers={"X-C": "2"})
    hangup = guest.check_end()
    assert (hangup["reason"], hangup["initiator"]) == ("never mind", "user")
    assert house.control.last(models.Hangup) == models.Hangup(
        leg=LEG, reason="never mind", headers={"X-B": "1", "X-C": "2"}
    )


# During the call


async def test_hold_and_resume_follow_the_far_end(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    await guest.do("tts", text="one two")
    await guest.hear("trackStart")
    house.far.read()
    guest.tell(models.MediaChanged, stream=house.stream(Direction.INACTIVE))
    house.tick(50)
    assert house.far.read() == []
    assert "trackEnd" not in guest.box.names
    guest.tell(models.MediaChanged, stream=house.stream())
    assert (await guest.hear("trackEnd"))["duration"] == 200
    assert guest.box.names.count("trackStart") == 2


async def test_a_port_of_another_call_ends_this_one(house: House) -> None:
    first, second = house.guest(), house.guest("s.2")
    await first.talk()
    await second.answering()
    assert second.box.names == ["incoming", "error", "hangup"]
    error = second.box.events[1]
    assert (error["sender"], error["code"]) == ("media", 500)
    assert "already belongs to slot" in error["error"]
    assert second.check_end()["reason"] == "failed"
    assert house.control.last(models.Hangup).leg == LEG
    assert first.state is State.TALKING


async def test_a_stream_that_cannot_be_used_is_never_answered(house: House) -> None:
    guest = house.guest()
    await guest.dial()
    guest.tell(models.Answered, stream=house.stream(codec="g729"), sdp="v=0")
    assert guest.box.names == ["error", "hangup"]
    assert ISO.fullmatch(guest.check_end()["answerTime"])


async def test_early_media_that_cannot_be_used_ends_the_call(house: House, tmp_path: Path) -> None:
    house.control.answers[models.Ring] = models.Media(stream=house.stream(codec="g729"))
    guest = house.guest()
    await guest.be_offered()
    await guest.do("ringing", ringtone="ring.wav")
    assert guest.box.names == ["incoming", "error", "hangup"]
    assert isinstance(house.control.last(models.Reject), models.Reject)


async def test_a_stream_for_a_call_without_slot_means_nothing(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    guest.tell(models.MediaChanged, stream=house.stream())
    assert (guest.state, guest.box.names) == (State.OFFERED, ["incoming"])


async def test_keys_by_info_and_by_rtp(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    guest.tell(models.Digit, digit="5")
    house.far.press(11)
    house.far.press(11, end=True)
    house.tick()
    assert [(event["digit"], event["trackId"]) for event in guest.box.all("dtmf")] == [
        ("5", "s.1"),
        ("#", "s.1"),
    ]


async def test_notices_of_another_leg_are_not_ours(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    before = list(guest.box.events)
    guest.tell(models.Digit, "other", digit="5")
    guest.tell(models.Ended, "other", initiator="caller", reason="caller", code=200)
    assert (guest.box.events, guest.state) == (before, State.TALKING)


async def test_after_the_end_nothing_is_told(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    await guest.do("hangup")
    guest.tell(models.Digit, digit="5")
    guest.tell(models.Incoming, caller=CALLER, callee=CALLEE, sdp="")
    await guest.do("tts", text="hello")
    guest.session.finish("system", "again")
    guest.check_end()
