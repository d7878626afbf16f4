"""Reception statistics against a straightforward model of RFC 3550 appendix A."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.engine.jitter import MAX_DROPOUT, MAX_MISORDER
from media.engine.quality import STEP, Blocks, Reception

START = 1_700_000_000_000_000_000
RATES = (8000, 16000, 48000)
SLOTS = 3


@dataclass(frozen=True)
class Arrived:
    """A packet, in terms of the one before."""

    step: int
    """Of the sequence number."""
    samples: int
    """Of the timestamp."""
    later: int
    """Nanoseconds of the arrival."""
    audio: bool
    new_source: bool
    report: bool
    """Whether a report is made after it."""


@dataclass
class Model:
    """One source and its statistics, a packet at a time."""

    rate: int
    ssrc: int = -1
    base: int = 0
    high: int = 0
    received: int = 0
    expected_prior: int = 0
    received_prior: int = 0
    jitter: float = 0.0
    worst: float = 0.0
    last: tuple[int, int] | None = None

    def take(self, ssrc: int, sequence: int, timestamp: int, arrival: int, audio: bool) -> None:
        ahead = (sequence - self.high) % 65536
        if ssrc != self.ssrc or MAX_DROPOUT <= ahead <= 65536 - MAX_MISORDER:
            self.ssrc, self.base, self.high = ssrc, sequence, sequence
            self.received = self.expected_prior = self.received_prior = 0
            self.jitter, self.last = 0.0, None
        elif ahead < MAX_DROPOUT:
            self.high += ahead
        self.received += 1
        if not audio:
            return
        if self.last is not None:
            before, sent = self.last
            difference = (timestamp - sent) % 2**32
            if difference >= 2**31:
                difference -= 2**32
            change = abs((arrival - before) / 1e9 - difference / self.rate)
            if change < STEP / 1e9:
                self.jitter += (change - self.jitter) / 16
        self.worst = max(self.worst, self.jitter)
        self.last = arrival, timestamp

    def report(self) -> tuple[int, int, int, int, float]:
        expected = self.high - self.base + 1
        due, got = expected - self.expected_prior, self.received - self.received_prior
        self.expected_prior, self.received_prior = expected, self.received
        fraction = 0 if due == 0 or due <= got else ((due - got) * 256) // due
        return self.ssrc, fraction, expected - self.received, self.high, self.jitter * self.rate


def packets() -> st.SearchStrategy[list[Arrived]]:
    step = st.sampled_from([1] * 12 + [0, -1, -2, -99, -100, -150, 2, 3, 40, 2999, 3000, 3001, 20000])
    one = st.builds(
        Arrived,
        step,
        st.sampled_from([160] * 6 + [0, 320, 960, -160, 2**31 - 1, 80000]),
        st.integers(0, 60_000_000) | st.just(2 * STEP),
        st.sampled_from([True] * 5 + [False]),
        st.sampled_from([False] * 12 + [True]),
        st.sampled_from([False] * 5 + [True]),
    )
    return st.lists(one, max_size=80)


@dataclass
class Stream:
    """A sender that walks on as it is told."""

    sequence: int
    timestamp: int
    arrival: int = START
    ssrc: int = 0
    journey: list[Arrived] = field(default_factory=list)

    def move(self, packet: Arrived) -> None:
        self.sequence = (self.sequence + packet.step) % 65536
        self.timestamp = (self.timestamp + packet.samples) % 2**32
        self.arrival += packet.later
        self.ssrc += packet.new_source


def streams() -> st.SearchStrategy[list[Stream]]:
    one = st.builds(
        Stream,
        st.integers(0, 65535) | st.just(65530),
        st.integers(0, 2**32 - 1) | st.just(2**32 - 200),
        journey=packets(),
    )
    return st.lists(one, min_size=SLOTS, max_size=SLOTS)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@given(streams())
def test_statistics_are_those_of_the_standard(calls: list[Stream]) -> None:
    reception = Reception(SLOTS)
    models = [Model(rate) for rate in RATES]
    for slot, rate in enumerate(RATES):
        reception.connect(slot, rate)
    for turn in range(max(len(call.journey) for call in calls)):
        slots = [slot for slot in range(SLOTS) if turn < len(calls[slot].journey)]
        now = [calls[slot] for slot in slots]
        audio = []
        for slot, call in zip(slots, now, strict=True):
            call.move(call.journey[turn])
            audio.append(call.journey[turn].audio)
            models[slot].take(call.ssrc, call.sequence, call.timestamp, call.arrival, audio[-1])
        reception.update(
            ints(*slots),
            ints(*(call.ssrc for call in now)),
            ints(*(call.sequence for call in now)),
            ints(*(call.timestamp for call in now)),
            ints(*(call.arrival for call in now)),
            np.array(audio),
        )
        due = [slot for slot, call in zip(slots, now, strict=True) if call.journey[turn].report]
        assert reception.heard(ints(*due)).all()
        check(reception.report(ints(*due)), [models[slot] for slot in due])
        assert not reception.heard(ints(*due)).any()
    for slot, (call, model) in enumerate(zip(calls, models, strict=True)):
        jitter, worst = reception.jitter_ms(slot)
        assert jitter == pytest.approx(model.jitter * 1000, abs=1e-3)
        assert worst == pytest.approx(model.worst * 1000, abs=1e-3)
        assert reception.last[slot] == (call.arrival if call.journey else 0)


def check(blocks: Blocks, models: list[Model]) -> None:
    for row, model in enumerate(models):
        ssrc, fraction, lost, highest, jitter = model.report()
        got = [int(values[row]) for values in blocks]
        assert got[:4] == [ssrc, fraction, lost, highest]
        assert got[4] == pytest.approx(jitter, abs=1.01)


def feed(reception: Reception, sequence: int, arrival: int = START, ssrc: int = 7) -> None:
    timestamp = sequence * 160 % 2**32
    reception.update(
        ints(0), ints(ssrc), ints(sequence % 65536), ints(timestamp), ints(arrival), np.array([True])
    )


def test_a_steady_stream_has_no_jitter() -> None:
    reception = Reception(1)
    for number in range(100):
        feed(reception, number, START + 20_000_000 * number)
    assert reception.jitter_ms(0) == (0.0, 0.0)
    assert (reception.first[0], reception.last[0]) == (START, START + 99 * 20_000_000)


def test_jitter_grows_to_the_mean_change_of_transit_times_and_the_most_is_kept() -> None:
    reception = Reception(1)
    for number in range(200):
        feed(reception, number, START + 20_000_000 * number + 4_000_000 * (number % 2))
    assert reception.jitter_ms(0) == pytest.approx((4.0, 4.0), abs=1e-3)
    for number in range(200, 400):
        feed(reception, number, START + 20_000_000 * number)
    assert reception.jitter_ms(0) == pytest.approx((0.0, 4.0), abs=1e-3)


def test_a_step_of_a_clock_is_no_jitter() -> None:
    reception = Reception(1)
    for number in range(10):
        feed(reception, number, START + 20_000_000 * number + (STEP if number > 5 else 0))
    assert reception.jitter_ms(0) == (0.0, 0.0)


def test_the_clock_rate_may_change_in_mid_call() -> None:
    reception = Reception(1)
    reception.connect(0, 8000)
    feed(reception, 1)
    reception.connect(0, 48000)
    feed(reception, 2, START + 20_000_000)
    assert reception.jitter_ms(0) == (0.0, 0.0)


def test_lost_is_bounded_to_24_bits_with_a_sign() -> None:
    reception = Reception(1)
    for number in range(1, 9_000_000, MAX_DROPOUT - 1):
        feed(reception, number)
    blocks = reception.report(ints(0))
    assert (blocks.lost[0], blocks.fraction[0]) == (0x7FFFFF, 255)
    assert blocks.highest[0] > 8_000_000
    reception._received[0] = 1 << 25
    assert reception.report(ints(0)).lost[0] == -0x800000


def test_duplicates_make_less_than_nothing_lost() -> None:
    reception = Reception(1)
    for number in (5, 5, 5, 6):
        feed(reception, number)
    blocks = reception.report(ints(0))
    assert (blocks.lost[0], blocks.fraction[0]) == (-2, 0)


def test_reset_forgets_the_source() -> None:
    reception = Reception(2)
    feed(reception, 5)
    feed(reception, 6, START + 80_000_000)
    assert reception.heard(ints(0, 1)).tolist() == [True, False]
    reception.reset(0)
    assert not reception.heard(ints(0, 1)).any()
    assert (reception.ssrc[0], reception.first[0], reception.last[0]) == (-1, 0, 0)
    assert reception.jitter_ms(0) == (0.0, 0.0)
    feed(reception, 900, START + STEP)
    blocks = reception.report(ints(0))
    assert (blocks.lost[0], blocks.highest[0], blocks.jitter[0]) == (0, 900, 0)
