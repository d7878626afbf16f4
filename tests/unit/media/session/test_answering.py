"""What a bot is told of who answered, and when; time is virtual."""

import asyncio

import pytest
import pytest_asyncio

from media.api import events
from media.api.options import AmdOption
from media.session.answering import Answering
from tests.support.callworld import Clock

AT = 1_700_000_000_000
"""When the call is answered, ms since the epoch."""
NEAR = 300
"""ms that a busy machine may add to virtual time."""


class Call:
    """A session, as far as the detection needs it, and what its bot was told."""

    def __init__(self, option: AmdOption) -> None:
        self.clock = Clock(asyncio.get_running_loop())
        self.told: list[events.AnswerMachineDetection] = []
        self.ends = 0
        self.stops = False
        self.answering = Answering(self, option, self.end)

    def send(self, event: events.Event) -> None:
        assert isinstance(event, events.AnswerMachineDetection)
        self.told.append(event)
        if self.stops:
            self.answering.stop()

    def end(self) -> None:
        self.ends += 1

    async def wait(self, until: int) -> None:
        """Time passes, up to `until` ms after the answer; in steps, as timers go off when they are due."""
        while (left := self.zero + until / 1000 - asyncio.get_running_loop().time()) > 0:
            await self.clock.advance(min(left, 0.02))

    async def talk(self, start: int, end: int) -> None:
        """Somebody speaks from `start` to `end`, ms after the answer; time passes up to when both are known."""
        await self.wait(start + 250)
        self.answering.speaking(AT + start)
        await self.wait(end + 100)
        self.answering.silent(AT + end, 100)

    def answer(self) -> None:
        self.zero = asyncio.get_running_loop().time()
        self.answering.answered(AT)


@pytest_asyncio.fixture
async def call(request: pytest.FixtureRequest) -> Call:
    return Call(getattr(request, "param", AmdOption()))


def near(value: int, wanted: int) -> bool:
    return abs(value - wanted) <= NEAR


async def test_a_human(call: Call) -> None:
    call.answer()
    await call.talk(500, 1000)
    assert not call.told
    await call.wait(2500)
    (event,) = call.told
    assert (event.result, event.text, event.start_time) == ("human", "", AT)
    assert event.confidence is not None
    assert event.confidence > 0.9
    assert near(event.end_time, AT + 2003)
    assert event.timestamp >= event.end_time
    assert (event.tone, event.beep_time) == (None, None)
    assert call.ends == 1


async def test_a_machine_and_its_beep(call: Call) -> None:
    call.answer()
    await call.talk(500, 6000)
    call.answering.heard("Leave a message", final=False)
    call.answering.heard("Leave a message.", final=True)
    call.answering.tone("beep", AT + 6500, AT + 7000)
    verdict, beep = call.told
    assert (verdict.result, verdict.text, verdict.tone, verdict.beep_time) == ("machine", "", None, None)
    assert (beep.result, beep.text, beep.tone, beep.beep_time) == (
        "machine",
        "Leave a message.",
        "beep",
        AT + 7000,
    )
    assert beep.confidence == verdict.confidence
    assert beep.start_time == AT
    assert near(beep.end_time, AT + 6100)
    assert call.ends == 1


async def test_a_machine_without_beep(call: Call) -> None:
    call.answer()
    await call.talk(500, 6000)
    assert len(call.told) == 1
    await call.wait(9200)
    end = call.told[1]
    assert (end.result, end.tone, end.beep_time) == ("machine", None, AT + 6000)
    assert near(end.timestamp, AT + 9000)
    assert call.ends == 1


@pytest.mark.parametrize("call", [AmdOption(timeout=2000)], indirect=True)
async def test_silence_is_unknown_at_the_time_limit(call: Call) -> None:
    call.answer()
    call.answering.silent(AT - 3000, 3000)
    await call.wait(1900)
    assert not call.told
    await call.wait(2100)
    (event,) = call.told
    assert (event.result, event.confidence) == ("unknown", 0)
    assert call.ends == 1


@pytest.mark.parametrize("call", [AmdOption(beep=0)], indirect=True)
async def test_a_beep_that_nobody_waits_for(call: Call) -> None:
    call.answer()
    await call.talk(500, 6000)
    call.answering.tone("beep", AT + 6500, AT + 7000)
    assert [event.beep_time for event in call.told] == [None]
    assert call.ends == 1


async def test_a_fax(call: Call) -> None:
    call.answer()
    call.answering.tone("ced", AT + 1800, AT + 2600)
    (event,) = call.told
    assert (event.result, event.tone) == ("fax", "ced")


async def test_what_comes_before_the_answer_does_not_count(call: Call) -> None:
    call.answering.speaking(AT - 5000)
    call.answering.silent(AT - 2000, 100)
    call.answering.heard("Leave a message after the tone", final=True)
    call.answering.tone("beep", AT - 1500, AT - 1000)
    call.answer()
    call.answering.tone("sit", AT - 900, AT - 10)
    await call.wait(4100)
    assert [event.result for event in call.told] == ["unknown"]


async def test_speech_that_lasts_over_the_answer_counts_from_there(call: Call) -> None:
    call.answering.speaking(AT - 5000)
    call.answer()
    await call.wait(2700)
    assert not call.told
    await call.wait(3000)
    (event,) = call.told
    assert event.result == "machine"
    assert near(event.end_time, AT + 2830)


async def test_after_the_stop_nothing_is_told(call: Call) -> None:
    call.answer()
    await call.talk(500, 1000)
    call.answering.stop()
    call.answering.tone("sit", AT + 1100, AT + 2000)
    await call.wait(5000)
    assert not call.told
    assert call.ends == 0


async def test_the_bot_may_hang_up_when_it_is_told(call: Call) -> None:
    call.stops = True
    call.answer()
    await call.talk(500, 6000)
    await call.wait(31_000)
    assert len(call.told) == 1
    assert call.ends == 0


async def test_an_option_without_owner_of_its_end(call: Call) -> None:
    answering = Answering(call, AmdOption(timeout=0))
    answering.answered(AT)
    await call.clock.advance(0.1)
    assert [event.result for event in call.told] == ["unknown"]


async def test_a_tone_by_another_name_is_an_error(call: Call) -> None:
    call.answer()
    with pytest.raises(ValueError, match="whistle"):
        call.answering.tone("whistle", AT, AT + 100)
    call.answering.stop()
