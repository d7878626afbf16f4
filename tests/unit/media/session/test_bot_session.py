"""Commands that are wrong, the one transition place, and the end of a session."""

import pytest

from control.api import models
from media.api import commands
from media.api.gate import Arrival
from media.session.session import Session
from media.session.state import STEPS, Parting, State
from tests.support.sessions import LEG, NOT_CONNECTED, House, Mailbox, idle


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "a list"),
        ("{}", '"command" is missing'),
        ('{"command": "sing"}', 'unknown command "sing"'),
        ('{"command": 7}', "must be text"),
        ('{"command": "tts"}', '"text" is missing'),
        ('{"command": "tts", "text": 5}', '"text" must be text'),
        ('{"command": "reject", "reason": "no", "code": 200}', "400 to 699"),
        ('{"command": "tts", "text": "\\ud800"}', "not JSON"),
    ],
)
async def test_a_malformed_command_is_answered_and_the_call_goes_on(
    house: House, text: str, said: str
) -> None:
    guest = house.guest()
    await guest.talk()
    guest.session.receive(text)
    error = guest.box.events[-1]
    assert (error["event"], error["sender"], error["code"], error["trackId"]) == (
        "error",
        "command",
        400,
        "s.1",
    )
    assert said in error["error"]
    assert guest.state is State.TALKING
    await guest.do("tts", text="one")
    await guest.hear("trackEnd")


async def test_unknown_fields_mean_nothing(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    await guest.do("tts", text="one", mood="merry", option={"hat": "red"})
    await guest.hear("trackEnd")
    assert "error" not in guest.box.names


async def test_a_command_that_is_too_long(house: House) -> None:
    guest = house.guest()
    guest.send("history", speaker="bot", text="x" * (1 << 20))
    assert guest.box.events[-1]["code"] == 413


async def test_wishes_that_cannot_be_had_are_told_after_the_answer(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("accept", option={"asr": {"provider": "unknown"}, "tts": {"provider": "unknown"}})
    assert "error" not in guest.box.names
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    answer = guest.box.names.index("answer")
    told = guest.box.events[answer + 1 :]
    assert [(event["sender"], event["code"]) for event in told] == [("tts", 501), ("asr", 501)]
    assert guest.state is State.TALKING


async def test_a_binary_frame_is_answered_and_the_call_goes_on(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    guest.session.receive_binary(bytes(640))
    error = guest.box.events[-1]
    assert (error["code"], guest.state) == (400, State.TALKING)
    assert "640 binary bytes" in error["error"]


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("invite", {"option": {"callee": "sip:x@192.0.2.1"}}),
        ("accept", {"option": {}}),
        ("ringing", {}),
        ("reject", {"reason": "no"}),
    ],
)
async def test_commands_at_the_wrong_moment_keep_the_call(
    house: House, command: str, fields: dict[str, object]
) -> None:
    guest = house.guest()
    await guest.talk()
    asked = len(house.control.requests)
    await guest.do(command, **fields)
    error = guest.box.events[-1]
    assert (error["event"], error["code"]) == ("error", 409)
    assert "talking" in error["error"]
    assert (guest.state, len(house.control.requests)) == (State.TALKING, asked)


async def test_a_refused_request_keeps_the_call(house: House) -> None:
    house.control.answers[models.Ring] = NOT_CONNECTED
    guest = house.guest()
    await guest.be_offered()
    await guest.do("ringing")
    assert (guest.box.events[-1]["code"], guest.state) == (503, State.OFFERED)


async def test_no_step_is_left_out(house: House) -> None:
    guest = house.guest()
    with pytest.raises(AssertionError, match="s.1: idle → talking"):
        guest.session.step(State.TALKING)
    assert all(State.ENDED in steps for state, steps in STEPS.items() if state is not State.ENDED)


async def test_a_worker_that_stops_says_that_the_bot_may_come_back(house: House) -> None:
    guest, waiting = house.guest(), house.guest("s.2")
    await guest.talk()
    await waiting.be_offered()
    for each in (guest, waiting):
        each.session.finish("system", "shutdown", Parting.RESTART)
        hangup = each.check_end(1012)
        assert (hangup["reason"], hangup["initiator"]) == ("shutdown", "system")
    await idle()
    assert house.control.requests[-2:] == [
        models.Hangup(leg=LEG, reason="shutdown"),
        models.Leave(session="s.2"),
    ]


async def test_a_socket_that_never_opened_leaves_nothing(house: House) -> None:
    box = Mailbox()
    session = Session(Arrival(session_id="s.9", track_id="t"), house.services, box, house)
    await session.disconnected()
    assert box.names == ["hangup"]
    assert box.closed == (1000, "the bot disconnected")


async def test_a_fault_of_ours_ends_the_call_and_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    guest = house.guest()
    await guest.talk()
    monkeypatch.setattr(commands.History, "carry_out", fail)
    guest.send("history", speaker="bot", text="x")
    await idle()
    error = next(event for event in guest.box.events if event["event"] == "error")
    assert (error["sender"], error["code"]) == ("server", 500)
    assert guest.check_end(1011)["reason"] == "failed"
    assert "ZeroDivisionError" in caplog.text
