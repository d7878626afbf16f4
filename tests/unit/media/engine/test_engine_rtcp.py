"""Reports through the engine: what the peer is told, and what its reports change."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from control.errors import MediaError
from media.engine.codecs.opus import Opus
from media.engine.rtcp import compact
from media.engine.stream import FORMATS, Codec
from tests.support import callbench, rtcpwire
from tests.support.callbench import Bench, Call, encode
from tests.support.farend import HOST
from tests.support.rtcpwire import Section, block, receiver_report, sender_report
from tests.support.voicelike import voice

SR, RR, SDES, BYE = 200, 201, 202, 203
FIRST = 125
"""Ticks within which the first report comes."""
NTP = 0xE000_0000_0000_0000
PEER = 0xABCD


@pytest.fixture
def bench() -> Iterator[Bench]:
    with callbench.bench() as made:
        yield made


@dataclass
class Peer:
    """The RTCP socket of a far end."""

    bench: Bench
    udp: socket.socket

    @property
    def port(self) -> int:
        port: int = self.udp.getsockname()[1]
        return port

    def send(self, data: bytes) -> None:
        self.udp.sendto(data, (HOST, self.bench.engine.port + 1))

    def read(self) -> list[list[Section]]:
        """The compound packets that are there."""
        found: list[list[Section]] = []
        while True:
            try:
                found.append(rtcpwire.read(self.udp.recv(2048)))
            except BlockingIOError:
                return found

    def reports(self, ticks: int) -> list[tuple[int, list[Section]]]:
        """What comes in so many ticks, and after how many."""
        found = []
        for number in range(1, ticks + 1):
            self.bench.ticks()
            found += [(number, compound) for compound in self.read()]
        return found


@pytest.fixture
def peer(bench: Bench) -> Iterator[Peer]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.bind((HOST, 0))
        yield Peer(bench, udp)


def connected(bench: Bench, peer: Peer, codec: Codec = Codec.PCMU) -> Call:
    return bench.call(codec, rtcp_port=peer.port)


@pytest.mark.parametrize("codec", Codec)
def test_the_first_report_tells_exactly_what_was_sent(bench: Bench, peer: Peer, codec: Codec) -> None:
    call = connected(bench, peer, codec)
    call.play(voice(16000, 2), 16000)
    bench.engine.press(call.slot, "1")
    ((number, (report, description)),) = peer.reports(FIRST + 5)
    assert 50 <= number <= FIRST + 5
    assert (report.kind, report.count, report.ssrc) == (SR, 0, bench.engine.ssrc(call.slot))
    _, timestamp, packets, octets = report.sender
    sent = call.got[:number]
    assert packets == len(sent)
    assert octets == sum(len(packet.payload) for packet in sent)
    step = FORMATS[codec].clock // 50
    audio = sent[-1] if sent[-1].payload_type != 101 else None
    assert audio is not None
    assert timestamp == audio.timestamp + step & 0xFFFFFFFF
    assert (description.kind, description.cname[0]) == (SDES, report.ssrc)


def test_what_was_received_is_reported(bench: Bench, peer: Peer) -> None:
    call = connected(bench, peer)
    call.far.sequence = 65500
    payloads = encode(Codec.PCMU, voice(8000, 3))
    peer.send(sender_report(PEER, NTP))
    reports = []
    for number, payload in enumerate(payloads):
        if number % 10 == 5:
            call.lose()
        else:
            call.say(payload)
        bench.ticks()
        reports += [(number + 1, report) for report in peer.read()]
    number, (report, _) = reports[0]
    ((source, fraction, lost, highest, _, last_sr, _),) = report.blocks
    missing = sum(each % 10 == 5 for each in range(number))
    behind = number % 10 == 6  # the last one is missing: nobody knows yet
    assert source == call.far.ssrc
    assert highest == 65500 + number - 1 - behind
    assert lost == missing - behind
    assert fraction == 256 * lost // (number - behind)
    assert last_sr == compact(NTP)


def test_a_call_that_only_listens_reports_as_receiver(bench: Bench, peer: Peer) -> None:
    call = bench.call(Codec.G722, rtcp_port=peer.port, direction="recvonly")
    found = []
    for payload in encode(Codec.G722, voice(16000, 2.7)):
        call.say(payload)
        bench.ticks()
        found += peer.read()
    assert [section.kind for section in found[0]] == [RR, SDES]
    assert found[0][0].count == 1
    assert call.got == []


def test_release_says_goodbye(bench: Bench, peer: Peer) -> None:
    call = connected(bench, peer, Codec.OPUS)
    bench.ticks(3)
    ssrc = bench.engine.ssrc(call.slot)
    call.release()
    (compound,) = peer.read()
    assert [section.kind for section in compound] == [RR, SDES, BYE]
    assert {section.ssrc for section in compound} == {ssrc}
    assert peer.reports(FIRST) == []
    assert (bench.engine.rtcp.sent, bench.engine.rtcp.unsent) == (1, 0)


def test_a_call_without_rtcp_has_none(bench: Bench, peer: Peer) -> None:
    call = bench.call()
    peer.send(receiver_report(PEER, block(bench.engine.ssrc(call.slot), fraction=64)))
    assert peer.reports(FIRST) == []
    call.release()
    assert peer.read() == []
    assert bench.engine.rtcp.strangers == 1


def test_the_peers_report_gives_round_trip_and_loss(bench: Bench, peer: Peer) -> None:
    call = connected(bench, peer)
    quality = bench.engine.quality(call.slot)
    assert (quality.rtt_ms, quality.peer_loss_fraction, quality.mos) == (None, None, None)
    ((_, (report, _)),) = peer.reports(FIRST + 5)
    ago = 65536 // 4  # it pretends to have had the report for 250 ms less than is true: the trip took them
    last_sr = compact(report.sender[0]) - ago & 0xFFFFFFFF
    ssrc = bench.engine.ssrc(call.slot)
    peer.send(receiver_report(PEER, block(ssrc, fraction=32, last_sr=last_sr)))
    call.say(encode(Codec.PCMU, voice(8000, 0.1))[0])
    bench.ticks(5)
    quality = bench.engine.quality(call.slot)
    assert quality.rtt_ms is not None
    assert 250 <= quality.rtt_ms < 30000
    assert quality.peer_loss_fraction == 32 / 256
    assert quality.loss_fraction == 0
    assert quality.mos is not None
    peer.send(receiver_report(PEER, block(ssrc + 1 & 0xFFFFFFFF, fraction=255)))
    peer.send(b"\x80\xc9 garbage")
    bench.ticks(5)
    assert bench.engine.quality(call.slot).peer_loss_fraction == 32 / 256
    tally = bench.engine.rtcp
    assert (tally.received, tally.malformed, tally.strangers) == (2, 1, 0)


def repeats(call: Call) -> float:
    """How well the packets sent of late repeat those before them: 1 is perfectly, 0 not at all."""
    payloads = [packet.payload for packet in call.got[-100:]]
    whole, lossy = Opus(16000), Opus(16000)
    expected, guessed = [], []
    for number, payload in enumerate(payloads):
        frame = whole.decode(payload).copy()
        if number % 10 == 5:
            guessed.append(lossy.conceal(320, payloads[number + 1]).copy())
            expected.append(frame)
        else:
            lossy.decode(payload)
    error = np.concatenate(guessed).astype(float) - np.concatenate(expected)
    return float(1 - (error @ error) / (np.concatenate(expected).astype(float) ** 2).sum())


def test_a_peer_that_misses_packets_gets_them_twice(bench: Bench, peer: Peer) -> None:
    call = connected(bench, peer, Codec.OPUS)
    call.play(voice(16000, 7), 16000)
    bench.ticks(110)
    before = repeats(call)
    ssrc = bench.engine.ssrc(call.slot)
    peer.send(receiver_report(PEER, block(ssrc, fraction=64)))
    bench.ticks(160)
    during = repeats(call)
    assert during > 0.8
    assert during > before + 0.2


def test_a_new_stream_is_reported_under_its_own_name(bench: Bench, peer: Peer) -> None:
    call = connected(bench, peer)
    bench.ticks(30)
    bench.engine.renew(call.slot)
    ssrc = bench.engine.ssrc(call.slot)
    ((number, (report, description)),) = peer.reports(FIRST)
    assert number > 20
    assert report.ssrc == description.ssrc == ssrc
    assert report.sender[2:] == (number, number * 160)
    call.release()
    assert {section.ssrc for section in peer.read()[0]} == {ssrc}


def test_a_source_keeps_its_name(bench: Bench, peer: Peer) -> None:
    call = connected(bench, peer)
    ((_, (_, first)),) = peer.reports(FIRST)
    call.connect(Codec.PCMA, rtcp_port=peer.port)
    found = peer.reports(380)
    assert {compound[1].cname for _, compound in found} == {first.cname}
    call.release()
    again = connected(bench, peer)
    bench.ticks()
    again.release()
    assert peer.read()[-1][1].cname[1] != first.cname[1]


def test_packets_that_the_kernel_refuses_are_not_reported_as_sent(bench: Bench, peer: Peer) -> None:
    call = connected(bench, peer)
    bench.ticks(10)
    call.connect(Codec.PCMU, address="255.255.255.255", rtcp_port=peer.port)
    bench.ticks(10)
    assert bench.engine.stats(call.slot).unsent == 10
    call.connect(Codec.PCMU, rtcp_port=peer.port)
    ((number, (report, _)),) = peer.reports(FIRST)
    assert report.sender[2:] == (10 + number, 160 * (10 + number))


def test_a_place_for_reports_that_cannot_be_used_leaves_the_call_as_it_was(bench: Bench, peer: Peer) -> None:
    owner, call = connected(bench, peer), bench.call(Codec.G722)
    for changes, message in (
        ({"rtcp_port": peer.port}, f"already belongs to slot {owner.slot}"),
        ({"rtcp_port": 70000}, "RTCP port 70000"),
        ({"rtcp_port": 5000, "rtcp_address": "nowhere"}, "RTCP address 'nowhere'"),
    ):
        with pytest.raises(MediaError, match=message):
            call.connect(Codec.PCMU, **changes)
    fresh = bench.engine.allocate()
    bench.ticks(2)
    assert {packet.payload_type for packet in call.got} == {9}
    assert fresh not in (owner.slot, call.slot)
    assert bench.engine.rate(call.slot) == 16000
