"""The providers of a speech process: constructed when they are first needed, asked in the order of their fallbacks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import aiohttp

from control.errors import ProviderError
from media.api.options import SynthesisOption, TranscriptionOption, for_any
from media.speech.asr.base import Recogniser
from media.speech.catalogue import Catalogue, Entry, Kind
from media.speech.hub.wire import Offer, Ready
from media.speech.provider import Context
from media.speech.tts.base import Synthesiser

ProviderT = TypeVar("ProviderT", Recogniser, Synthesiser)
OptionT = TypeVar("OptionT", TranscriptionOption, SynthesisOption)
LONGEST = 3
"""Providers that are asked for one request, at most."""


@dataclass(frozen=True, slots=True)
class Step(Generic[ProviderT, OptionT]):
    """A provider, and what it is asked."""

    provider: ProviderT
    option: OptionT

    @property
    def name(self) -> str:
        """The provider's."""
        return self.provider.name


class Providers:
    """All providers; `sessions` makes an HTTP session, for trusted addresses or for any that a bot may name."""

    def __init__(self, catalogue: Catalogue, sessions: Callable[[bool], aiohttp.ClientSession]) -> None:
        self._catalogue = catalogue
        self._sessions = sessions
        self._made: dict[tuple[Kind, str, bool], Any] = {}
        self._http: dict[bool, aiohttp.ClientSession] = {}

    def ready(self) -> Ready:
        """What workers need to know."""
        catalogue = self._catalogue
        offers = tuple(_offer(catalogue, entry) for entry in catalogue.entries.values())
        return Ready(offers, catalogue.default(Kind.ASR), catalogue.default(Kind.TTS))

    def recognisers(self, option: TranscriptionOption) -> list[Step[Recogniser, TranscriptionOption]]:
        """Whom to ask, in order; they have checked what they will be asked. Raises ProviderError for the first one."""
        return self._steps(Kind.ASR, option)

    def synthesisers(self, option: SynthesisOption) -> list[Step[Synthesiser, SynthesisOption]]:
        """The same for speech."""
        return self._steps(Kind.TTS, option)

    async def close(self) -> None:
        """Leave nothing behind."""
        for provider in self._made.values():
            await provider.close()
        for session in self._http.values():
            await session.close()

    def _steps(self, kind: Kind, option: OptionT) -> list[Any]:
        steps = []
        asked = option
        for _ in range(LONGEST):
            complete = self._catalogue.complete(kind, asked)
            provider = self._provider(kind, complete.name, trusted=complete.trusted)
            provider.check(complete.option)
            steps.append(Step(provider, complete.option))
            name = complete.option.fallback
            if name is None or name in {step.name for step in steps}:
                break
            asked = for_any(option, provider=name)
        return steps

    def _provider(self, kind: Kind, name: str, *, trusted: bool) -> Any:
        key = (kind, name, trusted)
        if key not in self._made:
            entry = self._catalogue.entry(kind, name)
            if entry.made_by is None:
                raise ProviderError(f'{kind.value} provider "{name}" cannot be loaded', 501, retry=False)
            context = Context(self._session(trusted), self._catalogue.settings.speech.models.absolute())
            self._made[key] = entry.made_by(context)
        return self._made[key]

    def _session(self, trusted: bool) -> aiohttp.ClientSession:
        if trusted not in self._http:
            self._http[trusted] = self._sessions(trusted)
        return self._http[trusted]


def _offer(catalogue: Catalogue, entry: Entry) -> Offer:
    streams = bool(getattr(entry.made_by, "streams", False))
    return Offer(entry.kind.value, entry.name, streams, catalogue.missing(entry), entry.reason)
