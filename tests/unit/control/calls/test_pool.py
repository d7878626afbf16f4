from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from control.calls.pool import Pools

NAMES = st.sampled_from(["a", "b"])
SESSIONS = st.integers(1, 5)
CALLS = st.integers(101, 105)


def test_a_call_goes_to_the_session_that_has_waited_longest() -> None:
    pools: Pools[str, str] = Pools()
    for session in ("first", "second"):
        assert pools.join("a", session) is None
    assert pools.waiting() == {"a": 2}
    assert pools.offer("a", "call") == "first"
    assert pools.offer("a", "call") == "second"
    assert pools.offer("a", "call") is None
    assert pools.waiting() == {}


def test_a_session_gets_the_call_that_has_waited_longest() -> None:
    pools: Pools[str, str] = Pools()
    for call in ("first", "second"):
        assert pools.offer("a", call) is None
    assert pools.join("a", "session") == "first"
    assert pools.waiting() == {}
    assert pools.join("a", "session") == "second"
    assert pools.join("a", "session") is None


def test_pools_are_apart() -> None:
    pools: Pools[str, str] = Pools()
    pools.join("a", "session")
    assert pools.offer("b", "call") is None
    assert pools.join("c", "other") is None
    assert pools.waiting() == {"a": 1, "c": 1}


def test_who_leaves_gets_nothing() -> None:
    pools: Pools[str, str] = Pools()
    pools.join("a", "session")
    assert pools.leave("session")
    assert not pools.leave("session")
    assert pools.offer("a", "call") is None
    assert pools.withdraw("call")
    assert not pools.withdraw("call")
    assert pools.join("a", "session") is None


def test_all_sessions_of_a_worker_leave_at_once() -> None:
    pools: Pools[tuple[str, int], str] = Pools()
    for number in range(3):
        pools.join("a", ("gone", number))
    pools.join("b", ("there", 0))
    pools.leave_all(lambda session: session[0] == "gone")
    assert pools.waiting() == {"b": 1}


class PoolsMachine(RuleBasedStateMachine):
    """Compares with lists that are searched through."""

    def __init__(self) -> None:
        super().__init__()
        self.pools: Pools[int, int] = Pools()
        self.sessions: list[tuple[str, int]] = []
        self.calls: list[tuple[str, int]] = []

    @staticmethod
    def first(waiting: list[tuple[str, int]], name: str) -> int | None:
        found = next((entry for entry in waiting if entry[0] == name), None)
        if found is None:
            return None
        waiting.remove(found)
        return found[1]

    @rule(name=NAMES, session=SESSIONS)
    def join(self, name: str, session: int) -> None:
        self.sessions = [entry for entry in self.sessions if entry[1] != session]
        call = self.first(self.calls, name)
        if call is None:
            self.sessions.append((name, session))
        assert self.pools.join(name, session) == call

    @rule(name=NAMES, call=CALLS)
    def offer(self, name: str, call: int) -> None:
        session = self.first(self.sessions, name)
        if session is None and all(entry[1] != call for entry in self.calls):
            self.calls.append((name, call))
        assert self.pools.offer(name, call) == session

    @rule(session=SESSIONS)
    def leave(self, session: int) -> None:
        kept = [entry for entry in self.sessions if entry[1] != session]
        assert self.pools.leave(session) == (kept != self.sessions)
        self.sessions = kept

    @rule(call=CALLS)
    def withdraw(self, call: int) -> None:
        kept = [entry for entry in self.calls if entry[1] != call]
        assert self.pools.withdraw(call) == (kept != self.calls)
        self.calls = kept

    @invariant()
    def counts_agree(self) -> None:
        assert sum(self.pools.waiting().values()) == len(self.sessions)


TestPoolsMachine = PoolsMachine.TestCase
