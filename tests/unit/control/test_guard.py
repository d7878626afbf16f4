"""The guard: at the end of its input it kills what is still listed."""

import asyncio

from control import guard
from control.children import spawn
from tests.support.children import PATIENCE, gone, python

WAITS = "say('up')\nwhile True: signal.pause()"


async def test_it_kills_what_is_listed_and_nothing_else() -> None:
    listed, forgotten = await spawn(python(WAITS)), await spawn(python(WAITS))
    for child in (listed, forgotten):
        await child.output.readline()
    guard.run([f"+{listed.pid}\n", f"+{forgotten.pid}\n", f"-{forgotten.pid}\n"])
    async with asyncio.timeout(PATIENCE):
        assert await listed.wait() == -9
    assert forgotten.status is None
    forgotten.kill()
    await forgotten.wait()
    for child in (listed, forgotten):
        child.close()


async def test_a_group_that_is_gone_does_not_stop_it() -> None:
    ended, child = await spawn(python("sys.exit()")), await spawn(python(WAITS))
    await ended.wait()
    guard.run([f"+{ended.pid}\n", f"+{child.pid}\n"])
    await gone(child.pid)
    await child.wait()
    for each in (ended, child):
        each.close()
