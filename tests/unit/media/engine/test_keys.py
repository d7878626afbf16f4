"""Telephone events sent (RFC 4733): against a model of one slot, and against our own receiver."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.errors import MediaError
from media.engine.events import DIGITS, KeyPresses
from media.engine.keys import KeySender
from media.engine.reports import DigitSent, Event

Told = tuple[bool, int, str, bool, int]
"""Marker, timestamp, digit, end, duration."""
START = 0xFFFFF000


@dataclass
class Line:
    """One sender, ticked by hand; the clock of each slot runs on whether it sends or not."""

    capacity: int = 4
    rates: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sender = KeySender(self.capacity)
        self.step = np.array([self.rates.get(slot, 8000) // 50 for slot in range(self.capacity)])
        self.clock = np.full(self.capacity, START, np.int64)
        for slot, rate in self.rates.items():
            self.sender.reset(slot, rate)
        self.events: list[Event] = []

    def tick(self, *slots: int) -> dict[int, Told]:
        """What is told in a tick on each of `slots` (none given: all) that tells something."""
        asked = np.array(slots or range(self.capacity))
        sending = self.sender.run(asked, self.clock, self.events)
        self.clock = self.clock + self.step & 0xFFFFFFFF
        told = {}
        rows, payload = sending.rows.tolist(), sending.payload.tolist()
        for row, marker, timestamp, (code, flags, high, low) in zip(
            rows, sending.marker.tolist(), sending.timestamp.tolist(), payload, strict=True
        ):
            assert flags & 0x7F == 10
            told[int(asked[row])] = (marker, timestamp, DIGITS[code], flags & 0x80 != 0, high << 8 | low)
        return told

    def ticks(self, count: int, slot: int = 0) -> list[Told | None]:
        return [self.tick().get(slot) for _ in range(count)]


def at(ticks: int) -> int:
    """The timestamp of a tick at 8 kHz."""
    return START + 160 * ticks & 0xFFFFFFFF


def test_a_key_is_its_updates_three_ends_and_the_pause() -> None:
    line = Line()
    line.ticks(2)
    line.sender.press(0, "5", 60, 80)
    assert line.ticks(9) == [
        (True, at(2), "5", False, 160),
        (False, at(2), "5", False, 320),
        (False, at(2), "5", True, 480),
        (False, at(2), "5", True, 480),
        (False, at(2), "5", True, 480),
        *[None] * 4,
    ]
    assert line.events == [DigitSent(0, "5")]


@pytest.mark.parametrize(("gap", "between"), [(40, 0), (60, 1), (61, 2), (80, 2)])
def test_equal_keys_are_apart_and_begin_at_timestamps_of_their_own(gap: int, between: int) -> None:
    line = Line()
    line.sender.press(0, "77", 40, gap)
    told = line.ticks(12)
    assert told[:4] == [
        (True, at(0), "7", False, 160),
        *[(False, at(0), "7", True, 320)] * 3,
    ]
    assert told[4 : 4 + between] == [None] * between
    assert told[4 + between] == (True, at(4 + between), "7", False, 160)


def test_the_pause_is_kept_between_presses_asked_for_one_by_one() -> None:
    line = Line()
    line.sender.press(0, "1", 40, 100)
    line.ticks(4)
    line.sender.press(0, "1", 40, 100)
    assert line.ticks(4) == [None, None, None, (True, at(7), "1", False, 160)]


def test_a_report_comes_with_the_last_packet() -> None:
    line = Line()
    line.sender.press(0, "9", 40, 40)
    line.ticks(3)
    assert line.events == []
    line.ticks(1)
    assert line.events == [DigitSent(0, "9")]


@pytest.mark.parametrize(("rate", "step"), [(8000, 160), (16000, 320), (48000, 960)])
def test_durations_are_in_units_of_the_slot_s_clock(rate: int, step: int) -> None:
    line = Line(rates={1: rate})
    line.sender.press(1, "#", 100, 40)
    assert [told[4] for told in line.ticks(5, 1) if told] == [step * n for n in range(1, 6)]


def test_a_long_key_is_told_in_segments() -> None:
    line = Line(rates={0: 48000})
    line.sender.press(0, "0", 3000, 40)
    told = [packet for packet in line.ticks(153) if packet is not None]
    assert len(told) == 152
    full = [number for number, packet in enumerate(told) if packet[4] == 0xFFFF]
    assert full == [68, 69, 70, 136, 137, 138]
    assert [packet[0] for packet in told] == [True] + [False] * 151
    begins = [START, START + 0xFFFF & 0xFFFFFFFF, START + 2 * 0xFFFF & 0xFFFFFFFF]
    assert [packet[1] for packet in told] == [begins[0]] * 71 + [begins[1]] * 68 + [begins[2]] * 13
    assert told[71][4] == 72 * 960 - 0xFFFF
    assert [packet[3] for packet in told] == [False] * 149 + [True] * 3
    assert told[-1][4] == 150 * 960 - 2 * 0xFFFF


@pytest.mark.parametrize("ticks", range(67, 76))
def test_no_segment_begins_with_an_end(ticks: int) -> None:
    line = Line(rates={0: 48000})
    line.sender.press(0, "0", 20 * ticks, 40)
    told = [packet for packet in line.ticks(ticks + 3) if packet is not None]
    ends = [packet for packet in told if packet[3]]
    assert len(told) == ticks + 2
    assert len(ends) == 3
    assert len(set(ends)) == 1
    assert ends[0][1] in {packet[1] for packet in told if not packet[3]}


def test_stop_ends_the_key_under_way_and_tells_what_was_not_sent() -> None:
    line = Line()
    line.sender.press(0, "12")
    line.sender.press(0, "3")
    line.ticks(3)
    assert line.sender.stop(0) == "23"
    assert line.ticks(9) == [*[(False, at(0), "1", True, 640)] * 3, *[None] * 6]
    assert line.events == [DigitSent(0, "1")]
    assert line.sender.stop(0) == ""
    assert line.ticks(2) == [None, None]


def test_stop_before_the_first_packet_and_after_the_end() -> None:
    line = Line()
    line.sender.press(0, "1", 40, 40)
    assert line.sender.stop(0) == "1"
    assert line.ticks(3) == [None] * 3
    line.sender.press(0, "1", 40, 40)
    line.ticks(3)
    assert line.sender.stop(0) == ""
    assert line.ticks(2) == [(False, at(3), "1", True, 320), None]


def test_reset_forgets_at_once_and_sets_the_clock() -> None:
    line = Line()
    line.sender.press(0, "12")
    line.ticks(2)
    line.sender.reset(0, 48000)
    assert line.ticks(2) == [None, None]
    line.sender.press(0, "3")
    assert line.ticks(1) == [(True, at(4), "3", False, 960)]


def test_a_slot_that_may_not_send_waits() -> None:
    line = Line()
    line.sender.press(0, "1", 60, 40)
    assert line.tick(0, 1)[0][4] == 160
    assert line.tick(1, 2) == {}
    assert line.tick(0, 3) == {0: (False, at(0), "1", False, 320)}


@pytest.mark.parametrize(
    ("digits", "duration", "gap", "says"),
    [("1x2", 100, 100, "'x' in digits"), ("1", 39, 80, "duration 39"), ("1", 80, 60001, "pause 60001")],
)
def test_what_cannot_be_sent_is_refused_whole(digits: str, duration: int, gap: int, says: str) -> None:
    line = Line()
    with pytest.raises(MediaError, match=says):
        line.sender.press(0, digits, duration, gap)
    assert line.ticks(1) == [None]


def test_the_queue_is_bounded() -> None:
    line = Line()
    line.sender.press(0, "1" * 200)
    with pytest.raises(MediaError, match="200 keys wait, 57 more exceed 256"):
        line.sender.press(0, "2" * 57)
    line.sender.press(0, "2" * 56)
    assert line.sender.stop(0) == "1" * 200 + "2" * 56


def test_no_digits_are_nothing_to_send() -> None:
    line = Line()
    line.sender.press(0, "")
    assert line.ticks(1) == [None]


@dataclass
class Model:
    """One slot, packet by packet (no segments)."""

    now: int = START
    step: int = 160
    queue: list[tuple[str, int, int]] = field(default_factory=list)
    script: list[Told | None] = field(default_factory=list)

    def tick(self) -> Told | None:
        if not self.script and self.queue:
            digit, ticks, gap = self.queue.pop(0)
            durations = [self.step * n for n in range(1, ticks + 1)]
            self.script = [(n == 0, self.now, digit, False, d) for n, d in enumerate(durations[:-1])]
            self.script += [(False, self.now, digit, True, durations[-1])] * 3
            self.script += [None] * (gap - 2)
        return self.script.pop(0) if self.script else None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.text(DIGITS, min_size=1, max_size=3), st.integers(3, 6), st.integers(2, 5)
        )
        | st.lists(st.booleans(), min_size=4, max_size=4),
        max_size=60,
    )
)
def test_slots_behave_as_a_model_of_each(script: list[tuple[int, str, int, int] | list[bool]]) -> None:
    line = Line(rates={3: 48000})
    models = [Model(step=int(step)) for step in line.step]
    for action in [*script, *[[True] * 4] * 40]:
        if isinstance(action, tuple):
            slot, digits, ticks, gap = action
            line.sender.press(slot, digits, 20 * ticks - 7, 20 * gap)
            models[slot].queue += [(digit, ticks, gap) for digit in digits]
            continue
        asked = [slot for slot in range(4) if action[slot]]
        if asked:
            expected = {slot: told for slot in asked if (told := models[slot].tick()) is not None}
            assert line.tick(*asked) == expected
        else:
            line.clock = line.clock + line.step & 0xFFFFFFFF
        for model in models:
            model.now = model.now + model.step & 0xFFFFFFFF


@settings(max_examples=60, deadline=None)
@given(
    st.text(DIGITS, min_size=1, max_size=8),
    st.sampled_from([40, 60, 160, 1400, 2800]),
    st.sampled_from([40, 60, 80]),
    st.sampled_from([8000, 48000]),
    st.integers(0, 0xFFFF),
    st.data(),
)
def test_our_receiver_hears_each_key_once_whatever_two_ends_are_lost(
    digits: str, duration: int, gap: int, rate: int, sequence: int, data: st.DataObject
) -> None:
    line, presses, heard = Line(rates={0: rate}), KeyPresses(1), ""
    line.sender.press(0, digits, duration, gap)
    lost: set[int] = set()
    ends = 0
    for _ in range(len(digits) * (duration + gap) // 20):
        told = line.tick().get(0)
        sequence = sequence + 1 & 0xFFFF
        if told is None:
            continue
        marker, timestamp, digit, end, _ = told
        if marker:
            ends, lost = 0, data.draw(st.sets(st.integers(0, 2), max_size=2))
        ends += end
        if end and ends - 1 in lost:
            continue
        flags = 0x8A if end else 0x0A
        packet = (1, sequence, timestamp, DIGITS.index(digit), flags)
        columns = [np.array([value]) for value in packet]
        if presses.receive(np.array([0]), *columns)[0]:
            heard += digit
    assert heard == digits
    assert line.events == [DigitSent(0, digit) for digit in digits]
