"""What a process holds, as it is exposed."""

import asyncio
from pathlib import Path

from control.gauges import process_gauges


def held() -> dict[str, float]:
    samples = [sample for metric in process_gauges("here") for sample in metric.samples]
    assert {tuple(sample.labels.items()) for sample in samples} == {(("process", "here"),)}
    return {sample.name: sample.value for sample in samples}


async def test_tasks_and_files_are_counted_and_forgotten(tmp_path: Path) -> None:
    before = held()
    task = asyncio.create_task(asyncio.Event().wait())
    with (tmp_path / "file").open("w"):
        during = held()
    task.cancel()
    await asyncio.wait([task])
    assert during == {name: value + 1 for name, value in before.items()}
    assert set(during) == {"sidecall_tasks", "sidecall_open_files"}
    assert held() == before
