"""What voice detection costs: the engine's network and whole stage, against onnxruntime with the same model.

All take turns within one run, so that their ratios hold on a machine that others use too. Everything runs in one
thread; CPU time is that thread's, and figures are medians.

    .venv/bin/python bench/vad.py --json
"""

import argparse
import json
import os
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in a media worker; read when numpy is imported

import numpy as np
import numpy.typing as npt
import onnxruntime

from media.engine.arrays import Pcm, keep_heap
from media.engine.silero import UNITS, Silero, model_path
from media.engine.voice import Voice, VoiceOptions

PATTERN = 8
"""Ticks after which windows and frames fall together again."""
LEARNING = 64
"""Ticks until the gate knows the noise of all calls."""
SINGLE = 20
"""Streams of the yardstick that calls onnxruntime for each."""


def timed(work: Callable[[], object]) -> float:
    """CPU time in us."""
    start = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - start) / 1000


class Reference:
    """onnxruntime with the model: all streams at once, or some of them one by one."""

    def __init__(self, rate: int, audio: npt.NDArray[np.float32]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(model_path()), options)
        self.rate = np.array(rate, np.int64)
        self.audio = audio
        self.state = np.zeros((2, len(audio), UNITS), np.float32)

    def batch(self) -> None:
        given = {"input": self.audio, "state": self.state, "sr": self.rate}
        _, self.state = self.session.run(None, given)

    def singly(self) -> None:
        for stream in range(min(SINGLE, len(self.audio))):
            part = slice(stream, stream + 1)
            given = {"input": self.audio[part], "state": self.state[:, part], "sr": self.rate}
            _, self.state[:, part] = self.session.run(None, given)


class Stage:
    """Voice detection of the engine on noise, a frame for each stream in each tick."""

    def __init__(self, rate: int, streams: int, *, economical: bool) -> None:
        rng = np.random.default_rng(3)
        self.voice = Voice(streams, rate)
        self.voice.economise(on=economical)
        for slot in range(streams):
            self.voice.enable(slot, VoiceOptions())
        self.frames: Pcm = rng.normal(0, 300, (PATTERN, streams, 2, rate // 50)).astype(np.int16)
        self.fresh = np.full(streams, 1, np.uint8)
        self.number = 0

    def tick(self) -> None:
        self.number += 1
        self.voice.run(self.frames[self.number % PATTERN], self.fresh, [])


def measure(rate: int, streams: int, seconds: float) -> dict[str, float]:
    """Figures of one number of streams."""
    rng = np.random.default_rng(4)
    network = Silero(rate, streams)
    audio: Pcm = rng.normal(0, 300, (streams, network.context + network.window)).astype(np.int16)
    slots = np.arange(streams)
    context, window = audio[:, : network.context].copy(), audio[:, network.context :].copy()
    reference = Reference(rate, audio.astype(np.float32) / np.float32(32768))
    full, spared = (Stage(rate, streams, economical=on) for on in (False, True))
    works: dict[str, tuple[Callable[[], object], int]] = {
        "us_per_window": (lambda: network.run(slots, context, window), streams),
        "us_per_call_tick": (full.tick, streams),
        "us_per_call_tick_economical": (spared.tick, streams),
        "onnxruntime_batch_us_per_window": (reference.batch, streams),
        "onnxruntime_single_us_per_window": (reference.singly, min(SINGLE, streams)),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    end, rounds = time.monotonic() + seconds, 0
    for _ in range(LEARNING):
        spared.tick()
    while rounds < PATTERN or time.monotonic() < end:
        for name, (work, _) in works.items():
            times[name].append(timed(work))
        rounds += 1
    figures = {name: float(np.median(times[name][3:])) / count for name, (_, count) in works.items()}
    own = figures["us_per_window"]
    figures["ratio_to_onnxruntime_batch"] = figures["onnxruntime_batch_us_per_window"] / own
    figures["ratio_to_onnxruntime_single"] = figures["onnxruntime_single_us_per_window"] / own
    return {name: round(value, 2) for name, value in figures.items()}


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description="Cost of voice detection against onnxruntime.")
    parser.add_argument("--streams", type=int, nargs="+", default=[100, 500, 1000, 2000])
    parser.add_argument("--rate", type=int, nargs="+", choices=[8000, 16000], default=[8000, 16000])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement (default 2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if min(arguments.streams) < 1 or max(arguments.streams) > 10000 or not 0 < arguments.seconds <= 60:
        parser.error("--streams takes 1 to 10000, --seconds up to 60")
    keep_heap()
    figures = {
        f"{rate}_{streams}": measure(rate, streams, arguments.seconds)
        for rate in arguments.rate
        for streams in arguments.streams
    }
    if arguments.json:
        print(
            json.dumps(
                {f"{key}_{name}": value for key, part in figures.items() for name, value in part.items()}
            )
        )
        return
    for key, part in figures.items():
        print(f"{key.replace('_', ' Hz, ')} streams")
        print("\n".join(f"  {name:34} {value}" for name, value in part.items()))


if __name__ == "__main__":
    main()
