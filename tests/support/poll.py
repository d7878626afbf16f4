"""Waiting for what other processes do and nobody announces."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], within: float, every: float = 0.02) -> None:
    """Look every `every` seconds until `condition` holds; raises TimeoutError after `within` seconds."""
    async with asyncio.timeout(within):
        while True:
            if await condition():
                return
            await asyncio.sleep(every)
