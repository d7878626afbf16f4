"""Spoken texts that may be wanted again, in memory and on disk."""

import asyncio
import hashlib
import json
from collections.abc import Sequence

import numpy as np

from control.tasks import Tasks
from media.api.options import SynthesisOption
from media.speech.text import clean
from media.speech.voice import Samples
from media.store import Entry, Memory, Store

MAX_BYTES = 20_000_000
"""Of the longest speech: ten minutes at 16 kHz."""
_SOUND = (
    "endpoint",
    "region",
    "model",
    "language",
    "speaker",
    "speed",
    "volume",
    "emotion",
    "samplerate",
    "codec",
)
"""Fields of an option that change what is heard; none is a secret."""


class SpeechCache:
    """Speech by what was asked for. `defaults` is what changes the sound beside the option: the settings' voice."""

    def __init__(self, store: Store | None, memory: Memory, defaults: str = "") -> None:
        self._store = store
        self._memory = memory
        self._defaults = defaults
        self._tasks = Tasks("speech cache")

    @property
    def largest(self) -> int:
        """Bytes of the longest speech that is kept; 0: nothing is."""
        return 0 if self._store is None else min(self._store.largest, MAX_BYTES)

    def key(
        self, provider: str, text: str, option: SynthesisOption | None, rate: int, name: str | None = None
    ) -> str:
        """What stands for `text` spoken with `option` at `rate` Hz; `name`, the bot's own, instead of the text."""
        option = option or SynthesisOption()
        said = {"name": name} if name is not None else {"text": clean(text)}
        sound = {field: getattr(option, field) for field in _SOUND} | {"extra": option.extra}
        asked = {"provider": provider, "rate": rate, "defaults": self._defaults, "sound": sound, **said}
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()

    async def get(self, key: str) -> Samples | None:
        """The speech called `key`, or None."""
        if self._store is None:
            return None
        samples = self._memory.get(key)
        if samples is None and (entry := await asyncio.to_thread(self._store.get, key)) is not None:
            samples = np.frombuffer(entry.data, "<i2", len(entry.data) // 2)
            self._memory.put(key, samples)
        return samples

    def put(self, key: str, chunks: Sequence[Samples]) -> None:
        """Keep the speech that consists of `chunks`; it is written behind the scenes."""
        if self._store is not None:
            self._tasks.spawn(self._keep(self._store, key, chunks))

    async def settle(self) -> None:
        """Wait until all is written."""
        await self._tasks.settle()

    async def _keep(self, store: Store, key: str, chunks: Sequence[Samples]) -> None:
        def write() -> Samples:
            samples = np.concatenate(chunks)
            store.put(key, Entry(samples.astype("<i2").tobytes()))
            return samples

        self._memory.put(key, await asyncio.to_thread(write))
