"""A fake Deepgram in a process of its own, whose answers take a fixed time: ``python -m bench.cloud DELAY``.

Prints its URL; serves until its standard input is closed. A stalled one (``--stall``) reads and says nothing.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop

from tests.support.clouds.base import Ear
from tests.support.clouds.deepgram import DeepgramCloud

QUIET_SECONDS = 0.3
"""Of audio after which the fake takes an utterance for finished."""


async def serve(delay: float) -> None:
    """Serve until nobody wants it any more."""
    Ear.frame_ms = 5  # it must not take longer than it says
    async with DeepgramCloud(delay=delay) as cloud:
        sys.stdout.write(f"{cloud.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        for complaint in cloud.complaints[:10]:
            sys.stderr.write(f"the fake complains: {complaint}\n")


@asynccontextmanager
async def cloud(delay: float, processor: int | None = None) -> AsyncIterator[tuple[str, int]]:
    """A fake whose answers take `delay` seconds: its URL and process id."""
    pinned = () if processor is None else ("taskset", "-c", str(processor))
    process = await asyncio.create_subprocess_exec(
        *pinned,
        sys.executable,
        "-m",
        "bench.cloud",
        str(delay),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield (await process.stdout.readline()).decode().strip(), process.pid
    finally:
        process.stdin.close()
        await process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("delay", type=float, help="seconds")
    uvloop.run(serve(parser.parse_args().delay))


if __name__ == "__main__":
    main()
