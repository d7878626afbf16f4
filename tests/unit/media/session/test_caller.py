"""What a bot asks for about the caller's audio: hold, silence of the line, the audio itself."""

import asyncio

import numpy as np

from control.api import models
from control.sip.sdp import Direction
from media.engine import g711
from media.engine.arrays import RATE
from tests.support.sessions import LEG, Guest, House, idle


async def talk(guest: Guest, **option: object) -> None:
    """Take an incoming call with `option`."""
    await guest.be_offered()
    await guest.do("accept", option=option)
    guest.tell(models.Answered, stream=guest.house.stream(), sdp="v=0")


def tone(frames: int, hertz: float = 440.0) -> list[bytes]:
    """Payloads of 20 ms of PCMU."""
    wave = 8000 * np.sin(2 * np.pi * hertz * np.arange(frames * 160) / RATE)
    pcm = np.rint(wave).astype(np.int16).reshape(frames, 160)
    return [g711.encode(row[None], np.array([False]), np.empty((1, 160), np.uint8)).tobytes() for row in pcm]


async def test_hold_and_back(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    assert "hold" not in guest.box.names
    for direction in (Direction.RECVONLY, Direction.INACTIVE, Direction.SENDRECV, Direction.SENDRECV):
        guest.tell(models.MediaChanged, stream=house.stream(direction))
    assert [event["onHold"] for event in guest.box.all("hold")] == [True, False]
    assert guest.box.last("hold")["trackId"] == guest.session.id


async def test_silence_of_the_line_ends_the_call(house: House) -> None:
    guest = house.guest()
    await talk(guest, inactivityTimeout=3)
    for _ in range(4):  # as long as something comes, it goes on
        house.far.send(bytes(160))
        house.tick()
        await house.clock.advance(1)
    for _ in range(3):
        assert "hangup" not in guest.box.names
        await house.clock.advance(1)
    assert guest.box.names[-3:] == ["inactivity", "trackEnd", "hangup"]
    assert guest.check_end()["reason"] == "inactivityTimeout"
    await idle()
    assert house.control.last(models.Hangup).leg == LEG


async def test_a_caller_who_holds_the_line_may_be_silent(house: House) -> None:
    guest = house.guest()
    await talk(guest, inactivityTimeout=2)
    guest.tell(models.MediaChanged, stream=house.stream(Direction.INACTIVE))
    for _ in range(5):
        await house.clock.advance(1)
    assert "inactivity" not in guest.box.names
    guest.tell(models.MediaChanged, stream=house.stream())
    for _ in range(4):
        await house.clock.advance(1)
    assert guest.check_end()["reason"] == "inactivityTimeout"


async def test_without_the_option_silence_changes_nothing(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    await house.clock.advance(3600)
    assert "hangup" not in guest.box.names


async def test_subscribe_sends_both_sides(house: House) -> None:
    guest = house.guest()
    await talk(guest, subscribe=True)
    payloads = tone(40)
    for payload in payloads:
        house.far.send(payload)
        house.tick()
    sides = {header: b"".join(f[1:] for f in guest.box.audio if f[0] == header) for header in (0, 1)}
    assert all(len(frame) == 641 for frame in guest.box.audio)
    heard = np.frombuffer(sides[1], "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(heard[-8000:]))
    assert abs(np.argmax(spectrum) * 2 - 440) <= 4  # 16 kHz
    assert not np.frombuffer(sides[0], "<i2").any()
    assert len(sides[0]) == len(sides[1])
    count = len(guest.box.audio)
    await guest.leave()
    house.tick(3)
    assert len(guest.box.audio) in (count, count + 2)  # what the filter held back


async def test_nothing_is_sent_that_was_not_subscribed_to(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    house.far.send(bytes(160))
    house.tick(3)
    await idle()
    assert guest.box.audio == []


async def test_a_recorder_asked_for_while_ringing_holds_for_the_call(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("ringing", recorder=True)
    await guest.do("accept", option={})
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    file = guest.session.caller.recording.file
    assert file is not None
    await guest.leave()
    await asyncio.sleep(0)
