"""The command ``tts``: streams, voices, samples with a header, the cache, and what is told of how long it took."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import soundfile

from control.api import models
from media.engine.arrays import FRAME
from media.session.state import State
from media.speech.cache import SpeechCache
from media.store import Memory, Store
from tests.support.sessions import WORD, Guest, House, idle

OURS = "server-side-track"
TICKS = WORD // FRAME


async def caller(house: House, name: str = "s.1", **option: Any) -> Guest:
    """A bot that talks to a caller."""
    guest = house.guest(name)
    await guest.be_offered()
    await guest.do("accept", option=option)
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    return guest


def story(guest: Guest) -> list[str]:
    """What happened on the server-side track."""
    return [event["event"] for event in guest.box.events if event.get("trackId") == OURS]


def spoken(house: House) -> list[str]:
    """What the provider was asked for."""
    return [text for text, _, _ in house.tts.asked]


def metrics(guest: Guest, key: str) -> list[dict[str, Any]]:
    """The metrics called `key`."""
    return [event for event in guest.box.metrics if event["key"] == key]


# Streams


async def test_words_of_a_model_are_one_text(house: House) -> None:
    guest = await caller(house)
    for token in ("Good", " morning", ".", " How", " are", " you"):
        await guest.do("tts", text=token, playId="a", streaming=True)
    assert spoken(house) == ["Good morning. "]
    house.tick(2 * TICKS + 10)
    assert story(guest) == ["trackStart"]
    await guest.do("tts", text="?", playId="a", streaming=True, endOfStream=True, autoHangup=True)
    assert spoken(house)[1:] == ["How are you?"]
    house.tick(3 * TICKS - 1)
    assert guest.state is State.TALKING
    house.tick()
    assert guest.check_end()["reason"] == "autohangup"
    assert metrics(guest, "completed.tts.fake")[0]["data"].get("cmdSeq") is None


async def test_the_first_command_says_what_kind_of_play_it_is(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one ", playId="a", streaming=True)
    await guest.do("tts", text="two ", playId="a")
    await guest.do("tts", text="three", playId="b")
    await guest.do("tts", text="four", playId="b", streaming=True)
    assert spoken(house) == ["three", "four"]
    cut = guest.box.last("interruption")
    assert (cut["subtitle"], cut["position"], cut["totalDuration"]) == ("one two ", 0, 0)


async def test_flags_need_no_text(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a", streaming=True)
    await guest.do("tts", text="", playId="a", streaming=True, waitInputTimeout=3)
    await guest.do("tts", text="", playId="a", streaming=True, endOfStream=True)
    await guest.hear("trackEnd")
    await house.clock.advance(4)
    assert guest.box.last("silence")["duration"] == 3000


async def test_a_stalled_stream_is_told_and_hangs_up_when_that_was_asked_for(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a", streaming=True, autoHangup=True)
    await house.clock.advance(10)
    await idle()
    error = guest.box.last("error")
    assert (error["sender"], error["code"], error["trackId"]) == ("tts", 408, OURS)
    house.tick(TICKS)
    assert guest.check_end()["reason"] == "autohangup"


async def test_an_interrupt_cuts_a_stream_and_what_was_made_ahead(house: House) -> None:
    guest = await caller(house, tts={"maxConcurrentTasks": 2})
    await guest.do("tts", text="One two. Three four. Five six. Seven", playId="a", streaming=True)
    house.tick(TICKS)
    await guest.do("interrupt", graceful=True)
    cut = guest.box.last("interruption")
    assert (cut["subtitle"], cut["position"]) == ("One two. Three four. Five six. Seven", 1)
    assert (cut["current"], cut["totalDuration"]) == (100, 600)
    await house.clock.advance(30)
    assert "error" not in guest.box.names
    await guest.do("tts", text=" eight", playId="a", streaming=True, endOfStream=True)
    assert spoken(house)[-1] == " eight"


# Voices


async def test_only_the_keys_that_are_given_change_the_voice(house: House) -> None:
    guest = await caller(house, tts={"speaker": "call", "speed": 1.5, "volume": 8, "emotion": "sad"})
    await guest.do("tts", text="one", option={"volume": 3})
    await guest.do("tts", text="two", option={"speaker": "option", "speed": 0.5}, speaker="command")
    await guest.do("tts", text="three")
    voices = [
        (option.speaker, option.speed, option.volume, option.emotion)
        for _, option, _ in house.tts.asked
        if option is not None
    ]
    assert voices == [("call", 1.5, 3, "sad"), ("command", 0.5, 8, "sad"), ("call", 1.5, 8, "sad")]


@pytest.mark.parametrize("count", [1, 3])
async def test_so_many_syntheses_are_under_way(house: House, count: int) -> None:
    guest = await caller(house, tts={"maxConcurrentTasks": count})
    house.tts.gate.clear()
    for text in ("one", "two", "three", "four"):
        await guest.do("tts", text=text)
    assert spoken(house) == ["one", "two", "three", "four"][:count]
    house.tts.gate.set()
    await idle()
    assert (await guest.hear("trackEnd"))["duration"] == 400


async def test_an_unknown_provider_of_the_call_is_told_after_the_answer(house: House) -> None:
    guest = await caller(house, tts={"provider": "unknown"})
    names = guest.box.names
    error = guest.box.last("error")
    assert names.index("error") > names.index("answer")
    assert (error["sender"], error["code"]) == ("tts", 501)


async def test_an_unknown_provider_of_a_text_is_told_at_once(house: House) -> None:
    guest = await caller(house)
    house.tts.gate.clear()
    await guest.do("tts", text="one", playId="a")
    await guest.do("tts", text="two", playId="a", option={"provider": "unknown"}, autoHangup=True)
    error = guest.box.last("error")
    assert (error["sender"], error["code"], error["trackId"]) == ("tts", 501, OURS)
    house.tts.gate.set()
    await idle()
    house.tick(TICKS)
    assert guest.check_end()["reason"] == "autohangup"


async def test_a_text_of_nothing_but_emoji_is_not_spoken(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text=" \U0001f600 \u2764\ufe0f ")
    assert spoken(house) == []
    assert story(guest) == ["trackStart", "trackEnd"]


# Samples


def riff(tmp_path: Path, rate: int, channels: int = 1, subtype: str = "PCM_16") -> str:
    """Base64 of a WAV file of 100 ms."""
    soundfile.write(tmp_path / "a.wav", np.full((rate // 10, channels), 0.25), rate, subtype)
    return base64.b64encode((tmp_path / "a.wav").read_bytes()).decode()


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"),
    [(8000, 1, "PCM_16"), (24000, 1, "PCM_16"), (16000, 2, "PCM_16"), (8000, 1, "ULAW")],
)
async def test_samples_may_come_as_a_wav_file(
    house: House, tmp_path: Path, rate: int, channels: int, subtype: str
) -> None:
    guest = await caller(house)
    await guest.do(
        "tts", text=riff(tmp_path, rate, channels, subtype), base64=True, option={"samplerate": 48000}
    )
    await guest.made()
    assert (await guest.hear("trackEnd"))["duration"] == 100


async def test_a_wav_header_may_not_know_the_length(house: House, tmp_path: Path) -> None:
    data = bytearray(base64.b64decode(riff(tmp_path, 8000)))
    data[40:44] = b"\xff\xff\xff\xff"
    guest = await caller(house)
    await guest.do("tts", text=base64.b64encode(data + b"\0").decode(), base64=True)
    await guest.made()
    assert (await guest.hear("trackEnd"))["duration"] == 100


async def test_a_broken_wav_file_is_told(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text=base64.b64encode(b"RIFF0000WAVE").decode(), base64=True)
    await guest.made()
    assert guest.box.last("error")["code"] == 415


@pytest.mark.parametrize("first", [True, False])
async def test_samples_are_no_piece_of_a_stream(house: House, first: bool) -> None:
    guest = await caller(house)
    if not first:
        await guest.do("tts", text="one", playId="a", streaming=True)
    await guest.do("tts", text="AAA=", playId="a", base64=True, streaming=first)
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("command", 400)
    assert "streaming" in error["error"]
    assert story(guest) == []


# Metrics and the cache


@pytest_asyncio.fixture(name="caching")
async def _caching(house: House, tmp_path: Path) -> AsyncIterator[House]:
    spoken = SpeechCache(Store(tmp_path / "cache", 1_000_000), Memory(1_000_000), "fake")
    house.services = replace(house.services, spoken=spoken)
    yield house


async def say(guest: Guest, text: str, **fields: Any) -> None:
    """Say it to the end, and let it be written."""
    await guest.do("tts", text=text, **fields)
    await guest.made()
    await guest.hear("trackEnd")
    await guest.house.services.spoken.settle()


async def test_a_text_is_made_once(caching: House, tmp_path: Path) -> None:
    guest = await caller(caching, tts={"speaker": "anna", "secretKey": "hush"})
    await say(guest, "one two", playId="a")
    await say(guest, " one\u00a0\u00a0two", playId="b")
    await guest.do("hangup")
    again = SpeechCache(Store(tmp_path / "cache", 1_000_000), Memory(1_000_000), "fake")
    caching.services = replace(caching.services, spoken=again)
    other = await caller(caching, "s.2", tts={"speaker": "anna", "secretKey": "other"})
    await say(other, "one two", playId="c")
    assert spoken(caching) == ["one two"]
    ends = [event for bot in (guest, other) for event in bot.box.all("trackEnd") if event["trackId"] == OURS]
    assert [event["duration"] for event in ends] == [200] * 3
    told = [event["data"] for bot in (guest, other) for event in metrics(bot, "completed.tts.fake")]
    assert [(data["cached"], data["length"], data["cmdSeq"]) for data in told] == [
        (False, 4 * WORD, 0),
        (True, 4 * WORD, 0),
        (True, 4 * WORD, 0),
    ]
    first = metrics(guest, "ttfb.tts.fake")[0]
    assert {**first, "timestamp": 0, "duration": 0} == {
        "event": "metrics",
        "timestamp": 0,
        "key": "ttfb.tts.fake",
        "duration": 0,
        "data": {"playId": "a", "speaker": "anna", "length": 7},
    }
    assert len(metrics(guest, "ttfb.tts.fake")) == 2
    numbers = [told[0][name] for name in ("ttfb", "duration", "length")]
    assert all(type(number) is int for number in numbers)


@pytest.mark.parametrize(
    "change",
    [{"speaker": "bob"}, {"volume": 9}, {"emotion": "sad"}, {"extra": {"pitch": 2}}, {"region": "eu"}],
)
async def test_whatever_changes_the_sound_is_another_text(caching: House, change: dict[str, Any]) -> None:
    guest = await caller(caching)
    for option in ({}, change):
        await say(guest, "one", option=option, cacheKey="mine")
    assert len(spoken(caching)) == 2


async def test_a_name_of_the_bots_own_stands_for_the_text(caching: House) -> None:
    guest = await caller(caching)
    await say(guest, "one", cacheKey="greeting")
    await say(guest, "two", cacheKey="greeting")
    assert spoken(caching) == ["one"]


async def test_streams_failures_and_what_was_cut_are_not_kept(caching: House) -> None:
    guest = await caller(caching)
    for _ in range(2):
        await say(guest, "one fail", playId="a")
        await say(guest, "two", playId="b", streaming=True, endOfStream=True)
    caching.tts.gate.clear()
    await guest.do("tts", text="three")
    await guest.do("interrupt")
    caching.tts.gate.set()
    await say(guest, "three")
    assert [spoken(caching).count(text) for text in ("one fail", "two")] == [2, 2]
    assert not any(event["data"]["cached"] for event in metrics(guest, "completed.tts.fake"))


async def test_what_is_too_long_is_not_kept(house: House, tmp_path: Path) -> None:
    spoken_ = SpeechCache(Store(tmp_path / "cache", 8 * WORD), Memory(1_000_000))
    house.services = replace(house.services, spoken=spoken_)
    guest = await caller(house)
    for _ in range(2):
        await say(guest, "one two")
        await asyncio.sleep(0)
    assert len(spoken(house)) == 2
