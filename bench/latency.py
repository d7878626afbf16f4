"""How long a caller waits for speech: recognition, synthesis, and a whole turn, without the providers' own time.

Starts ``sidecall up``, a fake provider whose answers take a fixed time (`cloud`), callers by SIP and RTP, and bots.

    .venv/bin/python -m bench.latency --calls 50 --seconds 30 --json

Three figures, all from the caller's side of rtpengine:
- ``asr_final``: last packet with sound → ``asrFinal`` at the bot, less what the fake takes (a pause of 300 ms, and its
  delay);
- ``tts_first_audio``: ``tts`` sent by the bot → first packet with sound, spoken by espeak, with `--calls` calls that
  speak at times of their own;
- ``platform_turn``: last packet with sound → ``asrFinal`` → ``tts`` by the fake → first packet with sound, less what
  the fake takes in all.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cloud import QUIET_SECONDS, cloud
from bench.talk import Figures, audible, spread, table
from media.engine.stream import Codec
from tests.support import ports, wav
from tests.support.bot import Bot
from tests.support.clouds.deepgram import KEY
from tests.support.phone import phone
from tests.support.ports import Address
from tests.support.rawend import RawEnd
from tests.support.rtpcap import FRAME_SECONDS, PCMU, RtpPeer, rtp_peer
from tests.support.system import System, running_system
from tests.support.talker import Talker

DELAY = 0.2
"""Seconds that each answer of the fake takes."""
TALKERS = 8
"""Calls whose turns are measured, at the same time."""
SOUND = wav.encode_pcmu(wav.tone(440, FRAME_SECONDS))
SILENCE = b"\xff" * len(SOUND)
SPEECH_SECONDS = 0.8
PAUSE_SECONDS = 1.0


@dataclass(eq=False)
class Line:
    """A call: the caller, and its bot."""

    end: RawEnd
    bot: Bot
    sounding: bool = False
    last_sound: float = 0.0
    """When the last packet with sound was sent, by the wall clock."""
    finals: list[float] = field(default_factory=list)

    @property
    def rtp(self) -> RtpPeer:
        """The caller's voice."""
        return self.end.rtp

    async def talk(self) -> None:
        """Send a packet every 20 ms until cancelled: a tone, or silence."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if self.sounding:
                self.last_sound = time.time()
            self.rtp.send(SOUND if self.sounding else SILENCE, PCMU)
            self.rtp.timestamp += len(SOUND)
            due += FRAME_SECONDS
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def heard(self, sent: float) -> float:
        """Wait for sound that comes after `sent`; milliseconds since then."""
        index = await self.rtp.packet(lambda packet: packet.arrival > sent and audible(packet), within=10)
        return (self.rtp.packets[index].arrival - sent) * 1000


@asynccontextmanager
async def line(system: System, number: int, option: dict[str, Any]) -> AsyncIterator[Line]:
    """A call that stands."""
    host = f"127.{100 + number // 200}.{os.getpid() % 200}.{1 + number % 200}"
    async with AsyncExitStack() as stack:
        sip = await stack.enter_async_context(phone(Address(host, ports.even_port(host)), system.sip))
        rtp = await stack.enter_async_context(rtp_peer(Address(host, ports.even_port(host))))
        bot = await stack.enter_async_context(system.waiting_bot())
        end = RawEnd(sip, Talker(rtp, Codec.PCMU, PCMU, 440))
        call = end.dial(system.uri("bot"))
        await bot.event("incoming")
        await bot.send("accept", option=option)
        await end.established(call)
        await bot.event("answer")
        found = Line(end, bot)
        talking = asyncio.create_task(found.talk())
        try:
            yield found
        finally:
            talking.cancel()
            await asyncio.wait([talking])
            await call.bye()
            await bot.ended()


async def answers(found: Line, until: float) -> list[float]:
    """`tts` → first sound, again and again; nothing is in a cache."""
    chance = random.Random(id(found))
    taken = []
    while time.time() < until:
        await asyncio.sleep(chance.uniform(0, 2))
        sent = time.time()
        number = chance.randrange(10**6)
        await found.bot.send("tts", text=f"Your number is {number}, thank you.", playId=str(number))
        taken.append(await found.heard(sent))
        await found.bot.event("trackEnd", within=20)
    return taken


@dataclass(slots=True)
class Turns:
    """What was measured of turns, ms without the fake's time."""

    asr: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


async def turns(found: Line, until: float, taken: Turns) -> None:
    """Speak, be understood, be answered."""
    number = 0
    await asyncio.sleep(random.Random(id(found)).uniform(0, 2))
    while time.time() < until:
        number += 1
        found.sounding = True
        await asyncio.sleep(SPEECH_SECONDS)
        found.sounding = False
        await found.bot.event("asrFinal")
        understood = time.time()
        await found.bot.send("tts", text=f"Answer {number} of {id(found)}", playId=str(number))
        own = QUIET_SECONDS + DELAY
        taken.asr.append((understood - found.last_sound - own) * 1000)
        whole = await found.heard(found.last_sound)
        taken.whole.append(whole - (own + DELAY) * 1000)
        await found.bot.event("trackEnd", within=20)
        await asyncio.sleep(PAUSE_SECONDS)


async def run(calls: int, seconds: float, folder: Path) -> Figures:
    """All figures."""
    async with cloud(DELAY) as (url, _):
        settings: dict[str, Any] = {
            "media": {"slots": max(64, 2 * calls), "realtime": "auto"},
            "providers": {"deepgram": {"endpoint": url, "secret_key": KEY}},
            "kamailio": {"flood_limit": 0},
        }
        async with running_system(folder, log_level="warning", **settings) as system:
            taken = Turns()
            option = {"asr": {"provider": "deepgram"}, "tts": {"provider": "deepgram"}}
            async with AsyncExitStack() as stack:
                lines = [
                    await stack.enter_async_context(line(system, number, option)) for number in range(TALKERS)
                ]
                until = time.time() + seconds
                await asyncio.gather(*(turns(each, until, taken) for each in lines))
            spoken: list[float] = []
            async with AsyncExitStack() as stack:
                lines = [await stack.enter_async_context(line(system, number, {})) for number in range(calls)]
                until = time.time() + seconds
                for each in await asyncio.gather(*(answers(each, until) for each in lines)):
                    spoken += each
            await system.idle()
    return {
        "calls": calls,
        "turns": len(taken.whole),
        **spread("asr_final", taken.asr),
        **spread("platform_turn", taken.whole),
        "texts": len(spoken),
        **spread("tts_first_audio", spoken),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=50, help="calls that speak by espeak at the same time")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the two parts")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sidecall-bench-") as folder:
        figures = asyncio.run(run(options.calls, options.seconds, Path(folder)))
    sys.stdout.write(table(figures))
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
