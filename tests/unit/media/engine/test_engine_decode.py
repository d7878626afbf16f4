"""From packets to frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.engine import g711
from media.engine.arrays import BLOCK, FRAME, RATE, Bytes
from media.engine.decode import Decoder
from media.engine.jitter import PAYLOAD, Jitter
from media.engine.stats import Counters

SLOTS = np.arange(2)


class Bench:
    """A decoder behind a jitter buffer of two slots, the second one A-law."""

    def __init__(self) -> None:
        self.jitter = Jitter(2, Counters(2))
        self.decoder = Decoder(2, RATE, self.jitter, {})
        self.decoder.alaw[1] = True
        self.now = 0
        self.sequence = [0, 0]

    def put(self, payload: Bytes, slot: int = 0) -> None:
        row = np.full((1, PAYLOAD), 0xEE, np.uint8)
        row[0, : len(payload)] = payload
        self.jitter.insert(
            np.array([slot]),
            np.array([self.sequence[slot]]),
            np.array([7]),
            np.array([len(payload)]),
            row,
        )
        self.sequence[slot] += 1

    def lose(self, slot: int = 0) -> None:
        self.sequence[slot] += 1

    def tick(self, slot: int = 0) -> list[int]:
        self.decoder.run(SLOTS, self.now)
        self.now += 1
        return self.heard(slot)

    def heard(self, slot: int) -> list[int]:
        samples: list[int] = self.decoder.frames[slot, : self.decoder.fresh[slot]].reshape(-1).tolist()
        return samples


def code(size: int, seed: int = 1) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)


def ulaw(payload: Bytes) -> list[int]:
    samples: list[int] = g711.ULAW_DECODE[payload].tolist()
    return samples


def faded(pcm: list[int], shift: int) -> list[int]:
    """`pcm` divided by 2^shift, towards zero."""
    return [int(sample / 2**shift) for sample in pcm]


def test_frames_are_decoded_by_the_law_of_their_slot() -> None:
    bench = Bench()
    payload = code(FRAME)
    bench.put(payload, 0)
    bench.put(payload, 1)
    assert bench.tick(0) == ulaw(payload)
    assert bench.heard(1) == g711.ALAW_DECODE[payload].tolist()
    assert bench.tick(0) == []


def test_a_backlog_gives_two_frames_in_a_tick() -> None:
    bench = Bench()
    payloads = [code(FRAME, seed) for seed in range(4)]
    for payload in payloads:
        bench.put(payload)
    assert bench.tick() == ulaw(np.concatenate(payloads[:2]))
    assert bench.tick() == ulaw(np.concatenate(payloads[2:]))
    assert bench.tick() == []


def test_losses_repeat_the_last_frame_and_fade_to_silence() -> None:
    bench = Bench()
    payload = code(FRAME)
    bench.put(payload)
    bench.tick()
    for _ in range(20):
        bench.lose()
    bench.put(payload)
    out: list[int] = []
    for _ in range(21):
        out += bench.tick()
    assert len(out) == 21 * FRAME
    for number in range(20):
        frame = out[number * FRAME : (number + 1) * FRAME]
        assert frame == faded(ulaw(payload), number + 1)
    assert not any(out[19 * FRAME : 20 * FRAME])
    assert out[20 * FRAME :] == ulaw(payload)


@pytest.mark.parametrize("milliseconds", [10, 30, 40, 50, 60])
def test_packets_of_other_durations_become_the_same_samples(milliseconds: int) -> None:
    bench = Bench()
    size, arrived, sent = milliseconds * 8, 0, []
    out: list[int] = []
    longest = 0
    for tick in range(60):
        while arrived + milliseconds <= (tick + 1) * 20 or not arrived:
            sent.append(code(size, arrived))
            bench.put(sent[-1])
            arrived += milliseconds
        frames = bench.tick()
        longest = max(longest, len(frames) // FRAME)
        out += frames
    expected = ulaw(np.concatenate(sent))
    assert out == expected[: len(out)]
    assert len(expected) - len(out) <= size + BLOCK
    assert longest <= 2


@pytest.mark.parametrize("size", [BLOCK, 3 * BLOCK, PAYLOAD])
def test_a_lost_packet_of_another_duration_lasts_as_long(size: int) -> None:
    bench = Bench()
    bench.put(code(size))
    first = bench.tick()
    bench.lose()
    for seed in (2, 3, 4, 5):
        bench.put(code(size, seed))
    out = list(first)
    for _ in range(20):
        out += bench.tick()
    tail = ulaw(np.concatenate([code(size, seed) for seed in (2, 3, 4, 5)]))
    whole = 6 * size // FRAME * FRAME
    assert len(out) == whole
    assert out[:size] == ulaw(code(size))[:whole]
    assert out[2 * size :] == tail[: whole - 2 * size]
    if size == PAYLOAD:
        # The concealment repeats what was heard last.
        assert out[size : size + FRAME] == faded(ulaw(code(size))[-FRAME:], 1)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=30))
def test_durations_may_change_from_packet_to_packet(blocks: list[int]) -> None:
    bench = Bench()
    payloads = [code(count * BLOCK, seed) for seed, count in enumerate(blocks)]
    out: list[int] = []
    for payload in payloads:
        bench.put(payload)
        out += bench.tick()
    for _ in range(4 * len(blocks)):
        out += bench.tick()
    expected = ulaw(np.concatenate(payloads))
    assert out == expected[: len(expected) // FRAME * FRAME]


def test_reset_forgets_audio_and_remainders() -> None:
    bench = Bench()
    bench.put(code(3 * BLOCK))
    assert len(bench.tick()) == FRAME
    bench.decoder.reset(0)
    bench.jitter.reset(0)
    assert bench.heard(0) == []
    assert not bench.decoder.frames[0].any()
    payload = code(FRAME, 5)
    bench.put(payload)
    assert bench.tick() == ulaw(payload)


def test_frames_of_slots_that_are_not_run_stay() -> None:
    bench = Bench()
    bench.put(code(FRAME), 1)
    bench.tick()
    bench.decoder.run(np.array([0]), 5)
    assert len(bench.heard(1)) == FRAME


def test_the_shapes_are_those_that_readers_rely_on() -> None:
    decoder = Decoder(3, RATE, Jitter(3, Counters(3)), {})
    assert (decoder.frames.shape, decoder.fresh.shape) == ((3, 2, FRAME), (3,))
    assert decoder.frames.dtype.name == "int16"
