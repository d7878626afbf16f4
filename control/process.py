"""How each of our processes starts: settings, logging, event loop; an error that the operator can mend exits with 2."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from control.config import Settings, load
from control.errors import ConfigError, SetupError

REAL_TIME_PRIORITY = 10
"""Of SCHED_FIFO, that media asks for: above everything ordinary, below the kernel's own threads (50)."""
FORMAT = "%(asctime)s %(levelname).1s %(name)s: %(message)s"


def run(config: Path | None, serve: Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run `serve` until it returns; its event is set by SIGTERM and SIGINT.

    A ConfigError or SetupError becomes one sentence on stderr and exit code 2.
    """
    try:
        settings = load(config)
        logging.basicConfig(level=settings.log_level.upper(), format=FORMAT)
        # What was loaded by now lives as long as the process: the collector need not look at it again.
        gc.freeze()
        uvloop.run(_until_signal(settings, serve))
    except (ConfigError, SetupError) as error:
        sys.exit(_refuse(error))


async def _until_signal(
    settings: Settings, serve: Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    await serve(settings, stop)


def _refuse(error: Exception) -> int:
    print(f"sidecall: {error}", file=sys.stderr)
    return 2
