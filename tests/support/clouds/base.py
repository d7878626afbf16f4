"""Speech services in the cloud, faked: what they have in common.

A fake checks what it is sent as strictly as the real one (or more strictly), and keeps every complaint. It hears
loud audio as utterances and speaks a tone, so that tests know exactly what must come out. `trouble` tells what goes
wrong next, and at which stage.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import ClassVar, Self

import numpy as np
from aiohttp import web


class Fault(Enum):
    """What goes wrong."""

    REFUSE = "refuse"
    """It says no, in its own words: a status of HTTP at CONNECT, an error message later."""
    CUT = "cut"
    """The TCP connection is reset without a word."""
    STALL = "stall"
    """It says nothing any more, but stays there."""
    GARBLE = "garble"
    """It sends something that is no message of its protocol."""


class Stage(Enum):
    """When."""

    CONNECT = "connect"
    """Before the handshake of the WebSocket (or any answer to the request) is done."""
    BEGIN = "begin"
    """At its first message, such as the one that says that work may begin."""
    MIDDLE = "middle"
    """When it has sent its first result, or its first audio."""
    END = "end"
    """When it was told that nothing follows."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that goes wrong with one connection."""

    fault: Fault
    stage: Stage


@dataclass(frozen=True, slots=True)
class Said:
    """What the fake understood of one utterance; times in ms of the audio of its connection."""

    index: int
    text: str
    start: int
    end: int
    final: bool


QUIET_MS = 300
LOUD = 500
SCRIPT = ("hello there", "I would like to book a table", "for two persons", "at eight", "thank you")


class Ear:
    """Hears loud audio as utterances: a delta with the first word, another with half, a final after QUIET_MS."""

    frame_ms: ClassVar[int] = 20
    """Audio is loud or quiet in pieces of so many ms."""
    quiet_ms: ClassVar[int] = QUIET_MS

    def __init__(self, rate: int = 16_000) -> None:
        self._frame = rate * self.frame_ms // 1000
        self._rest = b""
        self._ms = 0
        self._start: int | None = None
        self._loud = 0
        self._index = 0
        self._told = 0

    @property
    def ms(self) -> int:
        """How much was heard."""
        return self._ms

    def feed(self, pcm: bytes) -> list[Said]:
        """What `pcm`, s16le, adds."""
        data, found = self._rest + pcm, []
        size = self._frame * 2
        for at in range(0, len(data) - size + 1, size):
            frame = np.frombuffer(data, "<i2", self._frame, at)
            found += self._hear(bool(np.abs(frame.astype(np.int32)).max() > LOUD))
        self._rest = data[len(data) - len(data) % size :]
        return found

    def end(self) -> list[Said]:
        """Nothing follows."""
        return [self._final()] if self._start is not None else []

    def _hear(self, loud: bool) -> list[Said]:
        self._ms += self.frame_ms
        if loud:
            if self._start is None:
                self._start, self._told = self._ms - self.frame_ms, 0
            self._loud = self._ms
            words = SCRIPT[self._index % len(SCRIPT)].split()
            due = [1, max(1, len(words) // 2)][: 1 + (self._ms - self._start >= 400)]
            if self._ms - self._start >= 100 and due[-1] > self._told:
                self._told = due[-1]
                text = " ".join(words[: self._told])
                return [Said(self._index, text, self._start, self._ms, final=False)]
        elif self._start is not None and self._ms - self._loud >= self.quiet_ms:
            return [self._final()]
        return []

    def _final(self) -> Said:
        assert self._start is not None
        said = Said(self._index, SCRIPT[self._index % len(SCRIPT)], self._start, self._loud, final=True)
        self._start = None
        self._index += 1
        return said


def spoken(text: str, rate: int, ms_per_character: int = 20) -> bytes:
    """A tone of 440 Hz, as long as `text` deserves: s16le."""
    time = np.arange(len(text) * ms_per_character * rate // 1000) / rate
    return (8000 * np.sin(2 * np.pi * 440 * time)).astype("<i2").tobytes()


@dataclass
class Cloud:
    """A fake service on a port of its own; an async context manager. Subclasses add routes and set `routes`."""

    delay: float = 0.0
    """Seconds that its answers take (first result after the end of an utterance, first audio after a text)."""
    trouble: deque[Trouble] = field(default_factory=deque)
    """What goes wrong with the next connections, one each; then all is well."""
    complaints: list[str] = field(default_factory=list)
    """What clients did wrong; a test ends with none."""
    connections: int = 0
    heard: list[bytearray] = field(default_factory=list)
    """Audio that came, for each connection."""
    texts: list[list[str]] = field(default_factory=list)
    """Texts that came, for each connection."""
    url: str = ""
    """``http://127.0.0.1:PORT``, once it runs."""

    def __post_init__(self) -> None:
        self._app = web.Application()
        self._runner: web.AppRunner | None = None
        self._stalled = asyncio.Event()
        self.add_routes(self._app.router)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add what the service serves."""
        raise NotImplementedError

    @property
    def ws_url(self) -> str:
        """The same with ``ws:``."""
        return self.url.replace("http", "ws", 1)

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self._app, handle_signals=False, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stalled.set()
        assert self._runner is not None
        await self._runner.cleanup()

    def complain(self, what: str) -> None:
        """A client did something wrong."""
        self.complaints.append(what)

    def connected(self) -> Trouble | None:
        """A connection came: what is to go wrong with it."""
        self.connections += 1
        self.heard.append(bytearray())
        self.texts.append([])
        return self.trouble.popleft() if self.trouble else None

    async def stall(self) -> None:
        """Do nothing until the fake is closed."""
        await self._stalled.wait()

    @staticmethod
    def cut(request: web.Request) -> None:
        """Reset the connection."""
        transport = request.transport
        if transport is not None:
            transport.abort()
