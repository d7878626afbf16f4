"""Sending to a provider and receiving from it at the same time, inside an async generator."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

import aiohttp

from control.errors import ProviderError
from media.speech.link import failure

GRACE_SECONDS = 1.0
"""How long a provider that takes nothing any more has to say why: its own words tell more."""

M = TypeVar("M")


async def duplex(
    provider: str,
    send: Callable[[], Coroutine[Any, Any, None]],
    receive: Callable[[], Coroutine[Any, Any, M]],
) -> AsyncGenerator[M, None]:
    """The results of `receive`, called again and again, while one call of `send` runs beside it.

    It ends by being closed, which is due when the last message came; close it with `contextlib.aclosing`. Both sides
    have ended when the closing is done, at whatever await it came. Nothing is received before the last message was
    taken. `send` may return early: all is sent then. Raises what `receive` raises; what `send` raises comes too, but
    a ProviderError only when `receive` has raised nothing for GRACE_SECONDS. Failures of the connection
    become ProviderErrors that name `provider`.
    """
    sender = asyncio.create_task(_send(provider, send))
    receiver: asyncio.Task[M] | None = None
    try:
        while True:
            receiver = asyncio.create_task(_guard(provider, receive))
            yield await _first(receiver, sender)
    finally:
        await _end(sender, receiver)


async def _first(receiver: asyncio.Task[M], sender: asyncio.Task[None]) -> M:
    """What `receiver` has got. Raises what `sender` raised, when that is earlier."""
    while not receiver.done():
        if sender.done():
            sender.result()
            await asyncio.wait({receiver})
        else:
            await asyncio.wait({receiver, sender}, return_when=asyncio.FIRST_COMPLETED)
    return receiver.result()


async def _send(provider: str, send: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        await _guard(provider, send)
    except ProviderError:
        await asyncio.sleep(GRACE_SECONDS)
        raise


async def _guard(provider: str, work: Callable[[], Coroutine[Any, Any, M]]) -> M:
    """The result of `work`; what goes wrong with its connection is a ProviderError."""
    try:
        return await work()
    except (aiohttp.ClientError, OSError) as error:
        raise failure(provider, error) from error


async def _end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel `tasks` and wait until they have ended; what they raise is of no interest any more."""
    left = [task for task in tasks if task is not None]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
