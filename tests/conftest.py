"""For all tests: no task may outlive its test, and a missing program is said aloud."""

import asyncio
import inspect
import os
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

DAEMONS = ("kamailio", "rtpengine", "sipp")


@pytest.fixture(autouse=True)
def _owned_tasks(request: pytest.FixtureRequest) -> None:
    """Watch the tasks of asynchronous tests."""
    function = getattr(request, "function", None)
    if inspect.iscoroutinefunction(function):
        request.getfixturevalue("watched_loop")


@pytest_asyncio.fixture
async def watched_loop() -> AsyncIterator[None]:
    """Run the test with asyncio's debug mode and fail it when a task of its own is left."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks left behind: {[task.get_name() + ' ' + repr(task.get_coro()) for task in left]}"


def _lack(item: pytest.Item) -> str:
    """What `item` needs and this machine does not have; empty when it can run."""
    if item.get_closest_marker("daemons"):
        missing = [program for program in DAEMONS if shutil.which(program) is None]
        if missing:
            return f"not installed: {', '.join(missing)}"
    if item.get_closest_marker("root") and os.geteuid() != 0:
        return "needs root for network namespaces"
    return ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Skip what cannot run here, and fail it where CI is set: there everything must run."""
    if reason := _lack(item):
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return (yield)
