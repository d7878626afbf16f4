"""Histograms of the quality of ended calls."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from media.callquality import CallQuality


class Exposed(Collector):
    def __init__(self, calls: CallQuality) -> None:
        self.calls = calls

    def collect(self) -> Iterable[Metric]:
        return self.calls.collect()


def lines(calls: CallQuality) -> list[str]:
    registry = CollectorRegistry()
    registry.register(Exposed(calls))
    return generate_latest(registry).decode().splitlines()


def test_calls_are_counted_in_the_classes_they_belong_to() -> None:
    calls = CallQuality()
    calls.ended(4.2, 0.004, 0.0)
    calls.ended(4.25, 0.5, 0.07)
    text = lines(calls)
    assert 'sidecall_call_mos_bucket{le="4.1"} 0.0' in text
    assert 'sidecall_call_mos_bucket{le="4.2"} 1.0' in text
    assert 'sidecall_call_mos_bucket{le="4.3"} 2.0' in text
    assert "sidecall_call_mos_count 2.0" in text
    assert "sidecall_call_mos_sum 8.45" in text
    assert 'sidecall_call_jitter_seconds_bucket{le="0.002"} 0.0' in text
    assert 'sidecall_call_jitter_seconds_bucket{le="0.005"} 1.0' in text
    assert 'sidecall_call_jitter_seconds_bucket{le="0.2"} 1.0' in text
    assert 'sidecall_call_jitter_seconds_bucket{le="+Inf"} 2.0' in text
    assert 'sidecall_call_loss_ratio_bucket{le="0"} 1.0' in text
    assert 'sidecall_call_loss_ratio_bucket{le="0.1"} 2.0' in text


def test_a_call_without_media_is_not_rated() -> None:
    calls = CallQuality()
    calls.ended(None, 0.0, 0.0)
    assert "sidecall_call_mos_count 0.0" in lines(calls)
    assert "sidecall_call_jitter_seconds_count 0.0" in lines(calls)
