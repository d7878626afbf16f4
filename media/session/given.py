"""Audio that a bot sends inside a command."""

import asyncio
import struct
from collections.abc import AsyncGenerator

import numpy as np
import soxr

from media import files
from media.session.play import Source
from media.speech.voice import Samples

GIVEN_RATE = 16_000
"""Hz, of samples that a bot sends and does not name the rate of."""
_WAV = struct.Struct("<4s4x4s4sIHHI4xHH4s4x")
"""Header of a WAV file of samples as they are, in its usual form of 44 bytes."""


def samples(data: bytes, samplerate: int | None) -> Source:
    """A source of samples that the bot sent: s16le mono at `samplerate` Hz (GIVEN_RATE when None), or a WAV file."""
    rate = samplerate or GIVEN_RATE
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return lambda wanted: _resampled(data, rate, wanted)
    if len(data) >= _WAV.size:
        _, _, _, size, form, channels, rate, _, bits, chunk = _WAV.unpack_from(data)
        # The sizes in it are not trusted: of a file that was streamed they are unknown.
        if (size, form, channels, bits, chunk) == (16, 1, 1, 16, b"data") and rate in files.RATES:
            return lambda wanted: _resampled(data[_WAV.size :], rate, wanted)
    return lambda wanted: _decoded(data, wanted)


async def _resampled(data: bytes, given: int, wanted: int) -> AsyncGenerator[Samples, None]:
    pcm = np.frombuffer(data, "<i2", len(data) // 2).astype(np.int16)
    yield pcm if given == wanted else await asyncio.to_thread(soxr.resample, pcm, given, wanted)


async def _decoded(data: bytes, wanted: int) -> AsyncGenerator[Samples, None]:
    yield await asyncio.to_thread(files.load, data, wanted)
