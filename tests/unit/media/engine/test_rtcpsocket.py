"""Reports over real sockets: who gets them, when, and what is made of the answers."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from control.errors import MediaError, SetupError
from media.engine.mos import Model
from media.engine.quality import Quality, Reception
from media.engine.rtcp import SenderInfo, compact, ntp_time
from media.engine.rtcpsocket import FIRST, INTERVAL, MOST, PACE, STRIDE, Rtcp, Timetable
from media.engine.stats import Stats
from tests.support import rtcpwire
from tests.support.farend import HOST, FarEnd
from tests.support.rtcpwire import Section, block, receiver_report, sender_report

CAPACITY = 4
OURS, PEER = 0xA000, 0xB000
SECOND = 1_000_000_000
NAME = "0123456789abcdef"


@dataclass
class Bench:
    """RTCP on a socket, with a far end for each slot connected."""

    rtcp: Rtcp
    reception: Reception
    sent: SenderInfo
    far: dict[int, FarEnd] = field(default_factory=dict)
    now: int = 0

    def call(self, slot: int) -> FarEnd:
        far = self.far[slot] = FarEnd(self.rtcp.port)
        self.rtcp.connect(slot, OURS + slot, HOST, far.port, NAME, self.now)
        return far

    def run(self, ticks: int, wall: int | None = None) -> None:
        for _ in range(ticks):
            self.rtcp.run(self.now, time.time_ns() if wall is None else wall)
            self.now += 1

    def hear(self, slot: int, sequence: int, ssrc: int = PEER, arrival: int = SECOND) -> None:
        """Let `slot` receive an RTP packet."""
        slots, source, number, timestamp, when = np.array([[slot, ssrc, sequence, 160 * sequence, arrival]]).T
        self.reception.update(slots, source, number, timestamp, when, np.array([True]))

    def reports(self, slot: int) -> list[list[Section]]:
        """What the far end of `slot` has got."""
        found = []
        while True:
            try:
                found.append(rtcpwire.read(self.far[slot].socket.recv(2048)))
            except BlockingIOError:
                return found

    def quality(self, slot: int, received: int = 0, lost: int = 0) -> Quality:
        stats = Stats(received, 0, lost, 0, 0, 0, 0, 0, 0)
        return self.rtcp.quality(slot, stats, Model.G711, 20.0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    reception = Reception(CAPACITY)
    sent = SenderInfo(*(np.zeros(CAPACITY, np.int64) for _ in range(3)))
    rtcp = Rtcp(HOST, 0, reception, sent, np.random.default_rng(1))
    made = Bench(rtcp, reception, sent)
    yield made
    rtcp.close()
    for far in made.far.values():
        far.socket.close()


def test_a_port_in_use_is_a_setup_error(bench: Bench) -> None:
    with pytest.raises(SetupError, match=str(bench.rtcp.port)):
        Rtcp(HOST, bench.rtcp.port, bench.reception, bench.sent, np.random.default_rng(1))


def test_the_first_report_comes_after_one_to_two_and_a_half_seconds_and_the_next_ones_every_five() -> None:
    timetable = Timetable(1000, np.random.default_rng(1))
    for slot in range(1000):
        timetable.join(slot, 1000)
    due: list[list[int]] = [[] for _ in range(1000)]
    crowd = []
    for now in range(1000, 10000):
        slots = timetable.take(now).tolist()
        crowd.append(len(slots))
        for slot in slots:
            due[slot].append(now)
    assert all(1000 + FIRST[0] <= times[0] <= 1000 + FIRST[1] for times in due)
    steps = np.concatenate([np.diff(times) for times in due])
    assert steps.min() >= INTERVAL // 2
    assert steps.max() <= INTERVAL * 3 // 2
    assert steps.mean() == pytest.approx(INTERVAL, rel=0.02)
    assert max(crowd[2000:]) < 20  # 4 in the mean


def test_more_slots_than_fit_are_due_later() -> None:
    timetable = Timetable(MOST + 10, np.random.default_rng(1))
    for slot in range(MOST + 10):
        timetable.join(slot, 0)
    timetable.leave(3)
    assert timetable.take(FIRST[0] - 1).tolist() == []
    first, second = timetable.take(FIRST[1]), timetable.take(FIRST[1])
    assert sorted(first.tolist() + second.tolist()) == [*range(3), *range(4, MOST + 10)]
    assert len(first) == MOST


def test_a_slot_that_sends_and_hears_reports_both(bench: Bench) -> None:
    bench.call(2)
    for number in (10, 11, 13):
        bench.hear(2, number)
    bench.sent.packets[2], bench.sent.octets[2], bench.sent.timestamp[2] = 50, 8000, 123456
    wall = 1_700_000_000 * SECOND
    bench.run(FIRST[1] + PACE, wall)
    [[report, description]] = bench.reports(2)
    assert (report.kind, report.ssrc) == (200, OURS + 2)
    assert report.sender == (ntp_time(wall), 123456, 50, 8000)
    # jitter: 160 / 16, then (320 - 10) / 16 more, as all came at once
    assert report.blocks == [(PEER, 64, 1, 13, 29, 0, 0)]
    assert description.cname == (OURS + 2, NAME.encode())
    assert bench.rtcp.tally.sent == 1


def test_a_silent_slot_reports_as_receiver_and_says_nothing_of_whom_it_does_not_hear(bench: Bench) -> None:
    bench.call(0)
    bench.call(1)
    bench.hear(1, 7)
    bench.run(FIRST[1] + PACE)
    [[empty, _]], [[heard, _]] = bench.reports(0), bench.reports(1)
    assert (empty.kind, empty.count) == (201, 0)
    assert (heard.kind, [block[0] for block in heard.blocks]) == (201, [PEER])


def test_who_stops_to_send_is_a_sender_for_one_report_more(bench: Bench) -> None:
    bench.call(0)
    bench.sent.packets[0] = 5
    bench.run(5 * INTERVAL)
    kinds = [report.kind for report, _ in bench.reports(0)]
    assert kinds[:2] == [200, 200]
    assert set(kinds[2:]) == {201}


def test_the_peers_reports_give_round_trip_and_loss(bench: Bench) -> None:
    far = bench.call(1)
    bench.sent.packets[1] = 1
    bench.run(FIRST[1] + PACE)
    [[report, _]] = bench.reports(1)
    last_sr = compact(report.sender[0])
    far.send_raw(receiver_report(PEER, block(OURS + 1, fraction=64, last_sr=last_sr, delay=0)))
    arrived = time.time_ns()
    bench.run(PACE)
    trip = ((compact(ntp_time(arrived)) - last_sr) % 2**32) * 1000 / 65536
    quality = bench.quality(1, received=95, lost=5)
    assert quality.rtt_ms is not None
    assert 0 <= quality.rtt_ms <= trip
    assert quality.peer_loss_fraction == bench.rtcp.peer_loss[1] == 0.25
    assert quality.loss_fraction == 0.05
    assert quality.mos is not None
    assert 3.5 < quality.mos < 3.9


def test_the_peers_sender_report_is_echoed_with_its_true_age(bench: Bench) -> None:
    far = bench.call(1)
    bench.hear(1, 7)
    before = time.time_ns()
    far.send_raw(sender_report(PEER, 0x1234_5678_9ABC_DEF0))
    after = time.time_ns()
    bench.run(PACE)
    later = after + 2 * SECOND
    bench.run(FIRST[1], later)
    [[report, _]] = bench.reports(1)
    *_, last_sr, delay = report.blocks[0]
    assert last_sr == 0x5678_9ABC
    assert (later - after) * 65536 // SECOND - 1 <= delay <= (later - before) * 65536 // SECOND


def test_a_call_of_which_nothing_is_known(bench: Bench) -> None:
    bench.call(0)
    assert bench.quality(0) == Quality(0.0, 0.0, 0.0, None, None, None)


def test_strangers_and_garbage_are_counted_and_cost_nobody_anything(bench: Bench) -> None:
    far = bench.call(0)
    with FarEnd(bench.rtcp.port) as stranger:
        stranger.send_raw(receiver_report(PEER, block(OURS, fraction=255)))
    far.send_raw(b"no RTCP at all")
    far.send_raw(receiver_report(PEER) * (STRIDE // 8 + 1))
    far.send_raw(receiver_report(PEER, block(OURS, fraction=128)))
    bench.run(PACE)
    tally = bench.rtcp.tally
    assert (tally.strangers, tally.malformed, tally.received) == (1, 2, 1)
    assert bench.rtcp.peer_loss[0] == 0.5


def test_goodbye_is_said_by_who_has_spoken(bench: Bench) -> None:
    for slot in range(3):
        bench.call(slot)
    bench.sent.packets[1] = 1
    bench.rtcp.disconnect(0)
    bench.rtcp.disconnect(1)
    assert bench.reports(0) == []
    [[report, description, bye]] = bench.reports(1)
    assert (report.kind, report.count, bye.kind, bye.ssrc) == (201, 0, 203, OURS + 1)
    assert description.cname == (OURS + 1, NAME.encode())
    bench.run(FIRST[1] + PACE)
    bench.rtcp.disconnect(2)
    assert [sections[-1].kind for sections in bench.reports(2)] == [202, 203]
    bench.rtcp.disconnect(2)
    bench.run(2 * INTERVAL)
    assert bench.reports(0) == bench.reports(1) == bench.reports(2) == []


def test_a_slot_is_as_new_for_the_next_call(bench: Bench) -> None:
    far = bench.call(0)
    far.send_raw(receiver_report(PEER, block(OURS, fraction=128)))
    bench.run(PACE)
    bench.rtcp.disconnect(0)
    assert np.isnan(bench.rtcp.peer_loss[0])
    far.send_raw(receiver_report(PEER, block(OURS, fraction=128)))
    bench.run(PACE)
    assert bench.rtcp.tally.strangers == 1
    with far.socket:
        again = bench.call(0)
    again.send_raw(receiver_report(PEER, block(OURS, fraction=64)))
    bench.run(PACE)
    assert bench.rtcp.peer_loss[0] == 0.25


def test_a_slot_that_moves_reports_to_the_new_place_under_its_new_source(bench: Bench) -> None:
    old = bench.call(0)
    bench.sent.packets[0] = 9
    with FarEnd(bench.rtcp.port) as new:
        bench.rtcp.connect(0, OURS + 77, HOST, new.port, "x", bench.now)
        bench.run(FIRST[1] + PACE)
        report, description = rtcpwire.read(new.socket.recv(2048))
    assert (report.kind, report.ssrc) == (201, OURS + 77)
    assert description.cname == (OURS + 77, b"x")
    assert bench.reports(0) == []
    old.send_raw(receiver_report(PEER))
    bench.run(PACE)
    assert bench.rtcp.tally.strangers == 1


def test_a_slot_may_be_connected_to_the_same_place_again(bench: Bench) -> None:
    far = bench.call(0)
    bench.rtcp.connect(0, OURS, HOST, far.port, NAME, bench.now)
    far.send_raw(receiver_report(PEER, block(OURS, fraction=64)))
    bench.run(PACE)
    assert bench.rtcp.peer_loss[0] == 0.25


@pytest.mark.parametrize(
    ("address", "port", "name", "message"),
    [
        ("::1", 5, NAME, "'::1' is not IPv4"),
        (HOST, 0, NAME, "port 0 is not"),
        (HOST, 65536, NAME, "port 65536 is not"),
        (HOST, 5, "", "canonical name"),
    ],
)
def test_a_place_that_cannot_be_used_changes_nothing(
    bench: Bench, address: str, port: int, name: str, message: str
) -> None:
    bench.call(0)
    with pytest.raises(MediaError, match=message):
        bench.rtcp.connect(0, OURS, address, port, name, 0)
    bench.run(FIRST[1] + PACE)
    assert len(bench.reports(0)) == 1


def test_two_slots_cannot_have_one_source(bench: Bench) -> None:
    far = bench.call(0)
    with pytest.raises(MediaError, match=rf"{HOST}:{far.port} already belongs to slot 0"):
        bench.rtcp.connect(1, OURS, HOST, far.port, NAME, 0)


def test_what_the_kernel_refuses_is_counted(bench: Bench) -> None:
    bench.rtcp.connect(0, OURS, "255.255.255.255", 9, NAME, 0)  # broadcasting is not permitted
    bench.run(FIRST[1] + PACE)
    assert (bench.rtcp.tally.sent, bench.rtcp.tally.unsent) == (0, 1)


def test_a_closed_socket_frees_the_port(bench: Bench) -> None:
    port = bench.rtcp.port
    bench.rtcp.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind((HOST, port))
