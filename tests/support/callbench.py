"""One engine, the far ends of its calls, and what they say and hear in each codec."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from media.engine import g711
from media.engine.arrays import Pcm
from media.engine.codecs.registry import make_coder
from media.engine.engine import Engine
from media.engine.reports import Event
from media.engine.segment import Segment
from media.engine.stream import FORMATS, Codec
from tests.support import libopus
from tests.support.farend import HOST, FarEnd, Packet, Stream
from tests.support.wav import best_match

PAYLOAD_TYPES = {Codec.PCMU: 0, Codec.PCMA: 8, Codec.PCMU16: 97, Codec.G722: 9, Codec.OPUS: 111}
TICK_MS = 20


@dataclass
class Call:
    """One call of the engine and its far end."""

    engine: Engine
    far: FarEnd
    slot: int
    codec: Codec
    live: bool = True
    heard: list[Pcm] = field(default_factory=list)
    """What the engine decoded, tick by tick."""
    got: list[Packet] = field(default_factory=list)
    """What the far end received."""

    def connect(self, codec: Codec, **changes: object) -> None:
        """Connect, or connect again; `changes` are fields of the stream."""
        self.codec = codec
        values = {"codec": codec.value, "payload_type": PAYLOAD_TYPES[codec]} | changes
        self.engine.connect(self.slot, Stream(self.far.port, **values))  # type: ignore[arg-type]

    def say(self, payload: bytes, ms: int = TICK_MS) -> None:
        """Send one packet of `ms`."""
        self.far.send(payload, PAYLOAD_TYPES[self.codec], FORMATS[self.codec].clock * ms // 1000)

    def lose(self, ms: int = TICK_MS) -> None:
        """One packet of `ms` is lost on the way."""
        self.far.sequence = self.far.sequence + 1 & 0xFFFF
        self.far.timestamp += FORMATS[self.codec].clock * ms // 1000

    def play(self, pcm: Pcm, rate: int) -> Segment:
        """Let the engine play `pcm`."""
        segment = Segment(rate=rate)
        segment.append(pcm)
        segment.close()
        self.engine.enqueue(self.slot, segment)
        return segment

    def release(self) -> None:
        """Give the slot back."""
        self.live = False
        self.engine.release(self.slot)

    @property
    def sound(self) -> Pcm:
        """All that the engine decoded."""
        return np.concatenate(self.heard)

    @property
    def audio(self) -> list[Packet]:
        """What the far end received, without telephone events."""
        return [packet for packet in self.got if packet.payload_type == PAYLOAD_TYPES[self.codec]]


@dataclass
class Bench:
    """An engine and its calls."""

    engine: Engine
    calls: list[Call] = field(default_factory=list)

    def call(self, codec: Codec = Codec.PCMU, **changes: object) -> Call:
        """Allocate and connect a call."""
        call = Call(self.engine, FarEnd(self.engine.port), self.engine.allocate(), codec)
        self.calls.append(call)
        call.connect(codec, **changes)
        return call

    def ticks(self, count: int = 1) -> list[Event]:
        """So many ticks; what happened."""
        events = []
        for _ in range(count):
            events += self.engine.tick()
            for call in self.calls:
                if call.live:
                    call.heard.append(self.engine.received(call.slot).copy())
                call.got += call.far.read()
        return events

    def talk(
        self, call: Call, payloads: Sequence[bytes], ms: int = TICK_MS, lost: Collection[int] = ()
    ) -> list[Event]:
        """Send packets of `ms` evenly, tick by tick, but those that are `lost`; two ticks more at the end."""
        events, time = [], 0
        for number, payload in enumerate(payloads):
            if number in lost:
                call.lose(ms)
            else:
                call.say(payload, ms)
            while time + TICK_MS <= (number + 1) * ms:
                events += self.ticks()
                time += TICK_MS
        return events + self.ticks(2)


@contextmanager
def bench(capacity: int = 3) -> Iterator[Bench]:
    """A bench that leaves no socket open."""
    made = Bench(Engine(HOST, 0, capacity))
    try:
        yield made
    finally:
        made.engine.close()
        for call in made.calls:
            call.far.socket.close()


def encode(codec: Codec, pcm: Pcm, ms: int = TICK_MS, **settings: int) -> list[bytes]:
    """Packets of `ms` of `pcm`, which has the sampling rate of the codec; `settings` are those of libopus."""
    if codec is Codec.OPUS:
        return libopus.Encoder(FORMATS[codec].rate, **settings).stream(pcm, ms)
    if codec is Codec.G722:
        coder = make_coder(codec, FORMATS[codec].rate)
        assert coder is not None
        frames = pcm[: len(pcm) // 320 * 320].reshape(-1, 320)
        whole = b"".join(coder.encode(frame) for frame in frames)
    else:
        table = g711.ALAW_ENCODE if codec is Codec.PCMA else g711.ULAW_ENCODE
        whole = table[pcm.view(np.uint16)].tobytes()
    size = FORMATS[codec].granule * ms // 10
    return [whole[at : at + size] for at in range(0, len(whole) - size + 1, size)]


def decode(codec: Codec, packets: Sequence[Packet]) -> Pcm:
    """What the far end hears, at the sampling rate of the codec."""
    payloads = [packet.payload for packet in packets]
    coder = make_coder(codec, FORMATS[codec].rate)
    if coder is not None:
        return np.concatenate([coder.decode(payload).copy() for payload in payloads])
    table = g711.ALAW_DECODE if codec is Codec.PCMA else g711.ULAW_DECODE
    return table[np.frombuffer(b"".join(payloads), np.uint8)]


def likeness(heard: Pcm, said: Pcm) -> float:
    """How well all but the last twentieth of `said` is found in `heard`, of one rate: 1 is perfect, 0 unrelated."""
    part = said[: -max(len(said) // 20, 1)]
    return best_match(heard.astype(np.float64), part.astype(np.float64))[0]
