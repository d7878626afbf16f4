"""What calls cost: SIPp calls a whole system that takes, connects, holds and ends them.

Starts ``sidecall up`` on ports of its own, a pool of bots that accept at once (in this process) and SIPp,
which sends PCMU while a call stands. Afterwards no dialog, rtpengine call or slot may be left.

    .venv/bin/python bench/calls.py --rate 100 --seconds 30 --hold 2 --json
"""

import argparse
import asyncio
import json
import math
import resource
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))  # the test peers are no installed package

from tests.support import ports, wav
from tests.support.poll import until
from tests.support.sipp import Report, sipp
from tests.support.system import WAITING, System, running_system

ROUTE = "default"
SETTLE_SECONDS = 15.0
SOUND_SECONDS = 10
MEGABYTES_PER_CPS = 1.5
"""Kamailio keeps the transactions of a call for 32 s."""
ROLES = ("kamailio", "rtpengine", "control", "media", "speech")
PARTS = (*ROLES, "up", "bots", "sipp")


@dataclass(frozen=True, slots=True)
class Load:
    """What to do."""

    rate: int
    """Calls per second."""
    seconds: float
    hold: float
    """Seconds from the ACK to the caller's BYE."""
    bots: int

    @property
    def calls(self) -> int:
        """How many calls."""
        return round(self.rate * self.seconds)


class Bots:
    """Bots that wait, accept whatever comes, and wait again after its end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answered = 0
        self.errors = 0
        self.refused = 0

    async def serve(self, http: aiohttp.ClientSession) -> None:
        """Be one of them until cancelled."""
        while True:
            try:
                await self._take_one(http)
            except aiohttp.ClientError:
                self.refused += 1
                await asyncio.sleep(0.1)

    async def _take_one(self, http: aiohttp.ClientSession) -> None:
        async with http.ws_connect(self.url) as socket:
            async for message in socket:
                match json.loads(message.data)["event"]:
                    case "incoming":
                        await socket.send_str('{"command":"accept","option":{}}')
                    case "answer":
                        self.answered += 1
                    case "error":
                        self.errors += 1


@asynccontextmanager
async def waiting_bots(system: System, count: int) -> AsyncIterator[Bots]:
    """Let `count` bots wait, and the block run once all of them do."""
    bots = Bots(f"ws://{system.api}/call/sip?route={ROUTE}")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        tasks = [asyncio.create_task(bots.serve(http)) for _ in range(count)]

        async def all_wait() -> bool:
            return (await system.metrics()).get(WAITING.format(ROUTE), 0) >= count

        try:
            await until(all_wait, within=SETTLE_SECONDS)
            yield bots
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def role(process: psutil.Process) -> str:
    """Which part of the system `process` is."""
    line = process.cmdline()
    if any(word.startswith("media.speech") for word in line):
        return "speech"
    words = [Path(word).name.partition(".")[2] or Path(word).name for word in line]
    return next((name for name in ROLES if name in words or name == process.name()), "up")


def cpu_seconds(system: System) -> Mapping[str, float]:
    """Return the CPU time that each part of the system, and the bots, have used so far."""
    used: dict[str, float] = defaultdict(float)
    for process in system.processes():
        try:
            times = process.cpu_times()
            used[role(process)] += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    used["bots"] = own.ru_utime + own.ru_stime
    used["sipp"] = ended.ru_utime + ended.ru_stime
    return used


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value that `part` of all do not exceed; NaN when there is none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


async def drive(system: System, load: Load, folder: Path) -> Report:
    """Let SIPp make all calls."""
    sound = folder / "sound.ulaw"
    sound.write_bytes(wav.encode_pcmu(wav.babble(seed=1, seconds=SOUND_SECONDS)))
    values = {"sound": str(sound), "hold_ms": str(round(load.hold * 1000))}
    async with sipp(
        "uac_load",
        folder,
        local=ports.peer(11),
        remote=system.sip,
        values=values,
        calls=load.calls,
        options=("-r", str(load.rate), "-l", str(load.calls)),
        timeout=load.seconds + load.hold + 60,
        trace=False,
    ) as run:
        return await run.report()


async def measure(load: Load, folder: Path) -> dict[str, float]:
    """Run everything once."""
    memory = round(64 + MEGABYTES_PER_CPS * load.rate)
    async with running_system(
        folder,
        log_level="warning",
        kamailio={"flood_limit": 0, "shared_memory": memory, "children": 2},
        media={"slots": load.bots},
    ) as system:
        async with waiting_bots(system, load.bots) as bots:
            before, ticks_before = cpu_seconds(system), await system.metrics()
            report = await drive(system, load, folder)
            used, metrics = cpu_seconds(system), await system.metrics()
        left = await leftovers(system)
    calls = report.count("OutgoingCall")
    figures: dict[str, float] = {
        "calls": calls,
        "failed_calls": report.count("FailedCall"),
        "answered_by_bots": bots.answered,
        "bot_errors": bots.errors,
        "refused_connections": bots.refused,
        "rate_per_s": load.rate,
        "hold_s": load.hold,
        "bots": load.bots,
        "retransmissions": report.count("Retransmissions"),
    }
    for name, part in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        figures[name] = percentile(report.response_ms, part)
    for name in PARTS:
        seconds = used.get(name, 0) - before.get(name, 0)
        figures[f"{name}_cpu_s"] = round(seconds, 2)
        figures[f"{name}_cpu_ms_per_call"] = round(1000 * seconds / max(calls, 1), 3)
    for name in ("ticks", "ticks_late"):
        key = f"sidecall_{name}_total"
        figures[name] = metrics[key] - ticks_before[key]
    return figures | left


async def leftovers(system: System) -> dict[str, float]:
    """Wait until the calls have gone and return what is left all the same."""

    async def nothing() -> bool:
        return not await system.leftovers()

    try:
        await until(nothing, within=SETTLE_SECONDS, every=0.1)
    except TimeoutError:
        sys.stderr.write(f"not everything has gone within {SETTLE_SECONDS} s\n")
    held = await system.leftovers()
    return {
        "dialogs_left": held.get("sidecall_dialogs", 0),
        "legs_left": held.get("sidecall_legs", 0),
        "rtpengine_sessions_left": held.get("rtpengine_calls", 0),
        "slots_left": held.get("sidecall_slots_used", 0),
    }


def table(figures: dict[str, float]) -> str:
    """Return the figures for people."""
    lines = [
        f"{figures['calls']:.0f} calls at {figures['rate_per_s']:.0f}/s, each held {figures['hold_s']:g} s: "
        f"{figures['failed_calls']:.0f} failed, {figures['retransmissions']:.0f} retransmissions",
        f"INVITE to 200: p50 {figures['p50_ms']:.0f} ms, p95 {figures['p95_ms']:.0f} ms, "
        f"p99 {figures['p99_ms']:.0f} ms",
        f"{'process':<10} {'CPU s':>8} {'ms/call':>8}",
    ]
    lines += [
        f"{name:<10} {figures[f'{name}_cpu_s']:8.2f} {figures[f'{name}_cpu_ms_per_call']:8.3f}"
        for name in PARTS
    ]
    lines.append(f"ticks {figures['ticks']:.0f}, late {figures['ticks_late']:.0f}")
    left = {name: value for name, value in figures.items() if name.endswith("_left")}
    lines.append(
        "left: " + ", ".join(f"{name.removesuffix('_left')} {value:.0f}" for name, value in left.items())
    )
    return "\n".join(lines)


def main() -> int:
    """Return 0 when no call failed and nothing is left, else 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=int, default=100, help="calls per second")
    parser.add_argument("--seconds", type=float, default=30, help="how long calls are started")
    parser.add_argument("--hold", type=float, default=2, help="seconds that a call lasts")
    parser.add_argument("--bots", type=int, help="bots that wait; enough for the load by default")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    bots = options.bots or math.ceil(options.rate * (options.hold + 1)) + 20
    load = Load(options.rate, options.seconds, options.hold, bots)
    with tempfile.TemporaryDirectory(prefix="sidecall-bench-") as folder:
        figures = asyncio.run(measure(load, Path(folder)))
    sys.stdout.write(table(figures) + "\n")
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    spoiled = ("failed_calls", "dialogs_left", "legs_left", "rtpengine_sessions_left", "slots_left")
    return int(any(figures[name] for name in spoiled))


if __name__ == "__main__":
    sys.exit(main())
