"""From a real socket to the jitter buffers and key presses."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.engine.jitter import CELLS, PAYLOAD, Jitter
from media.engine.quality import Reception
from media.engine.receive import STRIDE, WAVES, Receiver
from media.engine.reports import DigitPressed, Event, MediaStarted
from media.engine.sockets import open_udp
from media.engine.stats import Counters, Stats
from media.engine.stream import check
from tests.support.farend import HEADER, HOST, FarEnd, Stream

CAPACITY = 4


@dataclass
class Bench:
    """A receiver on a socket, with far ends connected to its slots."""

    udp: socket.socket
    far: list[FarEnd] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counters = Counters(CAPACITY)
        self.jitter = Jitter(CAPACITY, self.counters)
        self.receiver = Receiver(CAPACITY, self.jitter, self.counters, Reception(CAPACITY))

    def call(self, slot: int) -> FarEnd:
        far = self.stranger()
        self.receiver.connect(slot, check(Stream(far.port)))
        return far

    def stranger(self, host: str = HOST, port: int = 0) -> FarEnd:
        self.far.append(FarEnd(self.udp.getsockname()[1], host, port))
        return self.far[-1]

    def run(self) -> list[Event]:
        events: list[Event] = []
        self.receiver.run(self.udp.fileno(), events)
        return events

    def heard(self, slot: int) -> list[bytes]:
        packets = []
        while len((taken := self.jitter.take(np.array([slot]), 0)).slots):
            packets.append(b"lost" if taken.lost[0] else taken.payload[0, : taken.size[0]].tobytes())
        return packets

    def stats(self, slot: int = 0) -> Stats:
        return self.counters.of(slot)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with open_udp(HOST, 0, stamped=True) as udp:
        bench = Bench(udp)
        yield bench
        for far in bench.far:
            far.socket.close()


def payload(seed: int, size: int = 160) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def test_packets_go_to_the_slot_of_their_port(bench: Bench) -> None:
    first, second = bench.call(2), bench.call(0)
    for number in range(3):
        first.send(payload(number))
        second.send(payload(10 + number))
    assert bench.run() == [MediaStarted(2), MediaStarted(0)]
    assert bench.heard(2) == [payload(number) for number in range(3)]
    assert bench.heard(0) == [payload(10 + number) for number in range(3)]
    assert bench.heard(1) == []
    assert (bench.stats(2).received, bench.stats(0).received) == (3, 3)


def test_nothing_waits(bench: Bench) -> None:
    assert bench.run() == []


def test_media_starts_once_per_call(bench: Bench) -> None:
    far = bench.call(1)
    far.send(payload(1))
    assert bench.run() == [MediaStarted(1)]
    far.send(payload(2))
    assert bench.run() == []
    bench.receiver.disconnect(1)
    bench.receiver.connect(1, check(Stream(far.port)))
    far.send(payload(3))
    assert bench.run() == [MediaStarted(1)]


def test_strangers_are_counted_and_heard_by_nobody(bench: Bench) -> None:
    far = bench.call(0)
    bench.stranger().send(payload(1))
    bench.stranger(host="127.0.0.2", port=far.port).send(payload(2))  # the port of a call, not its address
    assert bench.run() == []
    assert bench.receiver.strangers == 2
    assert bench.stats(0) == Stats(*[0] * 9)
    far.send(payload(3))
    assert bench.run() == [MediaStarted(0)]


def test_after_a_disconnect_packets_are_strangers(bench: Bench) -> None:
    far = bench.call(0)
    bench.receiver.disconnect(0)
    far.send(payload(1))
    assert bench.run() == []
    assert bench.receiver.strangers == 1


def test_a_stream_that_moves_to_another_port_leaves_the_old_one(bench: Bench) -> None:
    old, new = bench.call(0), bench.stranger()
    bench.receiver.connect(0, check(Stream(new.port)))
    assert (bench.receiver.owner(old.port), bench.receiver.owner(new.port)) == (None, 0)
    old.send(payload(1))
    new.send(payload(2))
    bench.run()
    assert bench.heard(0) == [payload(2)]
    assert bench.receiver.strangers == 1


def test_all_kinds_of_headers_lead_to_the_payload(bench: Bench) -> None:
    far = bench.call(0)
    csrcs = struct_packet(0x83, 1) + bytes(12) + payload(1)
    extension = struct_packet(0x90, 2) + bytes([0xBE, 0xDE, 0, 2]) + bytes(8) + payload(2)
    padded = struct_packet(0xA0, 3) + payload(3) + bytes([0, 0, 3])
    everything = struct_packet(0xBF, 4) + bytes(60) + bytes([0, 0, 0, 1]) + bytes(4) + payload(4) + b"\1"
    long = struct_packet(0x81, 5) + bytes(4) + payload(5, PAYLOAD)
    for packet in (csrcs, extension, padded, everything, long):
        far.send_raw(packet)
    bench.run()
    assert bench.heard(0) == [payload(1), payload(2), payload(3), payload(4), payload(5, PAYLOAD)]


def struct_packet(first: int, sequence: int, payload_type: int = 0) -> bytes:
    return HEADER.pack(first, payload_type, sequence, sequence * 160, 5)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"hello",
        bytes(172),
        struct_packet(0x40, 1) + bytes(160),
        struct_packet(0x80, 1) + bytes(159),
        struct_packet(0x80, 1) + bytes(40),
        struct_packet(0x80, 1),
        struct_packet(0x80, 1) + bytes(PAYLOAD + 80),
        struct_packet(0x80, 1) + bytes(1200),
        struct_packet(0x80, 1, payload_type=8) + bytes(160),
        struct_packet(0x80, 1, payload_type=101) + bytes(3),
        struct_packet(0xA0, 1) + bytes(160),
        struct_packet(0x90, 1) + bytes([0, 0, 0, 60]) + bytes(240 + 160),
        struct_packet(0x90, 1, payload_type=101) + bytes([0, 0, 0, 60]) + bytes(240 + 4),
    ],
    ids=lambda datagram: f"{len(datagram)} bytes {datagram[:2].hex()}",
)
def test_bad_packets_are_counted_and_cost_nobody_anything(bench: Bench, datagram: bytes) -> None:
    far, other = bench.call(0), bench.call(1)
    far.send_raw(datagram)
    other.send(payload(1))
    far.send(payload(2))
    assert bench.run() == [MediaStarted(1), MediaStarted(0)]
    assert (bench.stats(0).bad, bench.stats(0).received) == (1, 1)
    assert bench.heard(0) == [payload(2)]
    assert bench.heard(1) == [payload(1)]


def test_rtcp_is_ignored(bench: Bench) -> None:
    far = bench.call(0)
    for kind in (200, 201, 203):
        far.send_raw(HEADER.pack(0x80, kind, 6, 1, 2) + bytes(16))
    assert bench.run() == []
    assert (bench.stats().ignored, bench.stats().bad) == (3, 0)


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
def test_without_a_receiving_direction_all_is_ignored(bench: Bench, direction: str) -> None:
    far = bench.call(0)
    bench.receiver.connect(0, check(replace(Stream(far.port), direction=direction)))
    far.send(payload(1))
    far.press(5)
    assert bench.run() == []
    assert (bench.stats().ignored, bench.heard(0)) == (2, [])


def test_a_call_without_telephone_events_has_none(bench: Bench) -> None:
    far = bench.call(0)
    bench.receiver.connect(0, check(replace(Stream(far.port), event_payload_type=None)))
    far.press(5)
    assert bench.run() == []
    assert bench.stats().bad == 1


def test_digits_are_reported_and_take_part_in_the_numbering(bench: Bench) -> None:
    far = bench.call(3)
    far.send(payload(1))
    for end in (False, False, True, True, True):
        far.press(11, end=end)
    far.timestamp += 800
    far.press(1)
    far.send(payload(2))
    assert bench.run() == [MediaStarted(3), DigitPressed(3, "#"), DigitPressed(3, "1")]
    assert bench.heard(3) == [payload(1), payload(2)]
    assert (bench.stats(3).received, bench.stats(3).lost) == (8, 0)


def test_digits_of_many_calls_in_one_tick(bench: Bench) -> None:
    calls = [bench.call(slot) for slot in range(CAPACITY)]
    for code, far in enumerate(calls):
        far.press(code)
        far.send(payload(code))
    assert [event for event in bench.run() if isinstance(event, DigitPressed)] == [
        DigitPressed(slot, str(slot)) for slot in range(CAPACITY)
    ]


def test_events_with_an_ssrc_of_their_own_do_not_disturb_the_audio(bench: Bench) -> None:
    far = bench.call(0)
    audio = far.ssrc
    sent = []
    events: list[Event] = []
    for number in range(8):
        far.send(payload(number))
        sent.append(payload(number))
        far.ssrc, far.sequence = 999, far.sequence + 30000
        far.press(7)
        far.ssrc, far.sequence = audio, far.sequence - 30001
        events += bench.run()
    # The timestamp moves with the audio, so each of these is a press of its own.
    assert [event for event in events if isinstance(event, DigitPressed)] == [DigitPressed(0, "7")] * 8
    assert bench.heard(0) == sent
    assert bench.stats().bad == 0


def test_a_flood_is_cut_after_a_ring_of_packets_and_hurts_nobody_else(bench: Bench) -> None:
    far, other = bench.call(0), bench.call(1)
    for number in range(WAVES + 50):
        far.send(payload(number))
    other.send(payload(1))
    bench.run()
    assert (bench.stats(0).received, bench.stats(0).bad) == (CELLS, 50)
    assert bench.heard(1) == [payload(1)]


def test_what_does_not_fit_in_a_batch_waits_for_the_next_tick(bench: Bench) -> None:
    far, other = bench.call(0), bench.call(1)
    for _ in range(256):
        far.send(payload(0))
    other.send(payload(1))
    bench.run()
    assert bench.heard(1) == []
    bench.run()
    assert bench.heard(1) == [payload(1)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, CAPACITY), st.binary(max_size=STRIDE + 100)), max_size=30))
def test_no_datagram_breaks_it(datagrams: list[tuple[int, bytes]]) -> None:
    with open_udp(HOST, 0, stamped=True) as udp:
        bench = Bench(udp)
        far = [bench.call(slot) for slot in range(CAPACITY)]
        far.append(bench.stranger())
        for number, data in datagrams:
            far[number].send_raw(data)
            # The same bytes behind a header that is accepted.
            far[number].send_raw(HEADER.pack(0x80, len(data) % 2 * 101, len(data), 0, 5) + data)
        bench.run()
        totals = bench.counters.totals()
        counted = totals.received + totals.late + totals.duplicates + totals.bad + totals.ignored
        assert counted + bench.receiver.strangers == 2 * len(datagrams)
        for each in far:
            each.socket.close()
