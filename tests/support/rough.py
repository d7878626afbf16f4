"""A network that loses, delays, reorders and doubles packets, in virtual time and the same each time; and one call
through it, listened to at both taps."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from control.speech_config import Speech
from media.engine import halfband
from media.engine.arrays import Pcm
from media.engine.stats import Stats
from media.engine.stream import FORMATS, Codec
from media.engine.taps import Side
from media.speech import say
from media.speech.voice import Voice
from tests.support import callbench, wav
from tests.support.callbench import PAYLOAD_TYPES, TICK_MS
from tests.support.farend import HEADER

PHASE_MS = 7.0
"""After a tick in which the sender sends: packets come neither all before nor all after the engine's tick."""
_CERTAIN = 4
"""Packets at the end that are never lost: what is lost behind the last packet nobody can know."""
_AROUND_MS = 300
_PIECE_MS, _LONG_PIECE_MS = 500, 2000
"""Pieces of waves and of spectrograms; these say little of short sounds."""


@dataclass(frozen=True, slots=True)
class Journey:
    """What became of the packets of one call."""

    ticks: list[list[int]]
    """Numbers of the packets that arrive in each tick, in order."""
    sent: int
    lost: int
    copies: int
    """Second copies that arrived."""

    @property
    def delivered(self) -> int:
        """Datagrams that arrived."""
        return sum(map(len, self.ticks))

    @property
    def reordered(self) -> int:
        """Packets that came after one with a greater number."""
        order = [number for tick in self.ticks for number in tick]
        return int((np.maximum.accumulate(order) > order).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Shares of packets, 0 to 1, that it loses and doubles; each is delayed by up to `jitter_ms`, evenly."""

    loss: float = 0.0
    doubled: float = 0.0
    jitter_ms: float = 0.0
    seed: int = 1

    def carry(self, count: int) -> Journey:
        """Send `count` packets, one each 20 ms. The first is not delayed: with it the stream begins."""
        rng = np.random.default_rng(self.seed)
        lost, doubled = rng.random(count) < self.loss, rng.random(count) < self.doubled
        lost[0] = doubled[0] = False
        lost[-_CERTAIN:] = False
        doubled &= ~lost
        delay = rng.uniform(0, self.jitter_ms, (2, count))
        delay[:, 0] = 0
        begin = np.arange(count) * TICK_MS + PHASE_MS
        there, twice = np.flatnonzero(~lost), np.flatnonzero(doubled)
        number = np.concatenate([there, twice])
        at = np.concatenate([(begin + delay[0])[there], (begin + delay[1])[twice]])
        order = np.argsort(at, kind="stable")
        ticks: list[list[int]] = [[] for _ in range(int(at.max()) // TICK_MS + 1)]
        for packet, tick in zip(
            number[order].tolist(), (at[order] // TICK_MS).astype(int).tolist(), strict=True
        ):
            ticks[tick].append(packet)
        return Journey(ticks, count, int(lost.sum()), len(twice))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call: what was said and heard, int16 at `rate` Hz, and what was counted."""

    rate: int
    said: Pcm
    heard: Pcm
    """By the tap that waits for nothing."""
    even: Pcm
    """By the tap of one frame a tick."""
    stats: Stats
    journey: Journey

    @property
    def correlation(self) -> float:
        """Of the whole of `heard`, after alignment."""
        return _best(self.heard, self.said[: -self.rate // 10])

    @property
    def likeness(self) -> float:
        """Of the spectrograms of `heard` and what was said."""
        return _alike(_narrow(self.heard, self.rate), _narrow(self.said[: -self.rate // 10], self.rate))

    @property
    def even_correlation(self) -> float:
        """Of `even`, half second by half second: frames are repeated and left out in it. Weighted by loudness."""
        return _by_pieces(_best, self.even, self.said, self.rate, _PIECE_MS)

    @property
    def even_likeness(self) -> float:
        """Of the spectrograms, likewise, by pieces of two seconds."""
        even, said = (_narrow(pcm, self.rate) for pcm in (self.even, self.said))
        return _by_pieces(_alike, even, said, halfband.NARROW, _LONG_PIECE_MS)


def text(rate: int, seconds: float) -> Pcm:
    """Speech of our synthesiser, with its pauses."""
    words = (
        "Good morning to you all. The quick brown fox jumps over the lazy dog, one hundred times a day. " * 4
    )
    pcm = say.render(words, Voice(Speech().speaker), rate)
    return pcm[: round(rate * seconds)] // 2


def travel(codec: Codec, network: Network, seconds: float, **settings: int) -> Outcome:
    """One call whose peer speaks through `network`; `settings` are those of libopus."""
    rate = FORMATS[codec].rate
    said = text(rate, seconds)
    payloads = callbench.encode(codec, said, **settings)
    journey = network.carry(len(payloads))
    taps: dict[Side, list[Pcm]] = {Side.HEARD: [], Side.EVEN: []}
    with callbench.bench(1) as bench:
        call = bench.call(codec)
        for side, parts in taps.items():

            def keep(pcm: Pcm, lost: int, parts: list[Pcm] = parts) -> None:
                parts.append(pcm.copy())

            bench.engine.subscribe(call.slot, (side,), every=5, rate=rate, sink=keep)
        for numbers in [*journey.ticks, *[[]] * 20]:
            for number in numbers:
                header = HEADER.pack(
                    0x80,
                    PAYLOAD_TYPES[codec],
                    number + 65000 & 0xFFFF,
                    number * FORMATS[codec].clock // 50,
                    1,
                )
                call.far.send_raw(header + payloads[number])
            bench.ticks()
        stats = bench.engine.stats(call.slot)
        call.release()
    heard, even = (np.concatenate(parts) for parts in taps.values())
    return Outcome(rate, said[: len(payloads) * rate // 50], heard, even, stats, journey)


def _best(heard: Pcm, said: Pcm) -> float:
    return wav.best_match(heard.astype(np.float64), said.astype(np.float64))[0]


def _alike(heard: Pcm, said: Pcm) -> float:
    return wav.likeness(heard / 32768, said / 32768)


def _by_pieces(
    measure: Callable[[Pcm, Pcm], float], heard: Pcm, said: Pcm, rate: int, piece_ms: int
) -> float:
    size, around = (rate * ms // 1000 for ms in (piece_ms, _AROUND_MS))
    found, weights = [], []
    for at in range(0, len(said) - size + 1, size):
        piece = said[at : at + size]
        found.append(measure(heard[max(at - around, 0) : at + size + around], piece))
        weights.append(np.linalg.norm(piece.astype(float)))
    return float(np.average(found, weights=weights))


def _narrow(pcm: Pcm, rate: int) -> Pcm:
    if rate == halfband.NARROW:
        return pcm
    line = np.pad(pcm, (halfband.HISTORY[rate], -len(pcm) % (2 * halfband.BLOCK)))
    narrow: Pcm = halfband.convert(line[None], rate)[0]
    return narrow
