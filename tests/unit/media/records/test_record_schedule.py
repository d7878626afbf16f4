"""Tries and pauses in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from media.records.schedule import FIRST, GIVE_UP, LONGEST, Schedule, Ticket


def full(give_up: float = GIVE_UP) -> Schedule:
    """A schedule with pauses that are not cut."""
    return Schedule(lambda: 0.0, give_up)


def take(schedule: Schedule, now: float) -> Ticket:
    ticket = schedule.take(now)
    assert ticket is not None
    return ticket


def test_a_new_message_is_due_at_once_and_only_once() -> None:
    schedule = full()
    assert schedule.next_due() is None
    schedule.add("a", 10.0)
    schedule.add("a", 10.0)
    assert (len(schedule), schedule.next_due()) == (1, 10.0)
    ticket = take(schedule, 10.0)
    assert schedule.take(10.0) is None
    schedule.add("a", 11.0)
    assert schedule.take(11.0) is None
    schedule.done(ticket)
    assert len(schedule) == 0


def test_the_oldest_is_first() -> None:
    schedule = full()
    for name, now in (("b", 2.0), ("a", 1.0), ("c", 2.0)):
        schedule.add(name, now)
    assert [take(schedule, 5.0).name for _ in range(3)] == ["a", "b", "c"]


def test_pauses_double_up_to_the_longest() -> None:
    schedule = full()
    schedule.add("a", 0.0)
    now, pauses = 0.0, []
    for _ in range(12):
        assert schedule.failed(take(schedule, now), now)
        due = schedule.next_due()
        assert due is not None
        assert schedule.take(due - 0.001) is None
        pauses.append(due - now)
        now = due
    assert pauses[:4] == [5.0, 10.0, 20.0, 40.0]
    assert pauses[-3:] == [2560.0, 3600.0, 3600.0]


def test_it_is_given_up_after_its_time() -> None:
    schedule = full()
    schedule.add("a", 0.0)
    now, tries = 0.0, 1
    while schedule.failed(take(schedule, now), now):
        due = schedule.next_due()
        assert due is not None
        now, tries = due, tries + 1
    assert GIVE_UP - LONGEST < now <= GIVE_UP
    assert (tries, len(schedule), schedule.next_due()) == (33, 0, None)


def test_the_age_counts_but_everything_is_tried_once() -> None:
    schedule = full()
    schedule.add("a", 0.0, age=10 * GIVE_UP)
    assert not schedule.failed(take(schedule, 0.0), 0.0)


@pytest.mark.parametrize(("after", "due"), [(None, FIRST), (0.0, FIRST), (100.0, 100.0), (1e9, LONGEST)])
def test_the_receiver_may_ask_for_more_time(after: float | None, due: float) -> None:
    schedule = full()
    schedule.add("a", 0.0)
    schedule.failed(take(schedule, 0.0), 0.0, after)
    assert schedule.next_due() == due


@given(st.floats(0, 1), st.integers(1, 40))
def test_pauses_are_cut_by_half_at_most(random: float, failures: int) -> None:
    schedule = Schedule(lambda: random, 1e9)
    schedule.add("a", 0.0)
    ticket = take(schedule, 0.0)
    ticket.failures = failures - 1
    assert schedule.failed(ticket, 0.0)
    whole = min(LONGEST, FIRST * 2 ** (failures - 1))
    assert whole / 2 <= ticket.due <= whole


class Life(RuleBasedStateMachine):
    """Any order of events: no message is lost, and none is on two ways at once."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = full(give_up=200.0)
        self.now = 0.0
        self.added: set[str] = set()
        self.over: set[str] = set()
        self.flying: dict[str, Ticket] = {}

    @rule(name=st.sampled_from("abcdef"), age=st.floats(0, 300))
    def add(self, name: str, age: float) -> None:
        self.schedule.add(name, self.now, age)
        self.added.add(name)
        self.over.discard(name)

    @rule(seconds=st.floats(0, 100))
    def passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        due = self.schedule.next_due()
        ticket = self.schedule.take(self.now)
        assert (ticket is not None) == (due is not None and due <= self.now)
        if ticket is not None:
            assert ticket.name not in self.flying
            self.flying[ticket.name] = ticket

    @precondition(lambda self: self.flying)
    @rule(delivered=st.booleans(), after=st.none() | st.floats(0, 50))
    def answer(self, delivered: bool, after: float | None) -> None:
        name, ticket = self.flying.popitem()
        if delivered:
            self.schedule.done(ticket)
            self.over.add(name)
        elif not self.schedule.failed(ticket, self.now, after):
            self.over.add(name)

    @invariant()
    def all_are_known(self) -> None:
        assert len(self.schedule) == len(self.added - self.over)


TestLife = Life.TestCase
