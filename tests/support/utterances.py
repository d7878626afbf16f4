"""Audio of a caller for tests of recognition: tones for speech, and silence or noise; s16le, 16 kHz."""

from collections.abc import AsyncGenerator

import numpy as np

RATE = 16_000
PIECE = 40 * RATE // 1000 * 2
"""Bytes of audio a piece, as the call gives it."""


def silence(ms: int) -> bytes:
    return bytes(ms * RATE // 1000 * 2)


def tone(ms: int, amplitude: int = 8000) -> bytes:
    time = np.arange(ms * RATE // 1000) / RATE
    return (amplitude * np.sin(2 * np.pi * 440 * time)).astype("<i2").tobytes()


def noise(ms: int, amplitude: float, seed: int = 1) -> bytes:
    """White noise; `amplitude` is its standard deviation."""
    samples = np.random.default_rng(seed).normal(0, amplitude, ms * RATE // 1000)
    return samples.clip(-32768, 32767).astype("<i2").tobytes()


def mixed(one: bytes, other: bytes) -> bytes:
    """Both together, as long as `one`."""
    first, second = (np.frombuffer(pcm, "<i2").astype(np.int32) for pcm in (one, other))
    return (first + np.resize(second, first.size)).clip(-32768, 32767).astype("<i2").tobytes()


def spaced(*lengths: int, gap: int = 800) -> bytes:
    """Utterances of so many ms, with `gap` ms of silence before each and after the last."""
    return silence(gap) + b"".join(tone(ms) + silence(gap) for ms in lengths)


async def pieces(pcm: bytes, size: int = PIECE) -> AsyncGenerator[bytes, None]:
    """`pcm` as it comes from a call, as fast as it is taken."""
    for at in range(0, len(pcm), size):
        yield pcm[at : at + size]
