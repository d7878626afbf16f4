"""How soon a bot falls silent when the caller speaks: from the caller's sound to the bot's last packet.

Starts ``sidecall up`` on ports of its own. Callers call bots that play a tone, send noise, and speak at random moments;
either the bot or the engine itself interrupts. Every arrival is the kernel's time at the caller.

    .venv/bin/python bench/bargein.py --calls 8 --rounds 6 --json
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from enum import Enum, auto
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # the test peers are no installed package

from bench.calls import percentile
from bench.mouth import LEVELS, NOISES, Mouth, speech
from tests.support import ports, sipwire, wav
from tests.support.bot import Bot, Event
from tests.support.phone import phone
from tests.support.ports import Address
from tests.support.rtpcap import FRAME_SECONDS, PCMU, RtpPacket, RtpPeer, rtp_peer
from tests.support.system import System, running_system

AUDIBLE = 1e-3
"""RMS of a packet that still has sound of the bot in it: -60 dBFS."""
SOUND = "tone.wav"
SOUND_SECONDS = 10
BEFORE, AFTER = (0.4, 0.8), 0.6
"""Seconds of tone before the caller speaks, from and to; seconds from the caller's last word to the next play."""
TICK, WINDOW, UNIT = 20, 32, 4
"""ms: the engine's tick, the detector's window, and what all their distances are multiples of."""
PARTS = (("p50", 0.5), ("p95", 0.95), ("max", 1.0))


class Rule(Enum):
    """Who interrupts."""

    BOT = auto()
    """The bot sends ``interrupt`` when ``speaking`` arrives."""
    ENGINE = auto()
    """The engine, by ``vad.interrupt``."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A rule, and how long voice must last for it."""

    rule: Rule
    padding: int
    """``speechPadding`` or ``interruptAfter``, ms."""

    @property
    def name(self) -> str:
        return f"{self.rule.name.lower()}_{self.padding}"

    @property
    def vad(self) -> dict[str, object]:
        """The option. With ENGINE ``speaking`` tells of the same moment; it plays no part."""
        extra = {"interrupt": True, "interruptAfter": self.padding} if self.rule is Rule.ENGINE else {}
        return {"speechPadding": self.padding, **extra}


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(Rule.BOT, 60),
        Setting(Rule.BOT, 250),
        Setting(Rule.ENGINE, 30),
        Setting(Rule.ENGINE, 60),
        Setting(Rule.ENGINE, 90),
    )
}


@dataclass(frozen=True, slots=True)
class Size:
    """How much to do for each setting."""

    calls: int
    """At a time."""
    rounds: int
    """Barge-ins of a call."""
    seed: int


@dataclass(frozen=True, slots=True)
class Line:
    """A call that stands."""

    bot: Bot
    rtp: RtpPeer
    mouth: Mouth
    obeyed: list[float]
    """When the bot sent each ``interrupt``."""


class Failure(Enum):
    """Why there is nothing to measure."""

    EARLY = auto()
    """The play was interrupted before a word was said."""
    MISSED = auto()
    """It went on."""


@dataclass(frozen=True, slots=True)
class BargeIn:
    """One that took place; times in ms."""

    voice_to_last: float
    """From the caller's first sample to the last packet with the bot's sound."""
    voice_to_onset: float
    """... to the tick in which the engine had the first window that it took for voice."""
    onset_to_last: float
    decision_to_last: float
    """From the tick in which voice had lasted long enough."""
    reaction: float
    """From that tick until the bot has answered ``speaking``; NaN where it need not."""


Outcome = BargeIn | Failure
COUNTS = ("barge_ins", "early", "missed")
TIMES = [each.name for each in fields(BargeIn)]


def audible(packet: RtpPacket) -> bool:
    return packet.payload_type == PCMU and packet.loudness > AUDIBLE


def judge(events: Sequence[Event], packets: Sequence[RtpPacket], line: Line) -> Outcome:
    """What became of a play that was spoken into."""
    cut = next((event for event in events if event["event"] == "interruption"), None)
    speaking = next((event for event in events if event["event"] == "speaking"), None)
    began = line.mouth.began * 1000
    if cut is None or speaking is None:
        return Failure.MISSED
    if cut["timestamp"] < began:
        return Failure.EARLY
    decided = speaking["timestamp"]
    # Voice began so long before the decision, in samples; the first window of it was there some whole ticks before.
    lasted = round((decided - speaking["startTime"]) / UNIT) * UNIT
    onset = decided - (lasted - WINDOW) // TICK * TICK
    last = max(packet.arrival for packet in packets if audible(packet)) * 1000
    answered = [at * 1000 - decided for at in line.obeyed if at * 1000 >= decided]
    return BargeIn(
        voice_to_last=last - began,
        voice_to_onset=onset - began,
        onset_to_last=last - onset,
        decision_to_last=last - decided,
        reaction=answered[0] if answered else math.nan,
    )


async def barge_in(line: Line, words: wav.Sound) -> Outcome:
    """Let the bot play, and speak."""
    rng, mouth = line.mouth.rng, line.mouth
    mark, start = len(line.bot.events), len(line.rtp.packets)
    await line.bot.send("play", url=SOUND)
    await line.rtp.packet(audible, after=start)
    mouth.delay = float(rng.uniform(0, FRAME_SECONDS))
    await asyncio.sleep(float(rng.uniform(*BEFORE)))
    mouth.say(words)
    await asyncio.sleep(words.size / wav.RATE + AFTER)
    found = judge(line.bot.events[mark:], line.rtp.packets[start:], line)
    if found is Failure.MISSED:
        await line.bot.send("interrupt")
        await asyncio.sleep(0.2)
    return found


async def obey(bot: Bot, times: list[float]) -> None:
    """Be a bot that lets itself be interrupted."""
    while True:
        await bot.event("speaking", within=60)
        await bot.send("interrupt")
        times.append(time.time())


@asynccontextmanager
async def standing(system: System, setting: Setting, rng: np.random.Generator) -> AsyncIterator[Line]:
    """Set up a call, and end it."""
    async with (
        system.waiting_bot() as bot,
        phone(ports.peer(11), system.sip) as caller,
        rtp_peer(Address(caller.address.host, ports.even_port(caller.address.host))) as rtp,
        asyncio.timeout(150),
    ):
        call = caller.call(system.uri("bot"))
        call.send("INVITE", body=sipwire.sdp(*rtp.address))
        await bot.event("incoming")
        await bot.send("accept", option={"vad": setting.vad})
        answer = await call.response(200)
        rtp.remote = Address(*sipwire.media_address(answer.body))
        call.ack()
        await bot.event("answer")
        line = Line(bot, rtp, Mouth(rtp, rng), [])
        tasks = [asyncio.create_task(line.mouth.run())]
        if setting.rule is Rule.BOT:
            tasks.append(asyncio.create_task(obey(bot, line.obeyed)))
        try:
            yield line
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await call.bye()
        await bot.ended()


async def talk(line: Line, texts: Sequence[wav.Sound], rounds: int, turn: int) -> list[Outcome]:
    """Barge in `rounds` times, with the texts in turn from `turn` on."""
    found = []
    for number in range(rounds):
        line.mouth.noise = line.mouth.level(NOISES)
        text = texts[(turn + number) % len(texts)]
        found.append(await barge_in(line, text * line.mouth.level(LEVELS) / wav.rms(text)))
    return found


async def measure(
    system: System, setting: Setting, texts: Sequence[wav.Sound], size: Size
) -> Mapping[str, float]:
    """All barge-ins of one setting, as figures."""
    async with AsyncExitStack() as stack:
        # The callers of all settings do the same.
        rngs = [np.random.default_rng([size.seed, number]) for number in range(size.calls)]
        lines = [await stack.enter_async_context(standing(system, setting, rng)) for rng in rngs]
        parts = await asyncio.gather(
            *(talk(line, texts, size.rounds, number * size.rounds) for number, line in enumerate(lines))
        )
    return figures([outcome for part in parts for outcome in part])


def figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Counts, and the spread of each time in ms."""
    found = [outcome for outcome in outcomes if isinstance(outcome, BargeIn)]
    counts = len(found), outcomes.count(Failure.EARLY), outcomes.count(Failure.MISSED)
    answer: dict[str, float] = dict(zip(COUNTS, counts, strict=True))
    for name in TIMES:
        values = [value for each in found if not math.isnan(value := getattr(each, name))]
        if values:
            answer |= {f"{name}_{part}_ms": round(percentile(values, share), 1) for part, share in PARTS}
    return answer


async def run(settings: Sequence[Setting], size: Size, folder: Path) -> dict[str, Mapping[str, float]]:
    """Start the system and measure all `settings`, one after the other."""
    texts = speech()
    sounds = folder / "sounds"
    sounds.mkdir()
    wav.write(sounds / SOUND, wav.tone(440, SOUND_SECONDS))
    async with running_system(folder, log_level="warning", media={"sounds": str(sounds)}) as system:
        return {setting.name: await measure(system, setting, texts, size) for setting in settings}


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Return the figures for people."""
    lines = [f"{'ms: p50 / p95 / max':<20}" + "".join(f"{name.replace('_', ' '):>21}" for name in TIMES)]
    for name, result in results.items():
        cells = [
            " / ".join(f"{result.get(f'{time}_{part}_ms', math.nan):.0f}" for part, _ in PARTS)
            for time in TIMES
        ]
        lines.append(f"{name:<20}" + "".join(f"{cell:>21}" for cell in cells))
        lines.append("  " + ", ".join(f"{result[name]:.0f} {name}" for name in COUNTS))
    return "\n".join(lines)


def main() -> int:
    """Return 0 when the caller was heard each time, else 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=8, help="calls at a time")
    parser.add_argument("--rounds", type=int, default=6, help="barge-ins of a call")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    size = Size(options.calls, options.rounds, options.seed)
    with tempfile.TemporaryDirectory(prefix="sidecall-bench-") as folder:
        results = asyncio.run(run([SETTINGS[name] for name in options.settings], size, Path(folder)))
    sys.stdout.write(table(results) + "\n")
    if options.json:
        flat = {f"{name}_{key}": value for name, result in results.items() for key, value in result.items()}
        sys.stdout.write(json.dumps(flat) + "\n")
    return int(any(result["missed"] or result["early"] for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
