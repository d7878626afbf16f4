"""``refer``: the caller hears music, then the target; in the end it is hung up or back with the bot."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import soundfile

from control.api import models
from control.errors import LegError, LegErrorCode
from control.rtpengine.media import Stream
from control.sip.sdp import Direction
from media.api.calltype import CallType
from media.engine import g711
from media.engine.arrays import Pcm
from media.session.state import State
from tests.support.farend import FarEnd
from tests.support.sessions import LEG, TARGET, Guest, House, idle, stream

BOB = "sip:bob@192.0.2.9"


@dataclass
class Scene:
    """A caller, a bot, and a target with a far end of its own."""

    house: House
    guest: Guest
    target: FarEnd

    async def refer(self, **options: Any) -> None:
        """The bot transfers the caller to BOB."""
        await self.guest.do("refer", caller="", callee=BOB, options=options)

    async def loaded(self) -> None:
        """Wait until the music is there, or cannot be had."""
        transfer = self.guest.session.transfer
        assert transfer is not None
        assert transfer._music._loading is not None
        await asyncio.wait([transfer._music._loading])

    def of_target(self, direction: Direction = Direction.RECVONLY) -> Stream:
        """The tap of the target."""
        return stream(self.target, direction)

    def tell(self, kind: type[models.Notice], **fields: Any) -> None:
        """Control reports something of the target's leg."""
        self.guest.tell(kind, TARGET, **fields)

    def connect(self) -> None:
        """The target answers."""
        self.guest.tell(models.MediaChanged, stream=self.house.stream(Direction.RECVONLY))
        self.tell(models.Answered, stream=self.of_target(), sdp="v=0 bob")

    def back(self) -> None:
        """The caller's media is ours again."""
        self.guest.tell(models.MediaChanged, stream=self.house.stream())

    def heard(self, ticks: int) -> Pcm:
        """What the caller gets to hear in so many ticks, int16 (samples,)."""
        self.house.far.read()
        self.house.tick(ticks)
        code = b"".join(packet.payload for packet in self.house.far.read())
        payload = np.frombuffer(code, np.uint8).reshape(1, -1)
        pcm: Pcm = g711.decode(payload, np.array([False]), np.empty(payload.shape, np.int16))[0]
        return pcm


@pytest_asyncio.fixture(name="scene", params=[CallType.SIP, CallType.WEBRTC])
async def _scene(house: House, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    guest = house.guest(call_type=request.param)
    if request.param is CallType.SIP:
        await guest.talk()
    else:
        await guest.do("invite", option={"offer": "v=0"})
    with FarEnd(house.services.engine.port) as target:
        yield Scene(house, guest, target)


async def test_the_target_is_called_for_the_caller(scene: Scene) -> None:
    await scene.refer(timeout=12, sip={"username": "u", "password": "p", "headers": {"X-A": "1"}})
    asked = scene.house.control.last(models.Refer)
    assert (asked.leg, asked.callee, asked.timeout, asked.early_media) == (LEG, BOB, 12, True)
    assert (asked.username, asked.password, asked.headers) == ("u", "p", {"X-A": "1"})
    await scene.guest.do("refer", caller="x", callee="y")
    assert scene.guest.box.last("error")["code"] == 409
    assert "transfer is under way" in scene.guest.box.last("error")["error"]


async def test_ringing_tone_until_there_is_music(scene: Scene, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "moh.wav", np.full(4000, 5000, np.int16), 8000)
    await scene.refer(moh="moh.wav")
    assert not scene.house.control.last(models.Refer).early_media
    await scene.loaded()
    music = scene.heard(60)  # longer than the file: it begins again
    assert np.abs(music[3200:] - 5000).max() < 200


async def test_without_music_the_caller_hears_that_it_rings(scene: Scene) -> None:
    await scene.refer()
    tone = scene.heard(40)[1600:]
    assert np.argmax(np.abs(np.fft.rfft(tone))) * 8000 / len(tone) == pytest.approx(425, abs=5)


async def test_music_that_cannot_be_had(scene: Scene) -> None:
    await scene.refer(moh="nowhere.wav")
    await scene.loaded()
    error = scene.guest.box.last("error")
    assert (error["sender"], error["trackId"]) == ("moh", "server-side-track")
    assert scene.heard(10).any()
    assert scene.guest.session.transfer is not None


async def test_from_ringing_to_the_targets_end(scene: Scene) -> None:
    await scene.refer(moh=None)
    scene.tell(models.Ringing)
    scene.connect()
    assert not scene.heard(3).any()  # we send no more
    target = [event for event in scene.guest.box.events if event.get("trackId") == "server-side-track"]
    assert [event["event"] for event in target] == ["ringing", "trackStart", "answer"]
    assert target[0] | {"earlyMedia": False, "refer": True} == target[0]
    assert target[2] | {"sdp": "v=0 bob", "refer": True} == target[2]
    scene.back()
    scene.tell(models.Ended, initiator="callee", reason="bye", code=200)
    assert scene.guest.box.names[-4:] == ["trackEnd", "hangup", "trackEnd", "hangup"]
    first, last = scene.guest.box.all("hangup")
    assert (first["refer"], first["trackId"], first["reason"]) == (True, "server-side-track", "bye")
    assert first["to"]["username"] == "bob"
    assert ("refer" in last, last["reason"]) == (False, "refer")
    assert scene.house.services.engine.used == 0


async def test_the_caller_is_back_with_the_bot(scene: Scene) -> None:
    engine, slot = scene.house.services.engine, scene.guest.session.slot
    assert slot is not None
    before = engine.ssrc(slot)
    await scene.refer(autoHangup=False)
    scene.connect()
    scene.back()
    scene.tell(models.Ended, initiator="callee", reason="bye", code=200)
    assert scene.guest.box.names[-1] == "hangup"
    assert scene.guest.state is State.TALKING
    assert engine.ssrc(slot) != before  # the caller has heard another source meanwhile
    assert engine.used == 1
    await scene.guest.do("tts", text="one two")
    await scene.guest.made()
    await scene.guest.hear("trackEnd")
    await scene.refer()  # and may be transferred again
    assert scene.guest.session.transfer is not None


@pytest.mark.parametrize(("code", "reason"), [(486, "Busy Here"), (408, "Timeout when refer")])
async def test_a_target_that_does_not_answer(scene: Scene, code: int, reason: str) -> None:
    await scene.refer()
    scene.tell(models.Ringing)
    scene.tell(models.Rejected, code=code, reason=reason)
    scene.tell(models.Ended, initiator="callee", reason=reason, code=code)
    reject = scene.guest.box.last("reject")
    assert reject | {"code": code, "reason": reason, "refer": True} == reject
    assert scene.guest.box.names[-1] == "reject"
    assert scene.guest.state is State.TALKING
    assert scene.house.services.engine.used == 1
    assert not scene.heard(10)[480:].any()  # the tone has ended


async def test_control_refuses(scene: Scene) -> None:
    scene.house.control.answers[models.Refer] = LegError(LegErrorCode.FORBIDDEN, "may not be dialled")
    await scene.refer()
    reject = scene.guest.box.last("reject")
    assert (reject["reason"], reject["refer"]) == ("may not be dialled", True)
    assert scene.guest.session.transfer is None


async def test_early_media(scene: Scene) -> None:
    await scene.refer()
    scene.guest.tell(models.MediaChanged, stream=scene.house.stream(Direction.RECVONLY))
    scene.tell(models.Ringing, stream=scene.of_target())
    assert scene.guest.box.last("ringing")["earlyMedia"]
    assert not scene.heard(3).any()
    scene.tell(models.Answered, stream=scene.of_target(), sdp="v=0")
    assert scene.guest.box.names.count("trackStart") == 2  # the caller's, and one of the target
    scene.back()
    scene.tell(models.Ended, initiator="callee", reason="bye", code=200)


async def test_keys_of_both(scene: Scene) -> None:
    await scene.refer()
    scene.connect()
    scene.target.press(5)
    scene.house.far.press(7)
    scene.house.tick()
    scene.tell(models.Digit, digit="9")
    keys = [(event["digit"], event.get("refer"), event["trackId"]) for event in scene.guest.box.all("dtmf")]
    assert set(keys) == {
        ("5", True, "server-side-track"),
        ("9", True, "server-side-track"),
        ("7", None, scene.guest.session.id),
    }


@pytest.mark.parametrize("command", ["tts", "play", "dtmf", "mute"])
async def test_what_the_caller_cannot_hear_is_refused(scene: Scene, command: str) -> None:
    await scene.refer()
    scene.connect()
    await scene.guest.do(command, text="hello", url="a.wav", digits="1")
    error = scene.guest.box.last("error")
    assert error["code"] == 409
    assert "refer" in error["error"]


@pytest.mark.parametrize("connected", [False, True])
async def test_the_bot_takes_the_caller_back(scene: Scene, connected: bool) -> None:
    await scene.refer()
    if connected:
        scene.connect()
    await scene.guest.do("hangup", refer=True, reason="enough", headers={"X-Why": "1"})
    hangup = scene.house.control.last(models.Hangup)
    assert (hangup.leg, hangup.headers) == (TARGET, {"X-Why": "1"})
    assert scene.guest.session.transfer is None
    if connected:
        # autoHangup is for targets who hang up
        assert scene.guest.box.names[-2:] == ["trackEnd", "hangup"]
        assert scene.guest.box.last("hangup")["refer"]
    else:
        assert scene.guest.box.last("reject")["code"] == 487
    assert scene.guest.state is State.TALKING


async def test_there_is_nothing_to_take_back(scene: Scene) -> None:
    await scene.guest.do("hangup", refer=True)
    assert scene.guest.box.last("error")["code"] == 409
    assert scene.guest.state is State.TALKING


@pytest.mark.parametrize("connected", [False, True])
async def test_the_caller_hangs_up(scene: Scene, connected: bool) -> None:
    await scene.refer()
    if connected:
        scene.connect()
    scene.guest.tell(models.Ended, initiator="caller", reason="bye", code=200)
    await idle()
    assert scene.house.control.last(models.Hangup).leg == TARGET
    scene.guest.check_end() if not connected else None
    assert scene.house.services.engine.used == 0


async def test_the_caller_hangs_up_first(scene: Scene) -> None:
    await scene.refer()
    scene.connect()
    scene.guest.tell(models.Ended, initiator="caller", reason="BYE", code=200)
    scene.tell(models.Ended, initiator="system", reason="the other party has hung up", code=200)
    ends = [event for event in scene.guest.box.events if event["event"] == "hangup"]
    assert [(end.get("refer"), end["initiator"], end["reason"]) for end in ends] == [
        (True, "system", "the call has ended"),
        (None, "caller", "BYE"),
    ]


async def test_the_caller_hangs_up_while_the_target_rings(scene: Scene) -> None:
    await scene.refer()
    scene.guest.tell(models.Ended, initiator="caller", reason="BYE", code=200)
    scene.tell(models.Ended, initiator="system", reason="the other party has hung up", code=200)
    assert scene.guest.box.last("reject")["code"] == 487
    scene.guest.check_end()
    assert scene.guest.box.last("hangup")["reason"] == "BYE"


async def test_hanging_up_before_control_has_answered(scene: Scene) -> None:
    scene.house.control.hold(models.Refer)
    await scene.refer()
    scene.guest.send("hangup", refer=True)
    assert scene.guest.session.transfer is None
    scene.house.control.release(models.Refer)
    await idle()
    assert scene.house.control.last(models.Hangup).leg == TARGET
    assert scene.guest.state is State.TALKING


async def test_the_session_ends_before_control_has_answered(scene: Scene) -> None:
    scene.house.control.hold(models.Refer)
    await scene.refer()
    scene.guest.send("hangup")
    scene.guest.check_end()
    assert (scene.guest.box.last("reject")["code"], scene.guest.box.last("reject")["refer"]) == (487, True)
    await idle()
    assert models.Leave.method in scene.house.control.methods
    assert scene.house.services.engine.used == 0


async def test_interrupt_ends_the_music(scene: Scene) -> None:
    await scene.refer()
    assert scene.heard(3).any()
    scene.guest.send("interrupt")
    assert not scene.heard(5)[320:].any()
    assert scene.guest.session.transfer is not None


async def test_control_was_restarted(scene: Scene) -> None:
    await scene.refer()
    assert scene.guest.session.legs == [LEG, TARGET]
    scene.guest.session.lost(TARGET)
    assert scene.guest.box.last("reject")["code"] == 503
    scene.guest.session.lost(LEG)
    assert scene.guest.check_end()["reason"] == "control was restarted"


async def test_a_stream_that_cannot_be_used(scene: Scene) -> None:
    await scene.refer()
    scene.guest.tell(models.MediaChanged, stream=scene.house.stream(Direction.RECVONLY))
    scene.tell(models.Answered, stream=stream(scene.target, codec="g729"), sdp="v=0")
    await idle()
    assert scene.guest.box.last("error")["sender"] == "refer"
    assert scene.house.control.last(models.Hangup).leg == TARGET
    assert scene.guest.state is State.TALKING


async def test_a_transfer_needs_a_call(house: House) -> None:
    guest = house.guest()
    await guest.do("refer", caller="a", callee=BOB)
    assert guest.box.last("error")["code"] == 409


async def test_a_transfer_needs_a_slot(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    engine = house.services.engine
    taken = [engine.allocate() for _ in range(engine.free)]
    await guest.do("refer", caller="a", callee=BOB)
    assert guest.box.last("error")["code"] == 503
    for slot in taken:
        engine.release(slot)


async def test_early_media_of_the_target_takes_the_place_of_what_is_said(scene: Scene) -> None:
    await scene.refer()
    await scene.guest.do("tts", text="one two three")
    await scene.guest.made()
    await scene.guest.hear("trackStart")
    scene.tell(models.Ringing, stream=scene.of_target())
    assert scene.guest.box.names[-5:] == ["trackStart", "interruption", "trackEnd", "trackStart", "ringing"]
    await scene.guest.do("tts", text="nobody would hear this")
    assert scene.guest.box.last("error")["code"] == 409
    scene.tell(models.Rejected, code=486, reason="Busy Here")
    assert scene.guest.box.names[-2:] == ["reject", "trackEnd"]
    await scene.guest.do("tts", text="one")
    await scene.guest.hear("trackEnd")
