"""What calls over WebSockets (``/call``) cost, and whether their audio and commands are in time.

Starts a media worker without telephony on a port of its own, on one processor, and bots on another. Every bot sends
20 ms of PCM each 20 ms with voice detection on, is played a sound all the time, and now and then sends a command
whose event comes back.

    .venv/bin/python -m bench.sockets --calls 500 --seconds 20 --json
"""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

import aiohttp
import numpy as np
import psutil
import soundfile

from tests.support import ports
from tests.support.system import to_toml

SERVER, LOAD = 0, 1
"""Processors."""
SOUND_SECONDS = 60
SAMPLE = re.compile(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


async def metrics(port: int) -> dict[str, float]:
    """What the worker exposes."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return {name: float(value) for name, value in SAMPLE.findall(await answer.text())}


async def ready(port: int) -> None:
    """Wait until the worker takes calls."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def measure(calls: int, seconds: float, folder: Path) -> dict[str, object]:
    """One run."""
    port = ports.port()
    rng = np.random.default_rng(1)
    soundfile.write(
        folder / "long.wav", (2000 * rng.standard_normal(SOUND_SECONDS * 16000)).astype(np.int16), 16000
    )
    config = folder / "sidecall.toml"
    config.write_text(
        to_toml(
            {
                "run_dir": str(folder / "run"),
                "api": {"port": port},
                "media": {"slots": calls + 10, "rtp_port": ports.row(2), "sounds": str(folder)},
                "records": {"folder": str(folder / "records")},
            }
        )
    )
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "media", "-c", str(config), "--no-sip", stdout=sys.stderr
    )
    os.sched_setaffinity(server.pid, {SERVER})
    load = None
    try:
        await ready(port)
        arguments = json.dumps([port, calls, seconds, "long.wav", LOAD])
        load = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.socketload",
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"SOCKETLOAD": arguments},
        )
        assert load.stdout is not None
        process = psutil.Process(server.pid)
        marks: dict[str, tuple[float, dict[str, float]]] = {}
        async with asyncio.timeout(seconds + 90):
            while (line := (await load.stdout.readline()).decode().strip()) in (
                "standing",
                "measuring",
                "measured",
            ):
                times = process.cpu_times()
                marks[line] = times.user + times.system, await metrics(port)
        if not line:
            raise SystemExit("the bots ended without a report: see above")
        report = json.loads(line)
        await load.wait()
    finally:
        for child in (load, server):
            if child is not None and child.returncode is None:
                child.send_signal(signal.SIGTERM)
                await child.wait()
    (cpu_before, before), (cpu_after, after) = marks["measuring"], marks["measured"]
    p50, p99, most = (round(delay, 2) for delay in report["delays_ms"])
    ticks = after["sidecall_ticks_total"] - before["sidecall_ticks_total"]
    cpu = cpu_after - cpu_before
    return {
        "calls": calls,
        "seconds": round(report["seconds"], 1),
        "ticks": int(ticks),
        "late_ticks": int(after["sidecall_ticks_late_total"] - before["sidecall_ticks_late_total"]),
        "core_percent": round(100 * cpu / report["seconds"], 1),
        "us_per_call_tick": round(1e6 * cpu / ticks / calls, 2),
        "load_ratio": round(after["sidecall_load_ratio"], 3),
        "frames_sent": report["sent"],
        "frames_received": report["frames"],
        "frames_received_share": round(report["frames"] / (ticks * calls), 4),
        "frame_gap_p99_ms": round(report["gap_p99_ms"], 1),
        "frame_gap_max_ms": round(report["gap_max_ms"], 1),
        "commands": report["commands"],
        "command_p50_ms": p50,
        "command_p99_ms": p99,
        "command_max_ms": most,
        "bot_errors": report["errors"],
        "sockets_closed": report["closed"],
        "load_core_percent": round(report["load_core_percent"], 1),
    }


def main() -> None:
    """Run, print, and fail if bots met errors."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(options.calls, options.seconds, Path(folder)))
    for name, value in figures.items():
        print(f"{name:24} {value}")
    if options.json:
        print(json.dumps(figures))
    sys.exit(bool(figures["bot_errors"]))


if __name__ == "__main__":
    main()
