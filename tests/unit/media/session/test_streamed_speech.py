"""Texts that a provider speaks while more of them comes: one piece of work for all of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from control.api import models
from tests.support.sessions import Guest, House, house, idle


@pytest_asyncio.fixture(name="house")
async def _house(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as place:
        place.tts.streaming = True
        yield place


async def talking(house: House) -> Guest:
    guest = house.guest()
    await guest.be_offered()
    await guest.do("accept", option={})
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    return guest


async def test_all_texts_go_to_one_connection_as_they_come(house: House) -> None:
    guest = await talking(house)
    await guest.do("tts", text="Good morning. ", playId="a", streaming=True)
    await guest.hear("trackStart")
    await guest.do("tts", text="How are ", playId="a", streaming=True)
    await guest.do("tts", text="you?", playId="a", streaming=True, endOfStream=True)
    end = await guest.hear("trackEnd")
    assert len(house.tts.made) == 1
    assert "".join(house.tts.made[0].fed) == "Good morning. How are you?"
    assert end["duration"] == 500
    assert house.tts.made[0].closed
    keys = [metrics["key"] for metrics in guest.box.metrics if ".tts." in metrics["key"]]
    assert keys == ["ttfb.tts.fake", "completed.tts.fake"]


async def test_an_interruption_closes_the_connection(house: House) -> None:
    guest = await talking(house)
    await guest.do("tts", text="One two three four five. ", playId="a", streaming=True)
    await guest.hear("trackStart")
    house.tick(3)
    await guest.do("interrupt")
    interruption = guest.box.last("interruption")
    assert interruption["subtitle"] == "One two three four five. "
    assert 0 < interruption["current"] < interruption["totalDuration"]
    await idle()
    assert house.tts.made[0].closed
    assert guest.session.player.current is None


async def test_behind_a_failure_the_rest_is_spoken_by_a_new_connection(house: House) -> None:
    guest = await talking(house)
    await guest.do("tts", text="This will fail now. ", playId="a", streaming=True)
    await guest.box.event("error")
    assert guest.box.last("error")["sender"] == "tts"
    await guest.do("tts", text="And this not. ", playId="a", streaming=True, endOfStream=True)
    await guest.hear("trackEnd")
    assert [made.fed for made in house.tts.made] == [["This will fail now. "], ["And this not. "]]


async def test_a_stream_that_is_forgotten_is_ended(house: House) -> None:
    guest = await talking(house)
    await guest.do("tts", text="Hello there. ", playId="a", streaming=True)
    await guest.hear("trackStart")
    house.tick(20)
    await idle()
    await house.clock.advance(11)
    await idle()
    assert guest.box.last("error")["code"] == 408
    assert guest.box.names[-1] == "trackEnd"


async def test_what_is_still_spoken_is_waited_for(house: House) -> None:
    guest = await talking(house)
    await guest.do("tts", text="Hello there, you. ", playId="a", streaming=True)
    await guest.hear("trackStart")
    await house.clock.advance(11)
    await idle()
    assert guest.box.all("error") == []
    house.tick(40)
    await house.clock.advance(11)
    await idle()
    assert guest.box.last("error")["code"] == 408


async def test_marks_alone_are_not_spoken(house: House) -> None:
    guest = await talking(house)
    await guest.do("tts", text='" ', playId="a", streaming=True, endOfStream=True)
    assert guest.box.names[-1] == "trackEnd"
    assert house.tts.made == []


async def test_a_repaired_fault_is_told(house: House) -> None:
    guest = await talking(house)
    house.tts.gate.clear()
    await guest.do("tts", text="Hello there. ", playId="a", streaming=True, endOfStream=True)
    await idle()
    house.tts.made[0].trouble("fake: away; other takes over", 503)
    house.tts.gate.set()
    await guest.hear("trackEnd")
    error = guest.box.last("error")
    assert (error["sender"], error["code"]) == ("tts", 503)
