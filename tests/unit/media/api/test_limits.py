import pytest

from media.api.limits import Bucket, Limiter, Verdict

TAKE, REFUSE, CUT_OFF = Verdict


def judge(limiter: Limiter, rate: float, seconds: float) -> list[Verdict]:
    """What becomes of `rate` a second for so long."""
    return [limiter.judge(number / rate) for number in range(int(rate * seconds))]


@pytest.mark.parametrize("rate", [0.5, 1.0, 10.0])
def test_what_keeps_the_rate_is_taken_for_ever(rate: float) -> None:
    assert set(judge(Limiter(10), rate, 1000)) == {TAKE}


def test_a_burst_is_taken_and_then_what_leaks() -> None:
    limiter = Limiter(10)
    assert [limiter.judge(0) for _ in range(25)] == [TAKE] * 20 + [REFUSE] * 5
    assert [limiter.judge(0.3) for _ in range(4)] == [TAKE] * 3 + [REFUSE]
    assert [limiter.judge(100) for _ in range(21)] == [TAKE] * 20 + [REFUSE]


def test_less_than_a_flood_is_refused_in_part_and_never_cut_off() -> None:
    found = judge(Limiter(10), 49, 100)
    assert CUT_OFF not in found
    assert found.count(TAKE) == pytest.approx(1020, abs=5)


@pytest.mark.parametrize(("rate", "seconds"), [(100.0, 5.0), (1000.0, 0.4)])
def test_a_flood_is_cut_off_the_sooner_the_worse_it_is(rate: float, seconds: float) -> None:
    limiter = Limiter(10)
    found = judge(limiter, rate, 20)
    assert found.index(CUT_OFF) / rate <= seconds


def test_what_is_bigger_than_the_burst_is_refused() -> None:
    limiter = Limiter(100, 10)
    assert limiter.judge(0, 1001) is REFUSE
    assert limiter.judge(0, 1000) is TAKE


def test_a_rate_below_one_takes_one() -> None:
    limiter = Limiter(0.01)
    assert limiter.judge(0) is TAKE
    assert limiter.judge(1) is not TAKE
    assert limiter.judge(101) is TAKE


def test_a_bucket_keeps_nothing_of_what_found_no_room() -> None:
    bucket = Bucket(1, 10)
    assert not bucket.pour(0, 11)
    assert bucket.pour(0, 10)
    assert not bucket.pour(0, 1)
    assert bucket.pour(1, 1)
