"""The sessions of a node."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from control.calls.admissions import Admission, Admissions
from control.errors import LegError, LegErrorCode


def admission(session: str = "s", worker: str = "w", **fields: Any) -> Admission[str]:
    return Admission(session=session, worker=worker, call_type="sip", created_at=1, **fields)


def refused(
    admissions: Admissions[str], wanted: Admission[str], max_calls: int | None = None
) -> LegErrorCode:
    before = list(admissions)
    with pytest.raises(LegError) as refusal:
        admissions.open(wanted, max_calls)
    assert list(admissions) == before
    return refusal.value.code


def test_an_id_is_open_once_whoever_has_it() -> None:
    admissions: Admissions[str] = Admissions()
    admissions.open(admission("s", "w"))
    assert refused(admissions, admission("s", "w")) is LegErrorCode.CONFLICT
    assert refused(admissions, admission("s", "v")) is LegErrorCode.CONFLICT
    admissions.close("v", "s")
    assert admissions.workers("s") == ("w",)
    admissions.close("w", "s")
    admissions.close("w", "s")
    admissions.open(admission("s", "v"))


def test_a_token_has_so_many_calls_over_all_workers() -> None:
    admissions: Admissions[str] = Admissions()
    admissions.open(admission("a", "w", token="shop"), 2)
    admissions.open(admission("b", "v", token="shop"), 2)
    admissions.open(admission("c", "v", token="other"), 1)
    admissions.open(admission("d", "v"))
    assert refused(admissions, admission("e", token="shop"), 2) is LegErrorCode.TOO_MANY
    assert refused(admissions, admission("e", token="none"), 0) is LegErrorCode.TOO_MANY
    admissions.close("w", "a")
    admissions.open(admission("e", token="shop"), 2)


def test_what_a_worker_holds_stands() -> None:
    admissions: Admissions[str] = Admissions()
    admissions.open(admission("s", "w"))
    admissions.hold(admission("s", "v"))
    assert set(admissions.workers("s")) == {"w", "v"}
    admissions.forget("w")
    assert admissions.workers("s") == ("v",)
    assert len(admissions) == 1


def test_the_option_becomes_known() -> None:
    admissions: Admissions[str] = Admissions()
    admissions.describe("w", "s", {"codec": "pcmu"})
    admissions.open(admission("s", "w"))
    admissions.describe("v", "s", {"codec": "pcma"})
    assert [each.option for each in admissions] == [None]
    admissions.describe("w", "s", {"codec": "pcmu"})
    assert [each.option for each in admissions] == [{"codec": "pcmu"}]


def test_pages_hold_every_session_once() -> None:
    admissions: Admissions[str] = Admissions()
    for number in range(25):
        admissions.open(admission(f"s.{number}"))
    admissions.hold(admission("s.3", "v"))
    found, after, more = [], "", True
    while more:
        page, more = admissions.page(after, 10)
        found += page
        after = page[-1].session
    assert found == list(admissions)
    assert len(found) == 26
    assert admissions.page(after, 10) == ([], False)


class Node(RuleBasedStateMachine):
    """Against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.admissions: Admissions[str] = Admissions()
        self.model: set[tuple[str, str, str | None]] = set()

    @rule(session=st.sampled_from("abc"), worker=st.sampled_from("vw"), token=st.sampled_from([None, "t"]))
    def open(self, session: str, worker: str, token: str | None) -> None:
        taken = any(held[0] == session for held in self.model)
        full = token is not None and sum(held[2] == token for held in self.model) >= 2
        wanted, most = admission(session, worker, token=token), None if token is None else 2
        if taken or full:
            code = refused(self.admissions, wanted, most)
            assert code is (LegErrorCode.CONFLICT if taken else LegErrorCode.TOO_MANY)
        else:
            self.admissions.open(wanted, most)
            self.model.add((session, worker, token))

    @rule(session=st.sampled_from("abc"), worker=st.sampled_from("vw"))
    def close(self, session: str, worker: str) -> None:
        self.admissions.close(worker, session)
        self.model = {held for held in self.model if held[:2] != (session, worker)}

    @rule(worker=st.sampled_from("vw"))
    def forget(self, worker: str) -> None:
        self.admissions.forget(worker)
        self.model = {held for held in self.model if held[1] != worker}

    @invariant()
    def same(self) -> None:
        assert {(held.session, held.worker, held.token) for held in self.admissions} == self.model
        assert len(self.admissions) == len(self.model)


TestNode = Node.TestCase
