"""Audio that a recogniser has not answered for yet: it is sent again when the connection is lost."""

import asyncio

import numpy as np

from media.resampler import Resampler

KEEP_SECONDS = 15
"""What is older is dropped: nothing was understood of it for so long."""
PIECE_SECONDS = 0.1
"""At most so much is handed out at once, also when much waits."""


class Tape:
    """Samples in order, from the first that is not settled; positions count from the beginning of the recording."""

    def __init__(self, rate: int, keep_seconds: float = KEEP_SECONDS) -> None:
        self.rate = rate
        self.ended = False
        """Whether nothing follows."""
        self._limit = round(keep_seconds * rate) * 2
        """Bytes."""
        self._samples = bytearray()
        self._origin = 0
        self._news = asyncio.Event()

    @property
    def origin(self) -> int:
        """The first sample that is there."""
        return self._origin

    @property
    def length(self) -> int:
        """Samples that were recorded in all."""
        return self._origin + len(self._samples) // 2

    def append(self, pcm: bytes) -> int:
        """Record s16le; how many samples that nobody answered for had to go."""
        self._samples += pcm
        self._news.set()
        beyond = len(self._samples) - self._limit
        return self.settle(self._origin + beyond // 2) if beyond > 0 else 0

    def settle(self, upto: int) -> int:
        """Nobody needs what is before sample `upto`; how many samples went."""
        gone = min(max(0, upto - self._origin), len(self._samples) // 2)
        del self._samples[: gone * 2]
        self._origin += gone
        return gone

    def end(self) -> None:
        """Nothing follows."""
        self.ended = True
        self._news.set()

    def read(self, position: int, most: int) -> bytes:
        """At most `most` samples from `position` on; nothing when there are none yet."""
        start = max(0, position - self._origin) * 2
        return bytes(self._samples[start : start + most * 2])

    async def wait(self, position: int) -> bool:
        """Wait until sample `position` is there; False when it will never be."""
        while self.length <= position:
            if self.ended:
                return False
            self._news.clear()
            await self._news.wait()
        return True


class Playback:
    """Everything on a tape that is not settled, and what is still to come, for one connection: an async iterator."""

    def __init__(self, tape: Tape, rate: int) -> None:
        self.start = self.position = tape.origin
        self._tape = tape
        self._most = round(PIECE_SECONDS * tape.rate)
        self._resampler = Resampler(tape.rate, rate) if rate != tape.rate else None
        self._over = False

    @property
    def exhausted(self) -> bool:
        """Whether all that there will ever be was handed out."""
        return self._over

    def __aiter__(self) -> "Playback":
        return self

    async def __anext__(self) -> bytes:
        tape = self._tape
        while not self._over:
            there = tape.length > self.position or await tape.wait(self.position)
            piece = self._piece(there)
            if piece:
                return piece
        raise StopAsyncIteration

    def _piece(self, there: bool) -> bytes:
        """What comes next, or with nothing there what the resampler holds back."""
        tape = self._tape
        pcm = tape.read(self.position, self._most) if there else b""
        self.position = max(self.position, tape.origin) + len(pcm) // 2
        self._over = not there
        if self._resampler is None:
            return pcm
        return self._resampler.push(np.frombuffer(pcm, "<i2"), last=not there).astype("<i2").tobytes()
