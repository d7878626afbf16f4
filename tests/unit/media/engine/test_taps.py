"""Taps: what readers get, against a model that keeps everything; late readers, both bands, the end."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.errors import MediaError
from media.engine import halfband
from media.engine.arrays import Ints, Pcm
from media.engine.taps import RING, STEREO, Reader, Side, Taps

CAPACITY = 5
SLOTS = np.arange(CAPACITY)


@dataclass
class Ear:
    """A sink that keeps copies of what it gets."""

    pcm: list[Pcm] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)

    def __call__(self, pcm: Pcm, lost: int) -> None:
        self.pcm.append(pcm.copy())
        self.lost.append(lost)

    @property
    def all(self) -> Pcm:
        return np.concatenate(self.pcm) if self.pcm else np.zeros(0, np.int16)


class Line:
    """Taps that are fed with noise, and a memory of all of it."""

    def __init__(self, rates: list[int] | None = None) -> None:
        self.taps = Taps(CAPACITY)
        self.rates = rates or [8000] * CAPACITY
        self.rng = np.random.default_rng(1)
        self.told: dict[tuple[Side, int], list[Pcm]] = {(s, n): [] for s in Side for n in range(CAPACITY)}
        for slot, rate in enumerate(self.rates):
            self.taps.begin(slot, rate)

    def tick(self, fresh: list[int] | None = None, sent: list[int] | None = None) -> None:
        """One tick: `fresh` frames heard, of each slot; `sent` are the slots that are sent something."""
        counts = np.array(fresh or [1] * CAPACITY, np.uint8)
        for rate in set(self.rates):
            of_rate = np.flatnonzero(np.array(self.rates) == rate)
            frame = rate // 50
            frames = self._noise(CAPACITY, 2, frame)
            even = self._noise(len(of_rate), frame)
            senders: Ints = of_rate if sent is None else np.intersect1d(of_rate, sent)
            out = self._noise(len(senders), frame)
            for row, slot in enumerate(of_rate.tolist()):
                self.told[Side.HEARD, slot].extend(frames[slot, : counts[slot]])
                self.told[Side.EVEN, slot].append(even[row])
                there = np.flatnonzero(senders == slot)
                self.told[Side.SENT, slot].append(out[there[0]] if len(there) else np.zeros(frame, np.int16))
            self.taps.hear(rate, frames, counts)
            self.taps.step(rate, of_rate, even, senders, out)
        self.taps.deliver()

    def _noise(self, *shape: int) -> Pcm:
        return self.rng.integers(-32768, 32768, shape).astype(np.int16)

    def listen(self, slot: int, *sides: Side, every: int = 5, rate: int | None = None) -> tuple[Reader, Ear]:
        ear = Ear()
        rate = rate or self.rates[slot]
        return self.taps.subscribe(slot, sides, every=every, rate=rate, sink=ear), ear

    def since(self, slot: int, side: Side, mark: int) -> Pcm:
        """What `side` of `slot` was told, but for the first `mark` frames."""
        frames = self.told[side, slot][mark:]
        return np.concatenate(frames) if frames else np.zeros(0, np.int16)


@dataclass(frozen=True)
class Wish:
    """A reader: when it comes and goes, and what it wants."""

    slot: int
    sides: tuple[Side, ...]
    every: int
    start: int
    duration: int


WISHES = st.builds(
    Wish,
    st.integers(0, CAPACITY - 1),
    st.sampled_from([(Side.HEARD,), (Side.EVEN,), (Side.SENT,), STEREO, (Side.SENT, Side.EVEN)]),
    st.sampled_from([1, 3, 10, 24, 60, 130]),
    st.integers(0, 60),
    st.integers(0, 200),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(WISHES, max_size=8), st.lists(st.sampled_from([8000, 16000]), min_size=5, max_size=5), st.data()
)
def test_readers_get_every_sample_or_are_told_how_many_are_gone(
    wishes: list[Wish], rates: list[int], data: st.DataObject
) -> None:
    line = Line(rates)
    readers: dict[Wish, tuple[Reader, Ear, int]] = {}
    counts = data.draw(st.lists(st.lists(st.integers(0, 2), min_size=5, max_size=5), min_size=7, max_size=7))
    senders = data.draw(st.lists(st.sets(st.integers(0, CAPACITY - 1)), min_size=3, max_size=3))
    for tick in range(280):
        for wish in set(wishes):
            if tick == wish.start:
                reader, ear = line.listen(wish.slot, *wish.sides, every=wish.every)
                readers[wish] = reader, ear, len(line.told[wish.sides[0], wish.slot])
            if wish in readers and tick == wish.start + wish.duration:
                line.taps.unsubscribe(readers[wish][0])
                check(line, wish, *readers.pop(wish)[1:])
        line.tick(counts[tick % 7], sorted(senders[tick % 3]))


def check(line: Line, wish: Wish, ear: Ear, mark: int) -> None:
    """What was delivered and what was lost make up all there was; readers in time lose nothing."""
    sides = [line.since(wish.slot, side, mark) for side in wish.sides]
    told = sides[0] if len(sides) == 1 else np.stack(sides, axis=1)
    at = 0
    for pcm, lost in zip(ear.pcm, ear.lost, strict=True):
        at += lost
        np.testing.assert_array_equal(pcm, told[at : at + len(pcm)])
        assert len(pcm)
        assert len(pcm) < RING
        at += len(pcm)
    assert at == len(told)
    frame = line.rates[wish.slot] // 50
    if 2 * wish.every * frame < RING:
        assert not any(ear.lost)


def test_a_reader_too_slow_loses_the_oldest_and_is_told_exactly_how_much() -> None:
    line = Line()
    _, ear = line.listen(0, Side.EVEN, every=60)
    for _ in range(121):
        line.tick()
    told = line.since(0, Side.EVEN, 0)
    kept = RING - 160
    assert ear.lost == [0, 60 * 160 - kept, 60 * 160 - kept]
    np.testing.assert_array_equal(ear.pcm[1], told[61 * 160 - kept : 61 * 160])
    np.testing.assert_array_equal(ear.pcm[2], told[121 * 160 - kept : 121 * 160])


def test_turns_of_slots_differ() -> None:
    line = Line()
    ears = [line.listen(slot, Side.SENT, every=5)[1] for slot in range(CAPACITY)]
    for tick in range(CAPACITY):
        line.tick()
        assert [len(ear.pcm) for ear in ears] == [1] * (tick + 1) + [0] * (CAPACITY - tick - 1)


def test_both_sides_are_in_step() -> None:
    line = Line()
    _, stereo = line.listen(2, *STEREO, every=4)
    for tick in range(40):
        line.tick(sent=[2] if tick % 3 else [])
    count = len(stereo.all)
    np.testing.assert_array_equal(stereo.all[:, 0], line.since(2, Side.EVEN, 0)[:count])
    np.testing.assert_array_equal(stereo.all[:, 1], line.since(2, Side.SENT, 0)[:count])
    assert count >= 36 * 160


def test_nobody_else_hears_a_slot() -> None:
    line = Line()
    _, ear = line.listen(1, Side.HEARD, every=1)
    _, other = line.listen(3, Side.EVEN, every=1)
    for _ in range(3):
        line.tick(fresh=[2, 0, 1, 1, 1])
    assert ear.pcm == []
    np.testing.assert_array_equal(other.all, line.since(3, Side.EVEN, 0))


def test_what_was_said_before_is_not_heard() -> None:
    line = Line()
    _, early = line.listen(0, Side.HEARD)
    for _ in range(7):
        line.tick()
    _, late = line.listen(0, Side.HEARD)
    for _ in range(7):
        line.tick()
    line.taps.release(0)
    np.testing.assert_array_equal(late.all, line.since(0, Side.HEARD, 7))
    np.testing.assert_array_equal(early.all, line.since(0, Side.HEARD, 0))


@pytest.mark.parametrize(("source", "rate"), [(8000, 16000), (16000, 8000)])
@pytest.mark.parametrize("sides", [(Side.HEARD,), STEREO])
def test_the_other_rate_is_one_filter_over_everything(
    source: int, rate: int, sides: tuple[Side, ...]
) -> None:
    line = Line([source] * CAPACITY)
    reader, ear = line.listen(2, *sides, every=4, rate=rate)
    for tick in range(23):
        line.tick(fresh=[tick % 3] * CAPACITY)
    line.taps.unsubscribe(reader)
    tail = halfband.BLOCK * source // 8000
    for number, side in enumerate(sides):
        heard = ear.all if len(sides) == 1 else ear.all[:, number]
        padded = np.pad(line.since(2, side, 0), (halfband.HISTORY[source], tail))
        np.testing.assert_array_equal(heard, halfband.convert(padded[None], source)[0])


def test_losses_are_counted_at_the_rate_of_the_reader() -> None:
    line = Line()
    _, ear = line.listen(0, Side.EVEN, every=60, rate=16000)
    for _ in range(61):
        line.tick()
    assert ear.lost == [0, 2 * (60 * 160 - RING + 160)]
    told = line.since(0, Side.EVEN, 0)
    before = halfband.HISTORY[8000]
    expected = halfband.convert(told[None, 61 * 160 - RING + 160 - before :], 8000)[0]
    np.testing.assert_array_equal(ear.pcm[1], expected)


def test_a_reader_that_got_nothing_gets_no_tail_of_a_filter() -> None:
    line = Line()
    _, ear = line.listen(0, Side.HEARD)
    for _ in range(9):
        line.tick()
    reader, late = line.listen(0, Side.HEARD, rate=16000)
    line.taps.unsubscribe(reader)
    assert late.pcm == []
    assert ear.pcm


def test_release_delivers_the_rest_and_the_next_call_begins_anew() -> None:
    line = Line()
    reader, ear = line.listen(0, Side.HEARD, every=50)
    for _ in range(13):
        line.tick()
    line.taps.release(0)
    np.testing.assert_array_equal(ear.all[-12 * 160 :], line.since(0, Side.HEARD, 1))
    line.taps.unsubscribe(reader)
    with pytest.raises(MediaError, match="connect it first"):
        line.listen(0, Side.HEARD)
    line.taps.begin(0, 16000)
    line.rates[0] = 16000
    _, anew = line.listen(0, Side.HEARD, every=1, rate=8000)
    line.tick()
    heard = np.pad(line.told[Side.HEARD, 0][-1], (halfband.HISTORY[16000], 0))
    np.testing.assert_array_equal(anew.all, halfband.convert(heard[None], 16000)[0])


@pytest.mark.parametrize(
    ("sides", "every", "rate"),
    [
        ((Side.HEARD,), 5, 11025),
        ((Side.HEARD,), 0, 8000),
        ((), 5, 8000),
        ((Side.HEARD, Side.SENT), 5, 8000),
        ((Side.SENT, Side.HEARD), 5, 8000),
    ],
)
def test_taps_that_cannot_be(sides: tuple[Side, ...], every: int, rate: int) -> None:
    line = Line()
    with pytest.raises(MediaError, match="a tap"):
        line.taps.subscribe(0, sides, every=every, rate=rate, sink=Ear())


def test_a_sink_that_fails_is_closed_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    line = Line()

    def fail(pcm: Pcm, lost: int) -> None:
        raise ValueError("full")

    broken = [line.taps.subscribe(n, (Side.EVEN,), every=1, rate=8000, sink=fail) for n in (0, 1)]
    _, ear = line.listen(0, Side.EVEN, every=1)
    line.taps.unsubscribe(broken[1])
    for _ in range(3):
        line.tick()
    assert len(ear.pcm) == 3
    assert caplog.text.count("a tap failed") == 1
    line.taps.unsubscribe(broken[0])


def test_a_sink_may_end_other_readers_and_begin_new_ones() -> None:
    line = Line()
    ears = [Ear(), Ear()]
    readers: list[Reader] = []

    def end_all(pcm: Pcm, lost: int) -> None:
        for reader in readers:
            line.taps.unsubscribe(reader)
        line.taps.release(1)
        line.taps.begin(1, 8000)
        readers.append(line.listen(1, Side.EVEN, every=1)[0])

    readers.append(line.taps.subscribe(0, (Side.EVEN,), every=1, rate=8000, sink=end_all))
    readers.extend(
        line.taps.subscribe(slot, (Side.EVEN,), every=1, rate=8000, sink=ears[slot]) for slot in (0, 1)
    )
    line.tick()
    line.tick()
    for slot in (0, 1):
        np.testing.assert_array_equal(ears[slot].all, line.told[Side.EVEN, slot][0])
    assert [reader.open for reader in readers] == [False, False, False, True]
