"""A media worker that a test plays by itself: it says what it wants on the leg API and sees every notice."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from control.api import models
from control.api.client import LegClient
from control.rtpengine.stream import Endpoint
from tests.support.bot import PATIENCE
from tests.support.poll import until

NoticeT = TypeVar("NoticeT", bound=models.Notice)
ModelT = TypeVar("ModelT", bound=models.Model)
SESSION = "the-session"


@dataclass(eq=False)
class LegWorker:
    """Open it by `leg_worker`; it has one session."""

    endpoint: Endpoint
    client: LegClient = field(init=False)
    notices: asyncio.Queue[models.Notice] = field(default_factory=asyncio.Queue)
    legs: set[str] = field(default_factory=set)
    """What it holds."""

    async def ask(self, request: models.Message, result: type[ModelT]) -> ModelT:
        """Ask control. Raises LegError."""
        return await self.client.request(request, result)

    async def next(self, kind: type[NoticeT]) -> NoticeT:
        """The next notice, which must be of `kind`."""
        async with asyncio.timeout(PATIENCE):
            notice = await self.notices.get()
        assert isinstance(notice, kind), notice
        return notice

    async def accept(self) -> models.Incoming:
        """Take the next call of its pool; its `Answered` follows."""
        incoming = await self.next(models.Incoming)
        self.legs.add(incoming.leg)
        request = models.Accept(leg=incoming.leg, session=SESSION, endpoint=self.endpoint)
        await self.ask(request, models.Media)
        return incoming

    async def refer(self, leg: str, callee: str, **options: object) -> models.Invited:
        """Connect the peer of `leg` with `callee`."""
        request = models.Refer.model_validate({"leg": leg, "session": SESSION, "callee": callee} | options)
        invited = await self.ask(request, models.Invited)
        self.legs.add(invited.leg)
        return invited

    async def hang_up(self, leg: str) -> None:
        """End a leg."""
        await self.ask(models.Hangup(leg=leg), models.Done)


@asynccontextmanager
async def leg_worker(url: str, endpoint: Endpoint, pool: str = "default") -> AsyncIterator[LegWorker]:
    """A worker whose session waits in `pool`, while the block runs."""
    worker = LegWorker(endpoint)

    def ignore(_: Collection[str]) -> None:
        """Control holds what it holds."""

    worker.client = LegClient(
        url,
        "test-worker",
        legs=lambda: worker.legs,
        on_notice=worker.notices.put_nowait,
        on_welcome=ignore,
    )
    running = asyncio.create_task(worker.client.run())

    async def connected() -> bool:
        return worker.client.connected

    try:
        await until(connected, within=PATIENCE)
        await worker.ask(models.Join(session=SESSION, pool=pool), models.Done)
        yield worker
        await worker.ask(models.Leave(session=SESSION), models.Done)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
