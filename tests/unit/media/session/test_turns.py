"""When a session's bot is told that the caller has finished, with the clock in the test's hand."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from control.errors import ProviderError
from control.tasks import Tasks
from media.api import events
from media.api.options import EouOption
from media.session import turns as module
from media.session.clock import now_ms
from media.session.turns import GIVE_UP, LIMIT_MS, Turns, complaint, expected_digits
from media.speech.eou.http import Asked, RemoteDetector
from media.speech.eou.rule import Pause, Verdict, Waits
from tests.support.stilltime import StillTime

WAITS = Waits(complete=300, plain=700, open=1500, digits=1200, unheard=1000, alone=800)
ENDPOINT = "https://detector.example/ask"


class Remote(RemoteDetector):
    """Answers when the test says what."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Pause] = []
        self.cancelled = 0
        self.answers: asyncio.Queue[int | Verdict | ProviderError] = asyncio.Queue()

    async def ask(self, option: EouOption, asked: Asked, pause: Pause) -> int | Verdict:
        self.asked.append(pause)
        try:
            answer = await self.answers.get()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(answer, ProviderError):
            raise answer
        return answer


class Owner:
    """A session, as far as turns need one."""

    id = "s.1"

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.sent: list[events.Event] = []
        self.told = asyncio.Event()
        self.errors: list[tuple[str, str, int | None]] = []

    def send(self, event: events.Event) -> None:
        self.sent.append(event)
        self.told.set()

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        self.errors.append((sender, message, code))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self.tasks.spawn(work)

    @property
    def ends(self) -> list[bool]:
        """`completed` of each turn that ended."""
        assert all(isinstance(event, events.Eou) and event.track_id == self.id for event in self.sent)
        return [event.completed for event in self.sent if isinstance(event, events.Eou)]


class World:
    """A session's turns and what surrounds them."""

    def __init__(self, tasks: Tasks) -> None:
        self.owner = Owner(tasks)
        self.remote = Remote()
        self.time = StillTime(asyncio.get_running_loop())
        self.now_ms = self.time.now_ms
        self.pass_ms = self.time.advance
        self.turns = self.made()

    def made(self, *, words: bool = True, **option: Any) -> Turns:
        self.turns = Turns(
            self.owner, EouOption(**option), self.remote, words=words, language="en", waits=WAITS
        )
        return self.turns

    async def say(self, text: str = "") -> None:
        """Speech that has just ended."""
        self.turns.speaking(self.now_ms())
        await self.pass_ms(1000)
        if text:
            self.turns.heard(text, False, self.now_ms())
        self.turns.silent(self.now_ms())
        await self.pass_ms(0)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    tasks = Tasks("test")
    found = World(tasks)
    monkeypatch.setattr(module, "now_ms", found.now_ms)
    yield found
    found.turns.stop()
    await tasks.close()


async def test_a_turn_is_told_once(world: World) -> None:
    await world.say("Where is my parcel?")
    await world.pass_ms(WAITS.complete - 100)
    assert world.owner.ends == []
    await world.pass_ms(120)
    assert world.owner.ends == [True]
    await world.pass_ms(60_000)
    assert world.owner.ends == [True]
    await world.say("and")
    await world.pass_ms(WAITS.open)
    assert world.owner.ends == [True, True]


async def test_silence_counts_from_when_the_voice_really_ended(world: World) -> None:
    world.turns.speaking(world.now_ms())
    await world.pass_ms(1000)
    world.turns.heard("yes", True)
    world.turns.silent(world.now_ms() - WAITS.complete)
    await world.pass_ms(0)
    await world.pass_ms(1)
    assert world.owner.ends == [True]


async def test_the_limit(world: World) -> None:
    world.made(timeout=500)
    await world.say("and then")
    await world.pass_ms(510)
    assert world.owner.ends == [False]


async def test_the_caller_goes_on(world: World) -> None:
    await world.say("yes")
    world.turns.stirred()
    await world.pass_ms(WAITS.hold - 10)
    assert world.owner.ends == []
    world.turns.speaking(world.now_ms())
    await world.pass_ms(60_000)
    assert world.owner.ends == []


async def test_without_a_recogniser(world: World) -> None:
    world.made(words=False)
    await world.say()
    await world.pass_ms(WAITS.alone + 10)
    assert world.owner.ends == [True]


async def test_nothing_is_told_after_the_end(world: World) -> None:
    await world.say("yes")
    world.turns.stop()
    world.turns.heard("Yes.", True)
    await world.pass_ms(60_000)
    assert world.owner.ends == []


async def test_an_endpoint_decides(world: World) -> None:
    world.made(type="http", endpoint=ENDPOINT)
    await world.say("my name is")
    assert world.remote.asked[0].text == "my name is"
    await world.pass_ms(LIMIT_MS - 100)
    assert world.owner.ends == []
    world.remote.answers.put_nowait(0)
    await world.pass_ms(1)
    assert world.owner.ends == [True]
    await world.say("Yes.")
    world.remote.answers.put_nowait(Verdict.LIMIT)
    await world.pass_ms(LIMIT_MS - 10)
    assert world.owner.ends == [True]
    await world.pass_ms(20)
    assert world.owner.ends == [True, False]
    await world.say("Yes.")
    world.remote.answers.put_nowait(900)
    await world.pass_ms(850)
    assert world.owner.ends == [True, False]
    await world.pass_ms(60)
    assert world.owner.ends == [True, False, True]


async def test_questions_do_not_queue_up(world: World) -> None:
    world.made(endpoint=ENDPOINT)
    await world.say("my")
    world.turns.heard("my name", False)
    await world.pass_ms(0)
    assert [pause.text for pause in world.remote.asked] == ["my", "my name"]
    assert world.remote.cancelled == 1
    world.turns.heard("my name", False)
    await world.pass_ms(0)
    assert len(world.remote.asked) == 2
    world.turns.speaking(world.now_ms())
    await world.pass_ms(0)
    assert world.remote.cancelled == 2
    world.turns.silent(world.now_ms())
    await world.pass_ms(0)
    assert len(world.remote.asked) == 3
    world.turns.stop()
    await world.pass_ms(0)
    assert world.remote.cancelled == 3


async def test_where_the_endpoint_fails_the_rule_decides_and_the_bot_hears_of_it_once(world: World) -> None:
    world.made(endpoint=ENDPOINT)
    world.turns.answered()
    for _ in range(GIVE_UP):
        world.remote.answers.put_nowait(ProviderError("eou: it did not answer", 504))
        await world.say("Yes.")
        await world.pass_ms(WAITS.complete + 10)
    assert world.owner.ends == [True] * GIVE_UP
    await world.say("Yes.")
    await world.pass_ms(WAITS.complete + 10)
    assert len(world.remote.asked) == GIVE_UP
    assert world.owner.ends == [True] * (GIVE_UP + 1)
    ((sender, message, code),) = world.owner.errors
    assert (sender, code) == ("eou", 504)
    assert "local rule" in message


async def test_one_answer_makes_up_for_failures(world: World) -> None:
    world.made(endpoint=ENDPOINT)
    for answer in [ProviderError("no")] * (GIVE_UP - 1) + [0] + [ProviderError("no")] * (GIVE_UP - 1) + [0]:
        world.remote.answers.put_nowait(answer)
        await world.say("Yes.")
        await world.pass_ms(WAITS.complete + 10)
    assert len(world.remote.asked) == 2 * GIVE_UP


async def test_an_endpoint_that_will_never_do_is_not_asked_again(world: World) -> None:
    world.made(endpoint=ENDPOINT)
    world.remote.answers.put_nowait(ProviderError("eou: refused", 401, retry=False))
    await world.say("Yes.")
    await world.pass_ms(WAITS.complete + 10)
    await world.say("Yes.")
    assert len(world.remote.asked) == 1
    assert world.owner.errors == []
    world.turns.answered()
    world.turns.answered()
    assert [code for _, _, code in world.owner.errors] == [401]


async def test_a_real_server_that_sends_elsewhere() -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/other"})

    app = web.Application()
    app.router.add_post("/", elsewhere)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    tasks, remote = Tasks("test"), RemoteDetector(allow_private=True)
    owner, option = Owner(tasks), EouOption(endpoint=str(server.make_url("/")))
    turns = Turns(owner, option, remote, words=True, waits=Waits(unheard=0, alone=0))
    turns.answered()
    turns.speaking(now_ms())
    turns.silent(now_ms())
    async with asyncio.timeout(5):
        await owner.told.wait()
    turns.stop()
    await tasks.close()
    await remote.close()
    await server.close()
    assert owner.ends == [True]
    assert [error[2] for error in owner.errors] == [502]


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ({}, None),
        ({"type": "local"}, None),
        ({"type": "LOCAL", "endpoint": ENDPOINT}, None),
        ({"type": "http", "endpoint": ENDPOINT}, None),
        ({"type": "mine", "endpoint": ENDPOINT}, None),
        ({"type": "http"}, 400),
        ({"type": "smart"}, 501),
    ],
)
async def test_what_is_not_offered_is_told_after_the_answer(
    world: World, option: dict[str, Any], code: int | None
) -> None:
    found = complaint(EouOption(**option))
    assert (found and found[1]) == code
    world.made(**option)
    assert world.owner.errors == []
    world.turns.answered()
    assert [each[2] for each in world.owner.errors] == ([] if code is None else [code])


async def test_a_local_type_asks_nobody(world: World) -> None:
    world.made(type="local", endpoint=ENDPOINT)
    await world.say("Yes.")
    await world.pass_ms(WAITS.complete + 10)
    assert (world.remote.asked, world.owner.ends) == ([], [True])


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (None, ()),
        ({"digits": 11}, (11,)),
        ({"digits": [10, 11, "12", True, -1, 1000, 3.0]}, (10, 11)),
        ({"digits": {"a": 1}}, ()),
    ],
)
def test_expected_digits(extra: dict[str, Any] | None, expected: tuple[int, ...]) -> None:
    assert expected_digits(EouOption(extra=extra)) == expected
