"""A play: what one ``play`` command, or all ``tts`` commands with one playId, put on the server-side track."""

import secrets
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from enum import Enum

from media.engine.segment import Segment, State
from media.speech.sentences import Sentences, words
from media.speech.service import Synthesis
from media.speech.text import clean
from media.speech.voice import Samples, Word

Audio = Synthesis | AsyncGenerator[Samples | Word, None]
"""Chunks of PCM, mono, and when words are spoken; an error while they are made is a MediaError."""
Source = Callable[[int], Audio]
"""Makes audio at a rate, 8000 or 16000 Hz."""
WORD_MS = 250
"""What a word lasts about; how much of a text was heard is estimated by it while not all of its audio is there."""


class Kind(Enum):
    """What a play was made by."""

    TTS = "tts"
    FILE = "play"


@dataclass(slots=True, eq=False)
class Piece:
    """A text or a file, on its way from its source to the caller's ear."""

    text: str
    source: Source
    segment: Segment | None = None
    """Its audio; None until it is being made."""
    words: list[Word] = field(default_factory=list)
    """When words are spoken, as far as its source tells."""

    @property
    def total_ms(self) -> float:
        """How much audio there is so far."""
        return 0 if self.segment is None else self.segment.total * 1000 / self.segment.rate

    @property
    def played_ms(self) -> float:
        """How much has been heard."""
        return 0 if self.segment is None else self.segment.played * 1000 / self.segment.rate

    @property
    def unheard_ms(self) -> float:
        """How much audio waits."""
        return self.total_ms - self.played_ms

    @property
    def finished(self) -> bool:
        """Whether it was made and heard."""
        segment = self.segment
        return segment is not None and segment.closed and segment.played >= segment.total

    @property
    def position(self) -> int:
        """How many of its words were spoken: as its source tells, else by share of time."""
        if self.segment is None or not self.segment.played:
            return 0
        if self.words:
            return max((word.index for word in self.words if word.at <= self.played_ms), default=0)
        count = words(self.text)
        whole = self.total_ms if self.segment.closed else max(self.total_ms, count * WORD_MS)
        return int(count * self.played_ms / whole)


class Stream(ABC):
    """The texts of a play that are pieces of one text, such as the words of a language model."""

    def __init__(self) -> None:
        self.open = True
        """Whether more is to come."""
        self._sentences = Sentences()

    def feed(self, text: str) -> list[Piece]:
        """What is to be made now that `text` has come; behind the end, every text is complete."""
        done = self._sentences.feed(text)
        return self._pieces(done if self.open else [*done, *self._sentences.flush()])

    def end(self) -> list[Piece]:
        """Nothing follows: what waited to be completed."""
        self.open = False
        return self._pieces(self._sentences.flush())

    @abstractmethod
    def _pieces(self, texts: list[str]) -> list[Piece]:
        """What is to be made of clauses that are complete."""


class Sentencewise(Stream):
    """Each clause is made for itself; `speak` gives its source."""

    def __init__(self, speak: Callable[[str], Source]) -> None:
        super().__init__()
        self._speak = speak

    def _pieces(self, texts: list[str]) -> list[Piece]:
        return [Piece(text, self._speak(text)) for text in texts if _audible(text)]


class Parts:
    """Clauses on their way to one that speaks them as they come."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._ended = False
        self._taker: Synthesis | None = None
        self.over = False
        """Whether nobody takes more."""

    def put(self, text: str) -> None:
        """The next clause."""
        if self._taker is None:
            self._texts.append(text)
        else:
            self._taker.feed(text)

    def end(self) -> None:
        """Nothing follows."""
        self._ended = True
        if self._taker is not None:
            self._taker.end()

    def go_to(self, taker: Synthesis) -> None:
        """Hand what came to `taker`, and what comes."""
        self._taker = taker
        for text in self._texts:
            taker.feed(text)
        if self._ended:
            taker.end()


class Continuous(Stream):
    """All clauses are one piece, made while more of them come; `speak` gives its source."""

    def __init__(self, speak: Callable[[Parts], Source]) -> None:
        super().__init__()
        self._speak = speak
        self._piece: Piece | None = None
        self._parts = Parts()

    def end(self) -> list[Piece]:
        """Nothing follows: what waited to be completed."""
        pieces = super().end()
        self._parts.end()
        return pieces

    def _pieces(self, texts: list[str]) -> list[Piece]:
        begun = []
        for text in filter(_audible, texts):
            if self._piece is None or self._parts.over:
                self._parts = Parts()
                self._piece = Piece("", self._speak(self._parts))
                begun.append(self._piece)
            self._piece.text += text
            self._parts.put(text)
        if begun and not self.open:
            self._parts.end()
        return begun


def _audible(text: str) -> bool:
    """Whether there is something to say: marks alone, such as a bracket that closes a sentence, are not."""
    return any(map(str.isalnum, clean(text)))


@dataclass(slots=True, eq=False)
class Play:
    """One play on the server-side track."""

    kind: Kind
    play_id: str | None
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    auto_hangup: bool = False
    wait_input: float | None = None
    """Seconds to wait for the caller after the end; None or 0: not at all."""
    commands: int = 0
    """How many made it what it is."""
    texts: list[str] = field(default_factory=list)
    """What it says, in order, so far."""
    stream: Stream | None = None
    """Set when its texts are pieces of one text; then it lasts until that ends."""
    at_once: int = 1
    """Pieces that may be made at the same time."""
    waiting: deque[Piece] = field(default_factory=deque)
    """To be made."""
    pieces: deque[Piece] = field(default_factory=deque)
    """Those being made, and made ones that were not heard to their end."""
    started: bool = False
    gone_ms: float = 0
    """Audio of the pieces before those."""
    gone_words: int = 0

    @property
    def streaming(self) -> bool:
        """Whether its texts are pieces of one text."""
        return self.stream is not None

    @property
    def subtitle(self) -> str:
        """The text so far."""
        return "".join(self.texts) if self.streaming else " ".join(text for text in self.texts if text)

    @property
    def position(self) -> int:
        """Index of the word of the subtitle that is being spoken."""
        spoken = self.gone_words + sum(piece.position for piece in self.pieces)
        return max(0, min(spoken, words(self.subtitle) - 1))

    @property
    def played_ms(self) -> int:
        """How much has been heard."""
        return int(self.gone_ms + sum(piece.played_ms for piece in self.pieces))

    @property
    def total_ms(self) -> int:
        """How much audio there is so far."""
        return int(self.gone_ms + sum(piece.total_ms for piece in self.pieces))

    @property
    def idle(self) -> bool:
        """Whether everything that was asked for was made and heard."""
        return not self.waiting and all(piece.finished for piece in self.pieces)

    @property
    def heard(self) -> Piece | None:
        """The piece that is being heard, if any."""
        playing = (p for p in self.pieces if p.segment is not None and p.segment.state is State.PLAYING)
        return next(playing, None)

    def retire(self) -> None:
        """Forget, but for how long they were, the pieces at the front that were heard to their end."""
        while self.pieces and self.pieces[0].finished:
            piece = self.pieces.popleft()
            self.gone_ms += piece.total_ms
            self.gone_words += words(piece.text)

    def forgo(self) -> None:
        """What should follow its end does not."""
        self.auto_hangup = False
        self.wait_input = None
