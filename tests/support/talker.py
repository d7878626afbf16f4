"""Far ends that say a tone without end in their codec, and know by its pitch whom they hear."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from media.engine.stream import FORMATS, Codec
from tests.support import callbench, wav
from tests.support.farend import Packet
from tests.support.ports import Address
from tests.support.rtpcap import FRAME_SECONDS, RtpPacket, RtpPeer

WINDOW = 12
"""Packets that a pitch is judged by."""
PATIENCE = 8.0


@dataclass(eq=False)
class Talker:
    """Says `pitch` Hz as `codec` under `payload_type`, to where `peer` sends."""

    peer: RtpPeer
    codec: Codec
    payload_type: int
    pitch: int
    silent: bool = False

    async def talk(self) -> None:
        """Talk until cancelled."""
        form = FORMATS[self.codec]
        tone = wav.tone(self.pitch, 1.0, rate=form.rate)
        packets = cycle(callbench.encode(self.codec, (tone * 32767).astype(np.int16)))
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if self.peer.remote is not None and not self.silent:
                self.peer.send(next(packets), self.payload_type)
            self.peer.timestamp += form.clock // 50
            due += FRAME_SECONDS
            await asyncio.sleep(max(0.0, due - loop.time()))

    def audio(
        self, codec: Codec, payload_type: int, source: Address | None = None, after: int = 0
    ) -> list[RtpPacket]:
        """What came in that codec."""
        return [
            packet
            for packet in self.peer.packets[after:]
            if packet.payload_type == payload_type and source in (None, packet.source)
        ]

    async def hears(
        self, other: "Talker", source: Address | None = None, like: "Talker | None" = None
    ) -> None:
        """Wait until `WINDOW` packets on end are of `other` alone, in the codec of `like` (its own if None)."""
        kind = like or self
        start = len(self.peer.packets)
        async with asyncio.timeout(PATIENCE):
            while True:
                audio = self.audio(kind.codec, kind.payload_type, source, start)[-WINDOW:]
                if len(audio) == WINDOW and pitch(kind.codec, audio) == other.pitch:
                    return
                await self.peer.packet(lambda _: True, len(self.peer.packets))


def pitch(codec: Codec, packets: Sequence[RtpPacket]) -> int | None:
    """The only tone in `packets`, in steps of 20 Hz; None when there is another, or none."""
    heard = [
        Packet(each.payload_type, each.marker, each.sequence, each.timestamp, each.ssrc, each.payload)
        for each in packets
    ]
    pcm = callbench.decode(codec, heard).astype(np.float64)[FORMATS[codec].rate // 25 :]
    power = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)))) ** 2
    frequencies = np.fft.rfftfreq(len(pcm), 1 / FORMATS[codec].rate)
    peak = frequencies[power.argmax()]
    near = power[np.abs(frequencies - peak) < 40].sum()
    return round(peak / 20) * 20 if near > 0.9 * power.sum() > 0 else None


@asynccontextmanager
async def talking(*talkers: Talker) -> AsyncIterator[None]:
    """Let them talk while the block runs."""
    tasks = [asyncio.create_task(talker.talk()) for talker in talkers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
