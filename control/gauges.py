"""What a process holds that calls must not leave behind, for ``/metrics``."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

_OPEN = Path("/proc/self/fd")


def process_gauges(process: str) -> Iterator[Metric]:
    """Tasks of the running event loop, and files and sockets that are open (proc(5))."""
    tasks = GaugeMetricFamily("sidecall_tasks", "Tasks of the event loop.", labels=["process"])
    tasks.add_metric([process], len(asyncio.all_tasks()))
    yield tasks
    files = GaugeMetricFamily("sidecall_open_files", "Files and sockets that are open.", labels=["process"])
    files.add_metric([process], sum(1 for _ in _OPEN.iterdir()))
    yield files
