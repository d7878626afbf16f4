"""The set of greetings as audio, and what the voice detection and the tone detection of the engine make of it."""

import io
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from media.engine import g711
from media.engine.arrays import FRAME, RATE, TICKS, Pcm
from media.engine.reports import Event, SpeechStarted, SpeechStopped
from media.engine.tones import MILLIWATT
from media.engine.voice import Voice as VoiceDetection
from media.engine.voice import VoiceOptions
from media.resampler import Resampler
from media.speech.amd.tones import Tone, Tones
from media.speech.voice import Samples, Voice
from tests.support.greetings import Beep, Chord, Greeting, Music, Part

Wave = npt.NDArray[np.float64]
Speak = Callable[[str, Voice, int], Samples]
"""A text by a voice of espeak-ng at a rate, as `media.speech.say.render` and `speak`."""

NOISES = (None, 25, 15, 10)
"""dB of speech over noise."""
TAIL_MS = 4000
"""What is heard behind a greeting."""
FLITE = ("slt", "rms", "awb", "kal", "kal16")
_ESPEAK = {
    "en": ("en-us", "en-gb", "en-us+f2", "en-gb+f3", "en-us+m3", "en-gb+Andy"),
    "de": ("de", "de+f2", "de+m3", "de+f4"),
    "fr": ("fr", "fr+f3", "fr+m5", "fr+f1"),
    "es": ("es", "es+f2", "es-419", "es+m7"),
    "zh": ("cmn", "cmn+f2", "cmn+m3", "cmn+f3"),
}
_PER_MS = RATE // 1000
_LEVELS = (-26.0, -14.0)
"""dBm0 of speech, from and to."""


@dataclass(frozen=True, slots=True)
class Call:
    """The audio of one answered call; times in ms from the answer."""

    greeting: Greeting
    noise: int | None
    voice: str
    audio: Pcm
    """8 kHz, through mu-law."""
    beep: int | None
    """When the beep ends."""
    spoken: tuple[tuple[str, int, int], ...]
    """Texts, and when each began and ended."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What a recogniser tells."""

    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was found in a call's audio."""

    now: int
    """When it was known, ms from the answer."""
    what: SpeechStarted | SpeechStopped | Tone | Understood


def render(greeting: Greeting, noise: int | None, speak: Speak) -> Call:
    """A call that is answered with `greeting`; the same each time, as far as `speak` is."""
    rng = np.random.default_rng(1000 * greeting.number + (noise or 0))
    say, voice = _mouth(greeting, rng, speak)
    level, loudness = float(rng.uniform(*_LEVELS)), float(rng.uniform(-24, -12))
    parts: list[Wave] = [np.zeros(int(rng.uniform(300, 1300)) * _PER_MS)] if greeting.language else []
    beep, spoken = None, []
    for part in greeting.parts:
        start = sum(map(len, parts)) // _PER_MS
        match part:
            case str():
                parts.append(_levelled(say(part), level))
                spoken.append((part, start, sum(map(len, parts)) // _PER_MS))
            case Beep() if not greeting.special and greeting.language:
                parts.append(_levelled(_sound(part, rng), level + float(rng.uniform(-6, 3))))
                beep = start + part.ms
            case int():
                parts.append(np.zeros(part * _PER_MS))
            case _:
                parts.append(_levelled(_sound(part, rng), loudness))
    wave = np.concatenate([*parts, np.zeros(TAIL_MS * _PER_MS)])
    if greeting.over_music:
        end = len(wave) if beep is None else beep * _PER_MS - FRAME * 50
        wave[:end] += _levelled(_sound(Music(end // _PER_MS + 1000), rng), level - 18)[:end]
    if noise is None:
        wave += rng.normal(0, 2, len(wave))
    else:
        wave += _levelled(_noise(len(wave) + RATE, rng), level - noise)[: len(wave)]
    pcm: Pcm = np.clip(wave, -32767, 32767).astype(np.int16)
    return Call(
        greeting, noise, voice, g711.ULAW_DECODE[g711.ULAW_ENCODE[pcm.view(np.uint16)]], beep, tuple(spoken)
    )


def facts(calls: Sequence[Call]) -> list[list[Fact]]:
    """What the engine finds in each of `calls`: its voice detection as bots get it by default, and tones."""
    voice = VoiceDetection(len(calls))
    for slot in range(len(calls)):
        voice.enable(slot, VoiceOptions())
    found: list[list[Fact]] = [[] for _ in calls]
    longest = max(len(call.audio) for call in calls) // FRAME
    frames, fresh = np.zeros((len(calls), 2, FRAME), np.int16), np.ones(len(calls), np.uint8)
    for tick in range(longest):
        for slot, call in enumerate(calls):
            piece = call.audio[tick * FRAME : (tick + 1) * FRAME]
            frames[slot, 0] = piece if len(piece) == FRAME else 0
        events: list[Event] = []
        voice.run(frames, fresh, events)
        for event in events:
            if isinstance(event, SpeechStarted | SpeechStopped):
                found[event.slot].append(Fact((tick + 1) * 1000 // TICKS, event))
    for call, known in zip(calls, found, strict=True):
        known += [Fact(now, tone) for now, tone in tones(call.audio)]
        known.sort(key=lambda fact: fact.now)
    return found


def tones(audio: Pcm) -> list[tuple[int, Tone]]:
    """The tones in `audio`, each with when it was known: ms."""
    listener, piece = Tones(RATE), 2 * FRAME
    return [
        ((start + piece) // _PER_MS, tone)
        for start in range(0, len(audio), piece)
        for tone in listener.feed(audio[start : start + piece])
    ]


def _mouth(greeting: Greeting, rng: np.random.Generator, speak: Speak) -> tuple[Callable[[str], Wave], str]:
    """A voice for `greeting`, and what it is called."""
    names = _ESPEAK.get(greeting.language, ())
    flite = FLITE if greeting.language == "en" else ()
    name = str(rng.choice([*names, *flite * 2])) if names else ""
    speed, pitch = float(rng.uniform(0.85, 1.2)), float(rng.uniform(0.6, 1.4))
    if name in flite:
        return lambda text: by_flite(text, name, 1 / speed), f"flite {name}"
    voice = Voice(name, speed, pitch=pitch)
    return lambda text: speak(text, voice, RATE).astype(np.float64), f"espeak {name}"


def by_flite(text: str, voice: str, stretch: float) -> Wave:
    """`text` spoken by flite at 8 kHz."""
    argv = [
        "flite",
        "-voice",
        voice,
        "--setf",
        f"duration_stretch={stretch:.2f}",
        "-t",
        text,
        "-o",
        "/dev/stdout",
    ]
    spoken = subprocess.run(argv, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
    samples, rate = soundfile.read(io.BytesIO(spoken), dtype="int16")
    return Resampler(rate, RATE).push(np.asarray(samples, np.int16), last=True).astype(np.float64)


def _levelled(wave: Wave, level: float) -> Wave:
    """`wave` without the silence around it, its louder half at `level` dBm0."""
    loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
    wave = wave[loud[0] : loud[-1] + 1]
    power = np.sort(wave**2)[len(wave) // 4 :].mean()
    scaled: Wave = wave * (MILLIWATT / np.sqrt(2) * 10 ** (level / 20) / np.sqrt(power))
    return scaled


def _sound(part: Part, rng: np.random.Generator) -> Wave:
    match part:
        case Beep(hz=hz, ms=ms):
            return _sines((hz,), ms)
        case Chord(hz=hz, on=on, off=off, times=times):
            return np.tile(np.concatenate([_sines(hz, on), np.zeros(off * _PER_MS)]), times)
        case Music(ms=ms):
            return _music(ms, rng)
        case _:
            raise TypeError(f"{part!r} is no sound")


def _sines(hz: Sequence[float], ms: int) -> Wave:
    time = np.arange(ms * _PER_MS) / RATE
    wave: Wave = np.sum([np.sin(2 * np.pi * one * time) for one in hz], axis=0)
    edge = np.minimum(1, (np.minimum(np.arange(len(wave)), np.arange(len(wave))[::-1]) + 1) / (3 * _PER_MS))
    return wave * edge


def _music(ms: int, rng: np.random.Generator) -> Wave:
    """Chords below a tune, with harmonics and decay."""
    wave = np.zeros(ms * _PER_MS + RATE)
    scale = 220 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16]) / 12)
    at, beat = 0, int(rng.choice([220, 300, 400])) * _PER_MS
    while at < ms * _PER_MS:
        length = min(2 * beat, len(wave) - at)
        time = np.arange(length) / RATE
        for hz in (*rng.choice(scale, 2), 2 * rng.choice(scale)):
            tones = sum(np.sin(2 * np.pi * hz * k * time + k) / k**1.3 for k in range(1, 6) if hz * k < 3600)
            wave[at : at + length] += tones * np.exp(-3 * time) * np.minimum(1, time * 100)
        at += beat
    return wave[: ms * _PER_MS]


def _noise(count: int, rng: np.random.Generator) -> Wave:
    """Noise that falls towards high frequencies, more or less; whole seconds, at least `count` samples."""
    count += -count % RATE
    spectrum = np.fft.rfft(rng.normal(size=count))
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    spectrum *= np.maximum(frequency, 100) ** -float(rng.uniform(0, 0.8))
    noise: Wave = np.fft.irfft(spectrum, count)
    return noise
