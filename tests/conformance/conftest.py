"""A place for sessions."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.support.sessions import House, house


@pytest_asyncio.fixture(name="house")
async def _house(tmp_path: Path) -> AsyncIterator[House]:
    """A house with four slots; its sounds folder is `tmp_path`."""
    async with house(tmp_path) as place:
        yield place
