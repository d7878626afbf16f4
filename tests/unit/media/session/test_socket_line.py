"""A call over the bot's own socket: PCM, G.711 and G.722 in binary frames, without control."""

import numpy as np
import pytest

from control.api import models
from control.sip.sdp import Direction
from media.api.calltype import CallType
from media.engine import g711
from media.session.lines.socket import EARLY_BYTES
from media.session.state import State
from tests.support.sessions import WORD, Guest, House, idle

FRAME_BYTES = {"pcm": 640, "pcmu": 160, "pcma": 160, "g722": 160}


def caller(house: House) -> Guest:
    """A bot at /call."""
    return house.guest(call_type=CallType.WEBSOCKET)


def tone(samples: int, rate: int, hertz: float = 500.0) -> bytes:
    """A sine, s16le."""
    wave = 8000 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)
    return bytes(np.rint(wave).astype("<i2").tobytes())


async def test_the_call_stands_at_once(house: House) -> None:
    guest = caller(house)
    await guest.do("invite", option={"caller": "me", "callee": "you", "extra": {"a": "b"}})
    assert guest.box.names == ["trackStart", "answer"]
    assert guest.box.last("answer")["sdp"] == ""
    assert guest.box.last("trackStart")["trackId"] == guest.session.id
    assert house.control.requests == []
    await guest.do("hangup", reason="done")
    hangup = guest.check_end()
    assert (hangup["reason"], hangup["extra"], hangup["to"]["source"]) == ("done", {"a": "b"}, "you")
    await idle()
    assert house.control.requests == []


@pytest.mark.parametrize("codec", ["pcm", "pcmu", "pcma", "g722", None, "OPUS"])
async def test_frames_go_out_while_something_plays(house: House, codec: str | None) -> None:
    guest = caller(house)
    await guest.do("invite", option={"codec": codec})
    house.tick(5)
    assert guest.box.audio == []
    await guest.do("tts", text="one two three")
    await guest.made()
    await guest.hear("trackEnd")
    size = FRAME_BYTES.get(codec or "pcm", 640)
    assert {len(frame) for frame in guest.box.audio} == {size}
    count = len(guest.box.audio)
    frame = 160 if codec in ("pcmu", "pcma") else 320
    assert count in (3 * WORD // frame, 3 * WORD // frame + 1)
    house.tick(10)
    assert len(guest.box.audio) == count


async def test_what_is_said_is_heard(house: House) -> None:
    guest = caller(house)
    await guest.do("invite", option={"subscribe": True, "vad": {"type": "webrtc"}})
    for start in range(0, 16000, 320):
        guest.session.receive_binary(tone(16000, 16000)[2 * start : 2 * start + 640])
        house.tick()
    slot = guest.session.slot
    assert slot is not None
    assert house.services.engine.stats(slot).received >= 49
    assert guest.box.audio == []  # subscribe is for calls whose audio goes another way


async def test_audio_before_the_invite_is_kept(house: House) -> None:
    guest = caller(house)
    guest.session.receive_binary(tone(3200, 16000))
    await guest.do("invite", option={})
    house.tick(12)
    slot = guest.session.slot
    assert slot is not None
    assert house.services.engine.stats(slot).received == 10
    assert "error" not in guest.box.names


@pytest.mark.parametrize("early", [True, False])
async def test_too_much_audio_is_told_once(house: House, early: bool) -> None:
    guest = caller(house)
    if not early:
        await guest.do("invite", option={})
    for _ in range(5):
        guest.session.receive_binary(bytes(EARLY_BYTES // 2))
    errors = guest.box.all("error")
    assert [(error["sender"], error["code"]) for error in errors] == [("media", 429)]
    assert guest.state is (State.IDLE if early else State.TALKING)


async def test_a_second_invite_is_refused_and_the_call_goes_on(house: House) -> None:
    guest = caller(house)
    await guest.do("invite", option={})
    await guest.do("invite", option={})
    assert guest.box.last("error")["code"] == 409
    assert guest.state is State.TALKING


async def test_without_a_slot_the_bot_may_try_again(house: House) -> None:
    guest = caller(house)
    engine = house.services.engine
    taken = [engine.allocate() for _ in range(engine.free)]
    await guest.do("invite", option={})
    assert (guest.box.last("error")["code"], guest.state) == (503, State.IDLE)
    for slot in taken:
        engine.release(slot)
    await guest.do("invite", option={})
    assert guest.state is State.TALKING


async def test_a_transfer_connects_through_us(house: House) -> None:
    guest = caller(house)
    await guest.do("invite", option={"codec": "pcmu"})
    await guest.do("refer", caller="sip:me@x", callee="sip:bob@x", options={"timeout": 7})
    asked = house.control.last(models.Invite)
    assert (asked.caller, asked.callee, asked.timeout) == ("sip:me@x", "sip:bob@x", 7)
    house.tick(3)
    assert guest.box.audio  # ringing tone
    leg = house.control.answers[models.Invite]
    assert isinstance(leg, models.Invited)
    guest.tell(models.Ringing, leg.leg)
    guest.tell(models.Answered, leg.leg, stream=house.stream(), sdp="v=0")
    house.tick(20)
    house.far.read()
    guest.box.audio.clear()
    silence = g711.encode(np.zeros((1, 160), np.int16), np.array([False]), np.empty((1, 160), np.uint8))
    for _ in range(30):
        house.far.send(b"\x00" * 160)
        guest.session.receive_binary(b"\x80" * 160)
        house.tick()
    to_target = [packet.payload for packet in house.far.read()]
    assert to_target[-1] == b"\x80" * 160
    assert guest.box.audio[-1] == b"\x00" * 160
    assert silence.tobytes() not in to_target[-10:]
    guest.tell(models.Ended, leg.leg, initiator="callee", reason="bye", code=200)
    assert guest.check_end()["reason"] == "refer"
    assert house.services.engine.used == 0


async def test_a_target_may_hold(house: House) -> None:
    guest = caller(house)
    await guest.do("invite", option={})
    await guest.do("refer", caller="", callee="sip:bob@x")
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    for direction in (Direction.RECVONLY, Direction.INACTIVE, Direction.SENDRECV, Direction.SENDRECV):
        guest.tell(models.MediaChanged, stream=house.stream(direction))
    told = [(event["onHold"], event["refer"], event["trackId"]) for event in guest.box.all("hold")]
    assert told == [(True, True, "server-side-track"), (False, True, "server-side-track")]


async def test_a_target_that_is_called_when_the_socket_closes(house: House) -> None:
    guest = caller(house)
    await guest.do("invite", option={})
    house.control.hold(models.Invite)
    await guest.do("refer", caller="a", callee="sip:bob@x")
    await guest.leave()
    assert house.control.last(models.Leave).session == guest.session.id
