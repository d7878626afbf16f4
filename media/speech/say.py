"""Speak a text into a WAV file: ``python -m media.speech.say TEXT FILE.wav``; ``-`` is standard output."""

import argparse
import io
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from control.errors import SpeechError
from media.resampler import Resampler
from media.speech.espeak_ng import EspeakNg
from media.speech.hub.client import SAMPLE_RATES
from media.speech.text import clean
from media.speech.voice import Samples, Voice


def render(text: str, voice: Voice, sample_rate: int) -> Samples:
    """`text` spoken; the same samples each time. Blocks. Raises SpeechError.

    espeak-ng varies its voice from one text to the next, so each text gets a process of its own.
    """
    options = [f"--speed={voice.speed}", f"--volume={voice.volume}", f"--pitch={voice.pitch}"]
    argv = [sys.executable, "-P", "-m", "media.speech.say", f"--speaker={voice.speaker}", *options]
    argv += [f"--rate={sample_rate}", "--", clean(text), "-"]
    spoken = subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if spoken.returncode != 0:
        raise SpeechError(spoken.stderr.decode(errors="replace").strip())
    samples, _ = soundfile.read(io.BytesIO(spoken.stdout), dtype="int16")
    return np.asarray(samples, np.int16)


def speak(text: str, voice: Voice, sample_rate: int) -> Samples:
    """`text` spoken in this process. Raises SpeechError."""
    synthesiser = _synthesiser()
    resampler = Resampler(synthesiser.sample_rate, sample_rate)
    chunks: list[Samples] = []

    def put(samples: Samples) -> bool:
        chunks.append(resampler.push(samples))
        return True

    synthesiser.say(clean(text), voice, put)
    return np.concatenate([*chunks, resampler.push(np.zeros(0, np.int16), last=True)])


@cache
def _synthesiser() -> EspeakNg:
    """The library is for one use in a process: begun a second time, it may speak without end."""
    return EspeakNg()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m media.speech.say", description=__doc__)
    parser.add_argument("text", nargs="?", default="")
    parser.add_argument("file", nargs="?", default="-")
    parser.add_argument("--voices", action="store_true", help="list the voices and end")
    parser.add_argument("--speaker", default="en-us")
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--volume", type=float, default=5.0)
    parser.add_argument("--pitch", type=float, default=1.0)
    parser.add_argument("--rate", type=int, default=8000, choices=SAMPLE_RATES, help="samples per second")
    args = parser.parse_args(argv)
    try:
        if args.voices:
            sys.stdout.writelines(f"{code:<16}{name}\n" for code, name in EspeakNg().voices())
            return 0
        samples = speak(args.text, Voice(args.speaker, args.speed, args.volume, args.pitch), args.rate)
    except SpeechError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    wav = io.BytesIO()
    soundfile.write(wav, samples, args.rate, subtype="PCM_16", format="WAV")
    if args.file == "-":
        sys.stdout.buffer.write(wav.getvalue())
    else:
        Path(args.file).write_bytes(wav.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
