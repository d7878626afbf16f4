"""Audio and texts that a test gives to a provider piece by piece."""

import asyncio
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """An iterator of what was put, until `end`."""

    def __init__(self, *items: T) -> None:
        self._items: asyncio.Queue[T | None] = asyncio.Queue()
        self.put(*items)

    def put(self, *items: T) -> Self:
        """These follow."""
        for item in items:
            self._items.put_nowait(item)
        return self

    def end(self) -> Self:
        """Nothing follows."""
        self._items.put_nowait(None)
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        item = await self._items.get()
        if item is None:
            raise StopAsyncIteration
        return item
