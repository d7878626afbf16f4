"""What workers ask about the sessions of the node."""

from typing import Any

import pytest

from control.api import sessions
from control.api.message import Message
from control.api.models import Killed
from control.api.server import Worker
from control.calls.admission_desk import PAGE, AdmissionDesk
from control.errors import LegError, LegErrorCode


class Peer(Worker):
    """A worker that writes down what it is told."""

    def __init__(self, name: str) -> None:
        super().__init__(name, name)
        self.told: list[Message] = []

    def notify(self, message: Message) -> None:
        self.told.append(message)


@pytest.fixture(name="desk")
def _desk() -> AdmissionDesk:
    return AdmissionDesk()


ONE, TWO = Peer("one"), Peer("two")


def opening(session: str, **fields: Any) -> sessions.OpenSession:
    return sessions.OpenSession(session=session, call_type="sip", created_at=7, **fields)


def refusal(desk: AdmissionDesk, worker: Worker, request: sessions.SessionRequest) -> LegErrorCode:
    with pytest.raises(LegError) as error:
        desk.on_request(worker, request)
    return error.value.code


def listed(desk: AdmissionDesk) -> list[sessions.SessionEntry]:
    found: list[sessions.SessionEntry] = []
    while True:
        page = desk.on_request(ONE, sessions.ListSessions(after=found[-1].session if found else ""))
        assert isinstance(page, sessions.SessionList)
        found += page.sessions
        if not page.more:
            return found


def test_a_session_from_open_to_close(desk: AdmissionDesk) -> None:
    desk.on_request(ONE, opening("s"))
    assert refusal(desk, TWO, opening("s")) is LegErrorCode.CONFLICT
    assert listed(desk) == [sessions.SessionEntry(session="s", call_type="sip", created_at=7)]
    desk.on_request(ONE, sessions.DescribeSession(session="s", option={"codec": "pcmu"}))
    assert listed(desk)[0].option == {"codec": "pcmu"}
    desk.on_request(TWO, sessions.CloseSession(session="s"))
    assert len(desk) == 1
    desk.on_request(ONE, sessions.CloseSession(session="s"))
    assert len(desk) == 0


def test_a_token_with_enough_calls(desk: AdmissionDesk) -> None:
    desk.on_request(ONE, opening("a", token="shop", max_calls=1))
    assert refusal(desk, TWO, opening("b", token="shop", max_calls=1)) is LegErrorCode.TOO_MANY


def test_what_a_worker_announces_stands(desk: AdmissionDesk) -> None:
    desk.on_request(ONE, opening("a", token="shop", max_calls=1))
    desk.on_request(ONE, opening("old"))
    desk.on_request(ONE, sessions.ResetSessions())
    assert len(desk) == 0
    desk.on_request(TWO, opening("a", token="shop"))
    desk.on_request(ONE, opening("a", token="shop", max_calls=1, held=True, option={"codec": "pcmu"}))
    assert len(desk) == 2
    desk.forget(TWO)
    assert [entry.option for entry in listed(desk)] == [{"codec": "pcmu"}]


def test_its_worker_is_told_to_kill(desk: AdmissionDesk) -> None:
    peer = Peer("owner")
    desk.on_request(peer, opening("s"))
    desk.on_request(ONE, sessions.KillSession(session="s"))
    assert peer.told == [Killed(session="s")]
    assert refusal(desk, ONE, sessions.KillSession(session="t")) is LegErrorCode.NO_SUCH_LEG


def test_long_lists_come_in_pages(desk: AdmissionDesk) -> None:
    for number in range(2 * PAGE + 1):
        desk.on_request(ONE, opening(f"s.{number:04}"))
    assert [entry.session for entry in listed(desk)] == [f"s.{number:04}" for number in range(2 * PAGE + 1)]
