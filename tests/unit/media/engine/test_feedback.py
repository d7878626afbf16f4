"""What the peers' reports say of the round trip and of our streams."""

import numpy as np
import pytest

from media.engine.feedback import MAX_RTT, SLACK, UNIT, Feedback
from media.engine.rtcp import (
    Block,
    Description,
    Goodbye,
    ReceiverReport,
    SenderReport,
    compact,
    ntp_time,
)

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
OURS, PEER = 0xA, 0xB


def report(last_sr: int = 0, delay: int = 0, fraction: int = 0, ssrc: int = OURS) -> ReceiverReport:
    return ReceiverReport(PEER, (Block(ssrc, fraction, 0, last_sr, delay),))


def sent_at(nanoseconds: int) -> int:
    return compact(ntp_time(nanoseconds))


def test_the_round_trip_is_what_the_peer_did_not_keep_it() -> None:
    feedback = Feedback(2)
    feedback.take(1, [report(sent_at(NOW), 2 * UNIT)], OURS, NOW + 2 * SECOND + SECOND // 4)
    assert feedback.rtt.tolist() == [-1, UNIT // 4]


def test_the_example_of_the_standard() -> None:
    """RFC 3550 figure 2: 6.125 s."""
    feedback = Feedback(1)
    arrival = (0xB44DB710 - 2_208_988_800) * SECOND + SECOND // 2
    feedback.take(0, [report(0xB7052000, 0x00054000)], OURS, arrival)
    assert feedback.rtt[0] / UNIT == 6.125


def test_times_wrap() -> None:
    feedback = Feedback(1)
    wrap = ((1 << 48) - 2_208_988_800 % 65536 * (1 << 32) >> 32) * SECOND
    assert sent_at(wrap) == 0
    feedback.take(0, [report(sent_at(wrap - SECOND), UNIT // 2)], OURS, wrap)
    assert feedback.rtt[0] == UNIT // 2


@pytest.mark.parametrize(
    ("trip", "known"), [(-SLACK - 1, -1), (-SLACK, 0), (-1, 0), (MAX_RTT, MAX_RTT), (MAX_RTT + 1, -1)]
)
def test_round_trips_that_cannot_be_are_not_believed(trip: int, known: int) -> None:
    feedback = Feedback(1)
    last_sr = sent_at(NOW) - 3 * UNIT - trip
    feedback.take(0, [report(last_sr, 3 * UNIT)], OURS, NOW)
    assert feedback.rtt[0] == known


def test_loss_is_that_of_our_source_alone() -> None:
    feedback = Feedback(2)
    assert np.isnan(feedback.loss).all()
    feedback.take(0, [report(fraction=64), Description(PEER, b"x"), Goodbye((PEER,))], OURS, NOW)
    feedback.take(0, [report(fraction=128, ssrc=OURS + 1)], OURS, NOW)
    assert feedback.loss[0] == 0.25
    assert feedback.rtt[0] == -1
    assert np.isnan(feedback.loss[1])
    feedback.take(0, [report(fraction=0)], OURS, NOW)
    assert feedback.loss[0] == 0


def test_the_peers_last_report_is_echoed_with_its_age() -> None:
    feedback = Feedback(3)
    ntp = ntp_time(NOW - 7 * SECOND)
    feedback.take(1, [SenderReport(PEER, ntp, (Block(OURS, 32, 0, 0, 0),))], OURS, NOW)
    assert feedback.loss[1] == 0.125
    echo = feedback.echo(np.array([0, 1]), np.array([PEER, PEER]), NOW + 3 * SECOND // 2)
    assert echo.last_sr.tolist() == [0, compact(ntp)]
    assert echo.delay.tolist() == [0, 3 * UNIT // 2]
    other = feedback.echo(np.array([1]), np.array([PEER + 1]), NOW)
    assert (other.last_sr[0], other.delay[0]) == (0, 0)
    assert feedback.echo(np.array([1]), np.array([PEER]), NOW - SECOND).delay[0] == 0


def test_reset_forgets_the_peer() -> None:
    feedback = Feedback(1)
    feedback.take(0, [SenderReport(PEER, ntp_time(NOW), ()), report(sent_at(NOW), 0, 9)], OURS, NOW)
    assert feedback.rtt[0] == 0
    feedback.reset(0)
    assert np.isnan(feedback.loss[0])
    assert feedback.rtt[0] == -1
    assert feedback.echo(np.array([0]), np.array([PEER]), NOW).last_sr[0] == 0
