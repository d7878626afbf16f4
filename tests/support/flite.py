"""Words spoken by flite: another synthesiser than ours, so that recognition is not tested with its own voice."""

import asyncio
from pathlib import Path
from typing import Literal

import numpy as np
import soxr

from tests.support import wav

Speaker = Literal["slt", "rms", "awb", "kal"]
LEVEL = 0.08
"""RMS of speech: -22 dB of full scale."""
BAND = (300, 3400)
"""Hz that a telephone passes."""


async def say(folder: Path, text: str, speaker: Speaker = "slt") -> wav.Sound:
    """`text` at 8 kHz as a telephone sends it, with the short silence that the voice puts around it.

    Raises AssertionError when flite fails.
    """
    file = folder / f"{speaker}-{text.replace(' ', '-')}.wav"
    flite = await asyncio.create_subprocess_exec("flite", "-voice", speaker, "-t", text, "-o", str(file))
    assert await flite.wait() == 0, f"flite -voice {speaker} -t {text!r} failed"
    samples, rate = wav.read(file)
    sound = _passed(samples if rate == wav.RATE else np.asarray(soxr.resample(samples, rate, wav.RATE)))
    return sound * (LEVEL / wav.rms(wav.trimmed(sound)))


def _passed(sound: wav.Sound) -> wav.Sound:
    """`sound` within `BAND`."""
    spectrum = np.fft.rfft(sound)
    frequencies = np.fft.rfftfreq(sound.size, 1 / wav.RATE)
    spectrum[(frequencies < BAND[0]) | (frequencies > BAND[1])] = 0
    passed: wav.Sound = np.fft.irfft(spectrum, sound.size)
    return passed
