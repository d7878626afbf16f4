"""WAV files that are right at every moment (RIFF, PCM of 16 bits; Microsoft's Multimedia Programming Interface 1.0)."""

import os
import struct

HEADER = 44
"""Bytes before the samples."""
_LAYOUT = struct.Struct("<4sI4s4sIHHIIHH4sI")
_SAMPLE = 2
_PCM = 1
MAX_BYTES = 0xFFFFFFFF - HEADER
"""Of samples; sizes in the header have 32 bits."""


def header(rate: int, channels: int, frames: int) -> bytes:
    """The 44 bytes before `frames` times `channels` samples at `rate` Hz."""
    size, width = frames * channels * _SAMPLE, channels * _SAMPLE
    return _LAYOUT.pack(
        *(b"RIFF", size + HEADER - 8, b"WAVE"),
        *(b"fmt ", 16, _PCM, channels, rate, rate * width, width, 8 * _SAMPLE),
        *(b"data", size),
    )


class WavFile:
    """A new file, open for writing; a WAV file from the first `seal` on, and true to the last one.

    What a process has written survives its death. All methods block, and raise OSError as the disk has it.
    """

    def __init__(self, descriptor: int, rate: int, channels: int) -> None:
        self._descriptor = descriptor
        self._rate, self._channels = rate, channels
        self.frames = 0
        """To the end of the last that was written."""

    def write(self, start: int, data: bytes) -> None:
        """Put samples, s16le interleaved, at frame `start`; frames left out between are silence."""
        width = self._channels * _SAMPLE
        self._put(HEADER + start * width, data)
        self.frames = max(self.frames, start + len(data) // width)

    def seal(self) -> None:
        """Make the header true for all that was written."""
        self._put(0, header(self._rate, self._channels, self.frames))

    def extend(self, frames: int) -> None:
        """Let silence follow until there are `frames`."""
        if frames > self.frames:
            os.ftruncate(self._descriptor, HEADER + frames * self._channels * _SAMPLE)
            self.frames = frames

    def close(self) -> None:
        """Close the file, as it is."""
        os.close(self._descriptor)

    def _put(self, offset: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._descriptor, rest, offset)
            offset += written
            rest = rest[written:]
