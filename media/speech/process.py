"""The speech process: takes orders on a socket, synthesises, sends samples. Plain and single-threaded.

It ends when the socket closes, and by signal when its parent dies.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence

import numpy as np

from control.errors import SpeechError
from media.resampler import Resampler
from media.speech.espeak_ng import EspeakNg
from media.speech.protocol import (
    SAMPLE_RATES,
    Cancel,
    Chunk,
    Credit,
    Decoder,
    Done,
    Failed,
    Ready,
    Report,
    Synthesise,
    encode,
)
from media.speech.schedule import Job, Schedule
from media.speech.voice import Samples, Synthesiser

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.25
"""Silence between two segments of a text: the synthesiser's own pause ends with each segment."""
_PR_SET_PDEATHSIG = 1
_NOTHING = np.zeros(0, np.int16)


class Server:
    """Serves one worker on a connected stream socket."""

    def __init__(self, channel: socket.socket, synthesiser: Synthesiser) -> None:
        self._channel = channel
        self._synthesiser = synthesiser
        self._decoder = Decoder()
        self._schedule = Schedule()
        self._open = True

    def run(self) -> None:
        """Serve until the worker closes the socket."""
        self._send(Ready())
        while self._open:
            job = self._schedule.next()
            self._receive(wait=job is None)
            if job is not None:
                self._advance(job)

    def _advance(self, job: Job) -> None:
        """Speak one segment of `job`, and finish it with the last."""
        if job.sample_rate not in SAMPLE_RATES:
            self._end(job, Failed(job.request, f"a sample rate of {job.sample_rate} Hz is not offered"))
            return
        try:
            if job.segments:
                self._synthesiser.say(job.segments.popleft(), job.voice, lambda part: self._put(job, part))
        except SpeechError as error:
            self._end(job, Failed(job.request, str(error)))
            return
        if not job.segments:
            self._put(job, _NOTHING, last=True)
            self._end(job, Done(job.request))
        else:
            self._put(job, np.zeros(round(PAUSE_SECONDS * self._synthesiser.sample_rate), np.int16))

    def _put(self, job: Job, samples: Samples, *, last: bool = False) -> bool:
        """Send samples of `job`; whether more is wanted. Never raises: it runs in a callback from C."""
        if not self._schedule.holds(job):
            return False
        if job.resampler is None:
            rate = self._synthesiser.sample_rate
            job.resampler = Resampler(rate, job.sample_rate)
        resampled = job.resampler.push(samples, last=last)
        if resampled.size:
            job.credit -= resampled.size
            self._send(Chunk(job.request, resampled.tobytes()))
        self._receive(wait=False)
        return self._open and self._schedule.holds(job)

    def _end(self, job: Job, report: Report) -> None:
        wanted = self._schedule.holds(job)
        self._schedule.finish(job)
        if wanted:
            self._send(report)

    def _send(self, report: Report) -> None:
        try:
            self._channel.sendall(encode(report))
        except OSError:
            # The worker is gone: there is nobody to tell.
            self._open = False

    def _receive(self, *, wait: bool) -> None:
        """Take the orders that are there; with `wait` until there are some."""
        try:
            data = self._channel.recv(65536, 0 if wait else socket.MSG_DONTWAIT)
            self._open = self._open and bool(data)
            for message in self._decoder.feed(data):
                if isinstance(message, Synthesise | Cancel | Credit):
                    self._schedule.take(message)
        except BlockingIOError:
            return
        except (OSError, SpeechError) as error:
            log.error("the speech process ends: %s", error)
            self._open = False


def main(argv: Sequence[str]) -> int:
    """``python -m media.speech FD PARENT``: serve the socket FD; PARENT is the process to die with."""
    descriptor, parent = int(argv[0]), int(argv[1])
    logging.basicConfig(format="speech: %(message)s", stream=sys.stderr)
    # Ctrl-C goes to the whole group; the worker ends us by closing the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return 1
    with socket.socket(fileno=descriptor) as channel:
        try:
            synthesiser = EspeakNg()
        except SpeechError as error:
            channel.sendall(encode(Failed(0, str(error))))
            return 1
        Server(channel, synthesiser).run()
    return 0
