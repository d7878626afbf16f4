import asyncio
import logging

import pytest

from control.tasks import Tasks


async def forever(started: asyncio.Event) -> None:
    started.set()
    await asyncio.Event().wait()


async def fail(words: str) -> None:
    raise ValueError(words)


async def test_a_task_runs_and_is_forgotten() -> None:
    tasks = Tasks("owner")
    task = tasks.spawn(asyncio.sleep(0, "result"))
    assert len(tasks) == 1
    assert await task == "result"
    await tasks.settle()
    assert len(tasks) == 0


async def test_an_exception_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks("the owner")
    task = tasks.spawn(fail("the fault"))
    await tasks.settle()
    (record,) = caplog.records
    assert record.getMessage() == "the owner: a task failed"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the fault"
    with pytest.raises(ValueError, match="the fault"):
        task.result()


async def test_settle_waits_for_tasks_that_tasks_start() -> None:
    tasks = Tasks("owner")
    order: list[str] = []

    async def second() -> None:
        order.append("second")

    async def first() -> None:
        await asyncio.sleep(0)
        order.append("first")
        tasks.spawn(second())

    tasks.spawn(first())
    await tasks.settle()
    assert order == ["first", "second"]


async def test_close_ends_all_and_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "control")
    tasks = Tasks("owner")
    started = [asyncio.Event(), asyncio.Event()]
    running = [tasks.spawn(forever(event)) for event in started]
    for event in started:
        await event.wait()
    await tasks.close()
    assert all(task.cancelled() for task in running)
    assert len(tasks) == 0
    assert caplog.records == []


async def test_a_fault_while_a_task_is_ended_is_heard_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = Tasks("owner")
    started = asyncio.Event()

    async def stubborn() -> None:
        try:
            await forever(started)
        finally:
            await fail("in the end")

    other = tasks.spawn(forever(asyncio.Event()))
    tasks.spawn(stubborn())
    await started.wait()
    await tasks.close()
    assert other.cancelled()
    assert "in the end" in caplog.text


async def test_a_task_may_close_its_own_owner() -> None:
    tasks = Tasks("owner")
    other = tasks.spawn(forever(asyncio.Event()))
    closing = tasks.spawn(tasks.close())
    await closing
    assert other.cancelled()
    await tasks.close()


async def test_nothing_to_close() -> None:
    await Tasks("owner").close()
