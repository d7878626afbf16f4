"""What each codec costs per frame of 20 ms, and the resampler, against G.711 for all calls at once.

Every codec has a coder for each of --calls calls, which take their turns as in a tick: each finds the processor's
caches as a tick leaves them. Figures are CPU time of the thread, medians over the ticks. The sound is our own
synthesiser's speech, without the silence around it.

    .venv/bin/python bench/codecs.py --calls 100 --ticks 50 --json
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in a media worker; read when numpy is imported

import numpy as np

from control.speech_config import Speech
from media.engine import g711, halfband
from media.engine.arrays import FRAME, Pcm, keep_heap
from media.engine.codecs.base import Coder
from media.engine.codecs.g722 import G722
from media.engine.codecs.opus import Opus, OpusOptions
from media.speech import say
from media.speech.voice import Voice

TEXT = "The quick brown fox jumps over the lazy dog, one hundred times a day."
RATES = (8000, 16000)
COMPLEXITIES = (0, 5, 10)
LOSS = 10
"""Expected loss in percent, where FEC is measured."""

Figures = dict[str, float]


def speech(rate: int) -> Pcm:
    """Frames of 20 ms (n, rate / 50)."""
    pcm = say.render(TEXT, Voice(Speech().speaker), rate)
    loud = np.flatnonzero(np.abs(pcm) > 500)
    pcm = pcm[loud[0] : loud[-1]]
    size = rate // 50
    return pcm[: len(pcm) // size * size].reshape(-1, size)


def per_call(tick: Callable[[int], object], ticks: int, calls: int) -> float:
    """µs of CPU per call, median over the ticks; the first ones are not counted."""
    spent = []
    for number in range(ticks + 5):
        start = time.thread_time_ns()
        tick(number)
        spent.append(time.thread_time_ns() - start)
    return round(float(np.median(spent[5:])) / 1e3 / calls, 3)


def coding(make: Callable[[], Coder], frames: Pcm, ticks: int, calls: int) -> tuple[float, float, float]:
    """Encode, decode and conceal; each call is at another place of the speech."""
    coders = [make() for _ in range(calls)]
    packets: list[Sequence[bytes]] = []

    def place(call: int, number: int) -> int:
        return (call * 7 + number) % len(frames)

    def encode(number: int) -> None:
        packets.append([coder.encode(frames[place(call, number)]) for call, coder in enumerate(coders)])

    def decode(number: int) -> None:
        for coder, packet in zip(coders, packets[number], strict=True):
            coder.decode(packet)

    def conceal(_: int) -> None:
        for coder in coders:
            coder.conceal(frames.shape[1])

    encoded, decoded = per_call(encode, ticks, calls), per_call(decode, ticks, calls)
    return encoded, decoded, per_call(conceal, 5, calls)


def batched(ticks: int, calls: int) -> Figures:
    """G.711 and the resampler."""
    rng = np.random.default_rng(1)
    narrow = rng.normal(0, 3000, (calls, FRAME)).astype(np.int16)
    wide = rng.normal(0, 3000, (calls, 2 * FRAME)).astype(np.int16)
    law = np.full(calls, fill_value=False)
    code, back = np.full(narrow.shape, 0, np.uint8), np.full(narrow.shape, 0, np.int16)
    before = {rate: np.zeros((calls, halfband.HISTORY[rate]), np.int16) for rate in halfband.HISTORY}
    above = np.concatenate((before[halfband.NARROW], narrow), axis=1)
    below = np.concatenate((before[halfband.WIDE], wide), axis=1)
    return {
        "g711_encode_us": per_call(lambda _: g711.encode(narrow, law, code), ticks, calls),
        "g711_decode_us": per_call(lambda _: g711.decode(code, law, back), ticks, calls),
        "upsample_us": per_call(lambda _: halfband.convert(above, halfband.NARROW), ticks, calls),
        "downsample_us": per_call(lambda _: halfband.convert(below, halfband.WIDE), ticks, calls),
    }


def opus(rate: int, complexity: int, loss: int = 0) -> Opus:
    coder = Opus(rate, OpusOptions(complexity=complexity))
    coder.expect_loss(loss)
    return coder


def settings() -> dict[str, tuple[int, Callable[[], Coder]]]:
    """Rate and coder by the name that begins the keys."""
    found: dict[str, tuple[int, Callable[[], Coder]]] = {}
    for rate in RATES:
        found[f"g722_{rate}"] = rate, lambda rate=rate: G722(rate)  # type: ignore[misc]
        for level in COMPLEXITIES:
            found[f"opus_{rate}_c{level}"] = rate, lambda rate=rate, level=level: opus(rate, level)  # type: ignore[misc]
        found[f"opus_{rate}_c5_fec"] = rate, lambda rate=rate: opus(rate, 5, LOSS)  # type: ignore[misc]
    return found


def measure(ticks: int, calls: int) -> Figures:
    """All figures."""
    figures: Figures = {"calls": calls} | batched(ticks, calls)
    g711_both = figures["g711_encode_us"] + figures["g711_decode_us"]
    spoken = {rate: speech(rate) for rate in RATES}
    for name, (rate, make) in settings().items():
        encode, decode, conceal = coding(make, spoken[rate], ticks, calls)
        figures |= {f"{name}_encode_us": encode, f"{name}_decode_us": decode, f"{name}_conceal_us": conceal}
        figures[f"{name}_core_percent_per_call"] = round((encode + decode) * 50 / 1e4, 3)
        figures[f"{name}_ratio_to_g711"] = round((encode + decode) / g711_both, 1)
    return figures


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description="Cost of the codecs per frame of 20 ms.")
    parser.add_argument("--calls", type=int, default=100, help="calls that take turns (default 100)")
    parser.add_argument("--ticks", type=int, default=50, help="ticks measured of each (default 50)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if not 1 <= arguments.calls <= 10000 or not 1 <= arguments.ticks <= 10000:
        parser.error("--calls and --ticks take 1 to 10000")
    keep_heap()
    figures = measure(arguments.ticks, arguments.calls)
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:36} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
