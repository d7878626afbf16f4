"""The caller's voice, as bots hear of it."""

from typing import Any

import numpy as np
import pytest

from control.api import models
from media.api.options import VadOption
from media.engine import g711
from media.engine.arrays import FRAME, Pcm
from media.engine.reports import SilencePassed, SpeechStarted, SpeechStopped
from media.engine.voice import Detector, VoiceOptions
from media.session.hearing import voice_options
from tests.support import speech
from tests.support.sessions import Guest, House

OURS = "server-side-track"
SECOND = 50
"""Ticks."""


async def caller(house: House, vad: dict[str, Any] | None, *, name: str = "s.1") -> Guest:
    """A bot that has taken a call with this option."""
    guest = house.guest(name)
    await guest.be_offered()
    await guest.do("accept", option={"vad": vad})
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    return guest


def say(house: House, text: str) -> int:
    """The caller says `text`, then nothing for a second; returns the number of ticks of the text."""
    pcm: Pcm = (np.pad(speech.render(text), (0, SECOND * FRAME)) * 20000).astype(np.int16)
    wire = g711.ULAW_ENCODE[pcm.view(np.uint16)].tobytes()
    count = len(wire) // FRAME
    for number in range(count):
        house.far.send(wire[number * FRAME : (number + 1) * FRAME])
        house.tick()
    return count - SECOND


async def test_the_bot_is_told_when_the_caller_speaks_and_when_not(house: House) -> None:
    guest = await caller(house, {"enable": True, "silencePadding": 400})
    ticks = say(house, "Good morning to you all")
    assert guest.box.names[-2:] == ["speaking", "silence"]
    speaking, silence = guest.box.events[-2:]
    assert speaking["trackId"] == silence["trackId"] == "s.1"
    assert speaking["timestamp"] - 400 < speaking["startTime"] <= speaking["timestamp"] - 250
    assert silence["speechStart"] == speaking["startTime"]
    assert silence["startTime"] == silence["speechStart"] + silence["speechDuration"]
    assert abs(silence["speechDuration"] - ticks * 20) < 200
    assert 400 <= silence["duration"] < 440


async def test_silence_is_told_again_and_again(house: House) -> None:
    guest = await caller(house, {"silenceTimeout": 500})
    house.tick(2 * SECOND + 5)
    first, *others = guest.box.all("silence")
    assert len(others) == 3
    assert 500 <= first["duration"] < 540
    assert {event["startTime"] for event in others} == {first["startTime"]}
    assert abs(first["startTime"] - guest.box.last("answer")["timestamp"]) < 1000
    assert "speechStart" not in first


@pytest.mark.parametrize("vad", [None, {"enable": False, "silenceTimeout": 100}])
async def test_without_the_option_the_bot_hears_nothing(house: House, vad: dict[str, Any] | None) -> None:
    guest = await caller(house, vad)
    say(house, "Hello there, is anybody in")
    assert {"speaking", "silence"}.isdisjoint(guest.box.names)


async def test_an_outgoing_call_is_listened_to_from_its_first_media_on(house: House) -> None:
    guest = house.guest()
    await guest.do("invite", option={"callee": "sip:bot@192.0.2.2", "vad": {"silenceTimeout": 200}})
    guest.tell(models.Ringing, stream=house.stream())
    house.tick(SECOND // 2)
    assert guest.box.names.count("silence") == 2
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    house.tick(SECOND // 2)
    durations = [event["duration"] for event in guest.box.all("silence")]
    assert [duration // 200 for duration in durations] == [1, 2, 3, 4, 5]


async def test_an_option_that_comes_with_accept_counts_after_ringing_with_media(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("ringing", earlyMedia=True)
    house.tick(SECOND)
    assert "silence" not in guest.box.names
    await guest.do("accept", option={"vad": {"silenceTimeout": 200}})
    house.tick(SECOND // 2)
    assert guest.box.names.count("silence") == 2


async def test_a_hold_starts_nothing_anew(house: House) -> None:
    guest = await caller(house, {"silenceTimeout": 400})
    house.tick(SECOND // 2)
    guest.tell(models.MediaChanged, stream=house.stream())
    house.tick(SECOND // 2)
    assert [event["duration"] // 400 for event in guest.box.all("silence")] == [1, 2]


async def test_an_unknown_type_is_told_after_the_answer_and_the_default_listens(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("accept", option={"vad": {"type": "ten", "silenceTimeout": 200}})
    assert "error" not in guest.box.names
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    assert guest.box.names[-2:] == ["answer", "error"]
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("vad", 501)
    assert "\"vad.type\" 'ten' is not offered here: silero is used" in error["error"]
    guest.tell(models.MediaChanged, stream=house.stream())
    house.tick(SECOND // 4)
    assert guest.box.names.count("error") == 1
    assert guest.box.names[-1] == "silence"


async def test_the_next_call_in_a_slot_is_not_listened_to(house: House) -> None:
    for number in range(house.services.engine.capacity):
        guest = await caller(house, {"silenceTimeout": 100}, name=f"s.{number}")
        await guest.do("hangup")
    guest = await caller(house, None, name="s.last")
    house.tick(SECOND)
    assert "silence" not in guest.box.names


# Waiting for input


async def test_who_speaks_has_answered(house: House) -> None:
    guest = await caller(house, {})
    await guest.do("tts", text="one", waitInputTimeout=2)
    await guest.hear("trackEnd")
    await house.clock.advance(1.9)
    say(house, "Yes, I am here")
    await house.clock.advance(10)
    assert OURS not in {event["trackId"] for event in guest.box.all("silence")}


@pytest.mark.parametrize("speaks", [True, False])
async def test_who_speaks_over_the_question_has_answered(house: House, *, speaks: bool) -> None:
    guest = await caller(house, {})
    await guest.do("tts", text="one", waitInputTimeout=2)
    house.tick()
    assert guest.box.names[-1] == "trackStart"
    if speaks:
        guest.session.caller.hearing.report(SpeechStarted(guest.session.slot or 0, 2000))
    await guest.hear("trackEnd")
    await house.clock.advance(1)
    if speaks:
        guest.session.caller.hearing.report(SpeechStopped(guest.session.slot or 0, 800, 8000))
    await house.clock.advance(10)
    waited = [event for event in guest.box.all("silence") if event["trackId"] == OURS]
    assert bool(waited) is not speaks


async def test_a_caller_who_has_stopped_is_waited_for_again(house: House) -> None:
    guest = await caller(house, {})
    slot = guest.session.slot or 0
    guest.session.caller.hearing.report(SpeechStarted(slot, 2000))
    guest.session.caller.hearing.report(SpeechStopped(slot, 800, 8000))
    await guest.do("tts", text="one", waitInputTimeout=2)
    await guest.hear("trackEnd")
    guest.session.caller.hearing.report(SilencePassed(slot, 8000))
    await house.clock.advance(2.1)
    assert guest.box.last("silence")["trackId"] == OURS


# The option


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, VoiceOptions()),
        ({"type": "WebRTC", "aggressiveness": 3}, VoiceOptions(detector=Detector.WEBRTC, aggressiveness=3)),
        ({"type": "nop", "voiceThreshold": 0.4}, VoiceOptions(threshold=0.4)),
        (
            {"speechPadding": 1, "silencePadding": 2, "silenceTimeout": 3},
            VoiceOptions(speech_padding=1, silence_padding=2, silence_timeout=3),
        ),
    ],
)
def test_options_of_the_bot_and_of_the_engine(given: dict[str, Any], expected: VoiceOptions) -> None:
    assert voice_options(VadOption.model_validate(given)) == expected
