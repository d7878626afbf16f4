"""Sounds by their name."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from media.session.play import Source
from media.speech.voice import Samples

if TYPE_CHECKING:
    from media.session.services import Services


def sound(services: "Services", url: str, offset: int = 0) -> Source:
    """A source of the sound `url`, an http(s) URL or a name below the folder of sounds, from `offset` ms on."""

    async def chunks(rate: int) -> AsyncGenerator[Samples, None]:
        samples = await services.sounds.load(url, rate)
        yield samples[offset * rate // 1000 :]

    return chunks
