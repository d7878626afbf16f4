"""``mute`` and ``unmute``: of what the caller says and of what is played."""

import pytest

from control.api import models
from media.engine import g711
from media.engine.arrays import FRAME
from tests.support.sessions import Guest, House

OURS = "server-side-track"
SILENCE = bytes([g711.SILENCE_ULAW]) * FRAME
VOICE = bytes([0x10]) * FRAME


async def caller(house: House) -> Guest:
    """A bot that talks to a caller."""
    guest = house.guest()
    await guest.talk()
    return guest


def spoken(house: House, guest: Guest) -> bool:
    """Let the caller speak for ten frames; whether the last of them can be heard."""
    assert guest.session.slot is not None
    for _ in range(10):
        house.far.send(VOICE)
        house.tick()
    return bool(house.services.engine.received(guest.session.slot).any())


def audible(house: House) -> bool:
    """Whether the next frame but one is more than silence: the next may be a ramp."""
    house.far.read()
    house.tick(2)
    return house.far.read()[-1].payload != SILENCE


async def test_a_muted_caller_is_silent_and_presses_no_keys(house: House) -> None:
    guest = await caller(house)
    assert spoken(house, guest)
    await guest.do("mute", trackId="s.1")
    assert not spoken(house, guest)
    house.far.press(1)
    house.tick()
    guest.tell(models.Digit, digit="1")
    assert "dtmf" not in guest.box.names
    await guest.do("unmute", trackId="s.1")
    assert spoken(house, guest)
    guest.tell(models.Digit, digit="2")
    assert [event["digit"] for event in guest.box.all("dtmf")] == ["2"]


async def test_a_muted_play_goes_on_in_silence(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two three four five six", playId="a")
    assert audible(house)
    await guest.do("mute", trackId=OURS)
    await guest.do("mute", trackId=OURS)
    assert not audible(house)
    assert spoken(house, guest)
    await guest.do("unmute", trackId=OURS)
    assert audible(house)
    assert (await guest.hear("trackEnd"))["duration"] == 600
    assert "error" not in guest.box.names


async def test_without_a_track_all_are_meant(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two three four five six")
    await guest.do("mute")
    assert not audible(house)
    assert not spoken(house, guest)
    await guest.do("unmute")
    assert audible(house)
    assert spoken(house, guest)


@pytest.mark.parametrize("how", ["end", "replace", "interrupt"])
async def test_the_next_play_is_heard(house: House, how: str) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a")
    await guest.do("mute")
    house.tick(2)
    if how == "end":
        await guest.hear("trackEnd")
    elif how == "interrupt":
        await guest.do("interrupt", fadeOutMs=100)
        assert not audible(house)
    await guest.do("tts", text="two", playId="b")
    assert audible(house)
    assert not spoken(house, guest), "the caller stays muted"


async def test_a_play_may_be_muted_before_anybody_hears_it(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("tts", text="one two", playId="a")
    await guest.do("mute", trackId=OURS)
    await guest.do("accept", option={})
    guest.tell(models.Answered, stream=house.stream(), sdp="")
    assert not audible(house)
    assert (await guest.hear("trackEnd"))["duration"] == 200


async def test_a_slot_that_was_muted_is_not_for_the_next_call(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one")
    await guest.do("mute")
    house.tick(2)
    slot = guest.session.slot
    await guest.do("hangup")
    for number in range(2, 9):
        other = house.guest(f"s.{number}")
        await other.talk()
        if other.session.slot == slot:
            break
        await other.do("hangup")
    assert other.session.slot == slot
    assert spoken(house, other)
    await other.do("tts", text="one")
    assert audible(house)


@pytest.mark.parametrize("command", ["mute", "unmute"])
async def test_an_unknown_track_is_an_error(house: House, command: str) -> None:
    guest = await caller(house)
    await guest.do(command, trackId="track-123")
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("command", 404)
    assert all(name in error["error"] for name in (command, "track-123", "s.1", OURS))


async def test_what_is_not_there_cannot_be_muted(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    for track, why in (("s.1", "not connected yet"), (OURS, "nothing is playing")):
        await guest.do("mute", trackId=track)
        error = guest.box.last("error")
        assert error["code"] == 409
        assert why in error["error"]


async def test_what_is_not_muted_can_be_unmuted_at_any_time_of_a_call(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    for fields in ({}, {"trackId": "s.1"}, {"trackId": OURS}):
        await guest.do("unmute", **fields)
    await guest.do("mute")
    assert "error" not in guest.box.names
