"""Two speech providers in a package of their own: a recogniser that hears loudness, a synthesiser that beeps.

``pip install ./examples/provider`` makes them known; ``sidecall providers`` then lists them.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import ClassVar

import numpy as np

from control.errors import ProviderError
from media.api.options import SynthesisOption, TranscriptionOption
from media.speech.asr.base import Heard
from media.speech.provider import About, Context, extras, given
from media.speech.tts.base import Mark

HERTZ = 16_000
QUIET = 500
"""Loudness (RMS of 16 bits) below which a piece counts as silence."""
PAUSE_MS = 400
"""Silence that ends an utterance."""
BEEP_MS = 80


class Loudness:
    """Tells of each utterance how loud it was; ``extra.quiet`` is the loudness of silence."""

    name: ClassVar[str] = "loudness"
    about: ClassVar[About] = About("an example: understands only how loud somebody is")

    def __init__(self, context: Context) -> None:
        """`context` has an HTTP session for connections, and the folder of models."""

    def check(self, option: TranscriptionOption) -> None:
        """Raise ProviderError (400) when ``extra.quiet`` is no loudness."""
        quiet = extras(option).get("quiet", QUIET)
        if not isinstance(quiet, int) or not 0 < quiet < 32_768:
            raise ProviderError("loudness: asr.extra.quiet must be 1 to 32767", 400, retry=False)

    def rate(self, option: TranscriptionOption) -> int:  # noqa: ARG002
        """16 kHz always."""
        return HERTZ

    async def recognise(
        self, option: TranscriptionOption, audio: AsyncIterator[bytes]
    ) -> AsyncGenerator[Heard, None]:
        """One text for each utterance. Positions are ms of `audio`, which begins at 0 with each connection."""
        quiet = float(str(extras(option).get("quiet", QUIET)))
        index, samples = 0, 0
        start = end = loudest = 0
        async for piece in audio:
            began = samples * 1000 // HERTZ
            samples += len(piece) // 2
            now = samples * 1000 // HERTZ
            loudness = round(float(np.sqrt(np.mean(np.square(np.frombuffer(piece, "<i2"), dtype=float)))))
            if loudness > quiet:
                start, end, loudest = start if loudest else began, now, max(loudest, loudness)
                yield Heard(index, "speech", start, end, final=False)
            elif loudest and now - end >= PAUSE_MS:
                yield Heard(index, f"loudness {loudest}", start, end, final=True)
                index, loudest = index + 1, 0
        if loudest:
            yield Heard(index, f"loudness {loudest}", start, end, final=True)

    async def close(self) -> None:
        """There is nothing to leave behind."""


class Beeps:
    """Speaks each character as a short tone; ``speaker`` is ``high`` or ``low``."""

    name: ClassVar[str] = "beeps"
    about: ClassVar[About] = About("an example: a beep for each character")
    streams: ClassVar[bool] = True
    """It speaks each part of a text as it comes."""

    def __init__(self, context: Context) -> None:
        """It needs nothing of `context`."""

    def check(self, option: SynthesisOption) -> None:
        """Raise ProviderError (400) for a voice that it does not have."""
        if option.speaker not in (None, "high", "low"):
            raise ProviderError('beeps: tts.speaker must be "high" or "low"', 400, retry=False)

    def rate(self, option: SynthesisOption, wanted: int) -> int:  # noqa: ARG002
        """Any that is wanted."""
        return wanted

    async def synthesise(
        self, option: SynthesisOption, texts: AsyncIterator[str], rate: int
    ) -> AsyncGenerator[bytes | Mark, None]:
        """A mark and a tone for each character; spaces are silent."""
        pitch = 440 if option.speaker == "low" else 880
        speed = option.speed if given(option, "speed") else 1.0
        length = round(BEEP_MS / max(0.5, min(speed, 2.0)))
        tone = (4000 * np.sin(2 * np.pi * pitch * np.arange(rate * length // 1000) / rate)).astype("<i2")
        at = 0
        async for text in texts:
            for character in text:
                yield Mark(at, 1, at * length, (at + 1) * length)
                yield (tone * (not character.isspace())).astype("<i2").tobytes()
                at += 1

    async def close(self) -> None:
        """There is nothing to leave behind."""
