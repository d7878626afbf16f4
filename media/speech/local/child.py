"""A running child: its process, and our end of its socket."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress

from control.errors import ProviderError, SpeechError
from media.speech.local.frames import Decoder, Failed, Frame, Ready, encode

log = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-P", "-m", "media.speech.local")
STOP_SECONDS = 2.0
"""For a child to end by itself when its socket is closed."""


class Child:
    """A process that runs an engine. Its standard error is ours."""

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
    async def start(cls, name: str, arguments: Sequence[str], load_seconds: float) -> "Child":
        """Start a process and wait until its engine is loaded. Raises ProviderError that names `name`."""
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as undo:
            undo.callback(ours.close)
            descriptor = theirs.fileno()
            argv = (*PROGRAM, str(descriptor), str(os.getpid()), *arguments)
            # The number of processes is what bounds the cores that are used.
            environ = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv, pass_fds=(descriptor,), stdin=asyncio.subprocess.DEVNULL, env=environ
                )
            except OSError as error:
                message = f"{name}: its process cannot be started: {error.strerror}"
                raise ProviderError(message, 503) from error
            child = cls(process, *await asyncio.open_unix_connection(sock=ours))
            undo.pop_all()
        try:
            async with asyncio.timeout(load_seconds):
                await child._become_ready(name)
        except TimeoutError:
            child.kill()
            await child.close()
            message = f"{name}: its model was not loaded within {load_seconds:g} s"
            raise ProviderError(message, 504) from None
        except BaseException:
            child.kill()
            await child.close()
            raise
        return child

    async def _become_ready(self, name: str) -> None:
        async for frame in self.frames():
            match frame:
                case Ready():
                    return
                case Failed(0, message, code, retry):
                    raise ProviderError(f"{name}: {message}", code, retry=retry)
        raise ProviderError(f"{name}: its process ended while it was started: see its standard error", 502)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, frame: Frame) -> None:
        """Send a frame; to a process that has ended, nothing happens. Raises SpeechError when it is too long."""
        self._writer.write(encode(frame))

    async def drain(self) -> None:
        """Wait while the process is behind. Raises ConnectionError when it has ended."""
        await self._writer.drain()

    async def frames(self) -> AsyncIterator[Frame]:
        """What the process sends, until it ends; nonsense is its end, too."""
        try:
            while data := await self._reader.read(65536):
                for frame in self._decoder.feed(data):
                    yield frame
        except ConnectionError:
            return
        except SpeechError as error:
            log.error("process %d: %s", self.pid, error)

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> int:
        """Close the socket, at which the process ends, and wait for that; its exit status."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
        ended = asyncio.ensure_future(self._process.wait())
        await asyncio.wait([ended], timeout=STOP_SECONDS)
        if not ended.done():
            self.kill()
        return await ended
