"""How the calls that ended sounded, as Prometheus histograms."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily

MOS = (1.5, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.1, 4.2, 4.3, 4.4)
JITTER = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
"""Seconds."""
LOSS = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Shares of the packets."""


class Histogram:
    """Counts values by classes; `bounds` are the upper ends of the classes, ascending, the last has none."""

    def __init__(self, name: str, documentation: str, bounds: tuple[float, ...]) -> None:
        self._name, self._documentation, self._bounds = name, documentation, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self) -> HistogramMetricFamily:
        """The metric as it is now."""
        family = HistogramMetricFamily(self._name, self._documentation)
        self.add_to(family, [])
        return family

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Be a part of `family`, with these values of its labels."""
        bounds = [f"{bound:g}" for bound in self._bounds] + ["+Inf"]
        family.add_metric(labels, list(zip(bounds, accumulate(self._counts), strict=True)), self._sum)


class CallQuality:
    """Quality of the calls of a worker, each counted once, at its end."""

    def __init__(self) -> None:
        self._mos = Histogram("sidecall_call_mos", "Estimated MOS of ended calls.", MOS)
        self._jitter = Histogram(
            "sidecall_call_jitter_seconds", "Highest interarrival jitter of ended calls.", JITTER
        )
        self._loss = Histogram(
            "sidecall_call_loss_ratio", "Share of packets that ended calls could not play.", LOSS
        )

    def ended(self, mos: float | None, jitter: float, loss: float) -> None:
        """Count a call: its MOS, jitter in seconds and loss 0..1. Without a MOS it had no media to rate."""
        if mos is not None:
            self._mos.observe(mos)
            self._jitter.observe(jitter)
            self._loss.observe(loss)

    def collect(self) -> list[HistogramMetricFamily]:
        """The metrics as they are now."""
        return [self._mos.family(), self._jitter.family(), self._loss.family()]
