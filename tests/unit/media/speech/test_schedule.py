from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from media.speech.protocol import CREDIT_SECONDS, Cancel, Credit, Synthesise
from media.speech.schedule import Job, Schedule
from media.speech.voice import Voice

RATE = 8000
CREDIT = CREDIT_SECONDS * RATE


def order(request: int, text: str = "Hello") -> Synthesise:
    return Synthesise(request, text, Voice("en-us"), RATE)


def take(schedule: Schedule) -> Job:
    job = schedule.next()
    assert job is not None
    return job


def test_an_empty_schedule_has_nothing_to_do() -> None:
    assert Schedule().next() is None


def test_jobs_take_turns() -> None:
    schedule = Schedule()
    for request in (1, 2, 3):
        schedule.take(order(request))
    assert [take(schedule).request for _ in range(7)] == [1, 2, 3, 1, 2, 3, 1]


def test_a_long_text_is_several_turns() -> None:
    schedule = Schedule()
    schedule.take(order(1, "A sentence of some words. " * 20))
    assert len(take(schedule).segments) > 2


def test_without_credit_a_job_waits() -> None:
    schedule = Schedule()
    schedule.take(order(1))
    schedule.take(order(2))
    job = take(schedule)
    job.credit -= CREDIT + 100
    assert [take(schedule).request for _ in range(2)] == [2, 2]
    schedule.take(Credit(1, 100))
    assert take(schedule).request == 2
    schedule.take(Credit(1, 1))
    assert take(schedule) is job


def test_orders_about_nothing_do_nothing() -> None:
    schedule = Schedule()
    schedule.take(Cancel(7))
    schedule.take(Credit(7, 100))
    assert schedule.next() is None


def test_a_cancelled_or_finished_job_is_not_held() -> None:
    schedule = Schedule()
    schedule.take(order(1))
    job = take(schedule)
    assert schedule.holds(job)
    schedule.take(Cancel(1))
    assert not schedule.holds(job)
    schedule.finish(job)
    schedule.take(order(1))
    again = take(schedule)
    schedule.finish(job)
    assert schedule.holds(again)
    schedule.finish(again)
    assert schedule.next() is None


class Turns(RuleBasedStateMachine):
    """Whatever is ordered: every job with credit gets its turn before any gets a second one."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule()
        self.credit: dict[int, int] = {}

    @rule(request=st.integers(1, 5))
    def synthesise(self, request: int) -> None:
        if request not in self.credit:
            self.schedule.take(order(request))
            self.credit[request] = CREDIT

    @rule(request=st.integers(1, 5))
    def cancel(self, request: int) -> None:
        self.schedule.take(Cancel(request))
        self.credit.pop(request, None)

    @rule(request=st.integers(1, 5), samples=st.integers(1, CREDIT))
    def refill(self, request: int, samples: int) -> None:
        self.schedule.take(Credit(request, samples))
        if request in self.credit:
            self.credit[request] += samples

    @rule(samples=st.integers(1, 2 * CREDIT))
    def work(self, samples: int) -> None:
        job = self.schedule.next()
        if job is not None:
            job.credit -= samples
            self.credit[job.request] -= samples

    @invariant()
    def everybody_gets_a_turn(self) -> None:
        able = {request for request, credit in self.credit.items() if credit > 0}
        turns = [job.request for job in (self.schedule.next() for _ in able) if job is not None]
        assert len(turns) == len(able)
        assert set(turns) == able
        assert able or self.schedule.next() is None


TestTurns = Turns.TestCase
