"""A call service among fakes, and time that passes when a test says so."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio

from control.config import Settings
from tests.support.callworld import Clock, MakeWorld, World, settings, world


@pytest_asyncio.fixture
async def make_world() -> AsyncIterator[MakeWorld]:
    """Makes call services with the given settings."""
    worlds: list[World] = []
    async with aiohttp.ClientSession() as http:

        async def make(config: Settings) -> World:
            worlds.append(world(config, http))
            return worlds[-1]

        yield make
        for each in worlds:
            await each.end()


@pytest_asyncio.fixture
async def one(make_world: MakeWorld) -> World:
    """A call service with the usual settings."""
    return await make_world(settings())


@pytest_asyncio.fixture
async def clock() -> Clock:
    """The time of the test's event loop."""
    return Clock(asyncio.get_running_loop())
