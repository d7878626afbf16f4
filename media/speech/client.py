"""The worker's end of the speech process: starts it, keeps it alive, and hands out what it speaks."""

import asyncio
import itertools
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress

import numpy as np

from control.errors import SpeechError
from control.tasks import Tasks
from media.speech.protocol import (
    CREDIT_SECONDS,
    SAMPLE_RATES,
    Cancel,
    Chunk,
    Credit,
    Decoder,
    Done,
    Failed,
    Message,
    Ready,
    Synthesise,
    encode,
)
from media.speech.voice import Samples, Voice

log = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-P", "-m", "media.speech")
START_SECONDS = 30.0
STOP_SECONDS = 2.0
FIRST_DELAY, LAST_DELAY = 0.1, 10.0
"""Seconds between a death and the next start; doubles while the process does not live for LAST_DELAY."""


class Synthesis:
    """The audio of one text: an async iterator of chunks. Close it unless it was read to its end.

    Iterating raises SpeechError when the text cannot be spoken or the speech process dies.
    """

    def __init__(self, client: "SpeechClient", request: int, frame: bytes, sample_rate: int) -> None:
        self.request = request
        self.frame = frame
        self._client = client
        self._refill = CREDIT_SECONDS * sample_rate // 2
        self._taken = 0
        self._chunks: asyncio.Queue[Samples | SpeechError | None] = asyncio.Queue()
        self._over = False

    def __aiter__(self) -> "Synthesis":
        return self

    async def __anext__(self) -> Samples:
        if self._over:
            raise StopAsyncIteration
        item = await self._chunks.get()
        if isinstance(item, np.ndarray):
            self._taken += item.size
            if self._taken >= self._refill:
                self._client.refill(self, self._taken)
                self._taken = 0
            return item
        self._over = True
        if item is None:
            raise StopAsyncIteration
        raise item

    async def aclose(self) -> None:
        """Want no more: the process stops speaking this text."""
        if not self._over:
            self._over = True
            self._client.cancel(self)
            self._chunks.put_nowait(None)

    def put(self, item: Samples | SpeechError | None) -> None:
        """From the client: a chunk, why there will be none, or None at the end."""
        self._chunks.put_nowait(item)


class SpeechClient:
    """One speech process and the requests to it."""

    def __init__(self, program: Sequence[str] = PROGRAM) -> None:
        self._program = program
        self._ids = itertools.count(1)
        self._requests: dict[int, Synthesis] = {}
        self._child: _Child | None = None
        self._running = False
        self._tasks = Tasks("speech client")

    async def start(self) -> None:
        """Start the process and wait until it can speak. Raises SpeechError."""
        child = await _Child.start(self._program)
        self._running = True
        self._attach(child)
        self._tasks.spawn(self._supervise(child))

    async def stop(self) -> None:
        """End the process; pending requests get a SpeechError."""
        await self._tasks.close()
        if self._child is not None:
            await self._child.close()
            self._child = None
        self._end()

    @property
    def pid(self) -> int | None:
        """Process id of the speech process, None while there is none."""
        return self._child.pid if self._child else None

    def synthesise(self, text: str, voice: Voice, sample_rate: int) -> Synthesis:
        """Speak `text`; an empty one gives no chunk.

        While the process is being restarted, the request waits for it. Raises SpeechError when the client
        was not started, the text is too long, or the sample rate is none of SAMPLE_RATES.
        """
        if not self._running:
            raise SpeechError("speech is not available: its process was not started, or was stopped")
        if sample_rate not in SAMPLE_RATES:
            raise SpeechError(f"speech is offered at {SAMPLE_RATES} Hz, not at {sample_rate}")
        request = next(self._ids)
        frame = encode(Synthesise(request, text, voice, sample_rate))
        synthesis = self._requests[request] = Synthesis(self, request, frame, sample_rate)
        self._send(frame)
        return synthesis

    def refill(self, synthesis: Synthesis, samples: int) -> None:
        """From a synthesis: so many samples were taken."""
        if synthesis.request in self._requests:
            self._send(encode(Credit(synthesis.request, samples)))

    def cancel(self, synthesis: Synthesis) -> None:
        """From a synthesis: nobody wants the rest."""
        if self._requests.pop(synthesis.request, None) is not None:
            self._send(encode(Cancel(synthesis.request)))

    def _send(self, frame: bytes) -> None:
        """Without a process nothing is sent: `_attach` sends what is pending to the next one."""
        if self._child is not None:
            self._child.send(frame)

    def _attach(self, child: "_Child") -> None:
        self._child = child
        for synthesis in self._requests.values():
            child.send(synthesis.frame)

    async def _supervise(self, child: "_Child") -> None:
        """Serve `child` and its successors until cancelled."""
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY
        try:
            while True:
                began = loop.time()
                reason = await self._serve(child)
                log.error("%s; starting another one", reason)
                self._fail(f"{reason}; send the text again")
                if loop.time() - began > LAST_DELAY:
                    delay = FIRST_DELAY
                child, delay = await self._restart(delay)
                self._attach(child)
        finally:
            self._end()

    async def _restart(self, delay: float) -> tuple["_Child", float]:
        """A new process, and the delay before the one after it."""
        while True:
            await asyncio.sleep(delay)
            delay = min(2 * delay, LAST_DELAY)
            try:
                return await _Child.start(self._program), delay
            except SpeechError as error:
                log.error("%s; trying again in %.1f s", error, delay)
                self._fail(str(error))

    async def _serve(self, child: "_Child") -> str:
        """Hand out what `child` speaks until it ends; says how it ended."""
        try:
            async for message in child.messages():
                self._deliver(message)
        except SpeechError as error:
            log.error("%s", error)
        status = await child.close()
        self._child = None
        return f"the speech process ended with status {status}"

    def _deliver(self, message: Message) -> None:
        match message:
            case Chunk(request, pcm):
                if (synthesis := self._requests.get(request)) is not None:
                    synthesis.put(np.frombuffer(pcm, "<i2"))
            case Done(request):
                if (synthesis := self._requests.pop(request, None)) is not None:
                    synthesis.put(None)
            case Failed(request, reason):
                if (synthesis := self._requests.pop(request, None)) is not None:
                    synthesis.put(SpeechError(reason))

    def _end(self) -> None:
        self._running = False
        self._fail("the speech process was stopped")

    def _fail(self, reason: str) -> None:
        """Give every pending request an error."""
        requests, self._requests = self._requests, {}
        for synthesis in requests.values():
            synthesis.put(SpeechError(reason))


class _Child:
    """A running speech process and our end of its socket."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder()

    @classmethod
    async def start(cls, program: Sequence[str]) -> "_Child":
        """Start `program` and wait until it is ready. Raises SpeechError."""
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as undo:
            undo.callback(ours.close)
            descriptor = theirs.fileno()
            argv = (*program, str(descriptor), str(os.getpid()))
            environ = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv, pass_fds=(descriptor,), stdin=asyncio.subprocess.DEVNULL, env=environ
                )
            except OSError as error:
                raise SpeechError(
                    f"the speech process cannot be started: {argv[0]}: {error.strerror}"
                ) from error
            child = cls(process, *await asyncio.open_unix_connection(sock=ours))
            undo.pop_all()
        try:
            await child._become_ready()
        except BaseException:
            await child.close()
            raise
        return child

    async def _become_ready(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                async for message in self.messages():
                    if isinstance(message, Failed):
                        raise SpeechError(f"the speech process cannot start: {message.reason}")
                    if isinstance(message, Ready):
                        return
        except TimeoutError:
            raise SpeechError(f"the speech process was not ready within {START_SECONDS:.0f} s") from None
        raise SpeechError("the speech process ended before it was ready: see its output on standard error")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, frame: bytes) -> None:
        """Send a frame; to a process that has ended, nothing happens."""
        self._writer.write(frame)

    async def messages(self) -> AsyncIterator[Message]:
        """What the process sends, until it ends. Raises SpeechError when it sends nonsense."""
        with suppress(ConnectionError):
            while data := await self._reader.read(65536):
                for message in self._decoder.feed(data):
                    yield message

    async def close(self) -> int:
        """Close the socket, at which the process ends, and wait for that; its exit status."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
        ended = asyncio.ensure_future(self._process.wait())
        await asyncio.wait([ended], timeout=STOP_SECONDS)
        if not ended.done():
            with suppress(ProcessLookupError):
                self._process.kill()
        return await ended
