"""Bots of ``/call`` that are listened to and spoken to: the far end of `bench.speech`, as a process of its own.

Each speaks in bursts and has a text streamed to it, in parts; the next follows when it ends. A line on standard input
asks for what all saw so far; its end is theirs.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import uvloop

from bench.socketload import BINARY, FRAME, PHASES, TICK, Socket, Tally, masked, returned
from media.speech import say
from media.speech.voice import Voice

SAID = (
    "Good morning, I would like to book a table.",
    "For two persons.",
    "At eight o'clock.",
    "Thank you, that is all.",
)
BURST_SECONDS = 3.0
"""From the beginning of one of these to that of the next; the rest is silence."""
SPREAD = 30
"""Frames by which one group of bots is ahead of the next, so that not all speak at the same time."""
PARTS = (
    "You asked how long the way to us takes. ",
    "By train it is about an hour. ",
    "By car you need a little more.",
)
PART_SECONDS = 0.3
"""From one part of a text to the next, as a language model writes."""


class Talker(Socket):
    """One bot."""

    option: ClassVar[Mapping[str, object]] = {
        "codec": "pcm",
        "vad": {},
        "asr": {"provider": "deepgram"},
        "tts": {"provider": "deepgram"},
    }

    def __init__(self, number: int, host: str, tally: Tally, seen: Counter[str]) -> None:
        super().__init__(number, host, tally, "")
        self.seen = seen
        """By what is counted."""
        self.finals = 0
        self.asr_errors = 0
        self._text = 0
        self._timers: list[asyncio.TimerHandle] = []

    def event(self, event: dict[str, Any]) -> None:
        """Count, and have the next text spoken when one ends."""
        match event:
            case {"event": "answer"}:
                self.standing.set_result(None)
                self._speak()
            case {"event": "asrFinal"}:
                self.finals += 1
            case {"event": "speaking"}:
                self.seen["speaking"] += 1
            case {"event": "asrDelta"}:
                self.seen["deltas"] += 1
            case {"event": "trackEnd", "playId": str()}:
                self.seen["texts"] += 1
                self._speak()
            case {"event": "error", "sender": "asr"}:
                self.asr_errors += 1
                self.seen[f"asr: {event['error']}"] += 1
            case {"event": "error"}:
                self.seen[f"{event['sender']}: {event['error']}"] += 1

    def _speak(self) -> None:
        """Have all parts of a text spoken, one after another."""
        self._text += 1
        self._timers.clear()
        loop = asyncio.get_running_loop()
        for number, text in enumerate(PARTS):
            part = partial(
                self.command,
                command="tts",
                text=text,
                playId=str(self._text),
                streaming=True,
                endOfStream=number + 1 == len(PARTS),
            )
            self._timers.append(loop.call_later(number * PART_SECONDS, part))

    def leave(self) -> None:
        """Hang up."""
        for timer in self._timers:
            timer.cancel()
        if self.transport is not None:
            self.transport.close()


def speech() -> list[bytes]:
    """Frames, masked, of a voice that says all that is said, with pauses."""
    size = round(BURST_SECONDS * 16_000)
    wave = np.zeros(len(SAID) * size, np.int16)
    for number, text in enumerate(SAID):
        sound = say.render(text, Voice("en-us"), 16_000)[: size * 3 // 4]
        wave[number * size : number * size + sound.size] = sound
    pcm = wave.astype("<i2").tobytes()
    return [masked(BINARY, pcm[at : at + FRAME]) for at in range(0, len(pcm), FRAME)]


async def stream(bots: list[Talker], frames: list[bytes]) -> None:
    """Let every bot send each 20 ms until cancelled."""
    groups = [bots[phase::PHASES] for phase in range(PHASES)]
    loop = asyncio.get_running_loop()
    begin, step = loop.time(), 0
    while True:
        await asyncio.sleep(max(begin + step * TICK / PHASES - loop.time(), 0))
        beat, phase = divmod(step, PHASES)
        frame = frames[(beat + phase * SPREAD) % len(frames)]
        for bot in groups[phase]:
            if bot.transport is not None:
                bot.transport.write(frame)
        step += 1


async def run(port: int, count: int) -> None:
    """Connect `count` bots, let them talk, and say what they saw as often as it is asked."""
    frames = speech()
    loop, tally, seen = asyncio.get_running_loop(), Tally(), Counter[str]()
    bots: list[Talker] = []
    for number in range(count):
        bot = Talker(number, f"127.0.0.1:{port}", tally, seen)
        await loop.create_connection(partial(returned, bot), "127.0.0.1", port)
        bots.append(bot)
        if number % 10 == 9:
            await asyncio.sleep(TICK * 5)
    async with asyncio.timeout(30):
        await asyncio.gather(*(bot.standing for bot in bots))
    talking = asyncio.create_task(stream(bots, frames))
    while await asyncio.to_thread(sys.stdin.readline):
        report = {
            "finals": [bot.finals for bot in bots],
            "asr_errors": [bot.asr_errors for bot in bots],
            "speaking": seen["speaking"],
            "deltas": seen["deltas"],
            "texts": seen["texts"],
            "frames": tally.frames,
            "errors": {what: number for what, number in seen.items() if ":" in what},
            "refused": tally.errors,
            "closed": tally.closed,
            "cpu_seconds": time.process_time(),
        }
        print(json.dumps(report), flush=True)
    talking.cancel()
    await asyncio.wait([talking])
    for bot in bots:
        bot.leave()
    await asyncio.sleep(TICK)


def main() -> None:
    """Read port, bots and processor from the environment of `bench.speech`."""
    port, count, processor = json.loads(os.environ["SPEECHLOAD"])
    os.sched_setaffinity(0, {processor})
    uvloop.run(run(port, count))


if __name__ == "__main__":
    main()
