"""The system that most integration tests share."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.lab import Lab, running_lab


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """Start the system once; its end is checked as well."""
    async with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest_asyncio.fixture
async def lab(shared_lab: Lab) -> AsyncIterator[Lab]:
    """Lend the system to a test and see that the test's calls leave nothing behind."""
    before = await shared_lab.system.leftovers()
    yield shared_lab
    await shared_lab.system.idle(before)
