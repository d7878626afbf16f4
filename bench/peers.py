"""The audio of a call by three designs, one after another in the same run: what each costs the processor.

    .venv/bin/python -m bench.peers --json

engine            the tick engine, all calls at once: bench/engine.py with voice detection
asyncio, uvloop   a protocol for each call, on either event loop: bench/peer_asyncio.py
pipecat           pipecat-ai, a pipeline for each call: bench/peer_pipecat.py, installed into .cache/peers at first

All receive PCMU from a far end that sends it to every call each 20 ms, put packets in order, decode, detect voice
(Silero at 8 kHz on each window of 32 ms, of the same loud noise), play audio without end, encode, and send a packet
each 20 ms. The peers do little more than that. The engine also conceals losses, counts for RTCP, looks for DTMF events
and changes of the source, and reports speech. pipecat's own work (frames, queues, loudness) is its own.

Each contestant is a process of its own on processor 0; the far end is on processor 1. Processor time is that of the
whole process, user and system, all threads, from a second after the start for the peers and from the first tick for the
engine. The peers have fewer calls: as many as they carry well. With --rounds all take turns, and figures are medians.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from bench import load

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "peers"
PIPECAT = "1.14.0"
CPU, FAR_CPU = 0, 1
WARM_UP = 1.0
"""Seconds of the load before a peer is counted."""
INSTALLING = 900
"""Seconds that the installation of pipecat-ai may take."""
MOST_CALLS = 3000
ENOUGH = 97
DONE = ("received_percent", "windows_percent", "sent_percent", "in_time_percent")
"""Of these, ENOUGH must be done for the figures to count."""
ATTEMPTS = 5


Figures = dict[str, float]


@dataclass(frozen=True)
class Peer:
    """A contestant that talks as bench/peer_asyncio.py does."""

    name: str
    calls: int
    command: tuple[str, ...]


@asynccontextmanager
async def started(command: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process on the contestants' processor, gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        *("taskset", "-c", str(CPU), *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def measure_engine(calls: int, seconds: float, *, fifo: bool) -> Figures:
    """Run the engine under load."""
    options = [
        "--calls",
        str(calls),
        "--seconds",
        str(seconds),
        "--vad",
        "--json",
        *(["--fifo"] if fifo else []),
    ]
    async with started([sys.executable, "-m", "bench.engine", *options]) as process:
        figures = json.loads(await load.line(process))
    return {
        "calls": calls,
        "us_per_call_tick": figures["us_per_call_tick"],
        "core_percent": figures["core_percent"],
        "received_percent": round((1 - figures["lost_packets"] / figures["far_sent"]) * 100, 1),
        "in_time_percent": round(max(0, 1 - figures["late_ticks"] / figures["ticks"]) * 100, 1),
    }


async def measure(peer: Peer, seconds: float, *, fifo: bool) -> Figures:
    """Run a peer under load."""
    priority = ["chrt", "-f", "10"] if fifo else []
    async with started([*priority, *peer.command, str(peer.calls)]) as process:
        port = int(await load.line(process))
        async with load.far_end(peer.calls, seconds + WARM_UP, port, cpu=FAR_CPU, step=1) as far:
            await load.tell(process, await load.line(far))
            await load.line(process)
            await load.tell(far)
            await asyncio.sleep(WARM_UP)
            await load.tell(process)
            await load.line(far)
            await load.tell(process)
            figures: Figures = json.loads(await load.line(process))
    return figures


async def complete(name: str, attempt: Callable[[], Awaitable[Figures]]) -> Figures:
    """Measure until all the work was done in the time: otherwise it would look cheaper than it is."""
    for _ in range(ATTEMPTS):
        figures = await attempt()
        undone = [f"{key} {figures[key]}" for key in DONE if figures.get(key, 100) < ENOUGH]
        if not undone:
            return figures
        print(f"{name} did not do all its work ({', '.join(undone)}), once more", file=sys.stderr)
    sys.exit(
        f"{name} has too many calls for this processor, or others use it: lower --…-calls, or try --fifo"
    )


def install() -> Path:
    """The python of a virtual environment that has pipecat-ai, made when it is missing."""
    python, stamp = CACHE / "bin" / "python", CACHE / f"pipecat-{PIPECAT}"
    if stamp.exists():
        return python
    print(f"installing pipecat-ai {PIPECAT} into {CACHE}, this takes a minute", file=sys.stderr)
    venv.create(CACHE, clear=True, with_pip=True)
    wanted = [
        f"pipecat-ai=={PIPECAT}",
        *(f"{name}=={version(name)}" for name in ("numpy", "onnxruntime", "uvloop")),
    ]
    command = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *wanted]
    try:
        subprocess.run(command, check=True, stdout=sys.stderr, timeout=INSTALLING)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        sys.exit(
            f"pipecat-ai could not be installed ({error}): see pip's message above, or go without: --no-pipecat"
        )
    stamp.touch()
    return python


def machine() -> dict[str, object]:
    """What all this ran on."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    versions = {name: version(name) for name in ("numpy", "onnxruntime", "silero-vad", "uvloop")}
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": versions | {"pipecat-ai": PIPECAT},
        "load_average": os.getloadavg()[0],
    }


async def run(engine_calls: int, peers: list[Peer], seconds: float, rounds: int, *, fifo: bool) -> Figures:
    """All contestants in turn; medians, and medians of the ratios to the engine's round."""
    results: dict[str, list[float]] = {}
    for _ in range(rounds):
        engine = await complete("engine", partial(measure_engine, engine_calls, seconds, fifo=fifo))
        figures = {f"engine_{name}": value for name, value in engine.items()}
        for peer in peers:
            part = await complete(peer.name, partial(measure, peer, seconds, fifo=fifo))
            figures |= {f"{peer.name}_{name}": value for name, value in part.items()}
            figures[f"ratio_{peer.name}"] = part["us_per_call_tick"] / engine["us_per_call_tick"]
        for name, value in figures.items():
            results.setdefault(name, []).append(value)
    return {name: round(statistics.median(values), 2) for name, values in results.items()}


def table(figures: Figures, names: list[str]) -> str:
    """The figures for people."""
    lines = [f"{'':14}{'calls':>6}{'core %':>8}{'us per call-tick':>18}{'ratio':>8}"]
    for name in names:
        calls, core, cost = (
            figures[f"{name}_{key}"] for key in ("calls", "core_percent", "us_per_call_tick")
        )
        lines.append(f"{name:14}{calls:6.0f}{core:8.1f}{cost:18.2f}{figures.get(f'ratio_{name}', 1):8.1f}")
    return "\n".join(lines)


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description="Cost of the engine, and of other designs doing the same.")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=1, help="turns of all contestants (default 1)")
    parser.add_argument("--engine-calls", type=int, default=1000, help="default 1000")
    parser.add_argument("--asyncio-calls", type=int, default=100, help="on either event loop (default 100)")
    parser.add_argument("--pipecat-calls", type=int, default=20, help="default 20")
    parser.add_argument(
        "--no-pipecat", action="store_true", help="go without pipecat-ai, and do not install it"
    )
    parser.add_argument("--fifo", action="store_true", help="give all contestants real-time priority")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    calls = (arguments.engine_calls, arguments.asyncio_calls, arguments.pipecat_calls)
    if min(calls) < load.PROBES or max(calls) > MOST_CALLS:
        parser.error(f"each takes {load.PROBES} to {MOST_CALLS} calls")
    if not 1 <= arguments.seconds <= 60 or not 1 <= arguments.rounds <= 20:
        parser.error("--seconds takes 1 to 60, --rounds 1 to 20")
    if (os.cpu_count() or 1) <= FAR_CPU:
        sys.exit("this needs two processors: one for the contestants, one for the far end")
    protocol = (sys.executable, "-m", "bench.peer_asyncio")
    peers = [
        Peer("asyncio_vad", arguments.asyncio_calls, protocol),
        Peer("uvloop_vad", arguments.asyncio_calls, (*protocol, "--uvloop")),
    ]
    if not arguments.no_pipecat:
        peers.append(Peer("pipecat", arguments.pipecat_calls, (str(install()), "-m", "bench.peer_pipecat")))
    shape = machine()
    figures = asyncio.run(
        run(arguments.engine_calls, peers, arguments.seconds, arguments.rounds, fifo=arguments.fifo)
    )
    if arguments.json:
        print(json.dumps(figures | {"machine": shape}))
    else:
        print(table(figures, ["engine", *(peer.name for peer in peers)]))


if __name__ == "__main__":
    main()
