"""The worker's end of the speech process: one connection for all its calls, opened again whenever it is lost."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Self, cast

import numpy as np

from control.errors import SpeechError
from control.tasks import Tasks
from media.api.options import Provider as Option
from media.api.options import SynthesisOption, TranscriptionOption
from media.speech.hub import wire
from media.speech.service import Hearer
from media.speech.voice import Samples

log = logging.getLogger(__name__)

CREDIT_SECONDS = 5
WAIT_SECONDS = 5.0
"""How long a request waits for a speech process that is being restarted."""
DELAY = 0.1
"""Seconds between two tries to connect."""
STUCK_SECONDS = 10.0
"""A speech process that reads nothing for so long is taken for dead."""
STUCK_BYTES = 64_000_000
"""So is one that has so much left to read: 10 s of 200 calls. Less must do, as after an outage of a provider, for then
all calls of the worker begin anew at once, which keeps it even busier."""
SAMPLE_RATES = (8000, 16_000)


class Synthesis:
    """The audio of one text: an async iterator of chunks. Close it unless it was read to its end.

    Iterating raises SpeechError when the text cannot be spoken.
    """

    def __init__(self, client: "SpeechHub", request: int, rate: int) -> None:
        self.request = request
        self.trouble: Callable[[str, int], None] = _nobody
        """Told (message, code) of what went wrong and was mended."""
        self.provider: str | None = None
        """Who has spoken, once it is done."""
        self._client = client
        self._refill = CREDIT_SECONDS * rate // 2
        self._taken = 0
        self._chunks: asyncio.Queue[Samples | SpeechError | None] = asyncio.Queue()
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Samples:
        if self._over:
            raise StopAsyncIteration
        item = await self._chunks.get()
        if isinstance(item, np.ndarray):
            self._take(item.size)
            return item
        self._over = True
        if item is None:
            raise StopAsyncIteration
        raise item

    def _take(self, samples: int) -> None:
        self._taken += samples
        if self._taken >= self._refill:
            self._client.send(wire.Credit(self.request, self._taken))
            self._taken = 0

    def feed(self, text: str) -> None:
        """A part of a text that is streamed."""
        self._client.send(wire.Text(self.request, text))

    def end(self) -> None:
        """No part follows."""
        self._client.send(wire.End(self.request))

    async def aclose(self) -> None:
        """Want no more."""
        if not self._over:
            self._over = True
            self._client.cancel(self.request)
            self._chunks.put_nowait(None)

    def put(self, item: Samples | SpeechError | None) -> None:
        """From the client: a chunk, why there will be none, or None at the end."""
        self._chunks.put_nowait(item)


class Recognition:
    """Audio of one track on its way to a recogniser."""

    def __init__(self, client: "SpeechHub", request: int, hearer: Hearer) -> None:
        self.request = request
        self.hearer = hearer
        self._client = client

    def audio(self, pcm: bytes) -> None:
        """More audio: s16le."""
        self._client.send(wire.Audio(self.request, pcm))

    def voice(self, *, speaking: bool) -> None:
        """The engine hears voice begin, or that it has ended."""
        self._client.send(wire.Voice(self.request, speaking))

    def close(self) -> None:
        """Want no more."""
        self._client.cancel(self.request)


class SpeechHub:
    """The speech process, as a worker sees it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids = itertools.count(1)
        self._works: dict[int, Synthesis | Recognition] = {}
        self._pending: list[wire.Order] = []
        """Orders that wait for a connection."""
        self._offers: dict[tuple[str, str], wire.Offer] = {}
        self._defaults = {"asr": "", "tts": ""}
        self._connection: _Connection | None = None
        self._ready = asyncio.Event()
        self._tasks = Tasks("speech client")

    def start(self) -> None:
        """Connect, and stay connected."""
        self._tasks.spawn(self._stay_connected())

    async def stop(self) -> None:
        """Hang up; pending requests fail."""
        await self._tasks.close()
        if self._connection is not None:
            self._connection.abort()
        self._lost("the speech process was left")

    @property
    def connected(self) -> bool:
        """Whether the speech process is there."""
        return self._ready.is_set()

    async def ready(self) -> None:
        """Wait until the speech process is there."""
        await self._ready.wait()

    # What there is

    def name(self, kind: str, option: Option | None) -> str:
        """The provider that `option` means."""
        return (option.provider if option is not None else None) or self._defaults[kind]

    def check(self, kind: str, option: Option | None) -> None:
        """Raise SpeechError (401, 501) when it is known that `option` cannot be followed."""
        if not self._offers:
            return
        name = self.name(kind, option)
        offer = self._offers.get((kind, name))
        if offer is None or offer.reason is not None:
            known = ", ".join(
                sorted(n for (k, n), each in self._offers.items() if k == kind and each.reason is None)
            )
            why = "is not offered here" if offer is None else f"cannot be used: {offer.reason}"
            raise SpeechError(f'{kind} provider "{name}" {why}; there are {known}', 501)
        missing = [field for field in offer.missing if option is None or getattr(option, field) is None]
        if missing and (option is None or option.endpoint is None):
            keys = ", ".join(f'"{_camel(field)}"' for field in missing)
            raise SpeechError(f'{kind} provider "{name}" needs {keys}, from the option or the settings', 401)

    def streams(self, option: SynthesisOption | None) -> bool:
        """Whether the provider speaks a text while more of it comes."""
        offer = self._offers.get(("tts", self.name("tts", option)))
        return offer is not None and offer.streams

    # Requests

    def synthesise(self, text: str | None, option: SynthesisOption | None, rate: int) -> Synthesis:
        """Speak `text`, or with None what is fed. Waits for a speech process that is being restarted.

        Raises SpeechError when the sample rate is none of SAMPLE_RATES.
        """
        if rate not in SAMPLE_RATES:
            raise SpeechError(f"speech is offered at {SAMPLE_RATES} Hz, not at {rate}")
        given = {} if option is None else option.model_dump(mode="json", exclude_unset=True)
        request = next(self._ids)
        work = self._works[request] = Synthesis(self, request, rate)
        self._begin(wire.Speak(request, given, rate, text, CREDIT_SECONDS * rate))
        return work

    def listen(self, option: TranscriptionOption, rate: int, hearer: Hearer) -> Recognition:
        """Recognise audio at `rate` Hz."""
        request = next(self._ids)
        work = self._works[request] = Recognition(self, request, hearer)
        self._begin(wire.Listen(request, option.model_dump(mode="json", exclude_unset=True), rate))
        return work

    def send(self, order: wire.Order) -> None:
        """From a request: pass on `order`; without a connection, all but audio waits for one."""
        if order.request not in self._works:
            return
        if self._connection is not None:
            self._connection.send(order)
        elif not isinstance(order, wire.Audio):
            self._pending.append(order)

    def cancel(self, request: int) -> None:
        """From a request: nobody wants the rest."""
        if self._works.pop(request, None) is not None and self._connection is not None:
            self._connection.send(wire.Cancel(request))

    def _begin(self, order: wire.Speak | wire.Listen) -> None:
        self.send(order)
        if self._connection is None and isinstance(order, wire.Speak):
            loop = asyncio.get_running_loop()
            loop.call_later(WAIT_SECONDS, self._waited, order.request)

    def _waited(self, request: int) -> None:
        """A request was begun without a connection, some time ago."""
        if not self.connected and request in self._works:
            self._fail(request, "the speech process cannot be reached; it is being restarted", 503)

    # The connection

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, connection = await loop.create_unix_connection(
                    lambda: _Connection(self._take), str(self._path)
                )
            except OSError:
                await asyncio.sleep(DELAY)
                continue
            await connection.over
            if self.connected:
                log.error("the connection to the speech process is lost; connecting again")
            self._ready.clear()
            self._connection = None
            self._lost("the speech process was lost and is being restarted")

    def _take(self, connection: "_Connection", report: wire.Message) -> None:
        match report:
            case wire.Ready(offers, asr, tts):
                self._offers = {(offer.kind, offer.name): offer for offer in offers}
                self._defaults = {"asr": asr, "tts": tts}
                self._connection = connection
                self._ready.set()
                pending, self._pending = self._pending, []
                for order in pending:
                    self.send(order)
            case wire.Chunk(request, pcm):
                if isinstance(work := self._works.get(request), Synthesis):
                    work.put(np.frombuffer(pcm, "<i2"))
            case wire.Done(request, provider):
                if isinstance(work := self._works.pop(request, None), Synthesis):
                    work.provider = provider
                    work.put(None)
            case wire.Heard(request=request):
                if isinstance(work := self._works.get(request), Recognition):
                    work.hearer.heard(report)
            case wire.Trouble(request, message, code):
                self._troubled(self._works.get(request), message, code)
            case wire.Failed(request, message, code):
                self._fail(request, message, code)
            case _:
                raise SpeechError(f"speech protocol: the speech process sent {type(report).__name__}")

    def _troubled(self, work: Synthesis | Recognition | None, message: str, code: int) -> None:
        match work:
            case Recognition(hearer=hearer):
                hearer.trouble(message, code)
            case Synthesis(trouble=trouble):
                trouble(message, code)

    def _fail(self, request: int, message: str, code: int) -> None:
        match self._works.pop(request, None):
            case Synthesis() as synthesis:
                synthesis.put(SpeechError(message, code))
            case Recognition(hearer=hearer):
                hearer.failed(message, code)

    def _lost(self, reason: str) -> None:
        """Every pending request fails."""
        self._pending.clear()
        works, self._works = self._works, {}
        for work in works.values():
            if isinstance(work, Synthesis):
                work.put(SpeechError(reason, 503))
            else:
                work.hearer.lost(reason)


class _Connection(asyncio.Protocol):
    """A connection to a speech process."""

    def __init__(self, take: Callable[["_Connection", wire.Message], None]) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._decoder = wire.Decoder()
        self._transport: asyncio.WriteTransport | None = None
        self._out = bytearray()
        self._written = 0
        self._behind: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Reports came."""
        try:
            for message in self._decoder.feed(data):
                self._take(self, message)
        except SpeechError as error:
            log.error("%s; connecting again", error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """It is closed."""
        self.resume_writing()
        self._transport = None
        if not self.over.done():
            self.over.set_result(None)

    def pause_writing(self) -> None:
        """The speech process is behind with reading."""
        self._behind = self._loop.call_later(STUCK_SECONDS, self._judge, self._read)

    def resume_writing(self) -> None:
        """It has read nearly all."""
        if self._behind is not None:
            self._behind.cancel()
            self._behind = None

    @property
    def _read(self) -> int:
        """Bytes that have gone to the speech process."""
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self._written - waiting

    def _judge(self, before: int) -> None:
        """It has been behind for a while, at whose beginning `before` bytes had gone."""
        if self._read > before:
            self.pause_writing()
        else:
            self._leave(f"has read nothing for {STUCK_SECONDS:g} s")

    def _leave(self, why: str) -> None:
        log.error("the speech process %s; connecting again", why)
        self.abort()

    def send(self, order: wire.Order) -> None:
        """Send with whatever else is sent in this moment. Raises SpeechError when it is too long."""
        frame = wire.encode(order)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += frame

    def abort(self) -> None:
        """Leave at once."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        out, self._out = self._out, bytearray()
        if self._transport is not None:
            self._transport.write(out)
            self._written += len(out)
            if (left := self._transport.get_write_buffer_size()) > STUCK_BYTES:
                self._leave(f"has {left} bytes left to read")


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(map(str.title, rest))


def _nobody(message: str, code: int) -> None:
    """Nobody is told."""
    log.info("%s (%d)", message, code)
