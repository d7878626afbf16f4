"""Sound files and what two sounds have in common."""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float64]
"""Mono samples, full scale 1.0."""

RATE = 8000
"""Hz: what telephones speak."""


def read(path: Path) -> tuple[Sound, int]:
    """Return the samples of a 16-bit WAV file, channels averaged, and its sample rate in Hz."""
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2:
            raise ValueError(f"{path}: {8 * file.getsampwidth()} bits a sample; only 16 are read here")
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return data.reshape(-1, file.getnchannels()).mean(axis=1) / 32768, file.getframerate()


def write(path: Path, sound: Sound, rate: int = RATE) -> Path:
    """Write `sound` as a mono 16-bit WAV file and return its path."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.clip(sound * 32768, -32768, 32767).astype("<i2").tobytes())
    return path


def tone(frequency: float, seconds: float, level: float = 0.3, rate: int = RATE) -> Sound:
    """Return a sine of amplitude `level`."""
    sound: Sound = np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)
    return sound * level


def babble(seed: int, seconds: float, level: float = 0.2, rate: int = RATE) -> Sound:
    """Return noise with the band and the swell of speech; different seeds do not correlate."""
    count = round(seconds * rate)
    noise = np.random.default_rng(seed).normal(size=count)
    spectrum = np.fft.rfft(noise)
    frequencies = np.fft.rfftfreq(count, 1 / rate)
    spectrum[(frequencies < 300) | (frequencies > 3000)] = 0
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * np.arange(count) / rate)
    sound: Sound = np.fft.irfft(spectrum, count) * swell
    sound *= level / np.abs(sound).max()
    return sound


def best_match(recording: Sound, reference: Sound) -> tuple[float, int]:
    """Find `reference` in `recording` (same sample rate).

    Returns the greatest normalised cross-correlation, -1 to 1, over all positions where the
    reference lies within the recording, and that position in samples. A recording that is
    shorter than the reference is extended by silence.
    """
    reference = np.asarray(reference, np.float64)
    reference = reference - reference.mean()
    length = reference.size
    recording = np.asarray(recording, np.float64)
    if recording.size < length:
        recording = np.concatenate((recording, np.zeros(length - recording.size)))
    recording = recording - recording.mean()

    size = 1 << (recording.size + length - 1).bit_length()
    product = np.fft.rfft(recording, size) * np.conj(np.fft.rfft(reference, size))
    dots = np.fft.irfft(product, size)[: recording.size - length + 1]
    energy = np.concatenate(([0.0], np.cumsum(recording**2)))
    window = energy[length:] - energy[:-length]
    scale = np.sqrt(window.clip(min=0) * (reference @ reference))
    silent = scale <= 1e-9 * length
    matches = np.where(silent, 0.0, dots / np.where(silent, 1.0, scale))
    position = int(matches.argmax())
    return float(matches[position]), position


def correlation(recording: Sound, reference: Sound) -> float:
    """Return how well `recording` contains `reference`: 1 is a perfect copy at any level, 0 unrelated."""
    return best_match(recording, reference)[0]


def _spectrogram(sound: Sound) -> Sound:
    """Return the logarithm of the magnitude in bands of a constant quality, one row each 10 ms."""
    frame, hop, bands = 256, 80, 20
    padded = np.concatenate((np.zeros(frame), sound, np.zeros(frame)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop] * np.hanning(frame)
    magnitudes = np.abs(np.fft.rfft(frames, 2 * frame))
    edges = np.unique(np.geomspace(8, frame, bands + 1).astype(int))
    means = np.add.reduceat(magnitudes[:, : frame + 1], edges[:-1], axis=1) / np.diff(edges)
    floor = 1e-3 * means.max() + 1e-12
    logarithm: Sound = np.log(means + floor)
    return logarithm


def likeness(recording: Sound, reference: Sound) -> float:
    """Return how well the words of `reference` are found in `recording` (both at 8 kHz).

    The correlation of spectrograms at the best position: above 0.95 for the same words of the same
    voice. Unlike `correlation` it does not care for phase, which a synthesiser may vary from one time
    to the next.
    """
    whole, part = _spectrogram(recording), _spectrogram(reference)
    if len(whole) < len(part):
        return 0.0
    part = part - part.mean()
    best = 0.0
    for start in range(len(whole) - len(part) + 1):
        window = whole[start : start + len(part)]
        window = window - window.mean()
        scale = np.sqrt(np.vdot(window, window) * np.vdot(part, part))
        if scale > 0:
            best = max(best, float(np.vdot(window, part) / scale))
    return best


def trimmed(sound: Sound, threshold: float = 0.01) -> Sound:
    """Return `sound` without the silence before and after it."""
    loud = np.flatnonzero(np.abs(sound) > threshold)
    return sound[loud[0] : loud[-1] + 1] if loud.size else sound[:0]


def encode_pcmu(sound: Sound) -> bytes:
    """Encode as G.711 mu-law."""
    pcm = np.clip(sound * 32768, -32635, 32635).astype(np.int32)
    sign = np.where(pcm < 0, 0x80, 0)
    magnitude = np.abs(pcm) + 132
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    code = ~(sign | (exponent << 4) | mantissa) & 0xFF
    return bytes(code.astype(np.uint8))


def decode_pcmu(data: bytes) -> Sound:
    """Decode G.711 mu-law."""
    code = ~np.frombuffer(data, np.uint8).astype(np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 132) << ((code >> 4) & 7)) - 132
    return np.where(code & 0x80, -magnitude, magnitude) / 32768


def encode_pcma(sound: Sound) -> bytes:
    """Encode as G.711 A-law."""
    pcm = np.clip(sound * 32768, -32768, 32767).astype(np.int32)
    magnitude = np.where(pcm < 0, -pcm - 1, pcm)
    exponent = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 7, 0)
    mantissa = (magnitude >> np.maximum(exponent + 3, 4)) & 0x0F
    code = (np.where(pcm < 0, 0, 0x80) | exponent << 4 | mantissa) ^ 0x55
    return bytes(code.astype(np.uint8))


def decode_pcma(data: bytes) -> Sound:
    """Decode G.711 A-law."""
    code = np.frombuffer(data, np.uint8).astype(np.int32) ^ 0x55
    exponent, step = (code >> 4) & 7, (code & 0x0F) << 4
    magnitude = np.where(exponent == 0, step + 8, (step + 264) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude) / 32768


def rms(sound: Sound) -> float:
    """Return the root mean square; 0 for no samples."""
    return float(np.sqrt(np.mean(sound**2))) if sound.size else 0.0
