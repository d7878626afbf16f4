"""Tones of a call as a recogniser tells them: the speech process runs it like any provider of recognition."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import ClassVar

import numpy as np

from media.api.options import TranscriptionOption
from media.engine.arrays import RATE
from media.speech.amd.tones import Tone, Tones
from media.speech.asr.base import Heard
from media.speech.provider import About, Context

_BEHIND = np.zeros(RATE, np.int16)
"""What makes a tone at the very end known."""


class ToneListener:
    """Each tone is a final text, its name: ``beep``, ``cng``, ``ced`` or ``sit``; other sound gives nothing.

    ``task`` of ``sit`` is what the announcement is about, where that can be told: see `media.speech.amd.tones.Sit`. No
    option is read. It may be silent for the whole call: idle time-outs of providers do not fit.
    """

    name: ClassVar[str] = "tones"
    about: ClassVar[About] = About("beeps of answering machines, faxes, and tones of carriers")

    def __init__(self, context: Context) -> None:
        del context  # it needs neither network nor models

    def check(self, option: TranscriptionOption) -> None:
        """Any option will do."""

    def rate(self, option: TranscriptionOption) -> int:
        """8000: all tones lie below 2.3 kHz."""
        del option
        return RATE

    async def recognise(
        self, option: TranscriptionOption, audio: AsyncIterator[bytes]
    ) -> AsyncGenerator[Heard, None]:
        """The tones in `audio`, s16le mono of 8 kHz, about 200 ms after their end; see `Tones.feed`."""
        del option
        tones, index = Tones(RATE), 0
        async for piece in audio:
            for tone in tones.feed(np.frombuffer(piece, "<i2").astype(np.int16)):
                yield _heard(tone, index)
                index += 1
        for tone in tones.feed(_BEHIND):
            yield _heard(tone, index)
            index += 1

    async def close(self) -> None:
        """There is nothing to leave."""


def _heard(tone: Tone, index: int) -> Heard:
    return Heard(index, tone.name.value, tone.start, tone.end, final=True, task=tone.kind)
