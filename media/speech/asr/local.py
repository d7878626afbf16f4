"""What recognisers of this machine share: engines in child processes, whose results are as `Heard` has them."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from control.errors import ProviderError
from control.models.config import is_plain
from media.speech.asr.base import Heard
from media.speech.local.host import Host


async def heard(
    host: Host, parameters: Mapping[str, Any], audio: AsyncIterator[bytes]
) -> AsyncGenerator[Heard, None]:
    """What an engine tells of `audio`. Raises ProviderError."""
    async with aclosing(host.run(parameters, audio)) as results:
        async for result in results:
            if isinstance(result, dict):
                yield Heard(**result)


def number(
    provider: str, extra: Mapping[str, object], name: str, default: float, least: float, most: float
) -> float:
    """A number among further parameters. Raises ProviderError (400) when it is none, or too small or large."""
    given = extra.get(name, default)
    try:
        value = float(given) if isinstance(given, str | int | float) else float("nan")
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        message = f"{provider}: asr.extra.{name} must be a number from {least:g} to {most:g}"
        raise ProviderError(message, 400, retry=False)
    return value


def model_folder(provider: str, models: Path, name: str | None) -> Path:
    """The folder of the model `name` below `models`. Raises ProviderError: 400 when none is named, 404 without it."""
    if not name:
        raise ProviderError(
            f"{provider}: no model is named: set asr.model to one in speech.models", 400, retry=False
        )
    parts = name.split("/")
    folder = models.joinpath(*parts) if all(map(is_plain, parts)) else None
    if folder is None or not folder.is_dir():
        message = (
            f"{provider}: there is no model {name[:60]!r} in speech.models: fetch it (`sidecall models`)"
        )
        raise ProviderError(message, 404, retry=False)
    return folder
