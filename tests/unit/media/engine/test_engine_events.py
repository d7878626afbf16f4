"""Key presses from telephone events (RFC 4733)."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.engine.events import DIGITS, KeyPresses


@dataclass(frozen=True)
class Packet:
    """One event packet."""

    sequence: int
    timestamp: int
    code: int
    end: bool = False
    ssrc: int = 1


def press(sequence: int, timestamp: int, code: int, updates: int = 3, ends: int = 3) -> list[Packet]:
    """The packets of one press as a standard sender makes them."""
    packets = [Packet(sequence + number & 0xFFFF, timestamp, code) for number in range(updates)]
    packets += [
        Packet(sequence + updates + number & 0xFFFF, timestamp, code, end=True) for number in range(ends)
    ]
    return packets


def keys(packets: list[Packet], presses: KeyPresses | None = None, slot: int = 0) -> list[int]:
    """Positions of the packets that were reported as presses."""
    presses = presses or KeyPresses(2)

    def one(value: int) -> np.ndarray:
        return np.array([value])

    return [
        position
        for position, packet in enumerate(packets)
        if presses.receive(
            one(slot),
            one(packet.ssrc),
            one(packet.sequence),
            one(packet.timestamp),
            one(packet.code),
            one(0x8A if packet.end else 0x0A),
        )[0]
    ]


@pytest.mark.parametrize("code", range(16))
def test_each_key_is_reported_once_at_its_first_packet(code: int) -> None:
    assert keys(press(10, 1000, code)) == [0]


def test_the_table_of_keys() -> None:
    assert DIGITS == "0123456789*#ABCD"


@pytest.mark.parametrize("code", [16, 66, 255])
def test_other_events_are_no_keys(code: int) -> None:
    assert keys(press(10, 1000, code)) == []


def test_the_same_key_quickly_again_is_two_presses() -> None:
    assert keys(press(10, 1000, 5) + press(16, 1400, 5)) == [0, 6]


def test_presses_go_on_across_the_wraps_of_sequence_and_timestamp() -> None:
    packets = press(65533, 0xFFFFFF00, 1) + press(65539 & 0xFFFF, 0x100, 1)
    assert keys(packets) == [0, 6]


def test_a_repeated_end_after_the_next_press_began_is_ignored() -> None:
    first, second = press(10, 1000, 5), press(16, 1400, 6)
    assert keys([*first[:4], second[0], first[4], second[1], first[5], *second[2:]]) == [0, 4]
    # ... even with a fresh sequence number, as a sender may give to a repetition.
    assert keys([*first, *second, Packet(30, 1000, 5, end=True)]) == [0, 6]


def test_a_press_of_which_only_the_end_arrives_is_reported() -> None:
    assert keys([*press(10, 1000, 5), Packet(25, 3000, 7, end=True), Packet(26, 3000, 7, end=True)]) == [0, 6]


def test_reordered_and_duplicated_packets_of_a_press_are_one() -> None:
    packets = press(10, 1000, 5)
    assert keys([packets[1], packets[0], packets[1], packets[3], packets[2], packets[5], packets[4]]) == [0]


def test_a_key_held_beyond_the_longest_duration_is_one_press() -> None:
    segments = [Packet(10 + n, 1000, 5) for n in range(4)]
    segments += [Packet(14 + n, 1000 + 0xFFFF, 5) for n in range(4)]
    segments += [Packet(18 + n, 1000 + 0xFFFF, 5, end=True) for n in range(3)]
    assert keys(segments) == [0]


def test_a_new_press_that_far_after_an_ended_one_is_not_taken_for_its_continuation() -> None:
    assert keys(press(10, 1000, 5) + press(16, 1000 + 0xFFFF, 5)) == [0, 6]


def test_senders_that_never_change_the_timestamp_are_understood() -> None:
    assert keys(press(10, 0, 5) + press(16, 0, 5) + press(22, 0, 6)) == [0, 6, 12]


def test_a_new_source_starts_anew() -> None:
    again = [Packet(p.sequence, p.timestamp, p.code, p.end, ssrc=2) for p in press(10, 1000, 5)]
    assert keys(press(10, 1000, 5) + again) == [0, 6]


def test_a_sender_that_restarts_its_numbers_is_followed() -> None:
    assert keys(press(40000, 900000, 5) + press(10, 100, 5)) == [0, 6]


def test_slots_are_apart_and_reset_forgets() -> None:
    presses = KeyPresses(2)
    assert keys(press(10, 1000, 5), presses, slot=0) == [0]
    assert keys(press(10, 1000, 5), presses, slot=1) == [0]
    presses.reset(0)
    assert keys(press(10, 1000, 5), presses, slot=0) == [0]
    assert keys(press(10, 1000, 5), presses, slot=1) == []


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=12),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.data(),
)
def test_one_report_per_press_whatever_is_lost_or_doubled(
    made: list[tuple[int, int, int]], sequence: int, timestamp: int, data: st.DataObject
) -> None:
    packets: list[Packet] = []
    expected = []
    for code, updates, ends in made:
        whole = press(sequence, timestamp, code, updates, ends)
        sequence = sequence + len(whole) & 0xFFFF
        timestamp = timestamp + 160 * len(whole) & 0xFFFFFFFF
        kept = data.draw(st.lists(st.sampled_from(whole), min_size=1).map(sorted_by_sequence(whole)))
        if code < 16:
            expected.append(len(packets))
        packets += kept
    assert keys(packets) == expected


def sorted_by_sequence(whole: list[Packet]):  # type: ignore[no-untyped-def]
    """Order kept (and doubled) packets as they were sent."""
    return lambda kept: sorted(kept, key=whole.index)
