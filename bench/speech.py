"""What calls cost that are listened to and spoken to by a provider in the cloud, and what its stalling does to them.

Starts a media worker without telephony on one processor, the speech process, and on the other processor a fake provider
(`cloud`) and bots (`speechload`). Every bot sends 20 ms of PCM each 20 ms, speaks in bursts that are recognised, and is
always spoken to, by texts that are streamed. Then the provider reads and says nothing for a while.

    .venv/bin/python -m bench.speech --calls 200 --seconds 15 --stall 30 --json
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.cloud import cloud
from bench.sockets import LOAD, SERVER, metrics, ready
from bench.talk import Figures, table
from media.speech.hub.tape import KEEP_SECONDS
from tests.support import ports
from tests.support.clouds.deepgram import KEY
from tests.support.system import to_toml

DELAY = 0.2
"""Seconds that each answer of the fake takes."""
SETTLE_SECONDS = 6.0
"""From the first audio to the first figure: by then every bot speaks and is spoken to."""
HEAL_SECONDS = 20.0
"""For recognition to work again in all calls, once the provider does."""
BYTES_PER_SECOND = 32_000
"""Of audio of a call."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What all had done and seen at a moment."""

    at: float
    bots: dict[str, Any]
    worker: dict[str, float]
    cpu: dict[str, float]
    """Seconds, by process."""
    mb: dict[str, float]

    @property
    def finals(self) -> int:
        """Of all bots."""
        return sum(self.bots["finals"])


class Stage:
    """Everything that runs."""

    def __init__(self, port: int, bots: asyncio.subprocess.Process, pids: Mapping[str, int]) -> None:
        self._port = port
        self._bots = bots
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.peak: dict[str, float] = {}
        """Most memory of each process that `rest` has seen, MB."""

    async def ask(self) -> dict[str, Any]:
        """What the bots saw."""
        assert self._bots.stdin is not None
        assert self._bots.stdout is not None
        self._bots.stdin.write(b"\n")
        line = await self._bots.stdout.readline()
        if not line:
            raise SystemExit("the bots have ended: see above")
        return dict(json.loads(line))

    async def mark(self) -> Mark:
        """Take all figures."""
        bots = await self.ask()
        worker = await metrics(self._port)
        cpu = {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}
        return Mark(time.monotonic(), bots, worker, cpu, self.memory())

    def memory(self) -> dict[str, float]:
        """Of each process, MB."""
        return {name: process.memory_info().rss / 1e6 for name, process in self._processes.items()}

    async def rest(self, seconds: float) -> None:
        """Let time pass, and watch the memory."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for name, mb in self.memory().items():
                self.peak[name] = max(self.peak.get(name, 0), mb)
            await asyncio.sleep(min(left, 0.5))

    def signal(self, name: str, signum: signal.Signals) -> None:
        """Send a signal to a process."""
        self._processes[name].send_signal(signum)


@asynccontextmanager
async def child(
    *words: str, processor: int | None = None, **given: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process, ended at the end."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, **given)
    if processor is not None:
        os.sched_setaffinity(process.pid, {processor})
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        elif process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


@asynccontextmanager
async def stage(calls: int, folder: Path) -> AsyncIterator[Stage]:
    """Start everything."""
    port = ports.port()
    config = folder / "sidecall.toml"
    async with AsyncExitStack() as stack:
        url, fake = await stack.enter_async_context(cloud(DELAY, LOAD, frame_ms=20))
        settings = {
            "run_dir": str(folder / "run"),
            "log_level": "error",
            "api": {"port": port},
            "media": {"slots": calls + 10, "rtp_port": ports.row(2)},
            "records": {"folder": str(folder / "records")},
            "providers": {"deepgram": {"endpoint": url, "secret_key": KEY}},
        }
        config.write_text(to_toml(settings))
        hub = await stack.enter_async_context(child("media.speech.hub", "-c", str(config)))
        worker = await stack.enter_async_context(
            child("media", "-c", str(config), "--no-sip", processor=SERVER, stdout=sys.stderr)
        )
        await ready(port)
        bots = await stack.enter_async_context(
            child(
                "bench.speechload",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"SPEECHLOAD": json.dumps([port, calls, LOAD])},
            )
        )
        pids = {"worker": worker.pid, "hub": hub.pid, "fake": fake, "bots": bots.pid}
        yield Stage(port, bots, pids)


def spent(calls: int, before: Mark, after: Mark) -> Figures:
    """What the time between two marks was like."""
    seconds = after.at - before.at
    ticks = after.worker["sidecall_ticks_total"] - before.worker["sidecall_ticks_total"]
    cpu = {name: after.cpu[name] - before.cpu[name] for name in after.cpu}
    return {
        "seconds": round(seconds, 1),
        "ticks": ticks,
        "late_ticks": after.worker["sidecall_ticks_late_total"] - before.worker["sidecall_ticks_late_total"],
        **{f"{name}_core_percent": round(100 * used / seconds, 1) for name, used in cpu.items()},
        "us_per_call_tick": round(1e6 * cpu["worker"] / ticks / calls, 2),
        "hub_us_per_call_second": round(1e6 * cpu["hub"] / seconds / calls),
        "bursts": after.bots["speaking"] - before.bots["speaking"],
        "finals": after.finals - before.finals,
        "deltas": after.bots["deltas"] - before.bots["deltas"],
        "texts": after.bots["texts"] - before.bots["texts"],
        "frames_received_share": round((after.bots["frames"] - before.bots["frames"]) / ticks / calls, 4),
        "asr_errors": sum(after.bots["asr_errors"]) - sum(before.bots["asr_errors"]),
        "errors": sum(after.bots["errors"].values()) - sum(before.bots["errors"].values()),
        "worker_begin_mb": round(before.mb["worker"], 1),
        "worker_end_mb": round(after.mb["worker"], 1),
        "hub_begin_mb": round(before.mb["hub"], 1),
        "hub_end_mb": round(after.mb["hub"], 1),
    }


async def outage(found: Stage, calls: int, seconds: float) -> Figures:
    """Let the provider stall, heal it, and see what that did."""
    found.peak.clear()
    before = await found.mark()
    found.signal("fake", signal.SIGSTOP)
    try:
        await found.rest(seconds)
        stalled = await found.mark()
    finally:
        found.signal("fake", signal.SIGCONT)
    healed = await recovered(found, stalled)
    await found.rest(5)
    after = await found.mark()
    told = [new - old for old, new in zip(before.bots["asr_errors"], after.bots["asr_errors"], strict=True)]
    what = {text: n - before.bots["errors"].get(text, 0) for text, n in after.bots["errors"].items()}
    for text, number in what.items():
        sys.stderr.write(f"{number:6} × {text}\n")
    return {
        **{f"stall_{name}": value for name, value in spent(calls, before, stalled).items()},
        "stall_late_ticks_to_the_end": after.worker["sidecall_ticks_late_total"]
        - before.worker["sidecall_ticks_late_total"],
        "stall_worker_peak_mb": round(found.peak["worker"], 1),
        "stall_hub_peak_mb": round(found.peak["hub"], 1),
        "stall_worker_after_mb": round(after.mb["worker"], 1),
        "stall_hub_after_mb": round(after.mb["hub"], 1),
        "stall_bound_of_audio_mb": round(calls * KEEP_SECONDS * BYTES_PER_SECOND / 1e6, 1),
        "stall_told_once": told.count(1),
        "stall_not_told": told.count(0),
        "stall_told_more": sum(number > 1 for number in told),
        "stall_recovered_s": round(healed, 1),
        "stall_not_recovered": silent(stalled, after),
    }


def silent(before: Mark, after: Mark) -> int:
    """Bots that were not understood in between."""
    pairs = zip(before.bots["finals"], after.bots["finals"], strict=True)
    return sum(new == old for old, new in pairs)


async def recovered(found: Stage, stalled: Mark) -> float:
    """Wait until every bot was understood again; seconds that took."""
    while True:
        await found.rest(0.5)
        now = await found.mark()
        if not silent(stalled, now) or now.at - stalled.at > HEAL_SECONDS:
            return now.at - stalled.at


async def run(calls: int, seconds: float, stall: float, folder: Path) -> Figures:
    """All figures."""
    async with stage(calls, folder) as found:
        await found.rest(SETTLE_SECONDS)
        before = await found.mark()
        await found.rest(seconds)
        after = await found.mark()
        figures: Figures = {"calls": calls, **spent(calls, before, after)}
        if stall:
            figures |= await outage(found, calls, stall)
        last = await found.ask()
    return figures | {"bots_refused": len(last["refused"]), "sockets_closed": last["closed"]}


def main() -> None:
    """Run, print, and fail if an error came that was not due."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=15.0, help="that are measured while all is well")
    parser.add_argument(
        "--stall", type=float, default=30.0, help="seconds that the provider stalls; 0: never"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sidecall-bench-") as folder:
        figures = asyncio.run(run(options.calls, options.seconds, options.stall, Path(folder)))
    sys.stdout.write(table(figures))
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    bad = (
        "errors",
        "bots_refused",
        "sockets_closed",
        "stall_not_told",
        "stall_told_more",
        "stall_not_recovered",
    )
    sys.exit(any(figures.get(name) for name in bad))


if __name__ == "__main__":
    main()
