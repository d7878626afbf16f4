from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from control.api import models
from media.engine import reports
from tests.support.farend import FarEnd
from tests.support.sessions import TARGET, FakeRecognition, Guest, House, house, stream

LOUD = b"\x90\x10" * 80


@pytest_asyncio.fixture(name="house")
async def _house(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as place:
        yield place


async def talking(house: House, **option: Any) -> tuple[Guest, FakeRecognition]:
    """A call whose caller is recognised."""
    guest = house.guest()
    await guest.be_offered()
    await guest.do("accept", option={"asr": {"provider": "fake"}, **option})
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    return guest, house.tts.heard[-1]


def hear(house: House, packets: int) -> None:
    """The caller sends so many packets of 20 ms."""
    for _ in range(packets):
        house.far.send(LOUD)
        house.tick()


async def test_audio_goes_out_and_texts_come_in(house: House) -> None:
    guest, work = await talking(house)
    hear(house, 50)
    assert 48 * 640 <= len(work.pcm) <= 50 * 640
    work.say("hel", final=False, start=100, end=300)
    work.say("hello", start=100, end=600)
    delta, final = guest.box.last("asrDelta"), guest.box.last("asrFinal")
    assert (delta["text"], delta["index"], delta["trackId"]) == ("hel", 0, "s.1")
    assert (final["text"], final["index"]) == ("hello", 0)
    assert final["startTime"] <= final["endTime"] <= final["timestamp"]
    keys = [metrics["key"] for metrics in guest.box.metrics if ".asr." in metrics["key"]]
    assert keys == ["ttfb.asr.fake", "completed.asr.fake"]
    data = guest.box.metrics[-1]["data"]
    assert (data["index"], data["provider"]) == (0, "fake")
    assert guest.box.metrics[-1]["duration"] >= data["latency"] >= 0


async def test_each_utterance_is_measured_once(house: House) -> None:
    guest, work = await talking(house)
    hear(house, 4)
    for index in range(2):
        for text in ("a", "b", "c"):
            work.say(text, index, final=False)
        work.say("d", index)
    keys = [metrics["key"] for metrics in guest.box.metrics if ".asr." in metrics["key"]]
    assert keys == ["ttfb.asr.fake", "completed.asr.fake"] * 2


async def test_early_media_is_heard_unless_the_bot_says_no(house: House) -> None:
    for start_when_answer in (False, True):
        count = len(house.tts.heard)
        guest = house.guest(f"s.{start_when_answer}")
        await guest.do(
            "invite",
            option={
                "callee": "sip:x@192.0.2.9",
                "asr": {"provider": "fake", "startWhenAnswer": start_when_answer},
            },
        )
        guest.tell(models.Ringing, stream=house.stream())
        assert len(house.tts.heard) - count == (not start_when_answer)
        guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
        assert len(house.tts.heard) - count == 1
        await guest.leave()


async def test_what_goes_wrong_is_told_after_the_answer(house: House) -> None:
    guest = house.guest()
    await guest.do("invite", option={"callee": "sip:x@192.0.2.9", "asr": {"provider": "fake"}})
    guest.tell(models.Ringing, stream=house.stream())
    house.tts.heard[-1].hearer.trouble("fake: busy; connecting anew", 429)
    assert "error" not in guest.box.names
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    names = guest.box.names
    assert names.index("error") > names.index("answer")
    error = guest.box.last("error")
    assert (error["sender"], error["code"], error["error"]) == ("asr", 429, "fake: busy; connecting anew")
    house.tts.heard[-1].hearer.failed("fake: wrong key", 401)
    assert guest.box.last("error")["code"] == 401
    hear(house, 4)
    await guest.do("history", speaker="bot", text="the call goes on")
    assert guest.box.names[-1] == "addHistory"


async def test_a_provider_that_is_not_there(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("accept", option={"asr": {"provider": "unknown"}})
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("asr", 501)
    assert house.tts.heard == []


async def test_the_speech_process_is_asked_again_when_it_comes_back(house: House) -> None:
    guest, work = await talking(house)
    hear(house, 4)
    work.say("one")
    work.hearer.lost("the speech process was lost")
    assert guest.box.last("error")["code"] == 503
    hear(house, 4)
    again = house.tts.heard[-1]
    assert again is not work
    assert again.pcm
    again.say("two")
    assert [event["index"] for event in guest.box.all("asrFinal")] == [0, 1]


async def test_it_ends_with_the_call(house: House) -> None:
    guest, work = await talking(house)
    hear(house, 4)
    await guest.do("hangup")
    assert work.closed
    guest.check_end()


async def test_words_answer_a_question(house: House) -> None:
    guest, work = await talking(house)
    await guest.do("tts", text="", waitInputTimeout=5)
    work.say("yes", final=False)
    await house.clock.advance(6)
    assert guest.box.all("silence") == []


@pytest.mark.parametrize("told", [True, False])
async def test_voice_is_detected_for_recognition_and_told_only_when_asked(house: House, told: bool) -> None:
    guest, work = await talking(house, **({"vad": {}} if told else {}))
    slot = guest.session.slot
    assert slot is not None
    house.happen(reports.SpeechStarted(slot, ago=0))
    house.happen(reports.SpeechStopped(slot, silence=1600, speech=16_000))
    assert work.voices == [True, False]
    assert ("speaking" in guest.box.names) is told
    assert ("silence" in guest.box.names) is told


async def test_a_gate_keeps_silence_back(house: House) -> None:
    guest, work = await talking(house, asr={"provider": "fake", "gate": True})
    slot = guest.session.slot
    assert slot is not None
    hear(house, 100)
    assert not work.pcm
    house.happen(reports.SpeechStarted(slot, ago=0))
    hear(house, 10)
    sent = len(work.pcm)
    assert sent > 30 * 640
    house.happen(reports.SpeechStopped(slot, silence=1600, speech=16_000))
    hear(house, 100)
    assert len(work.pcm) - sent < 50 * 640
    work.say("hello", start=0, end=100)
    final = guest.box.last("asrFinal")
    assert final["timestamp"] - final["endTime"] < 10_000


async def test_the_target_of_a_transfer_is_heard_on_the_track_of_what_we_play(house: House) -> None:
    guest = house.guest()
    await guest.talk()
    await guest.do(
        "refer",
        caller="sip:a@192.0.2.1",
        callee="sip:b@192.0.2.7",
        options={"asr": {"provider": "fake"}, "autoHangup": False},
    )
    with FarEnd(house.services.engine.port) as target:
        guest.tell(models.Ringing, leg=TARGET)
        assert house.tts.heard == []
        guest.tell(models.Answered, leg=TARGET, stream=stream(target), sdp="v=0")
        work = house.tts.heard[-1]
        work.say("hello")
        assert guest.box.last("asrFinal")["trackId"] == "server-side-track"
        guest.tell(models.Ended, leg=TARGET, initiator="callee", reason="bye", code=200)
        assert work.closed
