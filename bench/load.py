"""The far end of many calls, as a process of its own: sends packets on every call, counts what comes back.

Each call has a port of its own, as rtpengine gives it. All packets are sent by one raw socket in batches, spread
over the tick (that takes CAP_NET_RAW), and received by one socket per call, read a few times a second: so 2,000
calls cost the far end little, and what is measured on the other side is not its limit. The first calls are probes,
read at once with the kernel's arrival times: they tell how even the packets come and, where the other side plays
back what it hears, how long that takes.

Talk to it over its pipes: it prints its ports; after a line it runs and prints ``sent``; after another it prints
its figures.
"""

import argparse
import asyncio
import json
import os
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from media.engine.sockets import Batch, packed

ADDRESS = "127.0.0.1"
FIRST_PORT, LAST_PORT = 20_001, 32_767
"""Ports of the far end: below the ephemeral range."""
SLICES = 10
"""Parts of a tick that sends are spread over."""
STAGGER = 37
"""Packets by which calls are apart in what they say."""
DRAIN = 10
"""Ticks between two looks into the sockets."""
PROBES = 10
IP, UDP, RTP = 20, 8, 12
"""Bytes of the headers."""
_HEADER = struct.Struct("!BBHII")
_TIMESTAMPNS = 35
"""SO_TIMESTAMPNS of Linux."""
_TIMESPEC = struct.Struct("@qq")


@dataclass(frozen=True)
class Talk:
    """What every call says."""

    packets: np.ndarray[Any, np.dtype[np.uint8]]
    """Payloads, (n, bytes), said again and again."""
    lengths: np.ndarray[Any, np.dtype[np.int64]]
    payload_type: int = 0
    step: int = 160
    """Of the timestamp, from packet to packet."""

    def save(self, path: Path) -> None:
        np.savez(path, packets=self.packets, lengths=self.lengths, head=[self.payload_type, self.step])

    @classmethod
    def load(cls, path: Path) -> "Talk":
        stored = np.load(path)
        return cls(stored["packets"], stored["lengths"], *map(int, stored["head"]))


def noise() -> Talk:
    """A second of loud PCMU noise."""
    packets = np.random.default_rng(1).integers(0, 256, (50, 160), np.uint8)
    return Talk(packets, np.full(50, 160, np.int64))


def bind_ports(count: int, target: int, step: int) -> list[socket.socket]:
    """Bind `count` free ports from FIRST_PORT on, connected to `target` and to every `step`-th port after it."""
    sockets: list[socket.socket] = []
    for port in range(FIRST_PORT, LAST_PORT + 1):
        if len(sockets) == count:
            return sockets
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setblocking(False)
        try:
            udp.bind((ADDRESS, port))
        except OSError:
            udp.close()
            continue
        udp.connect((ADDRESS, target + step * len(sockets)))
        sockets.append(udp)
    sys.exit(f"only {len(sockets)} of {count} ports below {LAST_PORT} are free: lower --calls")


@dataclass
class Probe:
    """One call that is watched closely."""

    udp: socket.socket
    arrivals: list[int] = field(default_factory=list)
    """Nanoseconds, wall clock."""
    asked: dict[bytes, int] = field(default_factory=dict)
    """When each payload was sent."""
    answered: list[int] = field(default_factory=list)
    """Nanoseconds until a payload came back."""

    def __post_init__(self) -> None:
        self.udp.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)

    def read(self) -> list[int]:
        """Take what has come; the sequence numbers."""
        numbers: list[int] = []
        while True:
            try:
                data, control, _, _ = self.udp.recvmsg(2048, 64)
            except BlockingIOError:
                return numbers
            seconds, nanoseconds = _TIMESPEC.unpack_from(control[0][2])
            at = seconds * 1_000_000_000 + nanoseconds
            self.arrivals.append(at)
            sent = self.asked.pop(data[RTP:], None)
            if sent is not None:
                self.answered.append(at - sent)
            numbers.append(_HEADER.unpack_from(data)[2])


class Load:
    """All calls."""

    def __init__(self, sockets: list[socket.socket], talk: Talk) -> None:
        self.sockets, self.talk = sockets, talk
        self.probes = [Probe(udp) for udp in sockets[:PROBES]]
        # This protocol only sends, and takes the whole IP header from us; one of UDP would get a copy of every reply.
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        calls = len(sockets)
        width = talk.packets.shape[1]
        self.batch = Batch(calls, IP + UDP + RTP + (width + 3) // 4 * 4)
        ports, targets = (
            np.array([name(udp)[1] for udp in sockets], np.uint32)
            for name in (socket.socket.getsockname, socket.socket.getpeername)
        )
        self.batch.address[:] = packed(ADDRESS)
        self.batch.words[:, 0] = 0x45 << 24
        self.batch.words[:, 2] = 64 << 24 | socket.IPPROTO_UDP << 16
        self.batch.data[:, 12:20] = np.frombuffer(socket.inet_aton(ADDRESS) * 2, np.uint8)
        self.batch.words[:, 5] = ports << 16 | targets
        self.batch.words[:, 9] = np.arange(calls) + 1
        self.inbox = Batch(2 * DRAIN + 8, 1500)
        self.sent = self.refused = self.replies = 0
        self.first = np.full(calls, -1, np.int64)
        self.last = np.full(calls, 0, np.int64)

    def send(self, number: int, part: int) -> None:
        """Packet `number` of every SLICES-th call; each call is at another point of the talk."""
        rows = np.arange(part, len(self.sockets), SLICES)
        batch, talk = self.batch, self.talk
        said = (number + rows * STAGGER) % len(talk.packets)
        length = talk.lengths[said]
        begin = IP + UDP + RTP
        batch.length[rows] = begin + length
        batch.words[rows, 6] = UDP + RTP + length << 16
        batch.words[rows, 7] = 0x80 << 24 | talk.payload_type << 16 | number & 0xFFFF
        batch.words[rows, 8] = number * talk.step & 0xFFFFFFFF
        batch.data[rows, begin : begin + talk.packets.shape[1]] = talk.packets[said]
        for call in rows[rows < len(self.probes)].tolist():
            if talk.payload_type:
                continue
            payload = os.urandom(160).replace(b"\x7f", b"\xff")  # two codes of PCMU for one sample
            batch.data[call, begin : begin + 160] = np.frombuffer(payload, np.uint8)
            self.probes[call].asked[payload] = time.time_ns()
        batch.select(rows)
        unsent = len(batch.send(self.raw.fileno()))
        self.sent += len(rows) - unsent
        self.refused += unsent

    def note(self, call: int, numbers: list[int]) -> None:
        """Replies with these sequence numbers came."""
        for number in numbers:
            if self.first[call] < 0:
                self.first[call] = self.last[call] = number
            self.last[call] += (number - self.last[call] + 0x8000 & 0xFFFF) - 0x8000
        self.replies += len(numbers)

    def drain(self, calls: range) -> None:
        """Take the replies of `calls`."""
        for call in calls:
            count = self.inbox.receive(self.sockets[call].fileno())
            self.note(call, (self.inbox.words[:count, 0] & 0xFFFF).tolist())

    def run(self, seconds: float) -> None:
        calls = len(self.sockets)
        start = time.monotonic()
        for number in range(round(seconds * 50)):
            for part in range(SLICES):
                time.sleep(max(0.0, start + 0.02 * (number + part / SLICES) - time.monotonic()))
                self.send(number, part)
                for call, probe in enumerate(self.probes):
                    self.note(call, probe.read())
                slot = (number % DRAIN) * SLICES + part
                self.drain(range(len(self.probes) + slot, calls, DRAIN * SLICES))

    def finish(self) -> dict[str, float]:
        """Take the rest; the figures."""
        for call, probe in enumerate(self.probes):
            self.note(call, probe.read())
        for _ in range(4):
            self.drain(range(len(self.probes), len(self.sockets)))
        heard = self.first >= 0
        span = int((self.last - self.first + 1)[heard].sum())
        steps = np.concatenate([np.diff(probe.arrivals) for probe in self.probes]) / 1e6 - 20
        delays = np.concatenate([np.zeros(0), *(probe.answered for probe in self.probes)]) / 1e6
        figures: dict[str, float] = {
            "sent": self.sent,
            "unsent": self.refused,
            "replies": self.replies,
            "missing": span - self.replies,
            "calls_heard": int(heard.sum()),
        }
        if len(steps):
            figures["pace_p99_ms"] = round(float(np.percentile(np.abs(steps), 99)), 2)
            figures["pace_max_ms"] = round(float(np.abs(steps).max()), 2)
        if len(delays):
            figures["echo_p50_ms"], figures["echo_p99_ms"] = (
                round(float(np.percentile(delays, q)), 1) for q in (50, 99)
            )
        return figures


async def line(process: asyncio.subprocess.Process) -> str:
    """The next line that the far end, or another process, prints."""
    assert process.stdout is not None
    text = await process.stdout.readline()
    if not text:
        sys.exit("a process of this measurement died; its message stands above")
    return text.decode()


@asynccontextmanager
async def far_end(
    calls: int, seconds: float, target: int, talk: Path | None = None, cpu: int | None = None, step: int = 0
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The far end as a process that is gone afterwards; call n is sent to port `target` + n * `step`."""
    arguments = [str(target), str(calls), str(seconds), *([str(talk)] if talk else []), "--step", str(step)]
    command = [sys.executable, "-m", "bench.load", *arguments]
    if cpu is not None:
        command = ["taskset", "-c", str(cpu), *command]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def tell(process: asyncio.subprocess.Process, text: str = "go\n") -> None:
    """Let the far end, or another process, go on."""
    assert process.stdin is not None
    process.stdin.write(text.encode())
    await process.stdin.drain()


def main() -> None:
    """Entry of the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", type=int)
    parser.add_argument("calls", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("talk", type=Path, nargs="?")
    parser.add_argument("--step", type=int, default=0)
    arguments = parser.parse_args()
    sockets = bind_ports(arguments.calls, arguments.target, arguments.step)
    load = Load(sockets, Talk.load(arguments.talk) if arguments.talk else noise())
    print(json.dumps([udp.getsockname()[1] for udp in sockets]), flush=True)
    sys.stdin.readline()
    load.run(arguments.seconds)
    print("sent", flush=True)
    sys.stdin.readline()
    print(json.dumps(load.finish()), flush=True)


if __name__ == "__main__":
    main()
