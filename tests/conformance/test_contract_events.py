"""Every example event of the API contract comes out of a real call, key by key and type by type."""

import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from media.api import events
from tests.support import contract, ports, sipwire, wav
from tests.support.bot import PATIENCE, Bot, Event
from tests.support.contract import EVENTS
from tests.support.lab import Lab
from tests.support.phone import phone
from tests.support.poll import until
from tests.support.ports import Address
from tests.support.rtpcap import rtp_peer
from tests.support.voicelike import voice

pytestmark = pytest.mark.daemons

SPEECH: dict[str, events.Event] = {
    "answerMachineDetection": events.AnswerMachineDetection(
        timestamp=1640995200000, start_time=1640995200000, end_time=1640995205000, text="Hello, you have"
    ),
    "eou": events.Eou(track_id="track-abc123", timestamp=1640995200000, completed=True),
    "asrFinal": events.AsrFinal(
        track_id="s.1",
        timestamp=1,
        index=1,
        start_time=1,
        end_time=2,
        text="Hello",
        task_id="t",
        confidence=0.9,
    ),
    "asrDelta": events.AsrDelta(track_id="s.1", timestamp=1, index=1, start_time=1, end_time=2, text="He"),
}
"""Events that need somebody who speaks: test_contract_speech.py makes them happen."""
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
Scenario = Callable[[Lab], Awaitable[Bot]]
"""Runs a call to its end and returns the bot with all that it was told."""


@asynccontextmanager
async def talking(lab: Lab, **option: Any) -> AsyncIterator[Bot]:
    """A call over the bot's socket."""
    async with lab.system.bot("/call") as bot:
        await bot.send("invite", option=option)
        await bot.event("answer")
        yield bot
        await bot.send("hangup", reason="user_requested", initiator="user")
        await bot.ended()


async def called(lab: Lab) -> Bot:
    """A call comes in, a key is pressed, and the caller hangs up."""
    async with (
        lab.system.waiting_bot() as bot,
        phone(lab.caller(), lab.system.sip) as caller,
        rtp_peer(Address(caller.address.host, ports.even_port(caller.address.host))) as rtp,
    ):
        call = caller.call(lab.system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(*rtp.address))
        await bot.event("incoming")
        await bot.send("accept", option={})
        rtp.remote = Address(*sipwire.media_address((await call.response(200)).body))
        call.ack()
        await bot.event("answer")
        await rtp.press("1")
        await bot.event("dtmf")
        await call.bye()
        await bot.ended()
    return bot


async def dialled(lab: Lab) -> Bot:
    """A call goes out, rings, is answered, and the bot hangs up."""
    async with phone(lab.callee(), lab.system.sip) as callee, lab.system.bot() as bot:
        option = {
            "caller": "sip:alice@example.com",
            "callee": f"sip:bob@{callee.address}",
            "extra": EVENTS["hangup"]["extra"],
        }
        await bot.send("invite", option=option)
        invite = await callee.request("INVITE")
        callee.reply(invite, 180, tag="t")
        await bot.event("ringing")
        callee.reply(invite, 200, tag="t", sdp=sipwire.sdp(callee.address.host, 20_000))
        await callee.request("ACK")
        await bot.event("answer")
        await bot.send("hangup", reason="user_requested", initiator="user")
        callee.reply(await callee.request("BYE"), 200)
        await bot.ended()
    return bot


async def refused(lab: Lab) -> Bot:
    """A call goes out and is refused."""
    async with phone(lab.callee(), lab.system.sip) as callee, lab.system.bot() as bot:
        await bot.send("invite", option={"callee": f"sip:bob@{callee.address}"})
        callee.reply(await callee.request("INVITE"), 486, "Busy", tag="t")
        await callee.request("ACK")
        await bot.ended()
    return bot


async def spoken(lab: Lab) -> Bot:
    """The caller says something, faster than anybody could."""
    vad = {"enable": True, "type": "webrtc", "aggressiveness": 2, "speechPadding": 60, "silencePadding": 60}
    async with talking(lab, vad=vad) as bot:
        said = np.concatenate([voice(16_000, 0.6), np.zeros(6400, np.int16)]).astype("<i2").tobytes()
        for start in range(0, len(said), 640):
            await bot.socket.send_bytes(said[start : start + 640])
        await bot.event("speaking")
        await bot.event("silence")
    return bot


async def interrupted(lab: Lab) -> Bot:
    """A text is cut while it is being heard; the call is recorded."""
    async with talking(lab, recorder={}) as bot:
        await bot.send("tts", text="Hello")
        await bot.event("trackEnd")
        await bot.send("tts", text="Hello, this is a long message that was interrupted", playId="llm-001")
        for _ in range(3):
            await bot.event("trackStart")
        await bot.send("interrupt")
        await bot.event("trackEnd")
        folder = lab.system.settings.media.recordings
        session = bot.events[0]["trackId"]

        async def made() -> bool:
            return (folder / f"{session}.wav").exists()

        await until(made, within=PATIENCE)
    return bot


async def conversed(lab: Lab) -> Bot:
    """A line of the conversation, and a command that does not fit."""
    async with talking(lab) as bot:
        await bot.send("history", speaker="user", text="Hello, I need help with my account")
        await bot.event("addHistory")
        await bot.send("pause")
        await bot.event("error")
    return bot


SCENARIOS: dict[Scenario, tuple[str, ...]] = {
    called: ("incoming", "answer", "dtmf", "trackStart", "trackEnd", "hangup"),
    dialled: ("ringing", "answer", "metrics", "hangup"),
    refused: ("reject", "hangup"),
    spoken: ("speaking", "silence"),
    interrupted: ("trackStart", "interruption", "trackEnd", "metrics", "other"),
    conversed: ("addHistory", "error"),
}


def told(bot: Bot, name: str) -> Event:
    """The event `name`, the richest where there are several."""
    return max((event for event in bot.events if event["event"] == name), key=len)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: str(scenario.__name__))
async def test_events_are_as_documented(lab: Lab, scenario: Scenario) -> None:
    began = time.time() * 1000
    bot = await scenario(lab)
    assert [fault for event in bot.events for fault in contract.faults(event)] == []
    for event in bot.events:
        assert began - 1 <= event["timestamp"] <= time.time() * 1000
    for name in SCENARIOS[scenario]:
        event, example = told(bot, name), EVENTS[name]
        missing = set(example) - set(event)
        if scenario in (called, refused):
            missing -= {"playId", "ringingTime", "answerTime", "extra"}
        assert not missing, name
        for key in ("startTime", "hangupTime", "answerTime", "ringingTime"):
            if name == "hangup" and key in event:
                assert UTC.fullmatch(event[key])


async def test_values_of_a_call_that_goes_out(lab: Lab) -> None:
    bot = await dialled(lab)
    hangup = told(bot, "hangup")
    example = EVENTS["hangup"]
    for key in ("reason", "initiator", "from", "extra"):
        assert hangup[key] == example[key]
    assert hangup["to"]["username"] == "bob"
    assert told(bot, "answer")["sdp"].startswith("v=0")
    assert told(bot, "ringing")["earlyMedia"] is False
    assert told(bot, "metrics")["key"] == "completed.call.setup"


def test_every_event_has_a_scenario() -> None:
    found = {name for names in SCENARIOS.values() for name in names}
    assert found | set(SPEECH) | {"binary"} == set(EVENTS)


@pytest.mark.parametrize("name", SPEECH)
def test_speech_events_are_written_as_documented(name: str) -> None:
    event = json.loads(events.encode(SPEECH[name]))
    assert contract.faults(event) == []
    assert set(EVENTS[name]) <= set(event)


async def test_binary_is_frames_of_samples_and_no_json(lab: Lab) -> None:
    async with talking(lab) as bot:
        await bot.send("tts", text="Hello")
        await bot.event("trackEnd")
    assert {len(frame) for frame in bot.audio} == {640}
    heard = np.frombuffer(b"".join(bot.audio), "<i2").astype(np.float64) / 32768
    assert wav.rms(heard) > 0.01
    assert "binary" not in bot.names
