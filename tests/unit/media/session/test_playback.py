"""What bots let the caller hear, to the sample; and the keys that callers press."""

import asyncio
import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from control.api import models
from media.engine import g711
from media.engine.arrays import FRAME
from media.fetch import Fetcher
from media.files import LocalFiles
from media.session.state import State
from media.sounds import Sounds
from media.store import Memory
from tests.support import wav
from tests.support.sessions import WORD, Guest, House, idle

OURS = "server-side-track"


async def caller(house: House, name: str = "s.1", track: str = OURS) -> Guest:
    """A bot that talks to a caller."""
    guest = house.guest(name, track=track)
    await guest.talk()
    return guest


def story(guest: Guest) -> list[str]:
    """What happened on the server-side track."""
    return [
        f"{event['event']} {event['playId']}" if "playId" in event else event["event"]
        for event in guest.box.events
        if event.get("trackId") == OURS
    ]


def samples(*values: int, count: int = 1) -> str:
    """Base64 of s16le samples."""
    return base64.b64encode(np.array(values * count, "<i2").tobytes()).decode()


def anywhere(house: House, fetcher: Fetcher) -> None:
    """Let `fetcher` fetch what is played."""
    sounds = Sounds(fetcher, LocalFiles(house.services.settings.media.sounds), None, Memory(0))
    house.services = replace(house.services, sounds=sounds)


# Speaking


async def test_a_text_is_heard_from_first_to_last_sample(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two", playId="a")
    house.tick(2 * WORD // FRAME - 1)
    assert story(guest) == ["trackStart a"]
    house.tick()
    assert story(guest) == ["trackStart a", "trackEnd a"]
    end = guest.box.last("trackEnd")
    assert (end["duration"], end["trackId"]) == (200, OURS)
    assert house.tts.asked == [("one two", None, 8000)]


async def test_the_same_play_id_goes_on(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a")
    house.tick(2)
    await guest.do("tts", text="two three", playId="a")
    assert (await guest.hear("trackEnd"))["duration"] == 300
    assert story(guest) == ["trackStart a", "trackEnd a"]


async def test_another_play_id_cuts_what_is_on_before_it_starts(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two three four", playId="a")
    house.tick(7)
    await guest.do("tts", text="five", playId="b")
    cut, end = guest.box.last("interruption"), guest.box.last("trackEnd")
    await guest.hear("trackEnd")
    assert story(guest) == ["trackStart a", "interruption a", "trackEnd a", "trackStart b", "trackEnd b"]
    assert (cut["current"], cut["totalDuration"], end["duration"]) == (140, 400, 140)
    assert (cut["subtitle"], cut["position"]) == ("one two three four", 1)
    assert guest.box.last("trackEnd")["ssrc"] != end["ssrc"]


async def test_texts_keep_their_order_also_when_they_are_made_slowly(house: House) -> None:
    guest = await caller(house)
    house.tts.gate.clear()
    for text in ("one", "two", "three"):
        await guest.do("tts", text=text)
    house.tick(20)
    assert story(guest) == []
    assert [text for text, _, _ in house.tts.asked] == ["one"]
    house.tts.gate.set()
    await idle()
    assert [text for text, _, _ in house.tts.asked] == ["one", "two", "three"]
    assert (await guest.hear("trackEnd"))["duration"] == 300
    assert story(guest) == ["trackStart", "trackEnd"]


async def test_silence_in_the_middle_of_slow_speech_is_not_its_end(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one")
    house.tts.gate.clear()
    await guest.do("tts", text="two")
    house.tick(30)
    assert story(guest) == ["trackStart"]
    await guest.do("interrupt")
    assert house.tts.made[1].closed
    cut = guest.box.last("interruption")
    assert (cut["current"], cut["totalDuration"], cut["position"]) == (100, 100, 1)


async def test_an_empty_text_starts_and_ends(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="", playId="a")
    assert story(guest) == ["trackStart a", "trackEnd a"]
    assert guest.box.last("trackEnd")["duration"] == 0


async def test_what_cannot_be_spoken_is_told_and_the_next_text_is_heard(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one fail", playId="a")
    await guest.do("tts", text="two", playId="a", option={"provider": "unknown"})
    await guest.do("tts", text="three", playId="a")
    await guest.hear("trackEnd")
    assert story(guest) == ["error", "error", "trackStart a", "trackEnd a"]
    error = guest.box.all("error")[0]
    assert (error["sender"], error["code"], error["error"]) == ("tts", 500, "this cannot be spoken")
    assert guest.box.last("trackEnd")["duration"] == 200
    assert guest.state is State.TALKING


async def test_the_voice_of_a_text_goes_before_that_of_the_call(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("accept", option={"tts": {"speaker": "call", "speed": 1.5}})
    await guest.do("tts", text="one")
    await guest.do("tts", text="two", option={"speaker": "option"})
    await guest.do("tts", text="three", option={"speaker": "option"}, speaker="command")
    voices = [(option.speaker, option.speed) for _, option, _ in house.tts.asked if option is not None]
    assert voices == [("call", 1.5), ("option", 1.5), ("command", 1.5)]


async def test_a_speaker_alone_is_a_voice(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", speaker="anna")
    option = house.tts.asked[0][1]
    assert option is not None
    assert option.speaker == "anna"


async def test_the_track_may_have_another_name(house: House) -> None:
    guest = await caller(house, track="bot")
    await guest.do("tts", text="one")
    assert (await guest.hear("trackStart"))["trackId"] == "bot"
    assert (await guest.hear("trackEnd"))["trackId"] == "bot"


# Samples


async def test_samples_at_the_engines_rate_leave_as_they_are(house: House) -> None:
    guest = await caller(house)
    given = np.arange(-4000, 4000, 10, dtype="<i2")
    text = base64.b64encode(given.tobytes()).decode()
    await guest.do("tts", text=text, base64=True, option={"samplerate": 8000})
    await guest.made()
    house.far.read()
    house.tick(given.size // FRAME)
    heard = b"".join(packet.payload for packet in house.far.read())
    assert heard == g711.ULAW_ENCODE[given.view(np.uint16)].tobytes()
    assert guest.box.last("trackEnd")["duration"] == given.size // 8


@pytest.mark.parametrize(("option", "milliseconds"), [({}, 100), ({"samplerate": 8000}, 200), (None, 100)])
async def test_samples_have_the_rate_that_is_named_or_16_khz(
    house: House, option: dict[str, int] | None, milliseconds: int
) -> None:
    guest = await caller(house)
    await guest.do("tts", text=samples(500, count=1600), base64=True, option=option)
    await guest.made()
    assert (await guest.hear("trackEnd"))["duration"] == milliseconds


async def test_samples_have_no_words(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text=samples(500, count=16000), base64=True)
    await guest.made()
    house.tick(5)
    await guest.do("interrupt")
    cut = guest.box.last("interruption")
    assert (cut["subtitle"], cut["position"], cut["current"], cut["totalDuration"]) == ("", 0, 100, 1000)


async def test_no_samples_are_an_empty_play(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="", base64=True)
    await guest.made()
    assert story(guest) == ["trackStart", "trackEnd"]


async def test_what_is_no_base64_changes_nothing(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two", playId="a")
    house.tick(2)
    await guest.do("tts", text="%%%", playId="b", base64=True)
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("command", 400)
    assert (await guest.hear("trackEnd"))["playId"] == "a"
    assert "interruption a" not in story(guest)


# Hanging up and waiting for input


async def test_auto_hangup_acts_when_all_was_heard(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two", autoHangup=True)
    await guest.do("tts", text="three")
    house.tick(14)
    assert guest.state.value == "talking"
    house.tick()
    hangup = guest.check_end()
    assert (hangup["reason"], hangup["initiator"]) == ("autohangup", "system")
    assert [event["duration"] for event in guest.box.all("trackEnd")][0] == 300
    await idle()
    assert house.control.last(models.Hangup).reason == "autohangup"


@pytest.mark.parametrize("text", ["", "fail"])
async def test_auto_hangup_acts_although_nothing_is_heard(house: House, text: str) -> None:
    guest = await caller(house)
    await guest.do("tts", text=text, autoHangup=True)
    assert guest.check_end()["reason"] == "autohangup"


async def test_an_empty_text_may_carry_the_auto_hangup(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a")
    await guest.do("tts", text="", playId="a", endOfStream=True, autoHangup=True)
    house.tick(4)
    assert guest.state.value == "talking"
    house.tick()
    assert guest.state is State.ENDED


async def test_auto_hangup_of_a_file(house: House, tmp_path: Path) -> None:
    wav.write(tmp_path / "bye.wav", wav.tone(440, 0.1))
    guest = await caller(house)
    await guest.do("play", url="bye.wav", autoHangup=True)
    await guest.made()
    house.tick(5)
    assert guest.check_end()["reason"] == "autohangup"


@pytest.mark.parametrize("how", ["interrupt", "tts"])
async def test_what_is_cut_does_not_hang_up(house: House, how: str) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two", playId="a", autoHangup=True, waitInputTimeout=1)
    house.tick(2)
    if how == "interrupt":
        await guest.do("interrupt")
    else:
        await guest.do("tts", text="three", playId="b")
    house.tick(20)
    await house.clock.advance(5)
    assert guest.state is State.TALKING
    assert "silence" not in guest.box.names


@pytest.mark.parametrize("given", [2.5, 2500])
async def test_silence_when_nobody_answers_the_question(house: House, given: float) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", waitInputTimeout=given)
    await house.clock.advance(60)
    assert "silence" not in guest.box.names
    end = await guest.hear("trackEnd")
    await house.clock.advance(2.4)
    assert "silence" not in guest.box.names
    await house.clock.advance(0.2)
    silence = guest.box.last("silence")
    assert (silence["trackId"], silence["duration"]) == (OURS, 2500)
    assert silence["startTime"] >= end["timestamp"]
    await house.clock.advance(60)
    assert guest.box.names.count("silence") == 1
    assert guest.state is State.TALKING


@pytest.mark.parametrize("what", ["digit", "info", "tts", "hangup"])
async def test_whoever_reacts_in_time_hears_of_no_silence(house: House, what: str) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", waitInputTimeout=2)
    await guest.hear("trackEnd")
    await house.clock.advance(1.9)
    match what:
        case "digit":
            house.far.press(1)
            house.tick()
            assert guest.box.last("dtmf")["digit"] == "1"
        case "info":
            guest.tell(models.Digit, digit="1")
        case "tts":
            await guest.do("tts", text="two")
            house.tick()
        case "hangup":
            await guest.do("hangup")
    await house.clock.advance(10)
    assert "silence" not in guest.box.names


async def test_the_latest_text_says_how_long_to_wait(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", waitInputTimeout=1)
    await guest.do("tts", text="two", waitInputTimeout=3)
    await guest.do("tts", text="three")
    await guest.hear("trackEnd")
    await house.clock.advance(4)
    assert guest.box.last("silence")["duration"] == 3000


# Files


async def test_a_file_below_the_sounds_folder(house: House, tmp_path: Path) -> None:
    (tmp_path / "menu").mkdir()
    wav.write(tmp_path / "menu" / "main.wav", wav.tone(440, 0.25, rate=16000), 16000)
    guest = await caller(house)
    await guest.do("play", url="menu/main.wav")
    await guest.made()
    house.far.read()
    end = await guest.hear("trackEnd")
    assert story(guest) == ["trackStart menu/main.wav", "trackEnd menu/main.wav"]
    assert end["duration"] == 250
    assert any(packet.payload != bytes([g711.SILENCE_ULAW]) * FRAME for packet in house.far.read())


async def test_a_file_may_have_a_name_of_its_own_and_is_cut_without_words(
    house: House, tmp_path: Path
) -> None:
    wav.write(tmp_path / "a.wav", wav.tone(440, 1))
    guest = await caller(house)
    await guest.do("play", url="a.wav", playId="x")
    await guest.made()
    house.tick(3)
    await guest.do("interrupt")
    assert story(guest) == ["trackStart x", "interruption x", "trackEnd x"]
    cut = guest.box.last("interruption")
    assert (cut["current"], cut["totalDuration"]) == (60, 1000)
    assert not {"subtitle", "position"} & set(cut)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("missing.wav", 404),
        ("../secret.wav", 403),
        ("/etc/passwd", 403),
        ("noise.wav", 415),
        ("%2e%2e/secret.wav", 404),
    ],
)
async def test_what_cannot_be_played_is_an_error_and_the_call_goes_on(
    house: House, tmp_path: Path, url: str, code: int
) -> None:
    (tmp_path / "noise.wav").write_bytes(b"no sound")
    wav.write(tmp_path.parent / "secret.wav", wav.tone(440, 0.1))
    guest = await caller(house)
    await guest.do("play", url=url)
    await guest.made()
    error = guest.box.last("error")
    assert (error["sender"], error["trackId"], error["code"]) == ("play", OURS, code)
    assert str(tmp_path) not in error["error"]
    assert story(guest) == ["error", f"trackStart {url}", f"trackEnd {url}"]
    assert guest.box.last("trackEnd")["duration"] == 0
    await guest.do("tts", text="one")
    await guest.hear("trackEnd")
    assert guest.state is State.TALKING


@pytest.mark.parametrize(
    "url", ["", "ftp://example.com/a.wav", "file:///etc/passwd", "FILE:a.wav", "data:,a"]
)
@pytest.mark.parametrize("command", ["play", "ringing"])
async def test_what_is_no_place_of_sounds_is_refused_at_the_door(
    house: House, url: str, command: str
) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one", playId="a")
    await guest.do(command, url=url, ringtone=url)
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("command", 400)
    assert "must" in error["error"]
    assert (await guest.hear("trackEnd"))["playId"] == "a"


@pytest.mark.parametrize(("offset", "milliseconds"), [(0, 1000), (600, 400), (5000, 0)])
async def test_a_file_may_begin_later(house: House, tmp_path: Path, offset: int, milliseconds: int) -> None:
    wav.write(tmp_path / "a.wav", wav.tone(440, 1))
    guest = await caller(house)
    await guest.do("play", url="a.wav", offsetMs=offset)
    await guest.made()
    if milliseconds:
        await guest.hear("trackEnd")
    assert guest.box.last("trackEnd")["duration"] == milliseconds


async def test_a_file_that_fails_still_hangs_up(house: House) -> None:
    guest = await caller(house)
    await guest.do("play", url="missing.wav", autoHangup=True)
    await guest.made()
    assert guest.check_end()["reason"] == "autohangup"


async def test_a_fault_of_ours_is_told_and_what_follows_is_heard(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    guest = await caller(house)
    await guest.do("tts", text="break")
    await guest.do("tts", text="one", autoHangup=True)
    await guest.made()
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("tts", 500)
    assert "operator's log" in error["error"]
    assert "ZeroDivisionError" in caplog.text
    await guest.hear("hangup")
    assert guest.check_end()["reason"] == "autohangup"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "[::1]", "169.254.169.254"])
async def test_private_addresses_are_not_fetched_from(house: House, host: str) -> None:
    guest = await caller(house)
    await guest.do("play", url=f"http://{host}:9/a.wav")
    await guest.made()
    assert "not on the public internet" in guest.box.last("error")["error"]
    assert guest.box.last("error")["code"] == 403


async def test_a_url(house: House, tmp_path: Path) -> None:
    path = wav.write(tmp_path / "a.wav", wav.tone(440, 0.1))

    async def sound(_: web.Request) -> web.Response:
        return web.Response(body=path.read_bytes())

    app = web.Application()
    app.router.add_get("/a.wav", sound)
    async with TestServer(app, host="127.0.0.1") as server, Fetcher(allow_private=True) as fetcher:
        anywhere(house, fetcher)
        guest = await caller(house)
        url = str(server.make_url("/a.wav"))
        await guest.do("play", url=url)
        await guest.made()
        end = await guest.hear("trackEnd")
    assert (end["playId"], end["duration"]) == (url, 100)


async def test_a_new_play_does_not_wait_for_one_that_is_still_fetched(house: House) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def stuck(_: web.Request) -> web.Response:
        asked.set()
        await left.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/a.wav", stuck)
    async with TestServer(app, host="127.0.0.1") as server, Fetcher(allow_private=True) as fetcher:
        anywhere(house, fetcher)
        guest = await caller(house)
        await guest.do("play", url=str(server.make_url("/a.wav")), playId="a")
        await asked.wait()
        await guest.do("tts", text="one", playId="b")
        await guest.hear("trackEnd")
        left.set()
    assert story(guest) == ["interruption a", "trackStart b", "trackEnd b"]


# Order, moments, the rest


async def test_interrupt_without_a_play_says_nothing(house: House) -> None:
    guest = await caller(house)
    before = len(guest.box.events)
    await guest.do("interrupt")
    assert len(guest.box.events) == before


async def test_interrupt_overtakes_what_waits_to_be_played_and_nothing_else(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    house.control.hold(models.Accept)
    await guest.do("accept", option={})
    guest.send("tts", text="one")
    guest.send("play", url="a.wav")
    guest.send("history", speaker="bot", text="hello")
    guest.send("interrupt")
    guest.send("tts", text="two")
    house.control.release(models.Accept)
    await idle()
    assert [text for text, _, _ in house.tts.asked] == ["two"]
    assert "interruption" not in guest.box.names
    assert guest.box.last("addHistory")["text"] == "hello"


async def test_hangup_overtakes_what_waits(house: House) -> None:
    guest = house.guest()
    await guest.be_offered()
    house.control.hold(models.Accept)
    await guest.do("accept", option={})
    guest.send("tts", text="one")
    guest.send("history", speaker="bot", text="hello")
    guest.send("hangup", reason="changed my mind")
    assert guest.check_end()["reason"] == "changed my mind"
    house.control.release(models.Accept)
    await idle()
    assert house.tts.asked == []
    assert "addHistory" not in guest.box.names


@pytest.mark.parametrize("command", [{"command": "tts", "text": "one"}, {"command": "play", "url": "a.wav"}])
async def test_nobody_hears_a_bot_without_a_call(house: House, command: dict[str, str]) -> None:
    guest = house.guest()
    await guest.do(**command)
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("command", 409)
    assert guest.state is State.IDLE


async def test_history_comes_back_at_any_time(house: House) -> None:
    guest = house.guest()
    await guest.do("history", speaker="bot", text="hello")
    event = guest.box.last("addHistory")
    assert (event["sender"], event["speaker"], event["text"]) == ("s.1", "bot", "hello")


async def test_the_end_of_the_call_cuts_what_is_on(house: House) -> None:
    guest = await caller(house)
    await guest.do("tts", text="one two", playId="a")
    house.tick(3)
    guest.tell(models.Ended, initiator="caller", reason="caller", code=200)
    assert guest.box.names[-4:] == ["interruption", "trackEnd", "trackEnd", "hangup"]
    assert [event["trackId"] for event in guest.box.events[-3:-1]] == [OURS, "s.1"]
    assert guest.box.events[-3]["duration"] == 60
