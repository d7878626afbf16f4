"""A contestant of bench/peers.py: pipecat-ai, a pipeline for each call. Runs in an environment that has pipecat-ai.

    transport in → VADProcessor with SileroVADAnalyzer (8 kHz) → player → transport out

All pipelines share one process, one runner and uvloop, and everything runs at 8 kHz, so nothing is resampled. RTVI,
turn tracking, idle timeouts, metrics and debug logs are off. The transport is made of pipecat's base classes as its
WebSocket ones are, over UDP: a task for each call takes packets from a queue, and what is sent is paced by sleeping.
RTP and G.711 are those of the other peers. The player swallows what the caller says, as speech recognition would, and
gives audio as a speech service does, a second at a time; the output cuts it into frames of 20 ms (its default is 40).
"""

import argparse
import asyncio
import itertools
import os
import socket
import time

os.environ.setdefault("LOGURU_LEVEL", "WARNING")  # read when pipecat is imported

import numpy as np
import uvloop
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame, StartFrame, TTSAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from bench.peer_asyncio import CLIP, TICK, Stream, Tally, decode, encode, serve
from media.engine.arrays import RATE

SPOKEN = CLIP.reshape(2, -1)
"""The clip as it is given to the output: a second at a time."""


class Socket(asyncio.DatagramProtocol):
    """Keeps what comes until the input asks for it."""

    def __init__(self, tally: Tally) -> None:
        self.packets: asyncio.Queue[bytes] = asyncio.Queue()
        self._tally = tally

    def datagram_received(self, data: bytes, _: object) -> None:
        self._tally.received += 1
        self.packets.put_nowait(data)


class Input(BaseInputTransport):  # type: ignore[misc]
    """RTP to audio frames."""

    def __init__(self, params: TransportParams, packets: asyncio.Queue[bytes], stream: Stream) -> None:
        super().__init__(params)
        self._packets, self._stream = packets, stream
        self._receiving: asyncio.Task[None] | None = None

    async def start(self, frame: StartFrame) -> None:
        """Begin to listen."""
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._receiving = self.create_task(self._receive())

    async def cleanup(self) -> None:
        """End."""
        if self._receiving is not None:
            await self.cancel_task(self._receiving)
        await super().cleanup()

    async def _receive(self) -> None:
        while True:
            for payload in self._stream.accept(await self._packets.get()):
                await self.push_audio_frame(InputAudioRawFrame(decode(payload).tobytes(), RATE, 1))


class Output(BaseOutputTransport):  # type: ignore[misc]
    """Audio frames to RTP, in their time."""

    def __init__(
        self, params: TransportParams, udp: asyncio.DatagramTransport, stream: Stream, tally: Tally
    ) -> None:
        super().__init__(params)
        self._udp, self._stream, self._tally = udp, stream, tally
        self._due = 0.0

    async def start(self, frame: StartFrame) -> None:
        """Begin to send."""
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Send a packet, and sleep until the next is due."""
        self._udp.sendto(self._stream.packet(encode(np.frombuffer(frame.audio, np.int16))))
        self._tally.sent += 1
        now = time.monotonic()
        self._due = max(self._due, now - TICK) + TICK
        await asyncio.sleep(self._due - now)
        return True


class Analyzer(SileroVADAnalyzer):  # type: ignore[misc]
    """pipecat's own, with its windows counted."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(sample_rate=RATE)
        self._tally = tally

    def voice_confidence(self, buffer: bytes) -> float:
        """Judge a window."""
        self._tally.windows += 1
        confidence: float = super().voice_confidence(buffer)
        return confidence


class Player(FrameProcessor):  # type: ignore[misc]
    """Where a bot would be: says the clip again and again, hears nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.started = asyncio.Event()
        self._playing: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass on all but the caller's audio."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            return
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._playing = self.create_task(self._play())
            self.started.set()

    async def cleanup(self) -> None:
        """End."""
        if self._playing is not None:
            await self.cancel_task(self._playing)
        await super().cleanup()

    async def _play(self) -> None:
        """Give a second of audio each second, the first one ahead of its time."""
        begin = time.monotonic()
        for number in itertools.count():
            audio = SPOKEN[number % len(SPOKEN)].tobytes()
            await self.push_frame(TTSAudioRawFrame(audio, RATE, 1))
            await asyncio.sleep(begin + number - time.monotonic())


async def start_call(number: int, udp: socket.socket, tally: Tally) -> tuple[PipelineWorker, Player]:
    """The pipeline of one call."""
    endpoint, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Socket(tally), sock=udp
    )
    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_10ms_chunks=2)
    stream, player = Stream(number + 1), Player()
    pipeline = Pipeline(
        [
            Input(params, protocol.packets, stream),
            VADProcessor(vad_analyzer=Analyzer(tally)),
            player,
            Output(params, endpoint, stream, tally),
        ]
    )
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
    )
    return worker, player


async def run(calls: int) -> None:
    """All calls in one runner."""
    runner = WorkerRunner(handle_sigint=False)

    async def start(sockets: list[socket.socket], tally: Tally) -> None:
        pairs = [await start_call(number, udp, tally) for number, udp in enumerate(sockets)]
        await runner.add_workers(*(worker for worker, _ in pairs))
        running.append(asyncio.create_task(runner.run()))
        for _, player in pairs:
            await player.started.wait()

    running: list[asyncio.Task[None]] = []
    await serve(calls, start)
    await runner.cancel()
    await asyncio.gather(*running)


def main() -> None:
    """Entry of the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("calls", type=int)
    arguments = parser.parse_args()
    uvloop.run(run(arguments.calls))


if __name__ == "__main__":
    main()
