"""The table of counters."""

import dataclasses

import numpy as np

from media.engine.stats import Counter, Counters, Stats


def test_fields_are_the_counters_in_order() -> None:
    fields = [field.name for field in dataclasses.fields(Stats)]
    assert fields == [counter.name.lower() for counter in Counter]


def test_counting() -> None:
    counters = Counters(4)
    counters.add(Counter.SENT, np.array([1, 3]))
    counters.add(Counter.LOST, np.array([3]), np.array([5]))
    counters.add_repeated(Counter.BAD, np.array([2, 2, 1]))
    counters.add_repeated(Counter.BAD, np.array([], np.int64))
    assert (counters.of(3).sent, counters.of(3).lost, counters.of(3).bad) == (1, 5, 0)
    assert (counters.of(1).bad, counters.of(2).bad) == (1, 2)
    assert (counters.totals().sent, counters.totals().lost, counters.totals().bad) == (2, 5, 3)


def test_past_calls_stay_in_the_totals() -> None:
    counters = Counters(2)
    counters.add(Counter.RECEIVED, np.array([1]), 7)
    counters.retire(1)
    assert counters.of(1).received == 0
    counters.add(Counter.RECEIVED, np.array([1]), 2)
    assert counters.totals().received == 9
