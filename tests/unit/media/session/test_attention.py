"""What the caller's voice, words, keys and tones set off in a session, as a bot asks for it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from control.api import models
from media.engine import reports
from media.session import clock
from tests.support.sessions import CALLEE, FakeRecognition, Guest, House, house, idle

SECOND = 8000
"""Samples: the engine counts voice at 8 kHz."""


@pytest_asyncio.fixture(name="house")
async def _house(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as place:
        yield place


async def talking(house: House, **option: Any) -> Guest:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("accept", option=option)
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    return guest


def slot(guest: Guest) -> int:
    assert guest.session.slot is not None
    return guest.session.slot


def speak(house: House, guest: Guest, seconds: float = 1.0) -> None:
    """The caller says something, and is silent."""
    house.happen(reports.SpeechStarted(slot(guest), ago=0))
    house.happen(reports.SpeechStopped(slot(guest), silence=800, speech=round(seconds * SECOND)))


def recogniser(house: House, provider: str) -> FakeRecognition:
    return next(work for work in house.tts.heard if work.option.provider == provider)


async def test_a_turn_ends(house: House) -> None:
    guest = await talking(house, asr={"provider": "fake"}, eou={})
    speak(house, guest)
    recogniser(house, "fake").say("Yes.")
    await house.clock.advance(3)
    await idle()
    eou = guest.box.last("eou")
    assert eou["completed"] is True
    assert eou["complete"] is True
    assert eou["trackId"] == guest.session.id
    assert "speaking" not in guest.box.names


async def test_a_detector_that_is_not_there(house: House) -> None:
    guest = await talking(house, eou={"type": "tencent"})
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("eou", 501)
    speak(house, guest)
    await house.clock.advance(5)
    await idle()
    assert "eou" in guest.box.names


async def test_voice_interrupts_for_a_bot_that_asks_for_it(house: House) -> None:
    guest = await talking(house, interrupt="speech")
    await guest.do("tts", text="one two three four five six seven eight nine ten")
    await guest.hear("trackStart")
    house.happen(reports.SpeechStarted(slot(guest), ago=0))
    await house.clock.advance(0.3)
    await idle()
    assert guest.box.last("interruption")["current"] >= 0


async def test_words_interrupt(house: House) -> None:
    guest = await talking(house, interrupt="words:2", asr={"provider": "fake"})
    await guest.do("tts", text="one two three four five six seven eight nine ten")
    await guest.hear("trackStart")
    house.happen(reports.SpeechStarted(slot(guest), ago=0))
    await house.clock.advance(0.5)
    work = recogniser(house, "fake")
    work.say("well", final=False)
    await idle()
    assert "interruption" not in guest.box.names
    work.say("well no", final=False)
    await idle()
    assert "interruption" in guest.box.names


async def test_words_without_a_recogniser(house: House) -> None:
    guest = await talking(house, interrupt="words:2")
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("interrupt", 409)


async def test_a_key_interrupts(house: House) -> None:
    guest = await talking(house, interrupt="dtmf")
    await guest.do("tts", text="one two three four five six seven eight nine ten")
    await guest.hear("trackStart")
    house.happen(reports.DigitPressed(slot(guest), digit="5"))
    assert guest.box.names.index("dtmf") < guest.box.names.index("interruption")


async def test_a_false_start_is_resumed(house: House) -> None:
    guest = await talking(house, interrupt={"on": "speech", "resume": 600}, asr={"provider": "fake"})
    await guest.do("tts", text="one two three four five six seven eight nine ten")
    await guest.hear("trackStart")
    house.tick(5)
    house.happen(reports.SpeechStarted(slot(guest), ago=SECOND // 4))
    await house.clock.advance(0.01)
    await idle()
    play = guest.session.player.current
    assert play is not None
    heard = play.played_ms
    house.tick(20)
    assert play.played_ms <= heard + 20
    house.happen(reports.SpeechStopped(slot(guest), silence=800, speech=1600))
    await house.clock.advance(1)
    await idle()
    await guest.hear("trackEnd")
    assert "interruption" not in guest.box.names


async def test_what_the_bot_pauses_stays_paused(house: House) -> None:
    guest = await talking(house, interrupt={"on": "speech", "resume": 600}, asr={"provider": "fake"})
    await guest.do("tts", text="one two three four five six seven eight nine ten")
    await guest.hear("trackStart")
    await guest.do("pause")
    speak(house, guest, 0.2)
    await house.clock.advance(2)
    await idle()
    house.tick(100)
    assert guest.box.names.count("trackEnd") == 0
    await guest.do("resume")
    await guest.hear("trackEnd")


async def test_who_answered(house: House) -> None:
    guest = house.guest()
    await guest.do(
        "invite",
        option={"callee": CALLEE, "asr": {"provider": "fake"}, "answerMachineDetection": True},
    )
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    tones = recogniser(house, "tones")
    house.happen(reports.SpeechStarted(slot(guest), ago=0))
    recogniser(house, "fake").say(
        "hello you have reached the miller family please leave a message after the tone", final=False
    )
    await house.clock.advance(4.1)
    await idle()
    verdict = guest.box.last("answerMachineDetection")
    assert verdict["result"] == "machine"
    assert 0.5 < verdict["confidence"] <= 1
    assert "leave a message" in verdict["text"]
    assert not tones.closed
    house.happen(reports.SpeechStopped(slot(guest), silence=800, speech=4 * SECOND))
    house.far.send(bytes(160))
    house.tick(2)
    position = len(tones.pcm) // 16
    tones.say("beep", start=position - 500, end=position)
    await idle()
    beep = guest.box.last("answerMachineDetection")
    assert beep["tone"] == "beep"
    assert beep["beepTime"] <= beep["timestamp"]
    assert tones.closed


async def test_a_human_answered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = 0

    def later() -> int:
        return clock.now_ms() + ahead

    monkeypatch.setattr("media.session.hearing.now_ms", later)
    monkeypatch.setattr("media.session.attention.now_ms", later)
    guest = house.guest()
    await guest.do("invite", option={"callee": CALLEE, "answerMachineDetection": {"timeout": 3000}})
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    house.happen(reports.SpeechStarted(slot(guest), ago=0))
    ahead = 700
    await house.clock.advance(0.7)
    house.happen(reports.SpeechStopped(slot(guest), silence=800, speech=round(0.6 * SECOND)))
    ahead = 3100
    await house.clock.advance(2.4)
    await idle()
    assert guest.box.last("answerMachineDetection")["result"] == "human"
    assert recogniser(house, "tones").closed


async def test_tones_that_cannot_be_heard_leave_voice_and_words(house: House) -> None:
    guest = house.guest()
    await guest.do("invite", option={"callee": CALLEE, "answerMachineDetection": True})
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    work = recogniser(house, "tones")
    work.hearer.trouble("tones: away", 503)
    work.hearer.lost("the speech process was lost")
    house.tts.heard[-1].hearer.failed("tones: broken", 500)
    house.far.send(bytes(160))
    house.tick(3)
    await house.clock.advance(4.1)
    await idle()
    assert guest.box.last("answerMachineDetection")["result"] == "unknown"
    assert guest.box.all("error") == []
