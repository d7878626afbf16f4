"""Sending to a provider and receiving from it at the same time, inside an async generator."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
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
    try:
        while True:
            # Sending goes on, and other calls have their turn, also while message after message is there already.
            await asyncio.sleep(0)
            yield await _guard(provider, lambda: _unless_failed(sender, receive))
    finally:
        await _end(sender)


async def _unless_failed(sender: asyncio.Task[None], receive: Callable[[], Coroutine[Any, Any, M]]) -> M:
    """The result of `receive`. Raises what `sender` raises meanwhile, or has raised."""
    if sender.done():
        sender.result()
        return await receive()
    # No task to wait for beside the other one: one for each message costs more than all else that is done for it.
    try:
        async with asyncio.timeout(None) as limit:
            interrupt = partial(_interrupt, limit)
            sender.add_done_callback(interrupt)
            try:
                return await receive()
            finally:
                sender.remove_done_callback(interrupt)
    except TimeoutError:
        if limit.expired():
            sender.result()
        raise


def _interrupt(limit: asyncio.Timeout, sender: asyncio.Task[None]) -> None:
    """End what `limit` limits, if `sender` has failed."""
    if not sender.cancelled() and sender.exception() is not None:
        limit.reschedule(0)


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


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel `task` and wait until it has ended; what it raises is of no interest any more."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
