"""Work that several want at the same time is done once for all of them."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from control.errors import MediaError
from control.tasks import Tasks

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Flight(Generic[T]):
    task: asyncio.Task[T | MediaError]
    waiting: int = 0


class Flights(Generic[T]):
    """Work under way, by key. Who waits for it may give up; when nobody waits any more, it is cancelled."""

    def __init__(self, owner: str) -> None:
        self._tasks = Tasks(owner)
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def join(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, or of the same under way for another. Raises the MediaError that `work` raises."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(self._tasks.spawn(self._fly(key, work)))
        flight.waiting += 1
        try:
            outcome = await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                # Not one to be joined: at once, not only when the task has learnt of it.
                self._forget(key, flight.task)
                flight.task.cancel()
        if isinstance(outcome, MediaError):
            raise outcome
        return outcome

    async def close(self) -> None:
        """Cancel all work."""
        await self._tasks.close()

    async def _fly(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T | MediaError:
        try:
            return await work()
        except MediaError as error:
            return error
        finally:
            self._forget(key, asyncio.current_task())

    def _forget(self, key: Hashable, task: asyncio.Task[Any] | None) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
