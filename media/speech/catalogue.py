"""Which providers there are, by entry points, and what they are given of settings and environment."""

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from control.config import Settings
from control.errors import ProviderError
from media.api.options import SynthesisOption, TranscriptionOption, overlay
from media.speech.amd.listener import ToneListener
from media.speech.asr.base import Recogniser
from media.speech.provider import About
from media.speech.tts.base import Synthesiser

OptionT = TypeVar("OptionT", TranscriptionOption, SynthesisOption)
TONES = ToneListener.name
"""Our own, for the detection of answering machines; not in lists."""
SECRETS = ("app_id", "secret_id", "secret_key")


class Kind(Enum):
    """What a provider does; the value is the end of its entry points' group."""

    ASR = "asr"
    TTS = "tts"


@dataclass(frozen=True, slots=True)
class Entry:
    """A provider that is installed here."""

    kind: Kind
    name: str
    about: About
    made_by: type[Recogniser | Synthesiser] | None
    """None when its module cannot be imported."""
    reason: str | None = None
    """Why it cannot be used; None: it can."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An option with all that settings and environment add to it."""

    name: str
    option: Any
    trusted: bool
    """Whether the address comes from the operator (or is the vendor's), not from a bot."""


@dataclass(slots=True)
class Catalogue:
    """All providers of this installation."""

    settings: Settings
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    entries: dict[tuple[Kind, str], Entry] = field(init=False)

    def __post_init__(self) -> None:
        found = (
            _entry(kind, point) for kind in Kind for point in entry_points(group=f"sidecall.{kind.value}")
        )
        self.entries = {(entry.kind, entry.name): entry for entry in found}
        self.entries[Kind.ASR, TONES] = Entry(Kind.ASR, TONES, ToneListener.about, ToneListener)

    def default(self, kind: Kind) -> str:
        """The provider of those who name none."""
        return self.settings.speech.asr if kind is Kind.ASR else self.settings.speech.tts

    def entry(self, kind: Kind, name: str) -> Entry:
        """The provider called `name`. Raises ProviderError when there is none that can be used."""
        entry = self.entries.get((kind, name))
        if entry is None:
            known = ", ".join(sorted(each for kin, each in self.entries if kin is kind and each != TONES))
            raise ProviderError(
                f'{kind.value} provider "{name}" is not offered here; there are {known}', 501, retry=False
            )
        if entry.reason is not None:
            raise ProviderError(f'{kind.value} provider "{name}": {entry.reason}', 501, retry=False)
        return entry

    def complete(self, kind: Kind, option: OptionT) -> Asked:
        """`option` over what the settings and the environment say. Raises ProviderError for unknown providers.

        The operator's keys go to the vendor, or where the operator says; never to an address that a bot named.
        """
        name = option.provider or self.default(kind)
        about: About = self.entry(kind, name).about
        base = type(option).model_validate(self.configured(kind, name))
        trusted = about.local or option.endpoint is None or option.endpoint == base.endpoint
        if trusted:
            fields = {need.field: self.environ.get(need.env) for need in (*about.needs, *about.reads)}
            unset = {key: value for key, value in fields.items() if value and getattr(base, key) is None}
            base = base.model_copy(update=unset)
        else:
            base = type(option).model_validate(base.model_dump(exclude_unset=True, exclude=set(SECRETS)))
        whole = overlay(base, option)
        return Asked(name, whole, trusted)

    def configured(self, kind: Kind, name: str) -> dict[str, Any]:
        """What the settings say of a provider: fields of an option."""
        table = self.settings.providers.get(name)
        fields = {} if table is None else table.fields(kind.value)
        if (kind, name) == (Kind.TTS, "espeak"):
            fields = {"speaker": self.settings.speech.speaker, **fields}
        return fields

    def missing(self, entry: Entry) -> tuple[str, ...]:
        """Fields that only a bot can give: neither settings nor environment have them."""
        configured = self.configured(entry.kind, entry.name)
        return tuple(
            need.field
            for need in entry.about.needs
            if not configured.get(need.field) and not self.environ.get(need.env)
        )


def names(kind: str) -> frozenset[str]:
    """The names of all providers of ``asr`` or ``tts`` that are installed; none is loaded."""
    return frozenset(point.name for point in entry_points(group=f"sidecall.{kind}"))


def _entry(kind: Kind, point: EntryPoint) -> Entry:
    try:
        made_by = point.load()
    except Exception as error:  # noqa: BLE001 - a provider of others may fail in any way; it must not cost ours
        reason = f"its module cannot be loaded: {type(error).__name__}: {error}"
        return Entry(kind, point.name, About("cannot be loaded"), None, reason)
    about: About = made_by.about
    return Entry(kind, point.name, about, made_by, _lacks(about))


def _lacks(about: About) -> str | None:
    """What must be installed first."""
    if about.package is None or importlib.util.find_spec(about.package) is not None:
        return None
    how = (
        f"install the extra of that name: pip install 'sidecall[{about.extra}]'"
        if about.extra
        else "install it"
    )
    return f"the Python package {about.package} is not installed: {how}"
