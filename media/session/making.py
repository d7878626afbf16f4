"""Making the audio of plays: piece after piece, some at once, and never far ahead of what is heard."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from control.errors import MediaError
from control.tasks import Tasks
from media.engine.segment import Segment
from media.session.play import Piece, Play
from media.speech.voice import Word

log = logging.getLogger(__name__)

AHEAD_MS = 30_000
"""Audio of a play that may wait to be heard; the making of a piece pauses while there is more."""


class Stage(Protocol):
    """Where the audio goes."""

    @property
    def rate(self) -> int:
        """Samples per second that are best for it."""

    def enqueue(self, segment: Segment) -> None:
        """Play `segment` after all that was enqueued before."""


class Maker:
    """Turns the pieces of plays into segments, in order.

    `failed` is told of audio that cannot be made, `made` of each piece that is done, whether well or not.
    """

    def __init__(
        self,
        stage: Stage,
        tasks: Tasks,
        failed: Callable[[Play, MediaError], None],
        made: Callable[[Play], None],
    ) -> None:
        self._stage = stage
        self._failed = failed
        self._made = made
        self._tasks = tasks
        self._making: dict[Piece, asyncio.Task[None]] = {}
        """In the order of their segments."""
        self._progress = asyncio.Event()
        self._closed = False

    def add(self, play: Play, pieces: list[Piece]) -> None:
        """Make `pieces` after all that was added to `play` before."""
        play.waiting.extend(pieces)
        self._begin(play)

    def stop(self, play: Play, keep: Piece | None = None) -> None:
        """Make no more of `play`, but end `keep`."""
        play.waiting.clear()
        for piece in play.pieces:
            if piece is not keep and (task := self._making.pop(piece, None)) is not None:
                task.cancel()

    async def close(self) -> None:
        """Make no more of anything."""
        self._closed = True
        await self._tasks.close()

    def _begin(self, play: Play) -> None:
        """Begin pieces, as many as may be made at once."""
        making = sum(piece in self._making for piece in play.pieces)
        for _ in range(min(play.at_once - making, len(play.waiting)) if not self._closed else 0):
            piece = play.waiting.popleft()
            piece.segment = Segment(play, self._stage.rate, self._progress.set)
            play.pieces.append(piece)
            self._stage.enqueue(piece.segment)
            self._making[piece] = self._tasks.spawn(self._make(play, piece, piece.segment))

    async def _make(self, play: Play, piece: Piece, segment: Segment) -> None:
        try:
            async with aclosing(piece.source(segment.rate)) as chunks:
                async for chunk in chunks:
                    if isinstance(chunk, Word):
                        piece.words.append(chunk)
                        continue
                    await self._turn(play, piece)
                    segment.append(chunk)
        except MediaError as error:
            self._failed(play, error)
        except Exception:
            # Whatever a source raises, the bot must not wait for audio that never comes.
            log.exception("a piece of a play cannot be made")
            self._failed(play, MediaError("an internal error; the operator's log tells more"))
        finally:
            segment.close()
            self._making.pop(piece, None)
            self._progress.set()
            self._begin(play)
            self._made(play)

    async def _turn(self, play: Play, piece: Piece) -> None:
        """Wait until more of `piece` may be queued."""
        while self._far_ahead(play, piece):
            self._progress.clear()
            await self._progress.wait()

    def _far_ahead(self, play: Play, piece: Piece) -> bool:
        """Whether enough waits; the first piece that is not done counts alone, lest it wait for those behind it."""
        unheard = 0.0
        first = next((each for each in play.pieces if each in self._making), None)
        for each in play.pieces:
            unheard += each.unheard_ms
            if each is first is piece:
                break
        return unheard > AHEAD_MS
