"""Calls through a network that loses, delays, reorders and doubles: what is heard, and that every count is exact."""

import pytest

from media.engine.stream import Codec
from tests.support.rough import Network, Outcome, travel

ROUGH = Network(loss=0.05, doubled=0.02, jitter_ms=30)
OPUS = {"fec": 1, "loss": 20, "bitrate": 24000}
SECONDS = 8.0


def call(codec: Codec, network: Network, seconds: float = SECONDS) -> Outcome:
    return travel(codec, network, seconds, **(OPUS if codec is Codec.OPUS else {}))


def check_counts(outcome: Outcome) -> None:
    """Whatever the network did: each packet was received or lost, each datagram counted once, all of it heard."""
    stats, journey = outcome.stats, outcome.journey
    assert stats.received + stats.lost == journey.sent
    assert stats.received + stats.late + stats.duplicates == journey.delivered
    assert (stats.bad, stats.ignored, stats.skipped, stats.unsent) == (0, 0, 0, 0)
    assert len(outcome.heard) == len(outcome.said)


@pytest.mark.parametrize(
    ("codec", "correlation", "even"),
    [
        (Codec.PCMU, 0.96, 0.93),
        (Codec.PCMA, 0.96, 0.93),
        (Codec.PCMU16, 0.96, 0.93),
        (Codec.G722, 0.93, 0.9),
        (Codec.OPUS, 0.87, 0.83),
    ],
)
def test_five_percent_loss_and_30_ms_of_jitter(codec: Codec, correlation: float, even: float) -> None:
    outcome = call(codec, ROUGH)
    assert outcome.journey.lost >= 15
    assert outcome.journey.reordered >= 15
    assert outcome.correlation > correlation
    assert outcome.likeness > 0.95
    assert outcome.even_correlation > even
    assert outcome.even_likeness > 0.92
    check_counts(outcome)
    stats, journey = outcome.stats, outcome.journey
    # So little jitter makes no packet too late.
    assert (stats.lost, stats.late, stats.duplicates) == (journey.lost, 0, journey.copies)


@pytest.mark.parametrize(("jitter", "seed"), [(0, 2), (10, 3), (30, 4), (30, 5), (60, 6), (100, 7), (200, 8)])
def test_counts_are_exact_on_any_network(jitter: float, seed: int) -> None:
    network = Network(loss=0.15, doubled=0.1, jitter_ms=jitter, seed=seed)
    outcome = call(Codec.PCMU, network, 6)
    check_counts(outcome)
    stats, journey = outcome.stats, outcome.journey
    late = stats.lost - journey.lost
    assert late >= 0
    assert stats.late + stats.duplicates == journey.copies + late
    if jitter <= 30:
        assert late == stats.late == 0


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.G722, Codec.OPUS])
def test_jitter_that_reorders_nothing_beyond_reach_costs_nothing(codec: Codec) -> None:
    """Packets that are all there come out as on a perfect line, sample by sample."""
    rough, perfect = (call(codec, Network(jitter_ms=jitter), 4) for jitter in (30, 0))
    assert rough.journey.reordered > 0
    assert (rough.heard == perfect.heard).all()
    assert rough.stats == perfect.stats


def test_opus_repeats_what_is_lost() -> None:
    rough, perfect = call(Codec.OPUS, ROUGH), call(Codec.OPUS, Network())
    assert rough.stats.lost > 0
    assert rough.correlation > perfect.correlation - 0.02


def test_the_network_itself() -> None:
    journey = ROUGH.carry(1000)
    assert ROUGH.carry(1000) == journey
    order = [number for tick in journey.ticks for number in tick]
    assert journey.delivered == len(order) == 1000 - journey.lost + journey.copies
    assert len(set(order)) == 1000 - journey.lost
    assert journey.lost == pytest.approx(50, abs=20)
    for tick, numbers in enumerate(journey.ticks):
        assert all(0 <= tick - number <= 1 for number in numbers)
    assert Network().carry(50).ticks == [[number] for number in range(50)]
