"""What is heard when a call is answered: the greetings of ``greetings.toml``, and what each of them is."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from media.speech.amd.detector import Result


@dataclass(frozen=True, slots=True)
class Beep:
    """A single tone."""

    hz: float
    ms: int


@dataclass(frozen=True, slots=True)
class Music:
    """A jingle of chords."""

    ms: int


@dataclass(frozen=True, slots=True)
class Chord:
    """Tones at the same time, `on` ms, then `off` ms of nothing, `times` over."""

    hz: tuple[float, ...]
    on: int
    off: int
    times: int


Part = str | int | Beep | Music | Chord
"""A text, a pause in ms, or a sound."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """One of the set."""

    number: int
    truth: Result
    language: str
    """Empty when nobody speaks."""
    parts: tuple[Part, ...]
    special: bool
    """Whether it is a carrier's announcement, which begins with special information tones."""

    @property
    def held_out(self) -> bool:
        """Whether it is for judging only."""
        return self.number % 2 == 1

    @property
    def over_music(self) -> bool:
        """Whether music is heard behind it."""
        return self.truth is Result.MACHINE and isinstance(self.parts[0], str) and self.number % 7 == 0


def greetings() -> list[Greeting]:
    """The whole set, always in the same order."""
    tables = tomllib.loads((Path(__file__).parent / "greetings.toml").read_text())
    rows = [
        (kind, language, line)
        for kind, languages in tables.items()
        for language, lines in languages.items()
        for line in lines
    ]
    return [_greeting(number, *row) for number, row in enumerate(rows)]


def _greeting(number: int, kind: str, language: str, line: str) -> Greeting:
    special = kind == "announcement"
    truth = Result.MACHINE if special else Result(kind)
    parts = tuple(_part(part) for part in line.split(" / "))
    return Greeting(number, truth, "" if language == "none" else language, parts, special)


def _part(text: str) -> Part:
    match text.split():
        case ["beep", hz, ms]:
            return Beep(float(hz), int(ms))
        case ["music", ms]:
            return Music(int(ms))
        case ["tones", hz, on, off, times]:
            return Chord(tuple(map(float, hz.split("+"))), int(on), int(off), int(times))
        case [pause] if pause.isdecimal():
            return int(pause)
        case _:
            return text
