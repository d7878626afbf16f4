"""What a worker exposes on ``/metrics``."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from control.gauges import process_gauges
from media.engine.clock import LATENESS, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from media.app import Worker


NANOSECONDS = 1_000_000_000


class Metrics(Collector):
    """Reads the worker's state when asked; nothing is counted twice and nothing on the media path."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def exposition(self) -> tuple[bytes, str]:
        """Prometheus text and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def collect(self) -> "Iterable[Metric]":
        """Called by the registry."""
        worker = self._worker
        yield from process_gauges("media")
        yield GaugeMetricFamily("sidecall_sessions", "Bot connections.", len(worker.sessions))
        yield GaugeMetricFamily("sidecall_slots_used", "Calls with media.", worker.engine.used)
        yield GaugeMetricFamily("sidecall_slots", "Calls this worker can take.", worker.engine.capacity)
        yield CounterMetricFamily("sidecall_ticks", "Ticks of the engine.", worker.clock.schedule.ticks)
        yield CounterMetricFamily(
            "sidecall_ticks_late", "Ticks that began too late.", worker.clock.schedule.late
        )
        yield _lateness(worker.clock.schedule)
        yield GaugeMetricFamily(
            "sidecall_load_ratio", "Share of each tick that work takes.", worker.overload.share
        )
        yield GaugeMetricFamily(
            "sidecall_load_level", "0: easy, 1: saving work, 2: taking no calls.", worker.overload.level
        )
        yield CounterMetricFamily(
            "sidecall_codec_errors", "Packets and frames that a codec refused.", worker.engine.codec_errors
        )
        yield from worker.call_quality.collect()
        yield from worker.speech_times.collect()
        yield from worker.records.collect()
        reports = CounterMetricFamily(
            "sidecall_rtcp_packets", "RTCP datagrams of all calls.", labels=["outcome"]
        )
        for outcome, number in asdict(worker.engine.rtcp).items():
            reports.add_metric([outcome], number)
        yield reports
        packets = CounterMetricFamily("sidecall_rtp_packets", "RTP packets of all calls.", labels=["outcome"])
        for outcome, number in asdict(worker.engine.totals()).items():
            packets.add_metric([outcome], number)
        packets.add_metric(["stranger"], worker.engine.strangers)
        yield packets


def _lateness(schedule: Schedule) -> HistogramMetricFamily:
    """How long after its time the engine woke up, in seconds; the sum is not known."""
    bounds = [f"{bound / NANOSECONDS:g}" for bound in LATENESS] + ["+Inf"]
    counts = np.cumsum(schedule.histogram).tolist()
    family = HistogramMetricFamily("sidecall_tick_lateness_seconds", "Lateness of the engine's ticks.")
    family.add_metric([], list(zip(bounds, counts, strict=True)), None)
    return family
