"""What the tick engine costs: calls with audio both ways over loopback, against per-packet asyncio.

The measured process runs the engine under its clock, as a media worker does: it receives, reorders,
decodes, plays a segment on every call, encodes and sends. A child process is the far end: one socket and
source port per call, a packet every 20 ms, sends spread over the tick, replies counted. The yardstick is
a plain asyncio echo, which handles each packet as it comes and neither buffers, decodes nor plays: it
does less. It runs with at most 200 calls, so at more the ratio compares different numbers of calls.

On loopback the sender also pays for the delivery to the receiver's socket, so sending looks dearer and
receiving cheaper than on a network card.

    .venv/bin/python bench/engine.py --calls 500 --seconds 5 --json

With --vad it runs twice, without and with voice detection on every call; what the network computes does not
depend on the audio.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in a media worker; read when numpy is imported

import numpy as np
import uvloop

from media.engine.arrays import FRAME, RATE
from media.engine.clock import LATENESS, TickClock
from media.engine.engine import Engine
from media.engine.reports import Event
from media.engine.segment import Segment
from media.engine.voice import Detector, VoiceOptions

ADDRESS = "127.0.0.1"
FIRST_PORT = 10001
"""Ports of the far end; they and all above up to LAST_PORT are outside the ephemeral range."""
LAST_PORT = 32767
SLICES = 10
"""Parts of a tick that the far end spreads its sends over."""
ASYNCIO_CALLS = 200
"""Most calls of the yardstick: it fills a core at less than a thousand."""
UNCHANGED = {"calls", "sent_packets"}
"""Figures that say nothing new of the run with voice detection."""
HEADER = struct.Struct("!BBHII")


def bind_ports(count: int, target: int) -> list[socket.socket]:
    """Bind `count` free ports from FIRST_PORT on, connected to `target`."""
    sockets: list[socket.socket] = []
    for port in range(FIRST_PORT, LAST_PORT + 1):
        if len(sockets) == count:
            break
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setblocking(False)
        try:
            udp.bind((ADDRESS, port))
        except OSError:
            udp.close()
            continue
        udp.connect((ADDRESS, target))
        sockets.append(udp)
    if len(sockets) < count:
        sys.exit(f"only {len(sockets)} of {count} ports below {LAST_PORT} are free: lower --calls")
    return sockets


class FarEnd:
    """All calls of the far end: sends and counts."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self.sockets = sockets
        self.buffer = bytearray(2048)
        self.payload = np.random.default_rng(1).integers(0, 256, FRAME, np.uint8).tobytes()
        self.sent = self.replies = 0
        self.first = [-1] * len(sockets)
        self.last = [0] * len(sockets)

    def send(self, call: int, number: int) -> None:
        packet = HEADER.pack(0x80, 0, number & 0xFFFF, number * FRAME & 0xFFFFFFFF, call) + self.payload
        self.sent += self.sockets[call].send(packet) > 0

    def receive(self, call: int) -> bool:
        """Take one reply; False when none is there."""
        try:
            self.sockets[call].recv_into(self.buffer)
        except BlockingIOError:
            return False
        sequence = HEADER.unpack_from(self.buffer)[2]
        if self.first[call] < 0:
            self.first[call] = self.last[call] = sequence
        self.last[call] += (sequence - self.last[call] + 0x8000 & 0xFFFF) - 0x8000
        self.replies += 1
        return True

    def run(self, seconds: float) -> None:
        calls = range(len(self.sockets))
        start = time.monotonic()
        for number in range(round(seconds * 50)):
            for part in range(SLICES):
                time.sleep(max(0.0, start + 0.02 * (number + part / SLICES) - time.monotonic()))
                for call in calls[part::SLICES]:
                    self.send(call, number)
                    self.receive(call)

    def missing(self) -> int:
        """Replies that never came, by the gaps in their numbering."""
        span = sum(last - first + 1 for first, last in zip(self.first, self.last, strict=True) if first >= 0)
        return span - self.replies


def far_end(calls: int, seconds: float, target: int) -> None:
    """Child: print the ports, wait for a line, run, print ``sent``, drain, print the counts."""
    sockets = bind_ports(calls, target)
    print(json.dumps([udp.getsockname()[1] for udp in sockets]), flush=True)
    sys.stdin.readline()
    end = FarEnd(sockets)
    end.run(seconds)
    print("sent", flush=True)
    sys.stdin.readline()
    for call in range(calls):
        while end.receive(call):
            pass
    print(json.dumps({"sent": end.sent, "replies": end.replies, "missing": end.missing()}), flush=True)


@asynccontextmanager
async def child(calls: int, seconds: float, target: int) -> Any:
    """The far end as a process that is gone afterwards."""
    arguments = [__file__, "--far-end", str(target), "--calls", str(calls), "--seconds", str(seconds)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass
class Cost:
    """CPU of this process while the far end sent."""

    cpu: float
    wall: float
    far: dict[str, int]


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    text = await process.stdout.readline()
    if not text:
        sys.exit("the far end died; its message stands above")
    return text.decode()


async def measure(process: asyncio.subprocess.Process, finish: Callable[[], None]) -> Cost:
    """Let the far end run; `finish` is called when it has sent all and this process has answered."""
    assert process.stdin is not None
    cpu, wall = cpu_seconds(), time.monotonic()
    process.stdin.write(b"go\n")
    await line(process)
    cpu, wall = cpu_seconds() - cpu, time.monotonic() - wall
    await asyncio.sleep(0.2)
    finish()
    process.stdin.write(b"drain\n")
    return Cost(cpu, wall, json.loads(await line(process)))


@dataclass(frozen=True)
class FarStream:
    """The stream of one call of the far end."""

    port: int
    address: str = ADDRESS
    codec: str = "pcmu"
    payload_type: int = 0
    event_payload_type: int | None = 101
    direction: str = "sendrecv"


class Timed:
    """The engine, with the duration of each tick noted."""

    def __init__(self, engine: Engine, ticks: int) -> None:
        self.engine = engine
        self.durations = np.full(ticks, 0.0)
        self.count = 0

    def tick(self) -> list[Event]:
        start = time.perf_counter()
        events = self.engine.tick()
        self.durations[self.count % len(self.durations)] = time.perf_counter() - start
        self.count += 1
        return events


def fill(engine: Engine, ports: list[int], seconds: float, vad: Detector | None) -> None:
    """Connect a call to each port, let it play noise to the end, and listen to it."""
    noise = np.random.default_rng(2).normal(0, 3000, round((seconds + 5) * RATE)).astype(np.int16)
    for port in ports:
        slot = engine.allocate()
        engine.connect(slot, FarStream(port))
        segment = Segment()
        segment.append(noise)
        segment.close()
        engine.enqueue(slot, segment)
        if vad is not None:
            engine.enable_voice(slot, VoiceOptions(detector=vad))


async def engine_cost(calls: int, seconds: float, vad: Detector | None = None) -> dict[str, float]:
    """Run the engine; the figures of the report."""
    engine = Engine(ADDRESS, 0, calls)
    timed = Timed(engine, round(seconds * 50) + 100)
    clock = TickClock(timed, lambda _: None)
    try:
        async with child(calls, seconds, engine.port) as process:
            fill(engine, json.loads(await line(process)), seconds, vad)
            gc.collect()
            gc.freeze()
            gc.disable()
            clock.start()
            cost = await measure(process, clock.stop)
        totals, schedule = engine.totals(), clock.schedule
    finally:
        clock.stop()
        engine.close()
        gc.enable()
        gc.unfreeze()
    ticks = cost.wall * 50
    durations = timed.durations[: timed.count] * 1e3
    lost_in = cost.far["sent"] - totals.received - totals.late
    return {
        "calls": calls,
        "us_per_call_tick": round(cost.cpu / (ticks * calls) * 1e6, 2),
        "core_percent": round(cost.cpu / cost.wall * 100, 1),
        "ticks": schedule.ticks,
        "late_ticks": schedule.late,
        "lost_packets": lost_in + cost.far["missing"] + totals.unsent,
        "late_packets": totals.late,
        "sent_packets": cost.far["sent"],
        "reply_packets": cost.far["replies"],
        "tick_p50_ms": round(float(np.percentile(durations, 50)), 2),
        "tick_p99_ms": round(float(np.percentile(durations, 99)), 2),
        "tick_max_ms": round(float(durations.max()), 2),
        "wakes_over_1_ms": int(schedule.histogram[LATENESS.index(1_000_000) + 1 :].sum()),
    }


class Echo(asyncio.DatagramProtocol):
    """The yardstick: one callback per packet, one object per call."""

    def __init__(self) -> None:
        self.sequences: dict[tuple[str, int], int] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        _, _, _, timestamp, ssrc = HEADER.unpack_from(data)
        sequence = self.sequences[addr] = self.sequences.get(addr, 0) + 1 & 0xFFFF
        self.transport.sendto(HEADER.pack(0x80, 0, sequence, timestamp, ssrc) + data[HEADER.size :], addr)


async def asyncio_cost(calls: int, seconds: float) -> dict[str, float]:
    """Run the yardstick on asyncio's own loop."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=(ADDRESS, 0))
    try:
        async with child(calls, seconds, transport.get_extra_info("sockname")[1]) as process:
            await line(process)
            cost = await measure(process, lambda: None)
    finally:
        transport.close()
    if cost.far["replies"] < cost.far["sent"] * 0.99:
        sys.exit(f"the asyncio echo answered {cost.far['replies']} of {cost.far['sent']}: no fair yardstick")
    return {
        "asyncio_calls": calls,
        "asyncio_us_per_call_tick": round(cost.cpu / cost.far["sent"] * 1e6, 2),
    }


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description="Cost of the tick engine against per-packet asyncio.")
    parser.add_argument("--calls", type=int, default=500, help="calls at once (default 500)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each run (default 5)")
    parser.add_argument(
        "--vad",
        nargs="?",
        type=Detector,
        const=Detector.SILERO,
        choices=list(Detector),
        help="also with voice detection, by this detector (default silero)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--far-end", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not 1 <= arguments.calls <= 10000 or not 0.1 <= arguments.seconds <= 600:
        parser.error("--calls takes 1 to 10000, --seconds 0.1 to 600")
    if arguments.far_end is not None:
        far_end(arguments.calls, arguments.seconds, arguments.far_end)
        return
    figures = uvloop.run(engine_cost(arguments.calls, arguments.seconds))
    if arguments.vad is not None:
        listening = uvloop.run(engine_cost(arguments.calls, arguments.seconds, arguments.vad))
        figures |= {f"vad_{name}": value for name, value in listening.items() if name not in UNCHANGED}
        difference = listening["us_per_call_tick"] - figures["us_per_call_tick"]
        figures["vad_extra_us_per_call_tick"] = round(difference, 2)
    figures |= asyncio.run(asyncio_cost(min(arguments.calls, ASYNCIO_CALLS), min(arguments.seconds, 5.0)))
    ratio = figures["asyncio_us_per_call_tick"] / figures["us_per_call_tick"]
    figures["ratio_to_asyncio"] = round(ratio, 2)
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:26} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
