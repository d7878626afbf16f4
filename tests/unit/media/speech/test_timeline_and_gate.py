from hypothesis import given
from hypothesis import strategies as st

from media.speech.gate import AFTER_SECONDS, ALIVE_SECONDS, BEFORE_SECONDS, Gate
from media.speech.timeline import DRIFT_MS, Timeline

RATE = 16_000
PIECE = 640
"""Samples of 40 ms."""


def test_without_gaps_time_passes_with_the_audio() -> None:
    timeline = Timeline(RATE)
    assert timeline.at(7) == 7
    for number in range(1, 50):
        timeline.advance(PIECE, 1_000_000 + 40 * number + number % 3)
    assert abs(timeline.at(0) - 1_000_000) <= 3
    assert abs(timeline.at(1000) - 1_001_000) <= 3
    assert timeline.position == 49 * 40


def test_behind_a_gap_it_is_later() -> None:
    timeline = Timeline(RATE)
    timeline.advance(PIECE, 1040)
    timeline.advance(PIECE, 9040)
    assert timeline.at(20) == 1020
    assert timeline.at(40) == 9000
    assert timeline.at(79) == 9039


@given(st.lists(st.integers(0, 500), min_size=1, max_size=100))
def test_the_present_is_never_far_off(gaps: list[int]) -> None:
    timeline, now = Timeline(RATE), 1000
    for gap in gaps:
        now += 40 + gap
        timeline.advance(PIECE, now)
        assert abs(timeline.at(timeline.position) - now) <= DRIFT_MS


def test_a_gate_passes_speech_and_what_is_around_it() -> None:
    gate, sent = Gate(RATE), bytearray()
    pieces = [bytes([number % 256, 0]) * PIECE for number in range(100)]
    for number, piece in enumerate(pieces):
        if number == 40:
            gate.voice(speaking=True)
        if number == 60:
            gate.voice(speaking=False)
        sent += gate.pass_on(piece)
    passed = len(sent) // (2 * PIECE)
    before = BEFORE_SECONDS * RATE / PIECE
    after = AFTER_SECONDS * RATE / PIECE
    assert abs(passed - (before + 20 + after)) <= 1
    assert sent.endswith(pieces[59 + round(after)])


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=20))
def test_a_gate_sends_nothing_twice_and_keeps_the_order(turns: list[tuple[bool, int]]) -> None:
    gate, number, sent = Gate(RATE), 0, bytearray()
    for speaking, count in turns:
        gate.voice(speaking=speaking)
        for _ in range(count):
            sent += gate.pass_on(number.to_bytes(4, "little") * (PIECE // 2))
            number += 1
    numbers = [int.from_bytes(sent[at : at + 4], "little") for at in range(0, len(sent), 4)]
    assert numbers == sorted(numbers)


def test_silence_keeps_a_connection_alive() -> None:
    gate = Gate(RATE)
    sent = [gate.pass_on(bytes(2 * PIECE)) for _ in range(round(3.1 * ALIVE_SECONDS * RATE / PIECE))]
    assert sum(map(bool, sent)) == 3
    assert sum(map(len, sent)) <= 3 * RATE // 5
