"""How well `pocketsphinx` recognises digits, yes/no and a menu on the telephone, and how late its final texts are.

Its settings were chosen with half of the voices; the other half is reported (`--tuned` reports the first). A clip goes
through the engine in pieces of 40 ms, in this process; all of one voice and noise are one call. `late` is audio time
from the last sample of speech to the piece with which the final text came, plus the CPU time of that piece.

    .venv/bin/python -m bench.recognition --json
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from bench.phrases import DIGITS, FLITE, MANNERS, NOISES, RATE, Clip, Sound, band, clip, clips, strings
from media.speech.asr.pocketsphinx import CONFIDENCE, SILENCE_MS
from media.speech.asr.sphinx.engine import PocketsphinxEngine
from media.speech.local.engine import Told

TUNED = ("slt", "kal", "en-us", "en-us+f3")
HELD_OUT = ("rms", "awb", "en-gb", "en-gb+f4")
MENU = ("sales", "customer support", "billing", "talk to an operator")
STRANGE = ("hello there", "what", "good morning", "the weather is fine", "maybe later", "my name is Peter")
"""Words that no grammar here has."""
_PIECE = RATE // 25
_LEVEL = 2500.0


@dataclass(slots=True)
class Row:
    """What became of clips of one kind."""

    clips: int = 0
    right: int = 0
    """All words right, and nothing else."""
    words: float = 0.0
    """Mean share of words that are right, less those that were added."""
    empty: int = 0
    """Nothing was understood, or it was not certain enough."""
    late: list[float] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """In per cent and ms."""
        late = np.percentile(self.late, [50, 95]).round().tolist() if self.late else [None, None]
        share = {name: round(100 * getattr(self, name) / self.clips) for name in ("right", "words", "empty")}
        return {"clips": self.clips} | share | {"late_p50_ms": late[0], "late_p95_ms": late[1]}


def cough(rng: np.random.Generator) -> Sound:
    """One or two bursts of noise that fade."""
    count = int(RATE * rng.uniform(0.15, 0.4))
    at = np.arange(count) / RATE
    burst = band(rng.normal(size=count)) * np.exp(-at / rng.uniform(0.05, 0.12)) * np.minimum(1, at / 0.01)
    if rng.random() < 0.5:
        burst = np.concatenate([burst, np.zeros(RATE // 10), 0.7 * burst])
    return np.asarray(burst * (_LEVEL / np.sqrt(np.mean(burst**2))))


class Recogniser:
    """The engine with one grammar."""

    def __init__(self, grammar: str | list[str] | None) -> None:
        self._engine = PocketsphinxEngine({})
        self._parameters = {"grammar": grammar, "silence": SILENCE_MS, "confidence": CONFIDENCE}
        self._stream = 0
        self._caller: tuple[str, int | None] | None = None
        self.cpu = self.audio = 0.0

    def hear(self, heard: Clip) -> tuple[str, float | None]:
        """The text, and how late the last part of it was, in ms."""
        if (heard.voice, heard.noise) != self._caller:
            self._caller = heard.voice, heard.noise
            self._stream += 1
            self._engine.open(self._stream, self._parameters)
        texts: list[str] = []
        late = None
        for at in range(0, len(heard.pcm), _PIECE):
            piece = heard.pcm[at : at + _PIECE]
            begin = time.process_time()
            self._engine.data(self._stream, piece.astype("<i2").tobytes())
            told = [report.fields for report in self._engine.step() if isinstance(report, Told)]
            spent = time.process_time() - begin
            self.cpu += spent
            self.audio += len(piece) / RATE
            for fields in told:
                if fields["final"]:
                    texts.append(fields["text"])
                    late = (at + len(piece) - heard.end) / RATE * 1000 + spent * 1000
        return " ".join(texts), late


def words_right(said: str, heard: str) -> float:
    """Share of words, 0 to 1; each word that was added counts against it."""
    one, other = said.split(), heard.split()
    same = sum(
        block.size for block in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    )
    return max(0, len(one) - (max(len(one), len(other)) - same)) / len(one)


def measure(recogniser: Recogniser, given: Iterable[Clip], *, verbose: bool) -> dict[str, Row]:
    """Rows by kind of voice and noise."""
    rows: dict[str, Row] = defaultdict(Row)
    for heard in given:
        text, late = recogniser.hear(heard)
        text = " ".join("zero" if word == "oh" else word for word in text.split())
        kind = "flite" if heard.voice in FLITE else "espeak" if heard.voice != "-" else "-"
        row = rows[f"{kind} {'clean' if heard.noise is None else f'{heard.noise} dB'}"]
        row.clips += 1
        row.right += text == heard.text
        row.empty += not text
        row.words += words_right(heard.text, text)
        if late is not None:
            row.late.append(late)
        if verbose and text != heard.text:
            sys.stderr.write(f"{heard.voice} {heard.noise} {heard.text!r} -> {text!r}\n")
    return rows


def sets(voices: tuple[str, ...]) -> dict[str, tuple[str | list[str], list[Clip]]]:
    """Grammar and clips by name."""
    rng = np.random.default_rng(7)
    coughs = [clip("-", f"cough {number}", noise, cough(rng)) for number in range(20) for noise in NOISES]
    strange = list(clips(STRANGE, voices))
    return {
        "digit": ("digits", list(clips(DIGITS, voices))),
        "four digits": ("digits", list(clips(strings(6, 4, len(voices[0]) + 40), voices))),
        "yes, no": ("yesno", list(clips(("yes", "no"), voices, MANNERS))),
        "menu": (list(MENU), list(clips(MENU, voices))),
        "strange words, digits": ("digits", strange),
        "strange words, yesno": ("yesno", strange),
        "coughs, digits": ("digits", coughs),
        "coughs, yesno": ("yesno", coughs),
    }


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.recognition", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tuned", action="store_true", help="the voices with which the settings were chosen")
    parser.add_argument("--verbose", action="store_true", help="tell each clip that was not understood")
    args = parser.parse_args()
    result: dict[str, Any] = {}
    for name, (grammar, given) in sets(TUNED if args.tuned else HELD_OUT).items():
        recogniser = Recogniser(grammar)
        rows = measure(recogniser, given, verbose=args.verbose)
        result[name] = {kind: row.report() for kind, row in rows.items()}
        result[name]["cpu_per_audio"] = round(recogniser.cpu / recogniser.audio, 4)
    if args.json:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
        return 0
    head = ("set", "voices, noise", "clips", "right %", "words %", "empty %", "late p50", "p95 ms")
    sys.stdout.write("{:24}{:16}{:>7}{:>9}{:>9}{:>9}{:>10}{:>8}\n".format(*head))
    for name, rows_of in result.items():
        for kind, row in rows_of.items():
            if isinstance(row, dict):
                values = [str(value) for value in row.values()]
                sys.stdout.write("{:24}{:16}{:>7}{:>9}{:>9}{:>9}{:>10}{:>8}\n".format(name, kind, *values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
