"""Commands that cut, hold and go on with what is heard: ``interrupt``, ``pause``, ``resume``."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from control.api import models
from media.engine import g711
from media.engine.arrays import FRAME
from media.session.state import State
from tests.support import wav
from tests.support.sessions import WORD, Guest, House, idle

OURS = "server-side-track"
SILENCE = bytes([g711.SILENCE_ULAW]) * FRAME
TICKS = WORD // FRAME
"""Of a word."""


async def caller(house: House) -> Guest:
    """A bot that talks to a caller."""
    guest = house.guest()
    await guest.talk()
    return guest


def story(guest: Guest) -> list[str]:
    """What happened on the server-side track."""
    return [
        " ".join([event["event"], *([event["playId"]] if "playId" in event else [])])
        for event in guest.box.events
        if event.get("trackId") == OURS
    ]


def heard(house: House, ticks: int) -> list[bytes]:
    """The payloads of the next frames."""
    house.far.read()
    house.tick(ticks)
    return [packet.payload for packet in house.far.read()]


def samples(pcm: np.ndarray) -> dict[str, Any]:
    """Fields of a ``tts`` that plays `pcm`, 8 kHz."""
    text = base64.b64encode(pcm.astype("<i2").tobytes()).decode()
    return {"text": text, "base64": True, "option": {"samplerate": 8000}}


# Interrupt


async def test_a_fade_is_heard_after_the_events_and_not_counted(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two three", playId="a")
    house.tick(7)
    await guest.do("interrupt", fadeOutMs=60)
    assert story(guest) == ["trackStart a", "interruption a", "trackEnd a"]
    cut = guest.box.last("interruption")
    assert (cut["current"], cut["totalDuration"], guest.box.last("trackEnd")["duration"]) == (140, 300, 140)
    frames = heard(house, 5)
    assert [frame != SILENCE for frame in frames] == [True, True, True, False, False]
    levels = np.abs(g711.ULAW_DECODE[np.frombuffer(b"".join(frames[:3]), np.uint8)].astype(int))
    assert (np.diff(levels) <= 0).all()


async def test_what_follows_a_fade_waits_for_its_end(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two three", playId="a")
    house.tick(5)
    await guest.do("interrupt", fadeOutMs=100)
    await guest.do("tts", text="four", playId="b")
    house.tick(5)
    assert story(guest)[-1] == "trackEnd a"
    house.tick(1)
    assert story(guest)[-1] == "trackStart b"


async def test_a_graceful_interrupt_lets_the_text_end_and_drops_the_rest(house: House) -> None:
    guest = await caller(house)
    for text in ("one two", "three four", "five"):
        await guest.do("tts", text=text, playId="a", autoHangup=True, waitInputTimeout=1)
    house.tick(2)
    await guest.do("interrupt", graceful=True, fadeOutMs=100)
    cut = guest.box.last("interruption")
    assert (cut["current"], cut["totalDuration"]) == (40, 500)
    assert story(guest) == ["trackStart a", "interruption a"]
    house.tick(2 * TICKS - 3)
    assert story(guest) == ["trackStart a", "interruption a"]
    house.tick()
    assert story(guest) == ["trackStart a", "interruption a", "trackEnd a"]
    assert guest.box.last("trackEnd")["duration"] == 200
    assert heard(house, 3) == [SILENCE] * 3
    await house.clock.advance(5)
    assert guest.state is State.TALKING
    assert "silence" not in guest.box.names


async def test_a_text_that_is_still_made_is_made_to_its_end(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a")
    house.tick(1)
    house.tts.gate.clear()
    await guest.do("tts", text="two", playId="a")
    await guest.do("tts", text="three", playId="a")
    house.tick(TICKS - 1)
    house.tts.gate.set()
    await idle()
    house.tick(1)
    await guest.do("interrupt", graceful=True)
    assert (await guest.hear("trackEnd"))["duration"] == 200
    assert story(guest).count("interruption a") == 1


@pytest.mark.parametrize("when", ["starving", "between"])
async def test_without_enough_audio_graceful_means(house: House, when: str) -> None:
    """In the middle of a text it waits for the rest of it; between two texts there is nothing to end."""
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a")
    house.tts.gate.clear()
    await guest.do("tts", text="two three", playId="a")
    house.tick(TICKS if when == "between" else 1)
    await guest.do("interrupt", graceful=True)
    ended = story(guest)[-1] == "trackEnd a"
    assert ended is (when == "between")
    house.tick(TICKS)
    assert guest.box.last("trackEnd")["duration"] == 100


@pytest.mark.parametrize("what", ["file", "stream", "paused", "unheard"])
async def test_what_has_no_text_to_end_is_cut_at_once(house: House, tmp_path: Path, what: str) -> None:
    wav.write(tmp_path / "a.wav", wav.tone(440, 1))
    guest = await caller(house)
    if what == "file":
        await guest.do("play", url="a.wav", playId="a")
        await guest.made()
    else:
        await guest.do("tts", text="one two. ", playId="a", streaming=what == "stream")
    if what != "unheard":
        house.tick(2)
    if what == "paused":
        await guest.do("pause")
        house.tick(2)
    await guest.do("interrupt", graceful=True)
    assert story(guest)[-1] == ("interruption a" if what == "unheard" else "trackEnd a")
    assert heard(house, 3) == [SILENCE] * 3


async def test_the_same_play_id_follows_the_text_that_ends(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a")
    await guest.do("tts", text="two", playId="a")
    house.tick(1)
    await guest.do("interrupt", graceful=True)
    await guest.do("tts", text="three", playId="a")
    house.tick(2 * TICKS)
    assert story(guest) == [
        *["trackStart a", "interruption a", "trackEnd a"],
        *["trackStart a", "trackEnd a"],
    ]
    assert [event["duration"] for event in guest.box.all("trackEnd")] == [100, 100]


@pytest.mark.parametrize("how", ["tts", "interrupt", "hangup"])
async def test_the_text_that_ends_can_be_cut(house: House, how: str) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two three", playId="a")
    house.tick(1)
    await guest.do("interrupt", graceful=True)
    house.tick(1)
    match how:
        case "tts":
            await guest.do("tts", text="two", playId="b")
        case "interrupt" | "hangup":
            await guest.do(how)
    assert story(guest) == ["trackStart a", "interruption a", "trackEnd a"]
    assert next(e for e in guest.box.all("trackEnd") if e["trackId"] == OURS)["duration"] == 40


async def test_a_second_graceful_interrupt_drops_what_was_to_follow(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a")
    house.tick(1)
    await guest.do("interrupt", graceful=True)
    await guest.do("tts", text="two", playId="a")
    await guest.do("interrupt", graceful=True)
    await guest.do("interrupt", graceful=True)
    house.tick(2 * TICKS)
    assert story(guest) == ["trackStart a", "interruption a", "interruption a", "trackEnd a"]


async def test_interrupt_drops_waiting_commands_about_what_it_cuts(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    house.control.hold(models.Accept)
    await guest.do("accept", option={})
    for command in ("pause", "resume"):
        guest.send(command)
    guest.send("interrupt")
    house.control.release(models.Accept)
    await idle()
    assert "error" not in guest.box.names


# Pause


async def test_a_pause_loses_no_sample(house: House) -> None:
    guest = await caller(house)
    pcm = np.arange(-4000, 4000, 5)
    await guest.do("tts", **samples(pcm))
    await guest.made()
    house.tick(3)
    await guest.do("pause")
    await guest.do("pause")
    before = len(guest.box.events)
    assert heard(house, 20)[1:] == [SILENCE] * 19
    await guest.do("resume")
    frames = heard(house, 7)
    assert len(guest.box.events) == before + 1
    whole = g711.ULAW_ENCODE[pcm.astype("<i2").view(np.uint16)].tobytes()
    assert b"".join(frames[1:6]) == whole[5 * FRAME :]
    assert guest.box.last("trackEnd")["duration"] == 200


async def test_more_text_may_come_in_a_pause(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a")
    house.tick(1)
    await guest.do("pause")
    await guest.do("tts", text="two", playId="a", autoHangup=True)
    house.tick(30)
    assert story(guest) == ["trackStart a"]
    await guest.do("resume")
    house.tick(8)
    assert guest.check_end()["reason"] == "autohangup"


@pytest.mark.parametrize("how", ["tts", "interrupt"])
async def test_what_replaces_a_paused_play_is_heard(house: House, how: str) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two", playId="a")
    house.tick(2)
    await guest.do("pause")
    house.tick(5)
    if how == "interrupt":
        await guest.do("interrupt", fadeOutMs=100)
        assert guest.box.last("interruption")["current"] == 60
        assert heard(house, 1) == [SILENCE]
    await guest.do("tts", text="three", playId="b")
    assert heard(house, 1) != [SILENCE]
    assert (await guest.hear("trackEnd"))["playId"] == "b"


async def test_a_play_may_be_paused_before_anybody_hears_it(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("tts", text="one", playId="a")
    await guest.do("pause")
    await guest.do("accept", option={})
    guest.tell(models.Answered, stream=house.stream(), sdp="")
    # As everywhere a pause takes effect with the end of a frame, which here is the first.
    house.tick(10)
    assert story(guest) == ["trackStart a"]
    await guest.do("resume")
    house.tick(4)
    assert story(guest) == ["trackStart a", "trackEnd a"]


@pytest.mark.parametrize("command", ["pause", "resume"])
async def test_nothing_can_be_paused_when_nothing_plays(house: House, command: str) -> None:
    guest = await caller(house)
    await guest.do(command)
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("command", 409)
    assert f'"{command}"' in error["error"]
    assert "nothing is playing" in error["error"]
    await guest.do("tts", text="one")
    assert heard(house, 1) != [SILENCE]


@pytest.mark.parametrize("command", ["pause", "resume", "mute", "unmute"])
async def test_without_a_call_they_do_not_fit(house: House, command: str) -> None:
    guest = house.guest()
    await guest.do(command)
    assert guest.box.last("error")["code"] == 409
    assert "idle" in guest.box.last("error")["error"]


async def test_resuming_what_is_not_paused_changes_nothing(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a")
    house.tick(1)
    await guest.do("resume")
    house.tick(TICKS - 1)
    assert story(guest) == ["trackStart a", "trackEnd a"]
    assert "error" not in guest.box.names
