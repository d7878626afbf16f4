"""How long a transfer leaves the caller without audio: at the switch to the target, and on the way back.

Starts ``sidecall up`` on ports of its own. One caller is transferred to the same target again and again; the target
answers and, in turn, hangs up itself or is left by the bot. Both talk all the time (PCMU). Every arrival is the time of
the kernel at the caller.

    .venv/bin/python bench/refer.py --rounds 30 --json
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the test peers are no installed package

from bench.talk import SOUND, Talk, bench_system, heard, measure, since, spread, talk
from tests.support.rtpcap import PCMU, RtpPacket

SETTLE = 0.3
"""Seconds of the other voice that are listened to after each switch."""

Times = dict[str, list[float]]


def gap(packets: Sequence[RtpPacket]) -> float:
    """Milliseconds without a packet where the source changes; the longest when it changes more than once."""
    pairs = list(zip(packets, packets[1:], strict=False))
    changes = [after.arrival - before.arrival for before, after in pairs if before.ssrc != after.ssrc]
    return max(changes) * 1000


async def change(scene: Talk, start: int) -> float:
    """Wait until another source than that of packet `start` is heard for a while: the gap between."""
    rtp = scene.caller.rtp
    before = rtp.packets[start].ssrc
    await rtp.packet(lambda packet: packet.ssrc != before, after=start)
    await asyncio.sleep(SETTLE)
    return gap([packet for packet in rtp.packets[start:] if packet.payload_type == PCMU])


async def transfer(scene: Talk, times: Times, *, by_target: bool) -> None:
    """There and back."""
    rtp, target = scene.caller.rtp, scene.target
    asked = time.time()
    await scene.bot.send("refer", caller="", callee=target.uri, options={"moh": SOUND, "autoHangup": False})
    invite = await target.rings()
    times["refer_to_invite"].append(since(asked))
    await heard(scene.caller)
    start, answered = len(rtp.packets) - 1, time.time()
    call = target.answer(invite)
    await scene.bot.event("answer")
    times["answer_to_event"].append(since(answered))
    times["gap_at_switch"].append(await change(scene, start))
    await target.acknowledged()
    start, left = len(rtp.packets) - 1, time.time()
    if by_target:
        await call.bye()
    else:
        await scene.bot.send("hangup", refer=True)
        await target.hung_up()
    target.rtp.remote = None
    await scene.bot.event("hangup")
    times["end_to_event"].append(since(left))
    times["gap_at_return"].append(await change(scene, start))


async def run(rounds: int, folder: Path) -> dict[str, float]:
    """All transfers, as figures."""
    times: Times = defaultdict(list)
    async with bench_system(folder) as system, talk(system) as scene:
        for number in range(rounds):
            await transfer(scene, times, by_target=bool(number % 2))
        reinvites = sum(
            message.method == "INVITE" and not message.code for message in scene.caller.phone.inbox
        )
        await scene.bot.send("hangup")
        await scene.caller.hung_up()
        await scene.bot.ended()
        await system.idle()
    figures: dict[str, float] = {"transfers": rounds, "reinvites": reinvites}
    for name, values in times.items():
        figures |= spread(name, values)
    return figures


def main() -> int:
    """Return 1 when the caller was invited anew, else 0."""
    figures = measure(__doc__ or "", 30, "transfers, one after the other", run)
    return int(figures["reinvites"] > 0)


if __name__ == "__main__":
    sys.exit(main())
