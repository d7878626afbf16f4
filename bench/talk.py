"""A caller in a call with a bot, and a target for its transfers: what the benchmarks of commands have in common."""

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.calls import percentile
from tests.support import ports, wav
from tests.support.bot import Bot
from tests.support.phone import Dialog
from tests.support.rawend import RawEnd, raw_end
from tests.support.rtpcap import PCMU, RtpPacket
from tests.support.system import System, running_system

Figures = dict[str, float]

MUSIC, CALLER, TARGET = 1000, 440, 700
"""Hz."""
SOUND, SOUND_SECONDS = "tone.wav", 20
AUDIBLE = 1e-3
"""RMS of a packet that still has sound in it: -60 dBFS."""


@dataclass(slots=True)
class Talk:
    """A call that stands, or will; `target` is there to be called."""

    system: System
    bot: Bot
    caller: RawEnd
    target: RawEnd
    call: Dialog | None = None


@asynccontextmanager
async def bench_system(folder: Path) -> AsyncIterator[System]:
    """A system that may dial the target, with a sound."""
    sounds = folder / "sounds"
    sounds.mkdir()
    wav.write(sounds / SOUND, wav.tone(MUSIC, SOUND_SECONDS))
    async with running_system(
        folder,
        log_level="warning",
        media={"sounds": str(sounds)},
        calls={"allow": [rf"sip:[^@]*@{re.escape(ports.host(20))}(:\d+)?"]},
    ) as system:
        yield system


@asynccontextmanager
async def talk(system: System) -> AsyncIterator[Talk]:
    """Set up a call from the caller to a bot; whoever is in the block ends it."""
    async with (
        raw_end(ports.peer(11), system.sip, CALLER) as caller,
        raw_end(ports.peer(20), system.sip, TARGET) as target,
        system.waiting_bot() as bot,
    ):
        call = caller.dial(system.uri("bot"))
        await bot.event("incoming")
        await bot.send("accept", option={})
        await caller.established(call)
        await bot.event("answer")
        yield Talk(system, bot, caller, target, call)


def audible(packet: RtpPacket) -> bool:
    """Whether it has sound."""
    return packet.payload_type == PCMU and packet.loudness > AUDIBLE


async def heard(end: RawEnd) -> None:
    """Wait until `end` gets sound from now on, a quarter of a second long."""
    index = len(end.rtp.packets) - 1
    for _ in range(12):
        index = await end.rtp.packet(audible, after=index + 1)


def since(start: float) -> float:
    """Milliseconds since the time `start`."""
    return (time.time() - start) * 1000


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and greatest of some milliseconds."""
    parts = (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
    return {f"{name}_{part}_ms": round(percentile(sorted(values), share), 1) for part, share in parts}


def measure(
    doc: str, rounds: int, what: str, run: Callable[[int, Path], Coroutine[Any, Any, Figures]]
) -> Figures:
    """The command line of a benchmark: let `run` do its rounds, print the figures, and return them."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds, help=what)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sidecall-bench-") as folder:
        figures = asyncio.run(run(options.rounds, Path(folder)))
    sys.stdout.write(table(figures))
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    return figures


def table(figures: Mapping[str, float]) -> str:
    """For people."""
    return "".join(f"{name:<44} {value}\n" for name, value in figures.items())
