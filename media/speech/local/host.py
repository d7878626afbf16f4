"""The parent's end of an engine: its processes, and the streams on them."""

import asyncio
import itertools
import json
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from typing import Any

from control.errors import ProviderError
from control.tasks import Tasks
from media.speech.local.child import Child
from media.speech.local.frames import (
    CREDIT,
    Cancel,
    Credit,
    Data,
    Done,
    Failed,
    Finish,
    Frame,
    Open,
    Opened,
    Told,
)

log = logging.getLogger(__name__)

LOAD_SECONDS = 60.0
"""In which an engine must have loaded its model."""
OPEN_SECONDS = 30.0
"""In which it must take a stream, with all that it loads for it; one that does not is stuck, and is ended."""

Result = bytes | dict[str, Any]
"""What comes of a stream: bytes of Data, or what was Told."""
_Item = Frame | ProviderError | BaseException


class Host:
    """An engine in a bounded number of processes. `name` is the provider's, for messages of errors.

    `engine` is ``module:Class``, constructed with `settings`, which hold what JSON can.
    """

    def __init__(
        self,
        name: str,
        engine: str,
        settings: Mapping[str, Any] | None = None,
        *,
        processes: int | None = None,
        load_seconds: float = LOAD_SECONDS,
    ) -> None:
        count = min(2, os.cpu_count() or 1) if processes is None else processes
        arguments = (engine, json.dumps(dict(settings or {})))
        self._seats = [_Seat(name, arguments, load_seconds) for _ in range(count)]

    @property
    def pids(self) -> list[int]:
        """Processes that run now."""
        return [seat.running.pid for seat in self._seats if seat.running is not None]

    async def warm(self) -> None:
        """Start every process now, and not when it is needed; one that cannot be started is left for then."""
        await asyncio.gather(*(seat.line() for seat in self._seats), return_exceptions=True)

    async def run(
        self, parameters: Mapping[str, Any], inputs: AsyncIterator[bytes]
    ) -> AsyncGenerator[Result, None]:
        """One stream: what comes of `inputs`; ends when they are worked off.

        Waits where its reader waits, and lets `inputs` wait while the process cannot follow. Close it unless it was
        read to its end. Raises ProviderError, and what `inputs` raise.
        """
        seat = min(self._seats, key=lambda seat: seat.streams)
        seat.streams += 1
        try:
            line = await seat.line()
            async with aclosing(line.run(parameters, inputs)) as results:
                async for result in results:
                    yield result
        finally:
            seat.streams -= 1

    async def close(self) -> None:
        """End the processes; streams that are open get a ProviderError."""
        await asyncio.gather(*(seat.close() for seat in self._seats))


class _Seat:
    """Room for one process: started when it is needed, and again when it has died."""

    def __init__(self, name: str, arguments: tuple[str, ...], load_seconds: float) -> None:
        self.streams = 0
        self._name = name
        self._arguments = arguments
        self._load_seconds = load_seconds
        self._tasks = Tasks(name)
        self._starting: asyncio.Task[_Line | ProviderError] | None = None
        self._closed = False

    @property
    def running(self) -> "_Line | None":
        """The process, when there is one that takes streams."""
        task = self._starting
        if task is None or not task.done() or task.cancelled():
            return None
        line = task.result()
        return line if isinstance(line, _Line) and not line.ended else None

    async def line(self) -> "_Line":
        """The process, started when there is none. Raises ProviderError."""
        if self._closed:
            raise _stopped(self._name)
        if (running := self.running) is not None:
            return running
        if self._starting is None or self._starting.done():
            self._starting = self._tasks.spawn(self._start())
        starting = self._starting
        # A caller who gives up does not stop what others wait for.
        await asyncio.wait([starting])
        if starting.cancelled():
            raise _stopped(self._name)
        line = starting.result()
        if isinstance(line, ProviderError):
            raise ProviderError(str(line), line.code, retry=line.retry)
        return line

    async def _start(self) -> "_Line | ProviderError":
        try:
            child = await Child.start(self._name, self._arguments, self._load_seconds)
        except ProviderError as error:
            log.error("%s", error)
            return error
        line = _Line(self._name, child)
        self._tasks.spawn(line.serve())
        return line

    async def close(self) -> None:
        """End the process."""
        self._closed = True
        await self._tasks.close()
        if (line := self.running) is not None:
            await line.stop()


class _Line:
    """A process and its streams."""

    def __init__(self, name: str, child: Child) -> None:
        self.ended = False
        self._name = name
        self._child = child
        self._numbers = itertools.count(1)
        self._streams: dict[int, asyncio.Queue[_Item]] = {}

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    async def serve(self) -> None:
        """Hand out what the process sends, until it ends."""
        async for frame in self._child.frames():
            if (queue := self._streams.get(frame.stream)) is not None:
                queue.put_nowait(frame)
        self.ended = True
        status = await self._child.close()
        reason = f"{self._name}: its process ended with status {status}"
        log.error("%s; %d streams are lost", reason, len(self._streams))
        self._fail(ProviderError(reason, 502))

    async def stop(self) -> None:
        """End the process and all streams."""
        self.ended = True
        self._fail(_stopped(self._name))
        await self._child.close()

    def _fail(self, error: ProviderError) -> None:
        streams, self._streams = self._streams, {}
        for queue in streams.values():
            queue.put_nowait(ProviderError(str(error), error.code, retry=error.retry))

    async def run(
        self, parameters: Mapping[str, Any], inputs: AsyncIterator[bytes]
    ) -> AsyncGenerator[Result, None]:
        """A stream from OPEN to DONE."""
        if self.ended:
            raise ProviderError(f"{self._name}: its process has ended", 502)
        stream = next(self._numbers)
        queue = self._streams[stream] = asyncio.Queue()
        pump: asyncio.Task[None] | None = None
        try:
            self._child.send(Open(stream, parameters))
            await self._opened(queue)
            pump = asyncio.create_task(self._pump(stream, inputs))
            pump.add_done_callback(lambda pump: _complain(pump, queue))
            async with aclosing(self._results(stream, queue)) as results:
                async for result in results:
                    yield result
        finally:
            if self._streams.pop(stream, None) is not None and not self.ended:
                self._child.send(Cancel(stream))
            if pump is not None:
                pump.cancel()
                await asyncio.wait([pump])

    async def _opened(self, queue: asyncio.Queue[_Item]) -> None:
        """Wait until the engine has taken the stream."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                item = await queue.get()
        except TimeoutError:
            self._child.kill()
            message = f"{self._name}: the engine took no stream within {OPEN_SECONDS:g} s and was ended"
            raise ProviderError(message, 504) from None
        if not isinstance(item, Opened):
            self._raise(item)

    async def _results(self, stream: int, queue: asyncio.Queue[_Item]) -> AsyncGenerator[Result, None]:
        taken = 0
        while True:
            match await queue.get():
                case Data(_, data):
                    yield data
                    taken += len(data)
                    if taken >= CREDIT // 2 and not self.ended:
                        self._child.send(Credit(stream, taken))
                        taken = 0
                case Told(_, fields):
                    yield dict(fields)
                case Done():
                    del self._streams[stream]
                    return
                case item:
                    self._raise(item)

    def _raise(self, item: _Item) -> None:
        match item:
            case Failed(_, message, code, retry):
                raise ProviderError(f"{self._name}: {message}", code, retry=retry)
            case BaseException():
                raise item
        raise ProviderError(f"{self._name}: its process sent {type(item).__name__} out of turn")

    async def _pump(self, stream: int, inputs: AsyncIterator[bytes]) -> None:
        """Send what goes in."""
        async for data in inputs:
            self._child.send(Data(stream, data))
            # When the process has died, whoever reads its results is told by `serve`.
            with suppress(ConnectionError):
                await self._child.drain()
        self._child.send(Finish(stream))


def _complain(pump: asyncio.Task[None], queue: asyncio.Queue[_Item]) -> None:
    """What `inputs` raised is raised where the results are read."""
    if not pump.cancelled() and (error := pump.exception()) is not None:
        queue.put_nowait(error)


def _stopped(name: str) -> ProviderError:
    return ProviderError(f"{name}: it was stopped", 503, retry=False)
