"""A house for sessions among fakes, and one running system that all tests of this folder share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.lab import Lab, running_lab
from tests.support.sessions import House, house


@pytest_asyncio.fixture(name="house")
async def _house(tmp_path: Path) -> AsyncIterator[House]:
    """A house with four slots; its sounds folder is `tmp_path`."""
    async with house(tmp_path) as place:
        yield place


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """Start the system once; its end is checked as well."""
    async with running_lab(tmp_path_factory.mktemp("conformance")) as lab:
        yield lab


@pytest_asyncio.fixture
async def lab(shared_lab: Lab) -> AsyncIterator[Lab]:
    """Lend the system to a test and see that the test's calls leave nothing behind."""
    before = await shared_lab.system.leftovers()
    yield shared_lab
    await shared_lab.system.idle(before)
