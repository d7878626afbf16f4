"""An engine for tests of the host: says back what it is given, and does what its parameters ask for."""

import os
import sys
import time
from collections.abc import Iterable

from media.speech.local.engine import (
    Data,
    Done,
    Engine,
    Failed,
    Parameters,
    ProviderError,
    Report,
    Settings,
    Told,
)


class Echo(Engine):
    """`settings`: ``fail`` (not to be loaded), ``hang`` (never loaded). `parameters` of a stream: ``copies`` of what
    is given, as Data; ``refuse`` (at open), ``hang`` (at open), ``die`` (at its first data)."""

    def __init__(self, settings: Settings) -> None:
        if "fail" in settings:
            raise ProviderError("no model in /nowhere", 404, retry=False)
        if "stderr" in settings:
            sys.stderr.write(settings["stderr"])
        while "hang" in settings:
            time.sleep(1)
        self._streams: dict[int, Parameters] = {}
        self._queue: list[Report] = []
        self._held: set[int] = set()

    @property
    def busy(self) -> bool:
        return any(report.stream not in self._held for report in self._queue)

    def open(self, stream: int, parameters: Parameters) -> None:
        if "refuse" in parameters:
            raise ProviderError("not like this", 400, retry=False)
        while "hang" in parameters:
            time.sleep(1)
        self._streams[stream] = parameters
        self._queue.append(Told(stream, {"pid": os.getpid(), "nice": os.nice(0)}))

    def data(self, stream: int, data: bytes) -> None:
        parameters = self._streams.get(stream)
        if parameters is None:
            return  # it has failed, which is not reported yet
        if "die" in parameters:
            os._exit(3)
        if "fail" in parameters:
            del self._streams[stream]
            self._queue.append(Failed(stream, "it went wrong", 500, retry=True))
            return
        self._queue += [Data(stream, data)] * parameters.get("copies", 1)

    def finish(self, stream: int) -> None:
        if stream in self._streams:
            self._queue.append(Done(stream))

    def cancel(self, stream: int) -> None:
        self._queue = [report for report in self._queue if report.stream != stream]
        self._streams.pop(stream, None)

    def hold(self, stream: int, *, held: bool) -> None:
        (self._held.add if held else self._held.discard)(stream)

    def step(self) -> Iterable[Report]:
        for report in [report for report in self._queue if report.stream not in self._held][:1]:
            self._queue.remove(report)
            if isinstance(report, Done):
                del self._streams[report.stream]
            yield report
