"""A caller for benchmarks: noise without end, and words in it."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from media.speech import say
from media.speech.voice import Voice
from tests.support import wav
from tests.support.rtpcap import FRAME, FRAME_SECONDS, RtpPeer

SPEAKERS = ("en-us", "en-gb+f3")
TEXTS = (
    "Wait a moment.",
    "No, thank you.",
    "Excuse me, what did you say?",
    "I have another question.",
    "Good morning.",
    "Can you repeat that please?",
    "Hello?",
    "Stop, that is not what I mean.",
)
LEVELS, NOISES = (-18, -26, -34), (None, -60, -50)
"""RMS in dBFS of speech and of the caller's noise."""


def speech() -> list[wav.Sound]:
    """All texts by all voices, without the silence around them; full scale 1.0."""

    def render(spoken: tuple[str, str]) -> wav.Sound:
        speaker, text = spoken
        return wav.trimmed(say.render(text, Voice(speaker), wav.RATE) / 32768)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(render, product(SPEAKERS, TEXTS)))


@dataclass(slots=True)
class Mouth:
    """What a caller sends: noise without end, and words in it. A packet leaves when its last sample is spoken."""

    rtp: RtpPeer
    rng: np.random.Generator
    noise: float = 0
    """RMS."""
    delay: float = 0
    """Seconds that the next packet is held back, and all after it."""
    words: wav.Sound = field(default_factory=lambda: np.zeros(0))
    began: float = 0
    """When the first sample of the last words was spoken, in seconds since the epoch; 0: not yet."""
    lead: int = 0

    def level(self, levels: Sequence[int | None]) -> float:
        """One of `levels` (dBFS, None for nothing) as RMS."""
        chosen = levels[int(self.rng.integers(len(levels)))]
        return 0 if chosen is None else 10.0 ** (chosen / 20)

    def say(self, words: wav.Sound) -> None:
        """Begin within the next packet."""
        self.lead = int(self.rng.integers(FRAME))
        self.words = np.concatenate((np.zeros(self.lead), words))
        self.began = 0

    async def run(self) -> None:
        """Send until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            frame = self.rng.normal(size=FRAME) * self.noise
            part, self.words = self.words[:FRAME], self.words[FRAME:]
            frame[: part.size] += part
            data = wav.encode_pcmu(frame)
            if part.size and not self.began:
                self.began = time.time() - (FRAME - self.lead) / wav.RATE
            self.rtp.send(data)
            self.rtp.timestamp += FRAME
            due += FRAME_SECONDS + self.delay
            self.delay = 0
            await asyncio.sleep(max(0.0, due - loop.time()))
