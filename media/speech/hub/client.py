"""The worker's end of the speech process: one connection for all its calls, opened again whenever it is lost."""

import asyncio
import itertools
import logging
from pathlib import Path

import numpy as np

from control.errors import SpeechError
from control.tasks import Tasks
from media.api.options import Provider as Option
from media.api.options import SynthesisOption, TranscriptionOption
from media.speech.hub import wire
from media.speech.hub.connection import Connection
from media.speech.hub.requests import CREDIT_SECONDS, Recognition, Synthesis
from media.speech.service import Hearer
from media.speech.voice import Word

log = logging.getLogger(__name__)

WAIT_SECONDS = 5.0
"""How long a request waits for a speech process that is being restarted."""
DELAY = 0.1
"""Seconds between two tries to connect."""
SAMPLE_RATES = (8000, 16_000)


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
        self._connection: Connection | None = None
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
                    lambda: Connection(self._take), str(self._path)
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

    def _take(self, connection: "Connection", report: wire.Message) -> None:
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
            case wire.Word(request, index, at):
                if isinstance(work := self._works.get(request), Synthesis):
                    work.put(Word(index, at))
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


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(map(str.title, rest))
