"""A play: what one ``play`` command, or all ``tts`` commands with one playId, put on the server-side track."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from enum import Enum

from media.engine.segment import Segment, State
from media.speech.tts.base import Synthesis
from media.speech.voice import Samples

Audio = Synthesis | AsyncGenerator[Samples, None]
"""Chunks of PCM, mono; an error while they are made is a MediaError."""
Source = Callable[[int], Audio]
"""Makes audio at a rate, 8000 or 16000 Hz."""


class Kind(Enum):
    """What a play was made by."""

    TTS = "tts"
    FILE = "play"


@dataclass(slots=True, eq=False)
class Play:
    """One play on the server-side track."""

    kind: Kind
    play_id: str | None
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    auto_hangup: bool = False
    wait_input: float | None = None
    """Seconds to wait for the caller after the end; None or 0: not at all."""
    texts: list[str] = field(default_factory=list)
    """What it says, in order, so far."""
    sources: deque[Source] = field(default_factory=deque)
    """Audio still to be made."""
    segments: list[Segment] = field(default_factory=list)
    streaming: bool = False
    """Whether its texts are pieces of one stream."""
    started: bool = False
    maker: asyncio.Task[None] | None = None
    """Makes its audio; None when all that was asked for is made."""

    @property
    def played_ms(self) -> int:
        """How much has been heard."""
        return sum(segment.played * 1000 // segment.rate for segment in self.segments)

    @property
    def total_ms(self) -> int:
        """How much audio there is so far."""
        return sum(segment.total * 1000 // segment.rate for segment in self.segments)

    @property
    def finished(self) -> bool:
        """Whether everything was made and heard."""
        return self.maker is None and all(s.closed and s.played >= s.total for s in self.segments)

    @property
    def heard(self) -> Segment | None:
        """The segment that is being heard, if any."""
        return next((s for s in self.segments if s.state is State.PLAYING), None)

    def forgo(self) -> None:
        """What should follow its end does not."""
        self.auto_hangup = False
        self.wait_input = None

    def make_no_more(self) -> None:
        """Leave audio unmade that was asked for."""
        self.sources.clear()
        if self.maker is not None:
            self.maker.cancel()
            self.maker = None
