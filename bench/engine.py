"""What the tick engine costs: calls with audio both ways over loopback, stage by stage.

The measured process runs the engine under its clock, as a media worker does: it receives, reorders, decodes, plays a
segment on every call, encodes and sends. With --vad it also listens for voice on every call, with --asr hands the
caller's audio to a subscriber (16 kHz, every 100 ms), with --record writes both sides to a stereo file. A child process
is the far end (bench/load.py). Processor time is that of the whole measured process; the stages are timed by thread.

    .venv/bin/python -m bench.engine --calls 1000 --seconds 20 --vad --fifo --json

On loopback the sender also pays for the delivery to the receiver's socket, so sending looks dearer and receiving
cheaper than on a network card. The engine runs on processor 0, the far end on processor 1; --fifo gives the engine
real-time priority, as a worker takes it where it may.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in a media worker; read when numpy is imported

import asyncio

import numpy as np
import uvloop

from bench import load
from bench.caller import conversation
from media.engine.arrays import TICKS
from media.engine.clock import LATENESS, PERIOD, TickClock
from media.engine.codecs.registry import make_coder
from media.engine.engine import Engine
from media.engine.overload import Level, Overload
from media.engine.reports import Event
from media.engine.segment import Segment
from media.engine.stream import FORMATS, Codec
from media.engine.taps import STEREO, Side
from media.engine.voice import Detector, VoiceOptions
from media.realtime import SafePoint, prioritise
from media.recorder import Recorder
from media.session.recording import TURN

STAGES = ("_receive", "_decode", "_play", "_send", "_listen", "_tap", "_report")
ASR_RATE, ASR_TURN = 16_000, 5
"""Hz, and ticks between two deliveries."""
ENGINE_CPU, FAR_CPU = 0, 1


@dataclass(frozen=True)
class FarStream:
    """The stream of one call of the far end."""

    port: int
    address: str = load.ADDRESS
    codec: str = "pcmu"
    payload_type: int = 0
    event_payload_type: int | None = 101
    rtcp_address: str = "127.0.0.1"
    rtcp_port: int = 0
    direction: str = "sendrecv"
    source_address: str = ""
    source_port: int = 0


class TimedEngine(Engine):
    """The engine, with processor time noted by stage, and probe calls that play back what they hear."""

    def __init__(self, capacity: int, ticks: int) -> None:
        super().__init__(load.ADDRESS, 0, capacity)
        self.spent: Counter[str] = Counter()
        self.durations = np.full(ticks, 0.0)
        self.ticked = 0
        self.echoes: list[tuple[int, Segment]] = []

    def tick(self) -> list[Event]:
        start = time.perf_counter()
        events = super().tick()
        for slot, segment in self.echoes:
            heard = self.received(slot)
            if len(heard):
                segment.append(heard.copy())
        self.durations[self.ticked % len(self.durations)] = time.perf_counter() - start
        self.ticked += 1
        return events


def _timed(name: str) -> Callable[..., None]:
    stage = getattr(Engine, name)

    def run(self: TimedEngine, *arguments: object) -> None:
        start = time.thread_time_ns()
        stage(self, *arguments)
        self.spent[name.lstrip("_")] += time.thread_time_ns() - start

    return run


for _name in STAGES:
    setattr(TimedEngine, _name, _timed(_name))


@dataclass(frozen=True)
class Job:
    """What is to be done on every call."""

    calls: int
    seconds: float
    codec: Codec = Codec.PCMU
    vad: Detector | None = None
    asr: bool = False
    pauses: bool = False
    record: Path | None = None
    """Folder of the files."""
    fifo: bool = False
    lever: bool = False

    @property
    def payload_type(self) -> int:
        return {Codec.PCMU: 0, Codec.PCMA: 8, Codec.G722: 9}.get(self.codec, 111)


def said(job: Job) -> load.Talk:
    """What the far end says: noise, coded as the job wants it."""
    form = FORMATS[job.codec]
    coder = make_coder(job.codec, form.rate)
    if coder is None:
        return conversation() if job.pauses else load.noise()
    pcm = np.random.default_rng(1).normal(0, 3000, (50, form.rate // TICKS)).astype(np.int16)
    packets = [coder.encode(frame) for frame in pcm]
    lengths = np.array([len(packet) for packet in packets])
    table = np.zeros((len(packets), lengths.max()), np.uint8)
    for row, packet in zip(table, packets, strict=True):
        row[: len(packet)] = np.frombuffer(packet, np.uint8)
    return load.Talk(table, lengths, job.payload_type, form.clock // TICKS)


def fill(engine: TimedEngine, ports: list[int], job: Job, recorder: Recorder | None) -> None:
    """Connect a call to each port, let it play noise to the end, and do the job on it; probes play back."""
    rate = FORMATS[job.codec].rate
    pcm = np.random.default_rng(2).normal(0, 3000, round((job.seconds + 5) * rate)).astype(np.int16)
    heard: deque[object] = deque(maxlen=job.calls)
    for number, port in enumerate(ports):
        slot = engine.allocate()
        engine.connect(slot, FarStream(port, codec=job.codec, payload_type=job.payload_type))
        segment = Segment(rate=rate)
        if number < load.PROBES:
            engine.echoes.append((slot, segment))
        else:
            segment.append(pcm)
            segment.close()
        engine.enqueue(slot, segment)
        if job.vad is not None:
            engine.enable_voice(slot, VoiceOptions(detector=job.vad))
        if job.asr:
            sink = lambda pcm, _lost: heard.append(pcm.tobytes())  # noqa: E731
            engine.subscribe(slot, (Side.HEARD,), every=ASR_TURN, rate=ASR_RATE, sink=sink)
        if recorder is not None:
            file = recorder.record(None, f"call{number}", rate, print)
            engine.subscribe(slot, STEREO, every=TURN, rate=rate, sink=file.write)


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def stolen_ms() -> float:
    """Time that the machine beneath a virtual one took from the engine's processor."""
    line = next(
        line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{ENGINE_CPU} ")
    )
    return int(line.split()[8]) * 1000 / os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> float:
    """Processor time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Watch:
    """What a worker does between ticks; a fifth into the run it looks at the memory, so that growth shows."""

    def __init__(self, ticks: int, engine: Engine, *, lever: bool) -> None:
        self._ticks, self._count = ticks // 5, 0
        self._engine, self._lever = engine, lever
        self.settled = self.saving = 0
        self.safe, self.overload = SafePoint(), Overload()

    def rest(self, busy: int, left: int) -> None:
        """As the worker."""
        self._count += 1
        if self._count == self._ticks:
            self.settled = resident()
        before = self.overload.level
        level = self.overload.observe(busy, int(left < -PERIOD))
        if level is not before and self._lever:
            self._engine.economise(on=level >= Level.SAVING)
        self.saving += self._lever and level >= Level.SAVING
        self.safe.rest(left)


async def measure(job: Job) -> dict[str, float]:
    """Run the engine under load; the figures of the report."""
    calls, seconds = job.calls, job.seconds
    before = resident()
    engine = TimedEngine(calls, round(seconds * TICKS) + 200)
    watch = Watch(round(seconds * TICKS), engine, lever=job.lever)
    clock = TickClock(engine, lambda _: None, watch.rest)
    recorder = None if job.record is None else Recorder(job.record, lambda call: call())
    with tempfile.TemporaryDirectory() as folder:
        talk = Path(folder, "talk.npz")
        said(job).save(talk)
        try:
            async with load.far_end(calls, seconds, engine.port, talk, cpu=FAR_CPU) as far:
                fill(engine, json.loads(await load.line(far)), job, recorder)
                if recorder is not None:
                    recorder.start()
                if job.fifo:
                    prioritise("on")
                watch.safe.start()
                clock.start()
                cpu, wall, stolen = cpu_seconds(), time.monotonic(), stolen_ms()
                started = clock.schedule.ticks
                await load.tell(far)
                await load.line(far)
                cpu, wall, stolen = cpu_seconds() - cpu, time.monotonic() - wall, stolen_ms() - stolen
                await asyncio.sleep(0.2)
                after = resident()
                clock.stop()
                await load.tell(far)
                counted = json.loads(await load.line(far))
        finally:
            clock.stop()
            if recorder is not None:
                recorder.close()
            engine.close()
            watch.safe.stop()
    totals, schedule = engine.totals(), clock.schedule
    durations = engine.durations[: engine.ticked] * 1e3
    ticks = schedule.ticks - started
    figures = {
        "calls": calls,
        "us_per_call_tick": round(cpu / (wall * 50 * calls) * 1e6, 2),
        "core_percent": round(cpu / wall * 100, 1),
        "ticks": schedule.ticks,
        "late_ticks": schedule.late,
        "stolen_ms": round(stolen),
        "saving_ticks": watch.saving,
        "lost_packets": counted["sent"] - totals.received - totals.late + counted["missing"] + totals.unsent,
        "strangers": engine.strangers,
        "tick_p50_ms": round(float(np.percentile(durations, 50)), 2),
        "tick_p99_ms": round(float(np.percentile(durations, 99)), 2),
        "tick_max_ms": round(float(durations.max()), 2),
        "wakes_over_1_ms": int(schedule.histogram[LATENESS.index(1_000_000) + 1 :].sum()),
        "kb_per_call": round((after - before) / calls / 1000, 1),
        "kb_per_call_grown": round((after - watch.settled) / calls / 1000, 2),
    }
    figures |= {f"us_{name}": round(spent / ticks / calls / 1e3, 2) for name, spent in engine.spent.items()}
    return figures | {f"far_{name}": value for name, value in counted.items()}


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description="Cost of the tick engine.")
    parser.add_argument("--calls", type=int, default=1000, help="calls at once (default 1000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the run (default 10)")
    parser.add_argument(
        "--vad",
        nargs="?",
        type=Detector,
        const=Detector.SILERO,
        choices=list(Detector),
        help="listen for voice on every call (default silero)",
    )
    parser.add_argument(
        "--codec", type=Codec, default=Codec.PCMU, choices=list(Codec), help="of every call (default pcmu)"
    )
    parser.add_argument(
        "--pauses",
        action="store_true",
        help="callers of PCMU speak two fifths of the time, instead of noise always",
    )
    parser.add_argument("--asr", action="store_true", help="hand every caller's audio to a subscriber")
    parser.add_argument(
        "--record", type=Path, metavar="FOLDER", help="record every call; the files are left there"
    )
    parser.add_argument("--fifo", action="store_true", help="give the engine real-time priority")
    parser.add_argument("--lever", action="store_true", help="save work under load, as a worker does")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if not load.PROBES <= arguments.calls <= 10000 or not 0.1 <= arguments.seconds <= 3600:
        parser.error(f"--calls takes {load.PROBES} to 10000, --seconds 0.1 to 3600")
    if (os.cpu_count() or 1) <= FAR_CPU:
        sys.exit("this needs two processors: one for the engine, one for the far end")
    os.sched_setaffinity(0, {ENGINE_CPU})
    job = Job(
        arguments.calls,
        arguments.seconds,
        arguments.codec,
        arguments.vad,
        arguments.asr,
        arguments.pauses,
        arguments.record,
        arguments.fifo,
        arguments.lever,
    )
    figures = uvloop.run(measure(job))
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:26} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
