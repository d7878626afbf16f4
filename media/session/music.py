"""What a caller hears who waits: ringing tone at once, music as soon as it is here."""

import asyncio
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from control.errors import MediaError
from media.api import events
from media.engine.background import Loop
from media.engine.tones import tone
from media.session.clock import now_ms
from media.session.sound import sound
from media.speech.voice import Word

if TYPE_CHECKING:
    from media.session.session import Session

RINGING_TONE = {425.0: -13.0}
"""Hz and dBm0 (ITU-T E.180 section 7)."""
TONE_MS, PAUSE_MS = 1000, 4000


@cache
def ringing_tone(rate: int) -> Loop:
    """The tone with its pause, at `rate` Hz."""
    pause = np.zeros(rate * PAUSE_MS // 1000, np.int16)
    return Loop(np.concatenate([tone(RINGING_TONE, rate, TONE_MS), pause]), rate)


class Music:
    """The background of one slot; what the bot plays is heard over it."""

    def __init__(self, session: "Session", slot: int, url: str | None) -> None:
        self._session, self._slot = session, slot
        self._engine = session.services.engine
        self._engine.background(slot, ringing_tone(self._engine.rate(slot)), 1.0, 0.3)
        self._loading: asyncio.Task[None] | None = None
        if url is not None:
            self._loading = session.spawn(self._load(url))
        self._on = True

    def stop(self) -> None:
        """Let it end; stopping twice does nothing."""
        if self._loading is not None:
            self._loading.cancel()
        if self._on:
            self._on = False
            self._engine.background(self._slot, None)

    async def _load(self, url: str) -> None:
        rate = self._engine.rate(self._slot)
        try:
            made = [chunk async for chunk in sound(self._session.services, url)(rate)]
            pcm = [chunk for chunk in made if not isinstance(chunk, Word)]
            if sum(map(len, pcm)):
                self._engine.background(self._slot, Loop(np.concatenate(pcm), rate), 1.0, 0.3)
        except MediaError as error:
            self._session.send(
                events.Error(
                    track_id=self._session.track.id,
                    timestamp=now_ms(),
                    sender="moh",
                    error=f"{error}; the caller hears ringing tone instead",
                    code=error.code,
                )
            )
