"""Barge-in of a session, with the clock in the test's hand."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from media.api.options import InterruptOption
from media.session import bargein as module
from media.session.bargein import BargeIn
from tests.support.stilltime import StillTime


class Owner:
    """A session that plays something."""

    def __init__(self) -> None:
        self.playing = True
        self.done: list[str] = []
        self.errors: list[tuple[str, int | None]] = []
        self.bargein: BargeIn | None = None

    def pause(self) -> None:
        self.done.append("pause")

    def resume(self) -> None:
        self.done.append("resume")

    def interrupt(self) -> None:
        self.done.append("interrupt")
        self.playing = False
        assert self.bargein is not None
        self.bargein.play_ended()

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        self.errors.append((sender, code))

    def made(self, on: str, *, recogniser: bool = True, resume: int = 0) -> BargeIn:
        option = InterruptOption(on=on, resume=resume)
        self.bargein = BargeIn(self, option, recogniser=recogniser)
        return self.bargein


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> StillTime:
    found = StillTime(asyncio.get_running_loop())
    monkeypatch.setattr(module, "now_ms", found.now_ms)
    return found


@pytest.fixture
async def owner(time: StillTime) -> AsyncIterator[Owner]:
    found = Owner()
    yield found
    if found.bargein is not None:
        found.bargein.stop()


async def test_voice_interrupts_after_the_minimum(owner: Owner, time: StillTime) -> None:
    bargein = owner.made("speech")
    bargein.speaking()
    await time.advance(199)
    assert owner.done == []
    await time.advance(1)
    assert owner.done == ["interrupt"]
    await time.advance(10000)
    assert owner.done == ["interrupt"]


async def test_voice_that_began_a_while_ago_interrupts_at_once(owner: Owner, time: StillTime) -> None:
    bargein = owner.made("speech")
    bargein.speaking(time.now_ms() - 250)
    await time.advance(0)
    assert owner.done == ["interrupt"]


async def test_a_false_start(owner: Owner, time: StillTime) -> None:
    bargein = owner.made("speech", resume=500)
    bargein.speaking()
    bargein.silent(time.now_ms())
    assert owner.done == ["pause"]
    await time.advance(500)
    assert owner.done == ["pause", "resume"]


async def test_a_word(owner: Owner) -> None:
    bargein = owner.made("words:2", resume=500)
    bargein.speaking()
    bargein.heard("oh", False)
    bargein.heard("oh no", True)
    assert owner.done == ["pause", "interrupt"]


async def test_a_key(owner: Owner) -> None:
    bargein = owner.made("dtmf")
    bargein.pressed("5")
    assert owner.done == ["interrupt"]


async def test_the_bot_takes_over(owner: Owner, time: StillTime) -> None:
    bargein = owner.made("speech", resume=500)
    bargein.speaking()
    bargein.bot_paused()
    bargein.silent()
    await time.advance(10000)
    bargein.bot_resumed()
    await time.advance(10000)
    assert owner.done == ["pause"]


async def test_only_while_something_plays(owner: Owner, time: StillTime) -> None:
    owner.playing = False
    bargein = owner.made("speech")
    bargein.speaking()
    await time.advance(1000)
    assert owner.done == []
    bargein.play_started()
    await time.advance(200)
    assert owner.done == ["interrupt"]


async def test_the_end_of_a_play_ends_all_waiting(owner: Owner, time: StillTime) -> None:
    bargein = owner.made("speech")
    bargein.speaking()
    bargein.play_ended()
    await time.advance(1000)
    assert owner.done == []


async def test_nothing_follows_a_stop(owner: Owner, time: StillTime) -> None:
    bargein = owner.made("speech", resume=500)
    bargein.speaking()
    bargein.stop()
    bargein.heard("stop", True)
    await time.advance(10000)
    assert owner.done == ["pause"]


@pytest.mark.parametrize(
    ("on", "recogniser", "codes"),
    [("words:2", False, [409]), ("words:2", True, []), ("speech", False, []), ("none", False, [])],
)
async def test_words_need_a_recogniser(owner: Owner, on: str, recogniser: bool, codes: list[int]) -> None:
    bargein = owner.made(on, recogniser=recogniser)
    assert owner.errors == []
    bargein.answered()
    bargein.answered()
    assert owner.errors == [("interrupt", code) for code in codes]
