"""A contestant of bench/peers.py: a protocol for each call, with Silero by onnxruntime, on asyncio's loop or uvloop's.

Silero's session is shared; it is asked on the loop, a window of one call at a time, without a detour through a thread.
Timers are the loop's own, without a task for each call. RTP, G.711 and the talk with bench/peers.py are here for the
other peers too.
"""

import argparse
import asyncio
import gc
import json
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

import numpy as np
import onnxruntime
import uvloop

from bench import load
from media.engine.arrays import FRAME, RATE, Bytes, Pcm
from media.engine.g711 import ULAW_DECODE, ULAW_ENCODE
from media.engine.silero import UNITS, model_path

TICK = 0.02
WINDOW, CONTEXT = 256, 32
"""Samples of a window of Silero at 8 kHz, and of what it wants to see again before it."""
VOICE = 0.5
"""Probability from which a window is voice."""
HANGOVER = 5
"""Windows without voice that end speech."""
REORDER = 2
"""A packet is lost when more later ones than this are here."""
FIRST_PORT = 6000
HEADER = struct.Struct("!BBHII")
CLIP: Pcm = np.random.default_rng(2).normal(0, 3000, (100, FRAME)).astype(np.int16)
"""Two seconds of noise, in frames; played again and again."""


@dataclass
class Tally:
    """What a peer has done."""

    received: int = 0
    windows: int = 0
    sent: int = 0


class Stream:
    """RTP of one call: packets in, payloads out in order; and packets to send."""

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._next = -1
        self._held: dict[int, bytes] = {}
        self._sequence = self._timestamp = 0

    def accept(self, packet: bytes) -> list[bytes]:
        """The payloads that can be heard now."""
        first, kind, sequence, _, _ = HEADER.unpack_from(packet)
        if first != 0x80 or kind & 0x7F:
            return []
        if self._next < 0:
            self._next = sequence
        if sequence == self._next and not self._held:
            self._next = sequence + 1 & 0xFFFF
            return [packet[HEADER.size :]]
        if sequence - self._next & 0xFFFF < 0x8000:
            self._held[sequence] = packet[HEADER.size :]
        ready = []
        while self._held:
            payload = self._held.pop(self._next, None)
            if payload is not None:
                ready.append(payload)
            elif len(self._held) <= REORDER:
                break
            self._next = self._next + 1 & 0xFFFF
        return ready

    def packet(self, payload: bytes) -> bytes:
        """The next packet to send."""
        self._sequence = self._sequence + 1 & 0xFFFF
        self._timestamp = self._timestamp + FRAME & 0xFFFFFFFF
        return HEADER.pack(0x80, 0, self._sequence, self._timestamp, self._ssrc) + payload


def decode(payload: bytes) -> Pcm:
    """PCMU to samples."""
    samples: Pcm = ULAW_DECODE[np.frombuffer(payload, np.uint8)]
    return samples


def encode(pcm: Pcm) -> bytes:
    """Samples to PCMU."""
    codes: Bytes = ULAW_ENCODE[pcm.view(np.uint16)]
    return codes.tobytes()


class Listener:
    """Voice detection of one call."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._rate = np.array(RATE, np.int64)
        self._state = np.zeros((2, 1, UNITS), np.float32)
        self._samples = np.zeros((1, CONTEXT + WINDOW), np.float32)
        self._fill = CONTEXT
        self._silent = HANGOVER
        self.speech = False

    def hear(self, pcm: Pcm) -> int:
        """Take samples, fewer than a window; how many windows that completed."""
        end = min(self._fill + len(pcm), CONTEXT + WINDOW)
        taken = end - self._fill
        np.multiply(pcm[:taken], np.float32(1 / 32768), out=self._samples[0, self._fill : end])
        self._fill = end
        if end < CONTEXT + WINDOW:
            return 0
        self._judge()
        self._samples[0, :CONTEXT] = self._samples[0, WINDOW:]
        self._fill = CONTEXT
        return 1 + self.hear(pcm[taken:])

    def _judge(self) -> None:
        given = {"input": self._samples, "state": self._state, "sr": self._rate}
        probability, self._state = self._session.run(None, given)
        self._silent = 0 if probability[0, 0] >= VOICE else self._silent + 1
        self.speech = self._silent < HANGOVER


class Call(asyncio.DatagramProtocol):
    """One call on an event loop."""

    def __init__(self, number: int, listener: Listener, tally: Tally) -> None:
        self._loop = asyncio.get_running_loop()
        self._stream, self._listener, self._tally = Stream(number + 1), listener, tally
        self._frame = number % len(CLIP)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, _: object) -> None:
        self._tally.received += 1
        for payload in self._stream.accept(data):
            self._tally.windows += self._listener.hear(decode(payload))

    def play(self, due: float) -> None:
        """Send a frame now, and the next one a tick after `due`."""
        self._transport.sendto(self._stream.packet(encode(CLIP[self._frame])))
        self._tally.sent += 1
        self._frame = (self._frame + 1) % len(CLIP)
        self._loop.call_at(due + TICK, self.play, due + TICK)


async def start_calls(sockets: list[socket.socket], tally: Tally) -> None:
    """A protocol for each socket; they begin to play spread over a tick."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number, udp in enumerate(sockets):
        call = Call(number, Listener(session), tally)
        await loop.create_datagram_endpoint(lambda call=call: call, sock=udp)  # type: ignore[misc]
        due = begin + TICK * (1 + number / len(sockets))
        loop.call_at(due, call.play, due)


def bind_row(count: int) -> list[socket.socket]:
    """Bind `count` ports in a row, below those of the far end."""
    for base in range(FIRST_PORT, load.FIRST_PORT - count, 50):
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        try:
            for number, udp in enumerate(sockets):
                udp.bind((load.ADDRESS, base + number))
                udp.setblocking(False)
        except OSError:
            for udp in sockets:
                udp.close()
            continue
        return sockets
    sys.exit(
        f"no {count} ports in a row are free between {FIRST_PORT} and {load.FIRST_PORT}: take fewer calls"
    )


async def serve(calls: int, start: Callable[[list[socket.socket], Tally], Awaitable[None]]) -> None:
    """Be a contestant: print the first port, take those of the far end, print ``ready``; count from line to line."""

    async def line() -> str:
        return await asyncio.to_thread(sys.stdin.readline)

    sockets = bind_row(calls)
    print(sockets[0].getsockname()[1], flush=True)
    for udp, port in zip(sockets, json.loads(await line()), strict=True):
        udp.connect((load.ADDRESS, port))
    tally = Tally()
    await start(sockets, tally)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    await line()
    before, cpu, wall = asdict(tally), time.process_time(), time.monotonic()
    await line()
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    ticks = wall / TICK * calls
    done = {name: (count - before[name]) / ticks for name, count in asdict(tally).items()}
    figures = {
        "calls": calls,
        "us_per_call_tick": round(cpu / ticks * 1e6, 2),
        "core_percent": round(cpu / wall * 100, 1),
        "received_percent": round(done["received"] * 100, 1),
        "windows_percent": round(done["windows"] * 100 * WINDOW / FRAME, 1),
        "sent_percent": round(done["sent"] * 100, 1),
    }
    print(json.dumps(figures), flush=True)


def main() -> None:
    """Entry of the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("calls", type=int)
    parser.add_argument("--uvloop", action="store_true")
    arguments = parser.parse_args()
    run = uvloop.run if arguments.uvloop else asyncio.run
    run(serve(arguments.calls, start_calls))


if __name__ == "__main__":
    main()
