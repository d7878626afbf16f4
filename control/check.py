"""`sidecall check`: a configuration is good when the servers really start with it.

``kamailio -c`` only parses; modules refuse their parameters later. So both servers are started on
spare loopback ports, asked whether they work, and stopped.
"""

import asyncio
import random
import re
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from control import codecs, render, up
from control.children import Guard, spawn
from control.config import Settings
from control.errors import SetupError
from control.network import LOOPBACK, sip_addresses
from control.ports import collisions, endpoints, relayed_ports
from control.supervisor import Program, until

START_SECONDS = 15.0
SETTLE_SECONDS = 0.2
"""After the first answer: a worker that cannot initialise takes the whole server with it."""
STOP_SECONDS = 4.0
_TRIAL_RTP_PORTS = 8
_SPARE = range(10000, 32768)
"""Below the ephemeral range, from which the kernel serves others at any moment."""
_COMPLAINT = re.compile(r"\b(CRITICAL|CRIT|ERROR|ERR|FATAL)\b|cannot|failed", re.IGNORECASE)


async def run(settings: Settings) -> list[str]:
    """Try `settings`; returns one sentence for each fault, none when all is well.

    Raises ConfigError when they cannot even be rendered.
    """
    faults = [
        *collisions(endpoints(settings, tuple(sip_addresses(settings))), relayed_ports(settings)),
        *codecs.missing(settings.calls.codecs),
    ]
    with tempfile.TemporaryDirectory(prefix="sidecall-") as folder:
        trial = trial_settings(settings, Path(folder))
        render.write(trial)
        async with Guard() as guard:
            results = await asyncio.gather(
                _attempt(up.kamailio, trial, guard), _attempt(up.rtpengine, trial, guard)
            )
    return [*faults, *filter(None, results)]


def trial_settings(settings: Settings, folder: Path) -> Settings:
    """`settings` moved to spare loopback ports and to `folder`."""
    sip, evapi, ng, cli, http, *relayed = spare_range(5 + _TRIAL_RTP_PORTS)
    rtpengine = {
        "ng_port": ng,
        "cli_port": cli,
        "http_port": http,
        "port_min": relayed[0],
        "port_max": relayed[-1],
    }
    return settings.model_copy(
        update={
            "run_dir": folder,
            "sip": settings.sip.model_copy(update={"address": LOOPBACK, "port": sip}),
            "kamailio": settings.kamailio.model_copy(update={"evapi_port": evapi}),
            "rtpengine": settings.rtpengine.model_copy(update=rtpengine),
        }
    )


def spare_range(count: int) -> range:
    """`count` consecutive loopback ports that nobody uses at this moment, neither for UDP nor for TCP."""
    while True:
        first = random.randrange(_SPARE.start, _SPARE.stop - count)  # noqa: S311 - not a secret
        if all(_is_free(port) for port in range(first, first + count)):
            return range(first, first + count)


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind((LOOPBACK, port))
            except OSError:
                return False
    return True


async def _attempt(build: Callable[[Settings], Program], trial: Settings, guard: Guard) -> str | None:
    """Start what `build` describes, wait until it works, stop it; a sentence when it does not."""
    try:
        program = build(trial)
        child = await spawn(program.argv)
    except SetupError as error:
        return str(error)
    except OSError as error:
        return f"{build.__name__} cannot be run: {error.strerror}"
    guard.add(child.pid)
    ready = asyncio.create_task(until(program.ready))
    ended = asyncio.create_task(child.wait())
    start = time.monotonic()
    try:
        await asyncio.wait({ready, ended}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({ended}, timeout=SETTLE_SECONDS)
        works = ready.done() and not ended.done()
        stopped = True
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await child.end(forks=program.forks)
        except TimeoutError:
            stopped = False
    finally:
        ready.cancel()
        child.kill()
        await asyncio.gather(ready, ended, return_exceptions=True)
        log = await child.output.read()
        child.close()
        guard.remove(child.pid)
    if not works:
        seconds = time.monotonic() - start
        return f"{program.name} does not start with this configuration ({seconds:.1f} s): {_reason(log)}"
    if not stopped:
        return f"{program.name} does not stop within {STOP_SECONDS:g} s of SIGTERM"
    return None


def _reason(log: bytes) -> str:
    """The line of `log` that says best why a server gave up."""
    lines = [line.strip() for line in log.decode("utf-8", "replace").splitlines() if line.strip()]
    return next(
        (line for line in lines if _COMPLAINT.search(line)), lines[-1] if lines else "it said nothing"
    )
