"""The socket of the speech process: workers connect, and have requests carried out."""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from control.errors import SetupError, SpeechError
from control.tasks import Tasks
from media.api.options import SynthesisOption, TranscriptionOption
from media.speech.hub import wire
from media.speech.hub.listening import Listening
from media.speech.hub.providers import Providers
from media.speech.hub.speaking import Speaking

log = logging.getLogger(__name__)

Work = Speaking | Listening


class Server:
    """All connections of workers; a provider that owes something for `stall_seconds` counts as stalled."""

    def __init__(self, providers: Providers, stall_seconds: float) -> None:
        self._providers = providers
        self._stall_seconds = stall_seconds
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None

    async def start(self, path: Path) -> None:
        """Listen on the Unix socket `path`; only our own user may connect. Raises SetupError."""
        loop = asyncio.get_running_loop()
        try:
            listener = _listener(path)
            self._server = await loop.create_unix_server(self._client, sock=listener)
        except OSError as error:
            raise SetupError(f"speech socket {path} cannot be opened: {error.strerror}") from error

    async def close(self) -> None:
        """Serve nobody any more."""
        if self._server is not None:
            self._server.close()
        for client in list(self._clients):
            await client.close()

    def _client(self) -> "_Client":
        client = _Client(self._providers, self._stall_seconds, self._clients.discard)
        self._clients.add(client)
        return client


class _Client(asyncio.Protocol):
    """One worker."""

    def __init__(self, providers: Providers, stall_seconds: float, gone: Callable[["_Client"], None]) -> None:
        self._providers = providers
        self._stall_seconds = stall_seconds
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._decoder = wire.Decoder()
        self._works: dict[int, tuple[Work, asyncio.Task[None]]] = {}
        self._tasks = Tasks("speech")
        self._transport: asyncio.WriteTransport | None = None
        self._out = bytearray()

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A worker is here."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._send(self._providers.ready())

    def data_received(self, data: bytes) -> None:
        """Orders came."""
        try:
            for message in self._decoder.feed(data):
                self._take(message)
        except SpeechError as error:
            log.error("a worker is cut off: %s", error)
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The worker is gone: nobody wants anything."""
        self._transport = None
        self._loop.create_task(self.close())

    async def close(self) -> None:
        """End all work."""
        if self._transport is not None:
            self._transport.close()
        await self._tasks.close()
        self._works.clear()
        self._gone(self)

    # Orders

    def _take(self, message: wire.Message) -> None:
        match message:
            case wire.Audio() | wire.Text() | wire.Voice() | wire.End() | wire.Credit():
                if (found := self._works.get(message.request)) is not None:
                    _pass_on(message, found[0])
            case wire.Speak():
                self._begin(message, self._speaking)
            case wire.Listen():
                self._begin(message, self._listening)
            case wire.Cancel(request):
                if (found := self._works.pop(request, None)) is not None:
                    found[1].cancel()
            case _:
                raise SpeechError(f"speech protocol: a worker sent {type(message).__name__}")

    def _begin(self, order: wire.Speak | wire.Listen, make: Callable[[Any], Work]) -> None:
        """Carry out an order, unless nobody can."""
        request = order.request
        try:
            work = make(order)
        except SpeechError as error:
            self._send(wire.Failed(request, str(error), error.code))
            return
        except ValidationError as error:
            fields = ", ".join(str(fault["loc"][0]) for fault in error.errors() if fault["loc"])
            self._send(wire.Failed(request, f"an option is wrong: {fields}", 400))
            return
        self._works[request] = work, self._tasks.spawn(self._carry_out(request, work.run()))

    def _speaking(self, order: wire.Speak) -> Speaking:
        option = SynthesisOption.model_validate(order.option)
        return Speaking(order, self._providers.synthesisers(option), self._stall_seconds, self._send)

    def _listening(self, order: wire.Listen) -> Listening:
        option = TranscriptionOption.model_validate(order.option)
        return Listening(order, self._providers.recognisers(option), self._stall_seconds, self._send)

    async def _carry_out(self, request: int, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            # Whatever a provider raises, the bot must not wait for what never comes.
            log.exception("request %d failed", request)
            self._send(wire.Failed(request, "an internal error; the operator's log tells more", 500))
        finally:
            if request in self._works and self._works[request][1] is asyncio.current_task():
                del self._works[request]

    # Reports

    def _send(self, report: wire.Report) -> None:
        """Send with whatever else is sent in this moment."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += wire.encode(report)

    def _flush(self) -> None:
        out, self._out = self._out, bytearray()
        if self._transport is not None:
            self._transport.write(out)


def _listener(path: Path) -> socket.socket:
    """A socket bound to `path`, of which only our own user may make use."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
    except OSError:
        listener.close()
        raise
    return listener


def _pass_on(message: wire.Text | wire.Audio | wire.Voice | wire.End | wire.Credit, work: Work) -> None:
    match message, work:
        case wire.Audio(pcm=pcm), Listening():
            work.audio(pcm)
        case wire.Voice(speaking=speaking), Listening():
            work.voice(speaking=speaking)
        case wire.Text(text=text), Speaking():
            work.text(text)
        case wire.Credit(samples=samples), Speaking():
            work.credit(samples)
        case wire.End(), _:
            work.end()
        case _:
            raise SpeechError(
                f"speech protocol: {type(message).__name__} does not fit request {work.request}"
            )
