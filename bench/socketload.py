"""Bots of ``/call`` in great number: the far end of `bench.sockets`, as a process of its own.

Each socket sends 20 ms of PCM every 20 ms and counts what comes back. Frames go straight to the transport: this
process must not be what the figures are about.
"""

import asyncio
import json
import os
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import uvloop

TICK = 0.020
PHASES = 20
"""Sockets send in so many groups, a millisecond apart."""
ASK_EVERY = 10
"""Milliseconds from a command of one socket to that of the next."""
FRAME = 640
"""Bytes of 20 ms of s16le at 16 kHz."""
TEXT, BINARY, CLOSE, PING = 0x1, 0x2, 0x8, 0x9
SPEECH_SECONDS = 10


@dataclass
class Tally:
    """What all sockets saw."""

    sent: int = 0
    frames: int = 0
    bytes: int = 0
    errors: list[str] = field(default_factory=list)
    closed: int = 0
    answered: int = 0
    delays: list[float] = field(default_factory=list)
    """Seconds from a command to its event."""
    gaps: list[float] = field(default_factory=list)
    """Seconds between two audio frames of a socket."""


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame (RFC 6455 section 5.2); the mask is zero, which is as good as any here."""
    size = len(payload)
    head = struct.pack("!BB", 0x80 | opcode, 0x80 | min(size, 126))
    return head + (struct.pack("!H", size) if size > 125 else b"") + bytes(4) + payload


class Socket(asyncio.Protocol):
    """One bot."""

    option: ClassVar[Mapping[str, object]] = {"codec": "pcm", "vad": {}}
    """Of its call."""

    def __init__(self, number: int, host: str, tally: Tally, sound: str) -> None:
        self._number, self._host, self._tally, self._sound = number, host, tally, sound
        self._buffer = bytearray()
        self._open = False
        self._asked: float | None = None
        self._last = 0.0
        self.transport: asyncio.Transport | None = None
        self.standing = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        transport = cast("asyncio.Transport", transport)
        self.transport = transport
        transport.write(
            f"GET /call?id=load-{self._number}&dump=false HTTP/1.1\r\nHost: {self._host}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Read what there is of whole frames."""
        buffer = self._buffer
        buffer += data
        if not self._open:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if b" 101 " not in buffer[:20]:
                self._tally.errors.append(bytes(buffer[:200]).decode("latin-1"))
                return
            del buffer[: end + 4]
            self._open = True
            self.command(command="invite", option=self.option)
        at = 0
        while len(buffer) - at >= 2:
            size, head = buffer[at + 1], 2
            if size == 126:
                if len(buffer) - at < 4:
                    break
                size, head = int.from_bytes(buffer[at + 2 : at + 4], "big"), 4
            if len(buffer) - at < head + size:
                break
            self._frame(buffer[at] & 15, buffer, at + head, size)
            at += head + size
        del buffer[:at]

    def _frame(self, opcode: int, buffer: bytearray, start: int, size: int) -> None:
        tally = self._tally
        if opcode == BINARY:
            now = time.monotonic()
            if self._last:
                tally.gaps.append(now - self._last)
            self._last = now
            tally.frames += 1
            tally.bytes += size
        elif opcode == TEXT:
            self.event(json.loads(buffer[start : start + size]))
        elif opcode == PING and self.transport is not None:
            self.transport.write(masked(0xA, bytes(buffer[start : start + size])))
        elif opcode == CLOSE:
            tally.closed += 1

    def event(self, event: dict[str, Any]) -> None:
        """What an event asks of the bot."""
        match event["event"]:
            case "answer":
                self._tally.answered += 1
                self.command(command="play", url=self._sound)
                self.standing.set_result(None)
            case "addHistory":
                if self._asked is not None:
                    self._tally.delays.append(time.monotonic() - self._asked)
                    self._asked = None
            case "trackEnd" if event.get("playId"):
                self._last = 0.0
                self.command(command="play", url=self._sound)
            case "error":
                self._tally.errors.append(str(event))

    def command(self, **fields: object) -> None:
        """Send a command."""
        if self.transport is not None:
            self.transport.write(masked(TEXT, json.dumps(fields).encode()))

    def ask(self) -> None:
        """Send a command whose event comes back at once."""
        if self._asked is None:
            self._asked = time.monotonic()
            self.command(command="history", speaker="load", text="how long does it take")


def speech() -> list[bytes]:
    """Frames, masked, of something that the detector has to think about: voiced sounds with pauses."""
    rng = np.random.default_rng(7)
    time_ = np.arange(SPEECH_SECONDS * 16000) / 16000
    pitch = 120 + 20 * np.sin(2 * np.pi * 0.7 * time_)
    voiced = sum(np.sin(2 * np.pi * n * np.cumsum(pitch) / 16000) / n for n in range(1, 20))
    wave = 3000 * voiced * (np.sin(2 * np.pi * 0.4 * time_) > 0) + 60 * rng.standard_normal(len(time_))
    pcm = np.clip(wave, -32768, 32767).astype("<i2").tobytes()
    return [masked(BINARY, pcm[at : at + FRAME]) for at in range(0, len(pcm), FRAME)]


async def pace(sockets: list[Socket], tally: Tally, seconds: float) -> float:
    """Let every socket send each 20 ms for so long; the seconds it took."""
    frames = speech()
    groups = [sockets[phase::PHASES] for phase in range(PHASES)]
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for step in range(round(seconds / TICK) * PHASES):
        wait = begin + step * TICK / PHASES - loop.time()
        await asyncio.sleep(max(wait, 0))
        frame = frames[step // PHASES % len(frames)]
        group = groups[step % PHASES]
        for bot in group:
            if bot.transport is not None:
                bot.transport.write(frame)
        tally.sent += len(group)
        if not step % ASK_EVERY:
            sockets[step // ASK_EVERY % len(sockets)].ask()
    return loop.time() - begin


def returned(bot: Socket) -> Socket:
    """`bot`, for asyncio, which wants to make it."""
    return bot


async def run(port: int, count: int, seconds: float, sound: str) -> dict[str, object]:
    """Connect `count` bots, let them talk for `seconds`, and say what they saw."""
    loop, tally = asyncio.get_running_loop(), Tally()
    sockets: list[Socket] = []
    for number in range(count):
        bot = Socket(number, f"127.0.0.1:{port}", tally, sound)
        await loop.create_connection(partial(returned, bot), "127.0.0.1", port)
        sockets.append(bot)
        if number % 10 == 9:
            await asyncio.sleep(TICK)
    async with asyncio.timeout(30):
        await asyncio.gather(*(bot.standing for bot in sockets))
    print("standing", flush=True)
    await pace(sockets, tally, 2)
    frames, sent = tally.frames, tally.sent
    tally.delays.clear()
    tally.gaps.clear()
    print("measuring", flush=True)
    before = time.process_time()
    took = await pace(sockets, tally, seconds)
    report: dict[str, object] = {
        "seconds": took,
        "sent": tally.sent - sent,
        "frames": tally.frames - frames,
        "commands": len(tally.delays),
        "delays_ms": [float(np.quantile(tally.delays, part)) * 1000 for part in (0.5, 0.99, 1)],
        "gap_p99_ms": float(np.quantile(tally.gaps, 0.99)) * 1000 if tally.gaps else 0.0,
        "gap_max_ms": max(tally.gaps, default=0.0) * 1000,
        "errors": tally.errors[:5],
        "closed": tally.closed,
        "load_core_percent": 100 * (time.process_time() - before) / took,
    }
    print("measured", flush=True)
    await pace(sockets, tally, 1)  # the worker is asked now: 500 calls that end at once are another matter
    for bot in sockets:
        if bot.transport is not None:
            bot.transport.close()
    await asyncio.sleep(TICK)
    return report


def main() -> None:
    """Read port, sockets, seconds, sound and processor from the environment of `bench.sockets`."""
    port, count, seconds, sound, processor = json.loads(os.environ["SOCKETLOAD"])
    os.sched_setaffinity(0, {processor})
    print(json.dumps(uvloop.run(run(port, count, seconds, sound))), flush=True)


if __name__ == "__main__":
    main()
