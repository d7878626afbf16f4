"""What a worker exposes on ``/metrics``."""

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from media.app import Worker


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
        yield GaugeMetricFamily("sidecall_sessions", "Bot connections.", len(worker.sessions))
        yield GaugeMetricFamily("sidecall_slots_used", "Calls with media.", worker.engine.used)
        yield GaugeMetricFamily("sidecall_slots", "Calls this worker can take.", worker.engine.capacity)
        yield CounterMetricFamily("sidecall_ticks", "Ticks of the engine.", worker.clock.schedule.ticks)
        yield CounterMetricFamily(
            "sidecall_ticks_late", "Ticks that began too late.", worker.clock.schedule.late
        )
