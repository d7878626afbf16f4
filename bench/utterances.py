"""Callers' turns for `turns.py`: sentences by several synthesisers, with pauses put into them, on a telephone line.

A text is written as it is spoken: ``|`` is a pause within the turn. Between the words of a piece no pause is added.
When each word ends is the generator's estimate: the ends of pieces are exact, the time of a piece is shared out among
its words by their letters.
"""

import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from media.engine import g711
from media.engine.arrays import Pcm
from media.resampler import Resampler
from media.speech.espeak_ng import EspeakNg
from media.speech.voice import Voice
from tests.support import wav

FLITE = ("slt", "rms", "awb", "kal")
ESPEAK = ("en-us", "en-gb+f3")
NOISES = (25, 15)
"""dB of speech over noise."""
DRAWS = 3
"""Recordings of each text with each noise, which differ in their pauses."""
LEVEL = 0.08
"""RMS of speech."""
LEAD, TAIL = 600, 4000
"""ms of noise before and after a turn."""

COMPLETE = (
    "Yes.",
    "No, thank you.",
    "Good morning, I have a question about my bill.",
    "I would like to book a table for two persons.",
    "Can you tell me when you open tomorrow?",
    "That is all I need.",
    "My name is Peter Miller.",
    "I want to cancel my order.",
    "Where is my parcel?",
    "It was delivered last Tuesday.",
    "Please call me back in the afternoon.",
    "The train from London was late again.",
    "I do not know.",
    "Could you repeat that please?",
    "I have been waiting for this since Monday.",
    "He lives in the house next door.",
    "Okay.",
    "We need a doctor for our son.",
    "How much does it cost?",
    "Send it to my old address.",
    "I think that is right.",
    "Nobody picked up the phone yesterday.",
    "Two adults and one child.",
    "Thank you very much for your help.",
)
HESITANT = (
    "I would like to | book a table for tonight.",
    "My name is | Peter Miller.",
    "I have a question about the | last invoice.",
    "Um | I want to change my address.",
    "I need a flight to Paris, | and a hotel.",
    "Could you tell me whether | there is a train today?",
    "Yes, | but only on Friday.",
    "I ordered two shirts and | one pair of trousers.",
    "I am calling because | my heating is broken.",
    "We want a room with a | view of the sea.",
    "I would like to order | two large pizzas.",
    "The package arrived yesterday | without the charger.",
    "I think my account | is blocked again.",
    "Well, uh | I am not so sure about that.",
    "Please send the letter to | my new address in Berlin.",
    "I can come on Monday or | maybe on Wednesday.",
    "My daughter has had a fever | since last night.",
    "I want to speak with | somebody in sales.",
    "It happened when | I opened the door.",
    "The number of the flight, | I think, is B A four five.",
    "Can I pay | with my credit card?",
    "There was a problem with my | internet connection.",
    "I moved last month, | so the old address is wrong.",
    "I need some help with | um | my password.",
)
NUMBERS = (
    "My number is zero one seven | five five two | three four eight eight.",
    "Zero three zero | four four one | nine two.",
    "It is four nine one | six six two | zero eight.",
    "My customer number is eight eight | four two | one nine.",
    "One two three | four five six | seven eight nine.",
    "The code is seven seven one | zero two five.",
    "My phone number is nine one seven | five five five | zero one four two.",
    "Five four | three two | one zero.",
    "The account is two zero zero | eight six | four four one.",
    "Two six | nine nine | three one.",
    "You can reach me on zero seven | eight one two | six six five.",
    "My pin is four four | one nine.",
)

SENTENCES = (
    "I have a problem with my order. | The wrong book was delivered.",
    "Hello. | I would like to speak with a doctor.",
    "My heating does not work. | Can you send somebody today?",
    "No, that is not right. | I said two tickets.",
    "Yes. | The address is the same as before.",
    "I called yesterday. | Nobody could help me.",
    "Thank you. | There is one more thing.",
    "It is very urgent. | We have a small child here.",
    "Okay. | What do I have to do now?",
    "I lost my card last night. | Please block it at once.",
    "The screen is black. | I have tried everything.",
    "That is too late for me. | Do you have something in the morning?",
)
TEXTS = {"complete": COMPLETE, "hesitant": HESITANT, "number": NUMBERS, "sentences": SENTENCES}
PAUSES = {"complete": (0, 1), "hesitant": (400, 1200), "number": (300, 800), "sentences": (300, 800)}
"""ms, from and to, of a pause within a turn of each kind."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a turn; the marks behind it belong to it."""

    text: str
    end: int
    """ms from the beginning of the recording, estimated."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A turn of a caller as a telephone brings it."""

    kind: str
    """Key of TEXTS."""
    text: int
    """Index of its text among those of its kind."""
    speaker: str
    noise: int
    audio: Pcm
    """8 kHz; all recordings have the same length."""
    words: tuple[Word, ...]
    end: int
    """ms from the beginning of the recording to the end of the last word."""

    @property
    def digits(self) -> int:
        """How many digits are told."""
        return sum(word.text.strip(".,").lower() in _DIGITS for word in self.words)


_DIGITS = frozenset(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))


def utterances(seed: int) -> list[Utterance]:
    """All texts, each by one speaker, with each noise, DRAWS times."""
    rng = np.random.default_rng(seed)
    texts = [(kind, number, text) for kind, part in TEXTS.items() for number, text in enumerate(part)]
    speakers = (*FLITE, *ESPEAK)
    jobs = [
        (speakers[(number + number // 6) % len(speakers)], [piece.strip() for piece in text.split("|")])
        for _, number, text in texts
    ]
    sounds = _spoken([(speaker, piece) for speaker, pieces in jobs for piece in pieces])
    cases = []
    for (kind, number, _), (speaker, pieces) in zip(texts, jobs, strict=True):
        said = [sounds[speaker, piece] for piece in pieces]
        for noise in NOISES * DRAWS:
            gaps = [int(rng.integers(*PAUSES[kind])) for _ in pieces[1:]]
            sound, words, end = _joined(said, pieces, gaps)
            cases.append((kind, number, speaker, noise, sound, words, end))
    length = max(case[4].size for case in cases)
    return [
        Utterance(kind, number, speaker, noise, _line(sound, noise, length, rng), words, end)
        for kind, number, speaker, noise, sound, words, end in cases
    ]


def _joined(
    sounds: list[wav.Sound], pieces: list[str], gaps: list[int]
) -> tuple[wav.Sound, tuple[Word, ...], int]:
    parts = [np.zeros(LEAD * 8)]
    words: list[Word] = []
    at = LEAD
    for sound, piece, gap in zip(sounds, pieces, [*gaps, TAIL], strict=True):
        duration = sound.size // 8
        said = piece.split()
        ends = np.cumsum([len(word) + 1 for word in said]) / (len(piece) + 1)
        words += [Word(word, at + round(duration * end)) for word, end in zip(said, ends, strict=True)]
        parts += [sound, np.zeros(gap * 8)]
        at += duration + gap
    return np.concatenate(parts), tuple(words), words[-1].end


def _line(sound: wav.Sound, noise: int, length: int, rng: np.random.Generator) -> Pcm:
    """`sound` with pink noise through mu-law."""
    spectrum = np.fft.rfft(rng.normal(size=length))
    spectrum[1:] /= np.sqrt(np.arange(1, spectrum.size))
    hiss = np.fft.irfft(spectrum, length)
    hiss *= LEVEL * 10 ** (-noise / 20) / wav.rms(hiss)
    hiss[: sound.size] += sound
    pcm = np.clip(np.rint(hiss * 32768), -32768, 32767).astype(np.int16)[None]
    law = np.zeros(1, np.bool_)
    heard: Pcm = g711.decode(g711.encode(pcm, law, np.empty(pcm.shape, np.uint8)), law, np.empty_like(pcm))
    line: Pcm = heard[0]
    return line


def _spoken(jobs: list[tuple[str, str]]) -> dict[tuple[str, str], wav.Sound]:
    """Each piece by its speaker, without the silence around it, at LEVEL."""
    wanted = sorted(set(jobs))
    flite = [job for job in wanted if job[0] in FLITE]
    with ThreadPoolExecutor(2) as pool, tempfile.TemporaryDirectory(prefix="sidecall-bench-") as folder:
        found = dict(
            zip(flite, pool.map(partial(_flite, Path(folder)), range(len(flite)), flite), strict=True)
        )
    espeak = EspeakNg()
    found |= {job: _espeak(espeak, *job) for job in wanted if job[0] not in FLITE}
    return {job: sound * (LEVEL / wav.rms(sound)) for job, sound in found.items()}


def _flite(folder: Path, number: int, job: tuple[str, str]) -> wav.Sound:
    speaker, text = job
    file = folder / f"{number}.wav"
    subprocess.run(["flite", "-voice", speaker, "-t", text, "-o", str(file)], check=True)
    samples, rate = soundfile.read(file, dtype="int16")
    return _heard(samples, rate)


def _espeak(espeak: EspeakNg, speaker: str, text: str) -> wav.Sound:
    chunks: list[Pcm] = []

    def keep(chunk: Pcm) -> bool:
        chunks.append(chunk)
        return True

    espeak.say(text, Voice(speaker), keep)
    return _heard(np.concatenate(chunks), espeak.sample_rate)


def _heard(samples: Pcm, rate: int) -> wav.Sound:
    return wav.trimmed(Resampler(rate, wav.RATE).push(samples, last=True) / 32768)
