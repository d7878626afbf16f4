"""False keys that in-band detection hears in speech: many voices, as they are and over a telephone line.

    .venv/bin/python bench/talkoff.py --minutes 60

Speech is synthesised: it says what espeak-ng's voices do, and is no substitute for recorded people.
"""

import argparse
import os
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in a media worker; read when numpy is imported

import numpy as np

from media.engine import g711
from media.engine.arrays import FRAME, RATE, Pcm
from media.engine.inband import InbandDigits
from media.engine.reports import Event
from media.resampler import Resampler
from media.speech.espeak_ng import EspeakNg
from media.speech.voice import Voice

SPEAKERS = (
    "en-us",
    "en-gb",
    "de",
    "fr",
    "es",
    "it",
    "pl",
    "ru",
    "pt",
    "nl",
    "sv",
    "fi",
    "tr",
    "hi",
    "cmn",
    "ja",
)
VARIANTS = ("", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m3", "+m5", "+m7", "+whisper", "+croak")
ROWS = 100
"""Calls that hear the speech at once."""
BAND = (300, 3400)
"""Hz that a telephone line carries."""


def speech(minutes: float, seed: int) -> Pcm:
    """The manual read by voices, speeds and pitches of all sorts: int16 (ROWS, samples)."""
    rng = np.random.default_rng(seed)
    manual = Path(__file__).parent.parent / "docs"
    lines = [line for path in sorted(manual.glob("*.md")) for line in path.read_text().split("\n")]
    lines = [line for line in lines if len(line) > 60]
    synthesiser = EspeakNg()
    parts: list[Pcm] = []
    wanted = int(minutes * 60 * RATE)
    while wanted > 0:
        voice = Voice(
            f"{rng.choice(SPEAKERS)}{rng.choice(VARIANTS)}",
            speed=float(rng.uniform(0.6, 1.8)),
            pitch=float(rng.uniform(0, 2)),
        )
        chunks: list[Pcm] = []
        synthesiser.say(str(rng.choice(lines)), voice, partial(_keep, chunks))
        audio = Resampler(synthesiser.sample_rate, RATE).push(np.concatenate(chunks), last=True)
        parts.append(audio)
        wanted -= len(audio)
    joined = np.concatenate(parts)
    return joined[: len(joined) // ROWS * ROWS].reshape(ROWS, -1)


def _keep(chunks: list[Pcm], chunk: Pcm) -> bool:
    chunks.append(chunk)
    return True


def band_limited(rows: Pcm) -> Pcm:
    """What a telephone line leaves."""
    kept = np.empty_like(rows)
    frequency = np.fft.rfftfreq(rows.shape[1], 1 / RATE)
    stopped = (frequency < BAND[0]) | (frequency > BAND[1])
    for row, out in zip(rows, kept, strict=True):
        spectrum = np.fft.rfft(row)
        spectrum[stopped] = 0
        out[:] = np.clip(np.rint(np.fft.irfft(spectrum, len(row))), -32768, 32767)
    return kept


def coded(rows: Pcm) -> Pcm:
    """Through mu-law."""
    law = np.zeros(len(rows), np.bool_)
    return g711.decode(g711.encode(rows, law, np.empty(rows.shape, np.uint8)), law, np.empty_like(rows))


def heard(rows: Pcm) -> list[Event]:
    """The keys heard in all rows."""
    digits = InbandDigits(len(rows), RATE)
    for slot in range(len(rows)):
        digits.enable(slot)
    frames, fresh = np.zeros((len(rows), 2, FRAME), np.int16), np.ones(len(rows), np.uint8)
    events: list[Event] = []
    for start in range(0, rows.shape[1] - FRAME + 1, FRAME):
        frames[:, 0] = rows[:, start : start + FRAME]
        digits.run(frames, fresh, events)
    return events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    rows = speech(options.minutes, options.seed)
    band = band_limited(rows)
    forms = {"plain": rows, "mu-law": coded(rows), "300-3400 Hz": band, "300-3400 Hz, mu-law": coded(band)}
    for name, form in forms.items():
        print(f"{name:20} {form.size / RATE / 60:6.1f} min  {len(heard(form))} false keys", flush=True)


if __name__ == "__main__":
    main()
