"""What the speech process and its users share: voices, samples, and what a synthesiser is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]
"""Mono PCM."""


@dataclass(frozen=True, slots=True)
class Word:
    """When a word of a text is spoken."""

    index: int
    """Of the word in its text, from 0."""
    at: int
    """ms of its audio."""


@dataclass(frozen=True, slots=True)
class Voice:
    """How a text is spoken."""

    speaker: str
    """The synthesiser's name of the voice."""
    speed: float = 1.0
    """1.0 is neutral, 2.0 twice as fast."""
    volume: float = 5.0
    """0 (mute) to 10; 5 is neutral."""
    pitch: float = 1.0
    """0 (low) to 2 (high); 1.0 is neutral."""


class Synthesiser(Protocol):
    """Turns text into samples, one text at a time; lives in the speech process."""

    sample_rate: int

    def say(self, text: str, voice: Voice, put: Callable[[Samples], bool]) -> None:
        """Speak `text`, handing samples to `put` as they are made; stop when it returns False.

        `put` must not raise. Raises SpeechError for a voice that does not exist.
        """
