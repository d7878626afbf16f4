"""What speech providers have in common: what they tell of themselves, and what they are given.

A provider is a class behind an entry point of the group ``sidecall.asr`` or ``sidecall.tts``; the entry point's name
is the provider's. It is constructed once in the speech process, with a `Context`, when it is first needed. Importing
its module must work everywhere, also where the package that it wraps is not installed.
"""

from dataclasses import dataclass
from pathlib import Path

import aiohttp

from media.api.options import Provider


@dataclass(frozen=True, slots=True)
class Need:
    """What a provider cannot work without."""

    field: str
    """Attribute of the option, such as ``secret_key``; filled from the call's option, the settings or `env`."""
    env: str
    """Environment variable that stands for it."""


@dataclass(frozen=True, slots=True)
class About:
    """What ``sidecall providers`` tells, and what is checked before a provider is asked."""

    summary: str
    """One line: what it is."""
    needs: tuple[Need, ...] = ()
    reads: tuple[Need, ...] = ()
    """Further fields that an environment variable may fill."""
    package: str | None = None
    """Importable package that must be installed: ``sherpa_onnx``."""
    extra: str | None = None
    """The extra of ours that installs it: ``pip install 'sidecall[sherpa]'``."""
    local: bool = False
    """Whether it runs on this machine: an ``endpoint`` means nothing to it, and it is constructed only once."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a provider is constructed with."""

    http: aiohttp.ClientSession
    """For all its connections. Where a bot named the address, it connects to public ones only."""
    models: Path
    """Folder of models (see ``sidecall models``)."""


def given(option: Provider, field: str) -> bool:
    """Whether `field` was asked for, and is no default of ours: some defaults mean other things to a provider."""
    return field in option.model_fields_set and getattr(option, field) is not None


def extras(option: Provider) -> dict[str, object]:
    """A copy of ``extra``: parameters that are passed on as they are."""
    return dict(option.extra or {})
