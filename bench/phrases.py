"""Words as they sound on the telephone: spoken by synthesisers, 300 to 3400 Hz, with noise, through mu-law at 8 kHz.

Everything is the same in each run. flite and espeak-ng only: figures on such voices say little about people.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from media.engine import g711
from media.engine.arrays import Pcm
from media.speech import say
from media.speech.voice import Voice

RATE = 8000
FLITE = ("slt", "rms", "awb", "kal")
ESPEAK = ("en-us", "en-gb", "en-us+f3", "en-gb+f4")
NOISES = (None, 20, 10)
"""dB below speech; None: none."""
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
YESNO = ("yes", "no", "yeah", "nope")
LEAD, TRAIL = 0.4, 1.0
"""Seconds before and after what is said."""
_LEVEL = 2500.0
"""Root mean square of speech, of 32768."""

Sound = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance."""

    text: str
    voice: str
    noise: int | None
    pcm: Pcm
    """8 kHz, with `LEAD` before and `TRAIL` after it."""
    begin: int
    """First sample of speech."""
    end: int
    """After the last sample of speech."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How something is said: 1.0 is as the voice says it."""

    speed: float = 1.0
    pitch: float = 1.0


USUAL = Manner()
MANNERS = (USUAL, Manner(speed=0.8), Manner(speed=1.25), Manner(pitch=0.85), Manner(pitch=1.2))
_PITCHES = {"slt": 170, "rms": 95, "awb": 115, "kal": 105}
"""Hz, about what flite's voices have."""


@cache
def spoken(voice: str, text: str, manner: Manner = USUAL) -> Sound:
    """`text` at 8 kHz without silence around it, in the band of the telephone, at the level of all others."""
    if voice in FLITE:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "said.wav")
            options: list[str] = []
            if manner != USUAL:
                options = ["--setf", f"duration_stretch={1 / manner.speed}"]
                options += ["--setf", f"int_f0_target_mean={_PITCHES[voice] * manner.pitch}"]
            subprocess.run(["flite", "-voice", voice, *options, "-t", text, "-o", str(path)], check=True)
            made, rate = soundfile.read(path)
        sound = np.asarray(soxr.resample(made, rate, RATE))
    else:
        sound = say.render(text, Voice(voice, speed=manner.speed, pitch=manner.pitch), RATE).astype(float)
    sound = band(sound)
    loud = np.flatnonzero(_envelope(sound) > 0.02 * _envelope(sound).max())
    sound = sound[loud[0] : loud[-1] + 1]
    return np.asarray(sound * (_LEVEL / np.sqrt(np.mean(sound**2))))


def _envelope(sound: Sound) -> Sound:
    return np.sqrt(np.convolve(sound**2, np.ones(80) / 80, "same"))


def band(sound: Sound) -> Sound:
    """`sound` between 300 and 3400 Hz."""
    spectrum = np.fft.rfft(sound)
    frequency = np.fft.rfftfreq(len(sound), 1 / RATE)
    inside = np.clip((frequency - 200) / 100, 0, 1) * np.clip((3600 - frequency) / 200, 0, 1)
    return np.fft.irfft(spectrum * inside, len(sound))


def hiss(rng: np.random.Generator, count: int) -> Sound:
    """Noise with less and less of the high, as of a street or a room; root mean square 1."""
    spectrum = np.fft.rfft(rng.normal(size=count))
    frequency = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 100)
    noise = band(np.fft.irfft(spectrum / np.sqrt(frequency), count))
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def clip(
    voice: str, text: str, noise: int | None, sound: Sound | None = None, manner: Manner = USUAL
) -> Clip:
    """`text` (or `sound`) as it comes from the telephone."""
    said = spoken(voice, text, manner) if sound is None else sound
    lead, trail = round(LEAD * RATE), round(TRAIL * RATE)
    rng = np.random.default_rng([sum(map(ord, voice + text)), noise or 0])
    whole = np.concatenate([np.zeros(lead), said, np.zeros(trail)])
    level = 3.0 if noise is None else _LEVEL * 10 ** (-noise / 20)
    whole = whole + level * hiss(rng, len(whole))
    pcm = np.clip(whole, -32768, 32767).astype(np.int16)
    return Clip(text, voice, noise, _through_mulaw(pcm), lead, lead + len(said))


def _through_mulaw(pcm: Pcm) -> Pcm:
    return g711.ULAW_DECODE[g711.ULAW_ENCODE[pcm.view(np.uint16)]]


def strings(count: int, length: int, seed: int) -> list[str]:
    """Strings of `length` digits."""
    rng = np.random.default_rng(seed)
    return [" ".join(DIGITS[number] for number in rng.integers(0, 10, length)) for _ in range(count)]


def clips(
    texts: tuple[str, ...] | list[str], voices: tuple[str, ...], manners: tuple[Manner, ...] = (USUAL,)
) -> Iterator[Clip]:
    """Each text by each voice in each noise and manner."""
    for voice in voices:
        for noise in NOISES:
            for text in texts:
                for manner in manners:
                    yield clip(voice, text, noise, manner=manner)
