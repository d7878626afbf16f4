"""What recognisers of this machine share: engines in child processes, whose results are as `Heard` has them."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from control.errors import ProviderError
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
