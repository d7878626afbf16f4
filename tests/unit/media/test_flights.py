"""Work that is shared: done once, cancelled by the last."""

import asyncio

import pytest

from control.errors import AudioFileError
from media.flights import Flights
from tests.support.sessions import idle


class Work:
    def __init__(self, error: AudioFileError | None = None) -> None:
        self.gate = asyncio.Event()
        self.begun = self.cancelled = 0
        self.error = error

    async def __call__(self) -> str:
        self.begun += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return "done"


async def test_several_share_one_flight() -> None:
    flights, work = Flights[str]("test"), Work()
    waiting = [asyncio.create_task(flights.join("a", work)) for _ in range(3)]
    other = asyncio.create_task(flights.join("b", work))
    await idle()
    assert work.begun == 2
    work.gate.set()
    assert await asyncio.gather(*waiting, other) == ["done"] * 4
    assert await flights.join("a", work) == "done"
    assert work.begun == 3


async def test_an_error_reaches_everybody(caplog: pytest.LogCaptureFixture) -> None:
    flights, work = Flights[str]("test"), Work(AudioFileError("gone", 404))
    waiting = [asyncio.create_task(flights.join("a", work)) for _ in range(2)]
    await idle()
    work.gate.set()
    for task in waiting:
        with pytest.raises(AudioFileError, match="gone"):
            await task
    assert not caplog.records


async def test_who_gives_up_costs_the_others_nothing() -> None:
    flights, work = Flights[str]("test"), Work()
    first, second = (asyncio.create_task(flights.join("a", work)) for _ in range(2))
    await idle()
    first.cancel()
    await idle()
    assert work.cancelled == 0
    work.gate.set()
    assert await second == "done"
    assert first.cancelled()


async def test_the_last_who_gives_up_ends_it_and_the_next_begins_anew() -> None:
    flights, work = Flights[str]("test"), Work()
    first = asyncio.create_task(flights.join("a", work))
    await idle()
    first.cancel()
    second = asyncio.create_task(flights.join("a", work))
    await idle()
    assert (work.begun, work.cancelled) == (2, 1)
    work.gate.set()
    assert await second == "done"


async def test_closing_ends_everything() -> None:
    flights, work = Flights[str]("test"), Work()
    waiting = asyncio.create_task(flights.join("a", work))
    await idle()
    await flights.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.cancelled == 1
