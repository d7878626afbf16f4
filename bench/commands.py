"""How soon ``hangup`` and ``interrupt`` act: in a call, while a call is dialled, while a transfer rings.

Starts ``sidecall up`` on ports of its own. Each round takes fresh calls. Times begin when the bot has written the
command; RTP arrives by the kernel's time at the caller, SIP when the peer has read it.

    .venv/bin/python bench/commands.py --rounds 20 --json
"""

import asyncio
import random
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the test peers are no installed package

from bench.talk import SOUND, Talk, audible, bench_system, heard, measure, since, spread, talk
from tests.support import ports
from tests.support.rawend import RawEnd, raw_end
from tests.support.rtpcap import FRAME_SECONDS
from tests.support.sipwire import Message
from tests.support.system import System

AFTER = 0.3
"""Seconds after ``interrupt`` in which sound is looked for."""

Times = dict[str, list[float]]


async def interrupt(scene: Talk) -> float:
    """While the caller hears something: milliseconds to the last packet with sound."""
    await heard(scene.caller)
    await asyncio.sleep(random.uniform(0, FRAME_SECONDS))  # packets come at any time against the command
    asked = time.time()
    await scene.bot.send("interrupt")
    await asyncio.sleep(AFTER)
    last = max(packet.arrival for packet in scene.caller.rtp.packets if audible(packet))
    return max(0.0, last - asked) * 1000


async def hang_up(scene: Talk) -> tuple[float, float]:
    """Milliseconds to the BYE at the caller, and to the last packet with sound."""
    await scene.bot.send("play", url=SOUND)
    await heard(scene.caller)
    await asyncio.sleep(random.uniform(0, FRAME_SECONDS))
    asked = time.time()
    await scene.bot.send("hangup")
    await scene.caller.hung_up()
    bye = since(asked)
    await scene.bot.ended()
    last = max(packet.arrival for packet in scene.caller.rtp.packets if audible(packet))
    return bye, max(0.0, last - asked) * 1000


async def until_cancelled(end: RawEnd, invite: Message, asked: float) -> float:
    """Milliseconds to the CANCEL; the callee confirms it."""
    cancel = await end.phone.request("CANCEL")
    took = since(asked)
    end.phone.reply(cancel, 200, "OK", tag="far")
    end.phone.reply(invite, 487, "Request Terminated", tag="far")
    await end.phone.request("ACK")
    return took


async def in_a_call(system: System, times: Times) -> None:
    """Nothing else goes on."""
    async with talk(system) as scene:
        await scene.bot.send("play", url=SOUND)
        times["interrupt"].append(await interrupt(scene))
        bye, silent = await hang_up(scene)
        times["hangup"].append(bye)
        times["hangup_to_silence"].append(silent)


async def while_dialling(system: System, times: Times) -> None:
    """The callee rings, or has said nothing but that it tries."""
    for name, code, reason in (
        ("hangup_while_dialling", 180, "Ringing"),
        ("hangup_while_trying", 100, "Trying"),
    ):
        async with raw_end(ports.peer(20), system.sip, 700) as callee, system.bot() as bot:
            await bot.send("invite", option={"callee": callee.uri})
            invite = await callee.phone.request("INVITE")
            callee.phone.reply(invite, code, reason, tag="far" if code > 100 else "")
            if code > 100:
                await bot.event("ringing")
            else:
                await asyncio.sleep(AFTER)
            asked = time.time()
            await bot.send("hangup")
            times[name].append(await until_cancelled(callee, invite, asked))
            await bot.ended()


async def while_referring(system: System, times: Times) -> None:
    """The target rings; the caller hears music."""
    async with talk(system) as scene:
        for whole in (False, True):
            await scene.bot.send("refer", caller="", callee=scene.target.uri, options={"moh": SOUND})
            invite = await scene.target.rings()
            await scene.bot.event("ringing")
            if not whole:
                times["interrupt_while_referring"].append(await interrupt(scene))
            asked = time.time()
            await scene.bot.send("hangup", refer=not whole)
            name = "hangup_while_referring" if whole else "hangup_refer_while_referring"
            times[name].append(await until_cancelled(scene.target, invite, asked))
            if not whole:
                await scene.bot.event("reject")
        await scene.caller.hung_up()
        times["hangup_while_referring_to_bye"].append(since(asked))
        await scene.bot.ended()


async def run(rounds: int, folder: Path) -> dict[str, float]:
    """All rounds, as figures."""
    times: Times = defaultdict(list)
    async with bench_system(folder) as system:
        for _ in range(rounds):
            for part in (in_a_call, while_dialling, while_referring):
                await part(system, times)
        await system.idle()
    figures: dict[str, float] = {"rounds": rounds}
    for name, values in times.items():
        figures |= spread(name, values)
    return figures


def main() -> int:
    """Measure and print."""
    measure(__doc__ or "", 20, "of each measurement", run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
