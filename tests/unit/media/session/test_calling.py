"""Calls that come in, and how sessions end, as a bot and control see them."""

import asyncio
import re
from pathlib import Path

import pytest

from control.api import models
from control.errors import LegError, LegErrorCode
from media.session.lines.sip import JOIN_SECONDS
from media.session.state import State
from tests.support import wav
from tests.support.farend import FarEnd
from tests.support.sessions import CALLEE, CALLER, LEG, NOT_CONNECTED, Guest, House, idle, stream

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def refusal(code: LegErrorCode, text: str = "refused") -> LegError:
    return LegError(code, text)


# Arriving


async def test_a_bot_that_names_a_route_waits_at_once(house: House) -> None:
    guest = house.guest(pool="sales")
    await idle()
    assert guest.state is State.WAITING
    assert house.control.requests == [models.Join(session="s.1", pool="sales")]


async def test_a_bot_without_route_waits_after_half_a_second(house: House) -> None:
    guest = house.guest()
    await idle()
    await house.clock.advance(JOIN_SECONDS * 0.9)
    assert (guest.state, house.control.requests) == (State.IDLE, [])
    await house.clock.advance(JOIN_SECONDS * 0.2)
    await idle()
    assert guest.state is State.WAITING
    assert house.control.requests == [models.Join(session="s.1", pool="default")]


async def test_a_bot_that_dials_first_never_waits(house: House) -> None:
    guest = house.guest()
    await guest.dial()
    await house.clock.advance(5)
    await idle()
    assert house.control.methods == ["leg.invite"]
    assert guest.state is State.DIALING


async def test_a_bot_that_waits_may_still_dial(house: House) -> None:
    guest = house.guest(pool="sales")
    await idle()
    await guest.dial()
    assert house.control.methods == ["pool.join", "pool.leave", "leg.invite"]


async def test_a_call_that_is_offered_while_the_bot_dials_is_left_to_another(house: House) -> None:
    guest = house.guest(pool="sales")
    await idle()
    house.control.hold(models.Leave)
    await guest.do("invite", option={"callee": CALLEE})
    guest.tell(models.Incoming, "other", caller=CALLER, callee=CALLEE, sdp="")
    guest.tell(models.Ended, "other", initiator="caller", reason="cancelled", code=487)
    house.control.release(models.Leave)
    await idle()
    assert guest.box.names == []
    assert (guest.state, guest.session.leg) == (State.DIALING, LEG)


async def test_a_bot_claims_the_call_it_was_told_of(house: House) -> None:
    house.control.answers[models.Claim] = models.Incoming(
        leg="d1", session="d1", caller=CALLER, callee=CALLEE, sdp="v=0", headers={"X-A": "1"}
    )
    guest = house.guest("d1", claims=True)
    await idle()
    assert house.control.requests == [models.Claim(session="d1", leg="d1")]
    incoming = guest.box.events[0]
    assert incoming | {"timestamp": 0} == {
        "event": "incoming",
        "trackId": "d1",
        "timestamp": 0,
        "caller": CALLER,
        "callee": CALLEE,
        "sdp": "v=0",
        "dialogId": "d1",
        "headers": {"X-A": "1"},
    }
    assert (guest.state, guest.session.leg) == (State.OFFERED, "d1")


async def test_an_id_of_no_call_is_just_a_name(house: House) -> None:
    guest = house.guest("mine", claims=True, pool="sales")
    await idle()
    assert house.control.methods == ["leg.claim", "pool.join"]
    assert (guest.state, guest.box.names) == (State.WAITING, [])


async def test_a_claim_that_is_refused_ends_the_session(house: House) -> None:
    house.control.answers[models.Claim] = refusal(LegErrorCode.CONFLICT, "another bot has taken this call")
    guest = house.guest("d1", claims=True, pool="sales")
    await idle()
    error = guest.box.events[0]
    assert (error["sender"], error["code"]) == ("sip", 409)
    assert guest.check_end()["reason"] == "failed"
    assert house.control.methods == ["leg.claim", "pool.leave"]


async def test_a_pool_that_cannot_be_joined_ends_the_session(house: House) -> None:
    house.control.answers[models.Join] = refusal(LegErrorCode.INTERNAL_ERROR)
    guest = house.guest(pool="sales")
    await idle()
    assert guest.box.names == ["error", "hangup"]
    assert guest.box.events[0]["code"] == 503
    guest.check_end()


async def test_a_bot_waits_on_while_control_is_away(house: House) -> None:
    house.control.answers[models.Join] = NOT_CONNECTED
    guest = house.guest(pool="sales")
    await idle()
    assert (guest.state, guest.box.names) == (State.WAITING, [])


# Incoming


async def test_a_call_from_offer_to_end(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    assert guest.box.names == ["incoming"]
    house.control.hold(models.Accept)
    await guest.do("accept", option={"extra": {"case": 7}})
    accept = house.control.last(models.Accept)
    engine = house.services.engine
    assert (accept.leg, accept.session) == (LEG, "s.1")
    assert (accept.endpoint.address, accept.endpoint.port) == (engine.address, engine.port)
    house.control.release(models.Accept)
    await idle()
    assert guest.box.names == ["incoming", "trackStart"]
    guest.tell(models.Answered, stream=house.stream(), sdp="our answer")
    assert guest.state is State.TALKING
    assert guest.box.names == ["incoming", "trackStart", "answer"]
    assert (guest.box.last("answer")["sdp"], guest.box.last("answer")["trackId"]) == ("our answer", "s.1")
    house.tick()
    ssrc = house.far.read()[0].ssrc
    guest.tell(models.Ended, initiator="caller", reason="caller", code=200)
    hangup = guest.check_end()
    assert guest.box.closed == (1000, "caller")
    end = guest.box.last("trackEnd")
    assert (end["trackId"], end["ssrc"]) == ("s.1", ssrc)
    assert end["duration"] == end["timestamp"] - guest.box.events[1]["timestamp"]
    assert (hangup["initiator"], hangup["reason"], hangup["trackId"]) == ("caller", "caller", "s.1")
    assert hangup["from"] == {"username": "alice", "realm": "192.0.2.1", "source": CALLER}
    assert hangup["to"]["username"] == "bot"
    assert hangup["extra"] == {"case": 7}
    times = [hangup[name] for name in ("startTime", "answerTime", "hangupTime")]
    assert all(ISO.fullmatch(time) for time in times)
    assert times == sorted(times)
    assert "ringingTime" not in hangup
    await idle()
    assert house.control.methods == ["pool.join", "leg.accept"]


async def test_a_caller_that_leaves_the_offer_to_us_has_media_from_its_ack_on(house: House) -> None:
    house.control.answers[models.Accept] = models.Media(sdp="our offer")
    guest = house.guest()
    await guest.answering()
    assert guest.box.names == ["incoming"]
    guest.tell(models.Answered, stream=house.stream(), sdp="our offer")
    assert guest.box.names == ["incoming", "trackStart", "answer"]


async def test_plain_ringing_takes_no_slot(house: House) -> None:
    house.control.answers[models.Ring] = models.Media()
    guest = house.guest()
    await guest.be_offered()
    await guest.do("ringing")
    assert house.control.last(models.Ring) == models.Ring(leg=LEG, session="s.1")
    assert (guest.state, house.services.engine.used) == (State.OFFERED, 0)
    await guest.do("hangup", reason="no time")
    assert ISO.fullmatch(guest.check_end()["ringingTime"])


async def test_a_ringtone_is_early_media_and_stops_at_accept(house: House, tmp_path: Path) -> None:
    wav.write(tmp_path / "ring.wav", wav.tone(440, 1))
    guest = house.guest()
    await guest.be_offered()
    await guest.do("ringing", ringtone="ring.wav")
    assert house.control.last(models.Ring).endpoint is not None
    await guest.made()
    assert (await guest.hear("trackStart"))["playId"] == "ring.wav"
    house.tick(4)
    ringing = guest.session.call.ringing
    await guest.do("accept", option={})
    house.tick()
    assert guest.box.last("interruption")["current"] == guest.box.last("trackEnd")["duration"]
    assert guest.box.names[-2:] == ["interruption", "trackEnd"]
    guest.tell(models.Answered, stream=house.stream(), sdp="")
    assert guest.box.names.count("trackStart") == 2
    assert guest.session.call.ringing == ringing


async def test_what_the_bot_says_early_is_not_cut_by_accept(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("tts", text="one two three")
    assert "trackStart" not in guest.box.names
    await guest.do("ringing", earlyMedia=True)
    await guest.hear("trackStart", 5)
    await guest.do("accept", option={})
    assert "interruption" not in guest.box.names
    guest.tell(models.Answered, stream=house.stream(), sdp="")
    assert (await guest.hear("trackEnd"))["duration"] == 300


async def test_what_is_said_before_the_answer_is_heard_after_it(house: House) -> None:
    guest = house.guest()
    await guest.answering()
    await guest.do("tts", text="hello")
    house.tick(10)
    assert guest.box.names == ["incoming", "trackStart"]
    guest.tell(models.Answered, stream=house.stream(), sdp="")
    await guest.hear("trackEnd")
    assert guest.box.names == ["incoming", "trackStart", "answer", "trackStart", "trackEnd"]


@pytest.mark.parametrize(("given", "code"), [({}, 603), ({"code": 486}, 486)])
async def test_reject(house: House, given: dict[str, int], code: int) -> None:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("reject", reason="not today", **given)
    assert house.control.last(models.Reject) == models.Reject(
        leg=LEG, session="s.1", code=code, reason="not today"
    )
    hangup = guest.check_end()
    assert (hangup["reason"], hangup["initiator"]) == ("rejected", "callee")
    assert house.control.methods == ["pool.join", "leg.reject"]


async def test_a_reject_that_control_refuses_keeps_the_call(house: House) -> None:
    house.control.answers[models.Reject] = NOT_CONNECTED
    guest = house.guest()
    await guest.be_offered()
    await guest.do("reject", reason="not today")
    error = guest.box.events[-1]
    assert (error["event"], error["sender"], error["code"]) == ("error", "command", 503)
    assert guest.state is State.OFFERED


async def test_a_second_accept_is_refused_and_changes_nothing(house: House) -> None:
    guest = house.guest()
    await guest.answering()
    await guest.do("accept", option={})
    assert guest.box.events[-1]["code"] == 409
    assert "answering" in guest.box.events[-1]["error"]
    guest.tell(models.Answered, stream=house.stream(), sdp="")
    await guest.do("accept", option={})
    assert guest.box.events[-1]["code"] == 409
    assert guest.state is State.TALKING
    assert house.control.methods.count("leg.accept") == 1


@pytest.mark.parametrize("code", [LegErrorCode.NO_SUCH_LEG, LegErrorCode.NOT_CONNECTED])
async def test_a_call_that_cannot_be_accepted_is_over(house: House, code: LegErrorCode) -> None:
    house.control.answers[models.Accept] = refusal(code)
    guest = house.guest()
    await guest.answering()
    assert guest.box.names == ["incoming", "error", "hangup"]
    assert guest.box.events[1]["code"] == (404 if code > 0 else 503)
    guest.check_end()
    assert isinstance(house.control.last(models.Leave), models.Leave)


async def test_the_caller_gives_up_while_the_bot_accepts(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    house.control.hold(models.Accept)
    await guest.do("accept", option={})
    guest.tell(models.Ended, initiator="caller", reason="cancelled", code=487)
    other = house.guest("s.2")
    assert other.session.caller.endpoint()
    house.control.release(models.Accept)
    await idle()
    assert guest.box.names == ["incoming", "hangup"]
    house.tick()
    assert house.far.read() == [], "the slot of another call was connected"


async def test_a_second_offer_is_ignored(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    guest.tell(models.Incoming, "leg-2", caller=CALLER, callee=CALLEE, sdp="")
    assert (guest.box.names, guest.session.leg) == (["incoming"], LEG)


# A full engine


@pytest.mark.parametrize("command", ["accept", "ringing", "invite"])
async def test_without_a_slot_the_command_fails_and_the_bot_may_try_again(house: House, command: str) -> None:
    full = [house.guest(f"full.{n}") for n in range(house.services.engine.capacity)]
    for each in full:
        each.session.caller.endpoint()
    guest = house.guest()
    if command == "invite":
        await guest.wait_in_pool()
    else:
        await guest.be_offered()
    state, asked = guest.state, len(house.control.requests)
    fields: dict[str, dict[str, object]] = {
        "ringing": {"earlyMedia": True},
        "invite": {"option": {"callee": CALLEE}},
        "accept": {"option": {}},
    }
    await guest.do(command, **fields[command])
    error = guest.box.events[-1]
    assert (error["event"], error["code"]) == ("error", 503)
    assert "media.slots" in error["error"]
    assert (guest.state, len(house.control.requests)) == (state, asked)
    await full[0].leave()
    await guest.do(command, **fields[command])
    assert guest.box.names.count("error") == 1


# The bot goes


@pytest.mark.parametrize("where", ["idle", "waiting", "offered", "answering", "dialing", "talking"])
async def test_what_control_is_told_when_the_bot_disconnects(house: House, where: str) -> None:
    guest = house.guest()
    reach = {
        "idle": idle,
        "waiting": guest.wait_in_pool,
        "offered": guest.be_offered,
        "answering": guest.answering,
        "dialing": guest.dial,
        "talking": guest.talk,
    }
    await reach[where]()
    await guest.leave()
    told = house.control.requests[-1]
    if where in ("dialing", "talking"):
        assert told == models.Hangup(leg=LEG, reason="the bot disconnected")
    else:
        assert told == models.Leave(session="s.1")
    hangup = guest.check_end()
    assert (hangup["reason"], hangup["initiator"]) == ("the bot disconnected", "system")
    assert len(house.over) == 1


@pytest.mark.parametrize("where", ["waiting", "offered", "answering", "talking"])
async def test_what_control_is_told_when_the_bot_hangs_up(house: House, where: str) -> None:
    guest = house.guest()
    reach = {
        "waiting": guest.wait_in_pool,
        "offered": guest.be_offered,
        "answering": guest.answering,
        "talking": guest.talk,
    }
    await reach[where]()
    await guest.do("hangup", reason="bye")
    told = house.control.requests[-1]
    match where:
        case "waiting":
            assert told == models.Leave(session="s.1")
        case "offered":
            assert told == models.Reject(leg=LEG, session="s.1", reason="bye")
        case _:
            assert told == models.Hangup(leg=LEG, reason="bye")
    assert guest.check_end()["reason"] == "bye"


async def test_control_that_is_away_need_not_be_told(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    house.control.answers[models.Hangup] = NOT_CONNECTED
    await guest.leave()
    guest.check_end()


async def test_two_calls_at_once_do_not_meet(house: House) -> None:
    first, second = house.guest(), house.guest("s.2")
    with FarEnd(house.services.engine.port) as far:
        await first.talk()
        house.control.answers[models.Accept] = models.Media(stream=stream(far))
        await second.be_offered()
        await second.do("accept", option={})
        second.tell(models.Answered, stream=stream(far), sdp="")
        far.press(3)
        house.tick()
        assert ("dtmf" in first.box.names, "dtmf" in second.box.names) == (False, True)
        await first.do("hangup")
        house.tick()
        assert second.state is State.TALKING
        assert len(far.read()) == 2


async def test_a_bot_that_leaves_within_the_first_half_second(house: House) -> None:
    guest: Guest = house.guest()
    await asyncio.sleep(0)
    await guest.leave()
    assert guest.box.names == ["hangup"]
