"""The engine end to end: a real socket on loopback, far ends that count every byte."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from control.errors import EngineFullError, MediaError, SetupError
from media.engine import g711
from media.engine.arrays import FRAME, RATE, Pcm
from media.engine.engine import Engine
from media.engine.reports import DigitPressed, Event, MediaStarted, SegmentEnded, SegmentStarted
from media.engine.segment import Segment, State
from tests.support.farend import HOST, FarEnd, Packet, Stream

SILENCE = bytes([g711.SILENCE_ULAW]) * FRAME


@dataclass
class Bench:
    """An engine of three slots and the far ends of its calls."""

    engine: Engine
    far: list[FarEnd] = field(default_factory=list)

    def call(self, codec: str = "pcmu", payload_type: int = 0) -> tuple[int, FarEnd]:
        far = FarEnd(self.engine.port)
        self.far.append(far)
        slot = self.engine.allocate()
        self.engine.connect(slot, Stream(far.port, codec=codec, payload_type=payload_type))
        return slot, far

    def ticks(self, count: int) -> list[Event]:
        return [event for _ in range(count) for event in self.engine.tick()]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(Engine(HOST, 0, 3))
    yield bench
    bench.engine.close()
    for far in bench.far:
        far.socket.close()


def noise(length: int, seed: int = 1) -> Pcm:
    return np.random.default_rng(seed).integers(-30000, 30000, length).astype(np.int16)


def playing(pcm: Pcm, *, closed: bool = True) -> Segment:
    segment = Segment()
    segment.append(pcm)
    if closed:
        segment.close()
    return segment


def wire(packets: list[Packet]) -> bytes:
    return b"".join(packet.payload for packet in packets)


def ulaw(pcm: Pcm) -> bytes:
    return g711.ULAW_ENCODE[pcm.view(np.uint16)].tobytes()


def test_a_port_in_use_is_a_setup_error(bench: Bench) -> None:
    with pytest.raises(SetupError, match=f"{bench.engine.address}:{bench.engine.port}"):
        Engine(HOST, bench.engine.port, 1)


def test_slots_are_counted_and_run_out(bench: Bench) -> None:
    engine = bench.engine
    assert (engine.capacity, engine.free, engine.used) == (3, 3, 0)
    assert sorted(engine.allocate() for _ in range(3)) == [0, 1, 2]
    assert (engine.free, engine.used) == (0, 3)
    with pytest.raises(EngineFullError, match=r"all 3 slots.*media\.slots"):
        engine.allocate()
    engine.release(1)
    assert (engine.free, engine.allocate()) == (1, 1)


def test_a_released_slot_is_the_last_to_be_used_again(bench: Bench) -> None:
    first = bench.engine.allocate()
    bench.engine.release(first)
    assert [bench.engine.allocate() for _ in range(3)][-1] == first


@pytest.mark.parametrize("slot", [0, -1, 3])
def test_a_slot_that_is_not_allocated_is_an_error(bench: Bench, slot: int) -> None:
    engine = bench.engine
    with pytest.raises(MediaError, match=f"slot {slot} is not allocated"):
        engine.connect(slot, Stream(20002))
    with pytest.raises(MediaError, match=f"slot {slot} is not allocated"):
        engine.release(slot)
    with pytest.raises(MediaError, match=f"slot {slot} is not allocated"):
        engine.enqueue(slot, Segment())
    with pytest.raises(MediaError, match=f"slot {slot} is not allocated"):
        engine.stop(slot)


def test_two_calls_cannot_come_from_one_port(bench: Bench) -> None:
    slot, far = bench.call()
    other = bench.engine.allocate()
    with pytest.raises(MediaError, match=f"port {far.port} already belongs to slot {slot}"):
        bench.engine.connect(other, Stream(far.port))
    assert bench.ticks(1) == []
    assert len(far.read()) == 1


def test_a_call_without_a_stream_sends_nothing_and_takes_no_audio(bench: Bench) -> None:
    slot = bench.engine.allocate()
    assert bench.engine.rate(slot) == RATE
    with pytest.raises(MediaError, match="has no codec yet"):
        bench.engine.enqueue(slot, playing(noise(FRAME)))
    assert bench.ticks(2) == []
    assert bench.engine.totals().sent == 0


def test_silence_is_sent_in_every_tick_when_nothing_plays(bench: Bench) -> None:
    slot, far = bench.call()
    bench.ticks(5)
    packets = far.read()
    assert [packet.payload for packet in packets] == [SILENCE] * 5
    assert {packet.ssrc for packet in packets} == {bench.engine.ssrc(slot)}
    assert [packet.sequence - packets[0].sequence & 0xFFFF for packet in packets] == [0, 1, 2, 3, 4]


def test_what_is_played_is_on_the_wire_sample_by_sample(bench: Bench) -> None:
    slot, far = bench.call()
    first, second, third = noise(1000, 1), noise(77, 2), noise(20000, 3)
    segments = [playing(pcm) for pcm in (first, second, third)]
    for segment in segments:
        bench.engine.enqueue(slot, segment)
    events, packets = [], []
    for _ in range(140):
        events += bench.engine.tick()
        packets += far.read()
    samples = ulaw(np.concatenate([first, second, third]))
    assert len(packets) == 140
    assert wire(packets)[: len(samples)] == samples
    assert set(wire(packets)[len(samples) :]) == {g711.SILENCE_ULAW}
    expected: list[Event] = []
    for segment in segments:
        expected += [SegmentStarted(slot, segment), SegmentEnded(slot, segment)]
    assert events == expected


def test_a_growing_segment_never_runs_ahead_of_the_tick(bench: Bench) -> None:
    slot, far = bench.call("pcma", 8)
    growing = playing(noise(FRAME), closed=False)
    bench.engine.enqueue(slot, growing)
    for number in range(2, 6):
        growing.append(noise(FRAME, number))
        growing.append(noise(FRAME, 10 + number))
        bench.engine.tick()
        assert growing.played == (number - 1) * FRAME
        assert len(far.read()) == 1


def test_stop_cuts_in_the_next_tick(bench: Bench) -> None:
    slot, far = bench.call()
    segment, waiting = playing(noise(80000)), playing(noise(100))
    bench.engine.enqueue(slot, segment)
    bench.engine.enqueue(slot, waiting)
    bench.ticks(3)
    stopped = bench.engine.stop(slot)
    assert stopped is not None
    assert (stopped.segment, stopped.played, stopped.dropped) == (segment, 3 * FRAME, (waiting,))
    far.read()
    assert bench.ticks(2) == []
    assert wire(far.read()) == SILENCE * 2
    assert bench.engine.stop(slot) is None


def test_in_a_hold_playing_waits_and_goes_on_where_it_was(bench: Bench) -> None:
    slot, far = bench.call()
    pcm = noise(4 * FRAME)
    segment = playing(pcm)
    bench.engine.enqueue(slot, segment)
    bench.ticks(2)
    bench.engine.connect(slot, replace(Stream(far.port), direction="recvonly"))
    bench.ticks(5)
    assert segment.played == 2 * FRAME
    far.send(SILENCE)
    assert bench.ticks(1) == [MediaStarted(slot)]
    bench.engine.connect(slot, Stream(far.port))
    assert bench.ticks(2) == [SegmentEnded(slot, segment)]
    assert wire(far.read()) == ulaw(pcm)


def test_what_is_received_can_be_read_in_its_tick(bench: Bench) -> None:
    slot, far = bench.call()
    other, far_other = bench.call("pcma", 8)
    assert bench.engine.received(slot).tolist() == []
    far.send(ulaw(noise(FRAME)))
    far_other.send(bytes(range(160)), payload_type=8)
    assert bench.ticks(1) == [MediaStarted(slot), MediaStarted(other)]
    assert bench.engine.received(slot).tolist() == g711.ULAW_DECODE[list(ulaw(noise(FRAME)))].tolist()
    assert bench.engine.received(other).tolist() == g711.ALAW_DECODE[:160].tolist()
    bench.ticks(1)
    assert bench.engine.received(slot).tolist() == []


def test_digits(bench: Bench) -> None:
    slot, far = bench.call()
    far.press(10)
    far.press(10, end=True)
    assert bench.ticks(1) == [MediaStarted(slot), DigitPressed(slot, "*")]


def test_another_codec_takes_effect_at_once(bench: Bench) -> None:
    slot, far = bench.call()
    far.send(bytes([0x12]) * FRAME)
    far.send(bytes([0x12]) * FRAME)
    bench.ticks(1)
    bench.engine.connect(slot, Stream(far.port, codec="pcma", payload_type=8))
    far.send(bytes([0x12]) * FRAME)  # still the old one: refused by its type
    far.send(bytes([0x34]) * FRAME, payload_type=8)
    bench.ticks(1)
    assert set(bench.engine.received(slot).tolist()) == {int(g711.ALAW_DECODE[0x34])}
    assert bench.engine.stats(slot).bad == 1
    assert far.read()[-1].payload == bytes([g711.SILENCE_ALAW]) * FRAME


def test_a_refused_stream_leaves_the_call_as_it_was(bench: Bench) -> None:
    slot, far = bench.call()
    with pytest.raises(MediaError, match="g729"):
        bench.engine.connect(slot, Stream(far.port, codec="g729"))
    bench.ticks(1)
    assert wire(far.read()) == SILENCE


def test_release_ends_everything_and_the_next_call_starts_clean(bench: Bench) -> None:
    engine = bench.engine
    slot, far = bench.call()
    others = [engine.allocate(), engine.allocate()]
    segment = playing(noise(8000))
    engine.enqueue(slot, segment)
    far.send(SILENCE)
    bench.ticks(2)
    ssrc = engine.ssrc(slot)
    far.read()
    engine.release(slot)
    assert segment.state is State.STOPPED
    assert segment.played == 2 * FRAME
    far.send(SILENCE)
    assert bench.ticks(1) == []
    assert far.read() == []
    assert engine.strangers == 1
    again = engine.allocate()
    assert again == slot
    assert engine.stats(slot).sent == 0
    engine.connect(slot, Stream(far.port))
    far.send(SILENCE)
    assert bench.ticks(1) == [MediaStarted(slot)]
    (packet,) = far.read()
    assert (packet.payload, packet.marker) == (SILENCE, True)
    assert engine.ssrc(slot) != ssrc
    assert (engine.totals().sent, engine.totals().received) == (3, 2)
    for other in others:
        engine.release(other)


def test_counters_of_a_call(bench: Bench) -> None:
    slot, far = bench.call()
    far.send(SILENCE)
    far.sequence -= 1
    far.send(SILENCE)
    far.sequence += 1
    for _ in range(3):
        far.send(SILENCE)
    bench.ticks(3)
    stats = bench.engine.stats(slot)
    assert (stats.received, stats.sent, stats.lost, stats.duplicates) == (4, 3, 1, 1)
    assert bench.engine.totals() == stats


def test_hundreds_of_calls_keep_apart() -> None:
    engine = Engine(HOST, 0, 300)
    far = [FarEnd(engine.port) for _ in range(300)]
    sources: list[Pcm] = []
    for number, each in enumerate(far):
        slot = engine.allocate()
        engine.connect(slot, Stream(each.port, codec="pcma" if number % 3 else "pcmu"))
        sources.append(noise(5 * FRAME, number))
        engine.enqueue(slot, playing(sources[-1]))
    received: list[list[int]] = [[] for _ in far]
    for tick in range(6):
        for number, each in enumerate(far):
            if tick < 5:
                each.send(bytes([number & 255, tick]) * 80)
        engine.tick()
        for slot in range(300):
            received[slot] += engine.received(slot).tolist()
    for number, each in enumerate(far):
        encode = g711.ALAW_ENCODE if number % 3 else g711.ULAW_ENCODE
        decode = g711.ALAW_DECODE if number % 3 else g711.ULAW_DECODE
        packets = each.read()
        assert wire(packets[:5]) == encode[sources[number].view(np.uint16)].tobytes()
        sent = np.concatenate([np.array([number & 255, tick] * 80) for tick in range(5)])
        assert received[number] == decode[sent].tolist()
        each.socket.close()
    engine.close()
