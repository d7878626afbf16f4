"""The jitter buffer: what comes out, in which order, and what is counted."""

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from media.engine.jitter import CELLS, MAX_DROPOUT, PATIENCE, PAYLOAD, Jitter
from media.engine.stats import Counters, Stats

SIZE = 160
LOST = None


@dataclass
class Bench:
    """A jitter buffer with a memory of what came out of each slot."""

    capacity: int = 4
    now: int = 0
    out: dict[int, list[bytes | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.counters = Counters(self.capacity)
        self.jitter = Jitter(self.capacity, self.counters)

    def put(self, slot: int, sequence: int, payload: bytes | None = None, ssrc: int = 1) -> None:
        payload = content(slot, sequence) if payload is None else payload
        row = np.full((1, max(SIZE, len(payload))), 0xEE, np.uint8)
        row[0, : len(payload)] = np.frombuffer(payload, np.uint8)
        one = np.array([slot])
        self.jitter.insert(
            one, np.array([sequence & 0xFFFF]), np.array([ssrc]), np.array([len(payload)]), row
        )

    def tick(self) -> None:
        """Take as the decoder does: one packet, and a second from those with a backlog."""
        slots = np.arange(self.capacity)
        self.take(slots)
        self.take(slots[self.jitter.backlog(slots)])
        self.now += 1

    def take(self, slots: np.ndarray) -> None:
        taken = self.jitter.take(slots, self.now)
        for slot, lost, size, payload in zip(
            taken.slots.tolist(), taken.lost, taken.size, taken.payload, strict=True
        ):
            self.out.setdefault(slot, []).append(LOST if lost else payload[:size].tobytes())

    def stats(self, slot: int = 0) -> Stats:
        return self.counters.of(slot)

    def heard(self, slot: int = 0) -> list[bytes | None]:
        return self.out.get(slot, [])


def content(slot: int, sequence: int) -> bytes:
    return np.random.default_rng([slot, sequence & 0xFFFF]).bytes(SIZE)


def expected(slot: int, *sequences: int | None) -> list[bytes | None]:
    return [LOST if sequence is None else content(slot, sequence) for sequence in sequences]


@dataclass(frozen=True)
class Fate:
    """What the network does to one packet."""

    lost: bool
    delay: int
    """Ticks."""
    copy: int | None
    """Delay of a duplicate."""
    rank: int
    """Order among the packets that arrive in the same tick."""


def fates(delay: int) -> st.SearchStrategy[list[Fate]]:
    one = st.builds(
        Fate,
        st.sampled_from([False] * 7 + [True]),
        st.integers(0, delay),
        st.none() | st.integers(0, delay),
        st.integers(0, 9),
    )
    return st.lists(one, max_size=60)


CLEAN = Fate(lost=False, delay=0, copy=None, rank=0)


def arrivals(journey: list[Fate]) -> list[list[int]]:
    """Numbers of the packets that arrive in each tick, in order."""
    schedule: list[tuple[int, int, int]] = []
    for number, fate in enumerate(journey):
        if not fate.lost:
            schedule.append((number + fate.delay, fate.rank, number))
            if fate.copy is not None:
                schedule.append((number + fate.copy, 9 - fate.rank, number))
    ticks: list[list[int]] = [[] for _ in range(len(journey) + 20)]
    for tick, _, number in sorted(schedule):
        ticks[tick].append(number)
    return ticks


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), fates(delay=1)), min_size=1, max_size=3))
def test_mild_networks_lose_what_they_lost_and_nothing_else(calls: list[tuple[int, list[Fate]]]) -> None:
    bench = Bench()
    journeys = [[CLEAN, *journey, CLEAN, CLEAN, CLEAN] for _, journey in calls]
    plans = [arrivals(journey) for journey in journeys]
    for tick in range(max(len(plan) for plan in plans)):
        for slot, ((start, _), plan) in enumerate(zip(calls, plans, strict=True)):
            for number in plan[tick] if tick < len(plan) else []:
                bench.put(slot, start + number)
        bench.tick()
    for slot, ((start, _), journey) in enumerate(zip(calls, journeys, strict=True)):
        sequences = [None if fate.lost else start + number for number, fate in enumerate(journey)]
        assert bench.heard(slot) == expected(slot, *sequences)
        assert bench.stats(slot).lost == sum(fate.lost for fate in journey)
        assert bench.stats(slot).received == len(journey) - sum(fate.lost for fate in journey)
        assert bench.stats(slot).late == 0
        copies = sum(fate.copy is not None and not fate.lost for fate in journey)
        assert bench.stats(slot).duplicates == copies


@given(st.integers(0, 0xFFFF), fates(delay=12))
def test_wild_networks_change_no_order_and_no_byte(start: int, journey: list[Fate]) -> None:
    bench = Bench()
    journey = [CLEAN, *journey]
    number_of = {content(0, start + number): number for number in range(len(journey))}
    for numbers in arrivals(journey):
        for number in numbers:
            bench.put(0, start + number)
        bench.tick()
    position = -1
    for packet in bench.heard():
        position = position + 1 if packet is LOST else number_of[packet]
    played = [number_of[packet] for packet in bench.heard() if packet is not LOST]
    assert played == sorted(set(played))
    stats = bench.stats()
    assert len(bench.heard()) == len(played) + stats.lost == position + 1
    arrived = sum((not fate.lost) * (1 + (fate.copy is not None)) for fate in journey)
    assert stats.received + stats.late + stats.duplicates == arrived
    assert stats.received == len(played)


def test_nothing_comes_out_of_an_empty_slot() -> None:
    bench = Bench()
    bench.tick()
    assert bench.out == {}


def test_a_packet_in_order_leaves_in_the_tick_it_came() -> None:
    bench = Bench()
    for number in range(5):
        bench.put(0, 100 + number)
        bench.tick()
        assert len(bench.heard()) == number + 1


def test_a_backlog_is_worked_off_two_at_a_time() -> None:
    bench = Bench()
    for number in range(8):
        bench.put(0, number)
    counts = []
    for _ in range(5):
        bench.tick()
        counts.append(len(bench.heard()))
    assert counts == [2, 4, 6, 8, 8]
    assert bench.heard() == expected(0, *range(8))


def test_the_sequence_number_wraps() -> None:
    bench = Bench()
    for number in range(65530, 65545):
        bench.put(0, number)
        bench.tick()
    assert bench.heard() == expected(0, *range(65530, 65545))
    assert bench.stats().lost == 0


def test_a_missing_packet_is_waited_for_while_one_later_is_here_but_not_for_ever() -> None:
    bench = Bench()
    bench.put(0, 1)
    bench.tick()
    bench.put(0, 3)
    for _ in range(PATIENCE):
        bench.tick()
        assert bench.heard() == expected(0, 1)
    bench.tick()
    bench.tick()
    assert bench.heard() == expected(0, 1, None, 3)
    bench.put(0, 2)
    bench.tick()
    assert bench.heard() == expected(0, 1, None, 3)
    assert (bench.stats().lost, bench.stats().late) == (1, 1)


def test_the_wait_for_one_packet_does_not_shorten_that_for_the_next() -> None:
    bench = Bench()
    for sequences in ((1,), (3,), (), (2,), (5,)):
        for sequence in sequences:
            bench.put(0, sequence)
        bench.tick()
    for _ in range(PATIENCE - 1):
        bench.tick()
        assert bench.heard() == expected(0, 1, 2, 3)
    bench.tick()
    bench.tick()
    assert bench.heard() == expected(0, 1, 2, 3, None, 5)


def test_a_packet_out_of_order_does_not_hide_that_later_ones_are_here() -> None:
    bench = Bench()
    for sequence in (1, 5, 2):
        bench.put(0, sequence)
    bench.tick()
    bench.tick()
    assert bench.heard() == expected(0, 1, 2, None)


def test_a_gap_of_any_length_within_the_ring_is_filled_with_losses() -> None:
    bench = Bench()
    bench.put(0, 10)
    bench.tick()
    bench.put(0, 10 + CELLS)
    for _ in range(CELLS):
        bench.tick()
    assert bench.heard() == expected(0, 10, *[None] * (CELLS - 1), 10 + CELLS)
    assert bench.stats().lost == CELLS - 1


def test_after_an_outage_the_stream_goes_on_at_once() -> None:
    bench = Bench()
    bench.put(0, 10)
    bench.tick()
    bench.put(0, 10 + 200)
    bench.put(0, 10 + 201)
    bench.tick()
    bench.tick()
    assert bench.heard() == expected(0, 10, 210, 211)
    assert (bench.stats().lost, bench.stats().late) == (199, 0)


def test_packets_that_a_jump_leaves_behind_are_skipped_and_the_missing_ones_lost() -> None:
    bench = Bench()
    for number in (10, 12, 13, 100):
        bench.put(0, number)
    bench.tick()
    assert bench.heard() == expected(0, 100)
    assert (bench.stats().skipped, bench.stats().lost, bench.stats().late) == (3, 87, 0)


def test_a_sender_that_restarts_its_numbering_is_followed_from_the_second_packet() -> None:
    bench = Bench()
    for number in (50000, 50001, 100, 101, 102, 103):
        bench.put(0, number)
        bench.tick()
    assert bench.heard() == expected(0, 50000, 50001, 101, 102, 103)
    assert (bench.stats().bad, bench.stats().lost) == (1, 0)


def test_a_jump_forward_too_far_is_a_restart_too() -> None:
    bench = Bench()
    for number in (0, 1, 1 + MAX_DROPOUT + 1, 1 + MAX_DROPOUT + 2):
        bench.put(0, number)
        bench.tick()
    assert bench.heard() == expected(0, 0, 1, MAX_DROPOUT + 3)
    assert bench.stats().lost == 0


def test_a_new_ssrc_is_followed_from_the_second_packet() -> None:
    bench = Bench()
    for number in (5, 6, 7):
        bench.put(0, number, ssrc=1)
    bench.tick()
    assert bench.heard() == expected(0, 5, 6)
    for number in (6, 7, 8):
        bench.put(0, number, payload=bytes([number]) * SIZE, ssrc=2)
    bench.tick()
    bench.tick()
    assert bench.heard() == [*expected(0, 5, 6), bytes([7]) * SIZE, bytes([8]) * SIZE]
    assert (bench.stats().bad, bench.stats().skipped) == (1, 1)
    assert bench.jitter.foreign(np.array([0, 0]), np.array([1, 2])).tolist() == [True, False]


def test_strays_do_not_disturb_a_source_that_still_sends() -> None:
    bench = Bench()
    for number in range(20):
        bench.put(0, number, ssrc=1)
        bench.put(0, 7000 + number, ssrc=2)
        bench.tick()
    assert bench.heard() == expected(0, *range(20))
    assert bench.stats().bad == 20


def test_packets_without_audio_count_in_the_numbering_only() -> None:
    bench = Bench()
    bench.put(0, 1)
    for number in (2, 3, 4, 5):
        bench.put(0, number, payload=b"")
    bench.put(0, 6)
    bench.tick()
    bench.tick()
    assert bench.heard() == expected(0, 1, 6)
    assert (bench.stats().received, bench.stats().lost) == (6, 0)


def test_a_loss_lasts_as_long_as_the_packet_before() -> None:
    bench = Bench()
    for number in (1, 3, 4):
        bench.put(0, number, payload=bytes(PAYLOAD))
    taken = [bench.jitter.take(np.array([0]), 0) for _ in range(3)]
    assert [bool(packet.lost[0]) for packet in taken] == [False, True, False]
    assert [int(packet.size[0]) for packet in taken] == [PAYLOAD] * 3


def test_reset_forgets_everything() -> None:
    bench = Bench()
    for number in (1, 2, 3):
        bench.put(0, number)
        bench.put(1, number)
    bench.jitter.reset(0)
    bench.tick()
    assert bench.heard(0) == []
    assert bench.heard(1) == expected(1, 1, 2)
    bench.put(0, 2, ssrc=9)
    bench.tick()
    assert bench.heard(0) == expected(0, 2)
