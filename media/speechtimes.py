"""How long speech took, as a Prometheus histogram: the same figures as in the event ``metrics``."""

from collections.abc import Callable, Set

from prometheus_client.core import HistogramMetricFamily

from media.api import events
from media.callquality import Histogram

SECONDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
NAME, DOCUMENTATION = "sidecall_speech_seconds", "How long recognition and synthesis took."
WHAT, KINDS = ("ttfb", "completed"), ("asr", "tts")
OTHER = "other"


class SpeechTimes:
    """Durations of recognition and synthesis of a worker, each counted once, by provider.

    `providers` gives the names of the providers of a kind; those who have another name count as ``other``, so that
    there are never more series than providers.
    """

    def __init__(self, providers: Callable[[str], Set[str]]) -> None:
        self._known = {kind: providers(kind) for kind in KINDS}
        self._histograms: dict[tuple[str, str, str], Histogram] = {}

    def told(self, event: events.Metrics) -> None:
        """Count what a bot is told, if it is about speech."""
        what, _, rest = event.key.partition(".")
        kind, _, provider = rest.partition(".")
        if what not in WHAT or kind not in KINDS:
            return
        key = (kind, what, provider if provider in self._known[kind] else OTHER)
        if key not in self._histograms:
            self._histograms[key] = Histogram(NAME, DOCUMENTATION, SECONDS)
        self._histograms[key].observe(event.duration / 1000)

    def collect(self) -> list[HistogramMetricFamily]:
        """The metric as it is now."""
        family = HistogramMetricFamily(NAME, DOCUMENTATION, labels=["kind", "what", "provider"])
        for labels, histogram in sorted(self._histograms.items()):
            histogram.add_to(family, labels)
        return [family]
