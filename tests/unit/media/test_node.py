"""The sessions of a node as a worker sees them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from control.api.client import LegClient
from control.api.message import Message, Model
from control.api.models import Killed
from control.api.server import Worker
from control.calls.admission_desk import AdmissionDesk
from control.config import Token
from control.errors import LegError, LegErrorCode
from control.tasks import Tasks
from media.api.calltype import CallType
from media.api.gate import Arrival, CallSummary
from media.node import MAX_OPTION, NodeSessions

ModelT = TypeVar("ModelT", bound=Model)
SHOP = Token(name="shop", token="t", max_calls=1)


class Peer(Worker):
    def __init__(self, name: str) -> None:
        super().__init__(name, name)
        self.killed: list[str] = []

    def notify(self, message: Message) -> None:
        assert isinstance(message, Killed)
        self.killed.append(message.session)


class Line(LegClient):
    """The connection of one worker to `desk`, when there is one."""

    def __init__(self, name: str, desk: AdmissionDesk | None) -> None:
        super().__init__(
            "ws://127.0.0.1:1/legs", name, legs=tuple, on_notice=lambda _: None, on_welcome=lambda _: None
        )
        self.peer = Peer(name)
        self.desk = desk
        self.slow: asyncio.Event | None = None

    async def request(self, message: Message, result: type[ModelT]) -> ModelT:
        if self.slow is not None:
            await self.slow.wait()
        if self.desk is None:
            raise LegError(LegErrorCode.NOT_CONNECTED, "control cannot be reached")
        answer = self.desk.on_request(self.peer, message)  # type: ignore[arg-type]
        assert isinstance(answer, result)
        return answer


class House:
    """Two workers."""

    def __init__(self, desk: AdmissionDesk | None) -> None:
        self.tasks = Tasks("test")
        self.lines = [Line(name, desk) for name in ("one", "two")]
        self.one, self.two = (NodeSessions(line, self.tasks) for line in self.lines)

    def connect(self, desk: AdmissionDesk | None) -> None:
        for line in self.lines:
            line.desk = desk


@pytest_asyncio.fixture(name="house")
async def _house() -> AsyncIterator[House]:
    house = House(AdmissionDesk())
    yield house
    await house.tasks.settle()


def arrival(session: str, token: Token | None = None) -> Arrival:
    return Arrival(session_id=session, call_type=CallType.WEBSOCKET, token=token)


def summary(session: str, **option: Any) -> CallSummary:
    return CallSummary(id=session, call_type=CallType.WEBSOCKET, created_at=1, option=option)


async def admitted(node: NodeSessions, session: str, token: Token | None = None) -> int | None:
    """The status with which a session is refused, or None."""
    refusal = await node.admit(arrival(session, token), 1)
    return None if refusal is None else int(refusal.status)


async def test_workers_share_ids_and_limits(house: House) -> None:
    assert await admitted(house.one, "a", SHOP) is None
    assert await admitted(house.one, "a") == 409
    assert await admitted(house.two, "a") == 409
    assert await admitted(house.two, "b", SHOP) == 429
    # What was refused is not counted.
    assert await admitted(house.two, "c") is None
    house.one.closed("a")
    await house.tasks.settle()
    assert await admitted(house.two, "b", SHOP) is None


async def test_without_control_a_worker_knows_its_own(house: House) -> None:
    house.connect(None)
    assert await admitted(house.one, "a", SHOP) is None
    assert await admitted(house.one, "a") == 409
    assert await admitted(house.one, "b", SHOP) == 429
    assert await house.one.calls([summary("a")]) == [summary("a")]
    assert not await house.one.kill("b")


async def test_a_control_that_comes_back_learns_of_what_is_open(house: House) -> None:
    house.connect(None)
    for session in ("a", "b"):
        await admitted(house.one, session)
    house.one.described("a", {"codec": "pcmu"})
    house.connect(desk := AdmissionDesk())
    await house.one.resume()
    assert [(call.id, dict(call.option)) for call in await house.two.calls([])] == [
        ("a", {"codec": "pcmu"}),
        ("b", {}),
    ]
    # What ended unheard is forgotten.
    house.connect(None)
    house.one.closed("a")
    await house.tasks.settle()
    house.connect(desk)
    await house.one.resume()
    assert [call.id for call in await house.two.calls([])] == ["b"]


async def test_lists_of_all_workers_and_the_own_option_as_it_is_now(house: House) -> None:
    await admitted(house.one, "a")
    await admitted(house.two, "b")
    house.two.described("b", {"codec": "pcma"})
    await house.tasks.settle()
    calls = await house.one.calls([summary("a", codec="pcmu")])
    assert {call.id: dict(call.option) for call in calls} == {
        "a": {"codec": "pcmu"},
        "b": {"codec": "pcma"},
    }
    assert {call.call_type for call in calls} == {CallType.WEBSOCKET}


async def test_the_other_worker_is_told_to_kill(house: House) -> None:
    await admitted(house.two, "b")
    assert await house.one.kill("b")
    assert house.lines[1].peer.killed == ["b"]
    assert not await house.one.kill("c")


async def test_who_goes_while_control_is_asked_leaves_nothing(house: House) -> None:
    house.lines[0].slow = asyncio.Event()
    asking = asyncio.create_task(admitted(house.one, "a"))
    await asyncio.sleep(0)
    asking.cancel()
    house.lines[0].slow.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await house.tasks.settle()
    assert await admitted(house.one, "a") is None
    assert await admitted(house.two, "a") == 409


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ({"offer": "x" * 100}, {"offer": "x" * 100}),
        ({"codec": "pcmu", "offer": "x" * MAX_OPTION}, {"codec": "pcmu", "offer": "x" * 200 + "…"}),
        ({"extra": {"a": "x" * MAX_OPTION}}, {}),
    ],
)
async def test_long_options_are_cut_for_other_workers(
    option: dict[str, Any], shown: dict[str, Any], house: House
) -> None:
    await admitted(house.one, "a")
    house.one.described("a", option)
    await house.tasks.settle()
    (call,) = await house.two.calls([])
    assert call.option == shown
