"""A fake Deepgram in a process of its own, whose answers take a fixed time: ``python -m bench.cloud DELAY``.

Prints its URL; serves until its standard input is closed. SIGSTOP makes it stall: its connections stand and new ones
come about, but it reads and says nothing until SIGCONT.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import uvloop

from tests.support.clouds.base import Ear, Trouble
from tests.support.clouds.deepgram import DeepgramCloud

QUIET_SECONDS = 0.3
"""Of audio after which the fake takes an utterance for finished."""
FRAME_MS = 5
"""It must not take longer than it says; many calls at once are too much for that."""


class Forgetful(bytearray):
    """Keeps nothing: hundreds of calls are too much to be kept."""

    def __iadd__(self, _: object) -> Self:
        return self


class Cloud(DeepgramCloud):
    """The fake, which runs for long."""

    def connected(self) -> Trouble | None:
        """As `DeepgramCloud`, but what comes is forgotten."""
        trouble = super().connected()
        self.heard[:], self.texts[:], self.queries[:], self.controls[:] = [Forgetful()], [[]], [], []
        return trouble


async def serve(delay: float, frame_ms: int) -> None:
    """Serve until nobody wants it any more."""
    Ear.frame_ms = frame_ms
    # The packet that ends the pause must do: a filter's ringing behind the last sound must not ask for one more.
    Ear.quiet_ms -= 10
    # Who hangs up while it speaks is no fault of the fake.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    async with Cloud(delay=delay) as cloud:
        sys.stdout.write(f"{cloud.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        for complaint in cloud.complaints[:10]:
            sys.stderr.write(f"the fake complains: {complaint}\n")


@asynccontextmanager
async def cloud(
    delay: float, processor: int | None = None, *, frame_ms: int = FRAME_MS
) -> AsyncIterator[tuple[str, int]]:
    """A fake whose answers take `delay` seconds: its URL and process id."""
    pinned = () if processor is None else ("taskset", "-c", str(processor))
    process = await asyncio.create_subprocess_exec(
        *pinned,
        sys.executable,
        "-m",
        "bench.cloud",
        str(delay),
        f"--frame-ms={frame_ms}",
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
    parser.add_argument(
        "--frame-ms", type=int, default=FRAME_MS, help="audio is loud or quiet in such pieces"
    )
    options = parser.parse_args()
    uvloop.run(serve(options.delay, options.frame_ms))


if __name__ == "__main__":
    main()
