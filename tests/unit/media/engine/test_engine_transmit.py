"""From frames to a real socket."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from media.engine import g711
from media.engine.arrays import FRAME, Pcm
from media.engine.keys import NO_KEYS
from media.engine.sockets import open_udp
from media.engine.stats import Counters
from media.engine.stream import check
from media.engine.transmit import Transmitter
from tests.support.farend import HOST, FarEnd, Stream

PLAIN = np.full(4, fill_value=False)
SILENCE = np.full((4, FRAME), 0, np.int16)


@dataclass
class Bench:
    """A transmitter on a socket, with far ends."""

    udp: socket.socket
    far: list[FarEnd] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counters = Counters(4)
        self.transmitter = Transmitter(4, self.counters, {})

    def call(self, slot: int, codec: str = "pcmu", payload_type: int = 0) -> FarEnd:
        self.far.append(FarEnd(0))
        stream = Stream(self.far[-1].port, codec=codec, payload_type=payload_type)
        self.transmitter.connect(slot, check(stream))
        return self.far[-1]

    def run(self, pcm: Pcm = SILENCE) -> None:
        slots = self.transmitter.slots
        self.transmitter.encode(slots, pcm[: len(slots)], PLAIN)
        self.transmitter.send(self.udp.fileno(), NO_KEYS)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with open_udp(HOST, 0) as udp:
        bench = Bench(udp)
        yield bench
        for far in bench.far:
            far.socket.close()


def test_each_slot_gets_its_frame_in_its_codec(bench: Bench) -> None:
    one, other = bench.call(3), bench.call(1, "pcma", 8)
    assert bench.transmitter.slots.tolist() == [1, 3]
    pcm = np.random.default_rng(1).integers(-32768, 32768, (2, FRAME)).astype(np.int16)
    bench.run(pcm)
    (first,), (second,) = one.read(), other.read()
    assert first.payload == g711.ULAW_ENCODE[pcm[1].view(np.uint16)].tobytes()
    assert second.payload == g711.ALAW_ENCODE[pcm[0].view(np.uint16)].tobytes()
    assert (first.payload_type, second.payload_type) == (0, 8)
    assert (first.ssrc, second.ssrc) == (bench.transmitter.ssrc(3), bench.transmitter.ssrc(1))
    assert first.ssrc != second.ssrc


def test_numbers_run_on_and_wrap(bench: Bench) -> None:
    far = bench.call(0)
    bench.transmitter._sequence[0], bench.transmitter._timestamp[0] = 65534, 0xFFFFFFFF - 200
    for _ in range(4):
        bench.run()
    packets = far.read()
    assert [packet.sequence for packet in packets] == [65534, 65535, 0, 1]
    assert [packet.timestamp - packets[0].timestamp & 0xFFFFFFFF for packet in packets] == [0, 160, 320, 480]
    assert [packet.marker for packet in packets] == [True, False, False, False]
    assert len({packet.ssrc for packet in packets}) == 1
    assert bench.counters.of(0).sent == 4


def test_in_a_hold_nothing_is_sent_the_timestamp_runs_and_the_numbering_stands(bench: Bench) -> None:
    far, other = bench.call(0), bench.call(1)
    bench.run()
    stream = Stream(far.port)
    for direction in ("recvonly", "inactive"):
        bench.transmitter.connect(0, check(replace(stream, direction=direction)))
        bench.run()
    assert bench.transmitter.slots.tolist() == [1]
    bench.transmitter.connect(0, check(replace(stream, direction="sendonly")))
    bench.run()
    before, after = far.read()
    assert (after.sequence - before.sequence) & 0xFFFF == 1
    assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == 3 * FRAME
    assert after.ssrc == before.ssrc
    assert after.marker
    assert len(other.read()) == 4


def test_connecting_again_changes_address_and_codec_and_keeps_the_numbering(bench: Bench) -> None:
    far = bench.call(0)
    bench.run()
    with FarEnd(0) as new:
        bench.transmitter.connect(0, check(Stream(new.port, codec="pcma", payload_type=8)))
        bench.run()
        (before,), (after,) = far.read(), new.read()
    assert after.payload == bytes([g711.SILENCE_ALAW]) * FRAME
    assert before.payload == bytes([g711.SILENCE_ULAW]) * FRAME
    assert (after.payload_type, after.ssrc, after.marker) == (8, before.ssrc, False)
    assert (after.sequence - before.sequence) & 0xFFFF == 1


def test_after_a_disconnect_nothing_is_sent_and_the_next_call_is_a_new_source(bench: Bench) -> None:
    far = bench.call(0)
    bench.run()
    bench.transmitter.disconnect(0)
    bench.run()
    (first,) = far.read()
    bench.transmitter.connect(0, check(Stream(far.port)))
    bench.run()
    (second,) = far.read()
    assert second.ssrc != first.ssrc
    assert second.marker


def test_what_the_kernel_refuses_is_counted_as_unsent(bench: Bench) -> None:
    far, other = bench.call(0), bench.call(1)
    bench.transmitter._batch.port[0] = 0
    bench.run()
    assert (far.read(), len(other.read())) == ([], 1)
    assert (bench.counters.of(0).sent, bench.counters.of(0).unsent) == (0, 1)
    assert (bench.counters.of(1).sent, bench.counters.of(1).unsent) == (1, 0)
