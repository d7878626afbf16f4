"""Speech is recognised in every kind of call; a provider that is not there is told with 501, and the call goes on."""

import json
from typing import Any

import pytest
from pydantic.alias_generators import to_snake

from control.api import models
from media.api import commands
from media.api.calltype import CallType
from media.api.options import AmdOption, InterruptOption
from media.commands.invite import Invite
from media.engine import reports
from media.session.state import State
from tests.support import contract
from tests.support.contract import OBJECTS
from tests.support.sessions import TARGET, Guest, House, idle

UNKNOWN: dict[str, dict[str, Any]] = {"asr": {"provider": "unknown"}, "eou": {"type": "unknown"}}


async def talking(house: House, kind: CallType, **option: Any) -> Guest:
    """A call of this kind, with these options."""
    guest = house.guest(call_type=kind)
    await guest.do("invite", option={"callee": "sip:bob@example.com", "offer": "v=0", **option})
    if kind is CallType.SIP:
        guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    assert guest.state is State.TALKING
    return guest


@pytest.mark.parametrize("kind", CallType)
async def test_what_the_caller_says_comes_as_text(house: House, kind: CallType) -> None:
    guest = await talking(house, kind, asr=OBJECTS["CallOption"]["asr"])
    work = house.tts.heard[-1]
    work.say("He", final=False)
    work.say("Hello")
    for name, text in (("asrDelta", "He"), ("asrFinal", "Hello")):
        event = guest.box.last(name)
        assert contract.faults(event) == []
        assert (event["trackId"], event["text"]) == (guest.session.id, text)
    keys = {metrics["key"] for metrics in guest.box.metrics}
    assert {"ttfb.asr.fake", "completed.asr.fake"} <= keys


async def test_the_option_goes_to_the_provider_as_it_is(house: House) -> None:
    whole = OBJECTS["CallOption"]["asr"] | {
        "endpoint": "https://asr.example.com",
        "appId": "1",
        "language": "en-US",
        "samplerate": 16_000,
        "fallback": "other",
        "extra": {"a": 1},
        "grammar": ["yes", "no"],
        "gate": False,
    }
    await talking(house, CallType.WEBSOCKET, asr=whole)
    given = house.tts.heard[-1].option.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert given == {("model" if key == "modelType" else key): value for key, value in whole.items()}


@pytest.mark.parametrize("kind", CallType)
async def test_the_end_of_a_turn_is_told(house: House, kind: CallType) -> None:
    guest = await talking(house, kind, asr={"provider": "fake"}, eou={"type": "local", "timeout": 2000})
    slot = guest.session.slot
    assert slot is not None
    house.happen(reports.SpeechStarted(slot, ago=0))
    house.tts.heard[-1].say("Where is my parcel?")
    house.happen(reports.SpeechStopped(slot, silence=0, speech=16_000))
    assert guest.box.all("eou") == []
    await house.clock.advance(3)
    (eou,) = guest.box.all("eou")
    assert contract.faults(eou) == []
    assert (eou["trackId"], eou["completed"], eou["complete"]) == (guest.session.id, True, True)


@pytest.mark.parametrize("on", ["words:2", "dtmf", "none"])
async def test_the_server_interrupts_when_asked_to(house: House, on: str) -> None:
    guest = await talking(house, CallType.SIP, asr={"provider": "fake"}, interrupt=on)
    slot = guest.session.slot
    assert slot is not None
    await guest.do("tts", text="One two three four five six seven eight.")
    await guest.hear("trackStart")
    house.happen(reports.SpeechStarted(slot, ago=0))
    work = house.tts.heard[-1]
    work.say("no", final=False)
    assert guest.box.all("interruption") == []
    work.say("no thanks", final=False)
    assert bool(guest.box.all("interruption")) is (on == "words:2")
    house.happen(reports.DigitPressed(slot, "1"))
    assert bool(guest.box.all("interruption")) is (on != "none")


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("answerMachineDetection", True, AmdOption()),
        ("answerMachineDetection", False, None),
        (
            "answerMachineDetection",
            {"timeout": 3000, "beep": 0},
            AmdOption(timeout=3000, beep=0),
        ),
        ("interrupt", "words:3", InterruptOption(on="words:3")),
        ("interrupt", {"minimum": 300, "resume": 900}, InterruptOption(minimum=300, resume=900)),
    ],
)
def test_extensions_are_read(key: str, value: object, read: object) -> None:
    command = commands.parse(json.dumps({"command": "invite", "option": {key: value}}))
    assert isinstance(command, Invite)
    assert getattr(command.option, to_snake(key)) == read


@pytest.mark.parametrize("kind", CallType)
@pytest.mark.parametrize("name", UNKNOWN)
async def test_an_unknown_provider_is_answered_with_501(house: House, name: str, kind: CallType) -> None:
    guest = await talking(house, kind, **{name: UNKNOWN[name]})
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == (name, 501)
    assert guest.box.names.index("answer") < guest.box.names.index("error")
    assert guest.state is State.TALKING


async def test_an_unknown_provider_for_the_target_of_a_transfer_is_answered_with_501(house: House) -> None:
    house.control.answers[models.Invite] = models.Invited(leg=TARGET, caller="", callee="")
    guest = await talking(house, CallType.WEBSOCKET)
    options = OBJECTS["ReferOption"] | {"moh": "x", "asr": UNKNOWN["asr"]}
    await guest.do("refer", caller="", callee="sip:c@example.com", options=options)
    assert "error" not in guest.box.names or guest.box.last("error")["sender"] == "moh"
    guest.tell(models.Answered, TARGET, stream=house.stream(), sdp="v=0")
    await idle()
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("asr", 501)
    assert guest.box.last("answer")["refer"] is True
