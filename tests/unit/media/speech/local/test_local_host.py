import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from control.errors import ProviderError
from media.speech.local import child as child_module
from media.speech.local import host as host_module
from media.speech.local.frames import CREDIT
from media.speech.local.host import Host, Result
from tests.support.children import gone

ECHO = "tests.support.echoengine:Echo"
PATIENCE = 30


@pytest.fixture(autouse=True)
def _findable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of the tests is in no installed package."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[5]))


@asynccontextmanager
async def echo(
    processes: int | None = 1, load_seconds: float = PATIENCE, **settings: Any
) -> AsyncIterator[Host]:
    host = Host("echo", ECHO, settings, processes=processes, load_seconds=load_seconds)
    try:
        async with asyncio.timeout(PATIENCE):
            yield host
    finally:
        await host.close()


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


async def endless() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.Event().wait()


async def said(host: Host, data: Sequence[bytes] = (b"one", b"two"), **parameters: Any) -> list[Result]:
    async with aclosing(host.run(parameters, pieces(*data))) as results:
        return [result async for result in results]


async def test_what_goes_in_comes_out_at_low_priority() -> None:
    async with echo() as host:
        first, *rest = await said(host)
        assert isinstance(first, dict)
        assert first == {"pid": host.pids[0], "nice": os.nice(0) + 5}
        assert rest == [b"one", b"two"]


async def test_processes_are_started_when_needed_and_bounded() -> None:
    async with echo(processes=2) as host:
        assert host.pids == []
        found = await asyncio.gather(*(said(host) for _ in range(6)))
        used = {results[0]["pid"] for results in found if isinstance(results[0], dict)}
        assert used == set(host.pids)
        assert len(used) == 2


async def test_refusals_are_of_their_stream_alone() -> None:
    async with echo() as host:
        with pytest.raises(ProviderError, match="echo: not like this") as caught:
            await said(host, refuse=1)
        assert (caught.value.code, caught.value.retry) == (400, False)
        with pytest.raises(ProviderError, match="echo: it went wrong") as caught:
            await said(host, fail=1)
        assert (caught.value.code, caught.value.retry) == (500, True)
        assert len(host.pids) == 1
        assert len(await said(host)) == 3


async def test_a_death_is_one_error_for_each_stream_and_a_new_process_for_the_next() -> None:
    async with echo() as host:
        running = [host.run({}, endless()) for _ in range(3)]
        for each in running:
            await anext(each)
            assert await anext(each) == b"x"
        (pid,) = host.pids
        os.kill(pid, signal.SIGKILL)
        for each in running:
            with pytest.raises(ProviderError, match="ended with status -9") as caught:
                await anext(each)
            assert caught.value.retry
            with pytest.raises(StopAsyncIteration):
                await anext(each)
        assert len(await said(host)) == 3
        assert host.pids != [pid]


async def test_a_stream_that_kills_its_process_gets_an_error() -> None:
    async with echo() as host:
        with pytest.raises(ProviderError, match="status 3"):
            await said(host, [b"x"] * 500, die=1)
        assert len(await said(host)) == 3


async def test_an_engine_that_cannot_be_loaded_says_why_each_time() -> None:
    async with echo(fail=1) as host:
        for _ in range(2):
            with pytest.raises(ProviderError, match="echo: no model in /nowhere") as caught:
                await said(host)
            assert (caught.value.code, caught.value.retry) == (404, False)
        assert host.pids == []


async def test_a_missing_engine_is_an_error() -> None:
    host = Host("ghost", "nowhere.at.all:Ghost", processes=1)
    with pytest.raises(ProviderError, match="ghost: the package nowhere is not installed"):
        await said(host)
    await host.close()


async def test_a_process_that_ends_at_once_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "PROGRAM", ("/bin/true",))
    async with echo() as host:
        with pytest.raises(ProviderError, match="ended while it was started"):
            await said(host)


async def test_a_program_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "PROGRAM", ("/nowhere/python",))
    async with echo() as host:
        with pytest.raises(ProviderError, match="cannot be started: No such file"):
            await said(host)


async def test_loading_has_a_limit() -> None:
    async with echo(load_seconds=0.5, hang=1) as host:
        with pytest.raises(ProviderError, match=r"not loaded within 0\.5 s") as caught:
            await said(host)
        assert caught.value.code == 504


async def test_an_engine_that_takes_no_stream_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async with echo() as host:
        other = host.run({}, endless())
        await anext(other)
        (pid,) = host.pids
        monkeypatch.setattr(host_module, "OPEN_SECONDS", 0.2)
        with pytest.raises(ProviderError, match=r"took no stream within 0\.2 s") as caught:
            await said(host, hang=1)
        assert caught.value.code == 504
        with pytest.raises(ProviderError, match="status -9"):
            [result async for result in other]
        await gone(pid)


async def test_a_reader_who_waits_stops_the_engine_and_gets_all_in_the_end() -> None:
    piece, copies = bytes(CREDIT // 10), 60
    async with echo() as host:
        slow = host.run({"copies": copies}, pieces(piece))
        await anext(slow)
        assert len(await said(host)) == 3  # another stream goes on meanwhile
        received = [result async for result in slow]
        assert received == [piece] * copies


async def test_what_the_input_raises_comes_out() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise RuntimeError("no more audio")

    async with echo() as host:
        with pytest.raises(RuntimeError, match="no more audio"):
            [result async for result in host.run({}, broken())]


async def test_closing_a_stream_cancels_it_and_leaves_others_alone() -> None:
    async with echo() as host:
        stream = host.run({}, endless())
        await anext(stream)
        await stream.aclose()
        assert len(await said(host)) == 3


async def test_whoever_gives_up_while_a_process_starts_does_not_stop_others() -> None:
    async with echo() as host:
        first = asyncio.create_task(said(host))
        second = asyncio.create_task(said(host))
        await asyncio.sleep(0)
        first.cancel()
        assert len(await second) == 3
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_closing_ends_processes_and_streams() -> None:
    async with echo() as host:
        stream = host.run({}, endless())
        await anext(stream)
        (pid,) = host.pids
        waiting = asyncio.create_task(_rest(stream))
        await asyncio.sleep(0)
        await host.close()
        with pytest.raises(ProviderError, match="echo: it was stopped") as caught:
            await waiting
        assert not caught.value.retry
        await gone(pid)
        with pytest.raises(ProviderError, match="it was stopped"):
            await said(host)


async def _rest(stream: AsyncIterator[Result]) -> list[Result]:
    return [result async for result in stream]


async def test_closing_while_a_process_starts() -> None:
    async with echo(hang=1) as host:
        waiting = asyncio.create_task(said(host))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await host.close()
        with pytest.raises(ProviderError, match="it was stopped"):
            await waiting


async def test_standard_error_is_not_swallowed(capfd: pytest.CaptureFixture[str]) -> None:
    async with echo(stderr="the engine has something to say\n") as host:
        await said(host)
    assert "the engine has something to say" in capfd.readouterr().err


async def test_processes_can_be_started_beforehand() -> None:
    async with echo(processes=2) as host:
        await host.warm()
        assert len(host.pids) == 2
