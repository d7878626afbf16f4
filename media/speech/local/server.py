"""The child: a plain loop between a socket and an engine. It ends when the socket closes."""

import ctypes
import importlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence

from control.errors import ProviderError, SpeechError
from media.speech.local.engine import Engine
from media.speech.local.frames import (
    CREDIT,
    Cancel,
    Credit,
    Data,
    Decoder,
    Done,
    Failed,
    Finish,
    Frame,
    Open,
    Opened,
    Ready,
    Report,
    encode,
)

log = logging.getLogger(__name__)

NICENESS = 5
_PR_SET_PDEATHSIG = 1
_READ = 65536


class Desk:
    """Hands orders to an engine, and lets out reports of open streams only. Sans-I/O."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._credit: dict[int, int] = {}
        """Bytes of Data that each open stream may still get; below 0 it is held."""

    def take(self, order: Frame) -> list[Frame]:
        """Follow an order; what is to be answered at once."""
        try:
            match order:
                case Open(stream, parameters):
                    self._engine.open(stream, parameters)
                    self._credit[stream] = CREDIT
                    return [Opened(stream)]
                case Data(stream, data) if stream in self._credit:
                    self._engine.data(stream, data)
                case Finish(stream) if stream in self._credit:
                    self._engine.finish(stream)
                case Cancel(stream) if stream in self._credit:
                    del self._credit[stream]
                    self._engine.cancel(stream)
                case Credit(stream, size) if stream in self._credit:
                    self._pay(stream, -size)
        except ProviderError as error:
            # An engine that refuses what goes in has forgotten the stream.
            self._credit.pop(order.stream, None)
            return [Failed.of(order.stream, error)]
        return []

    def let_out(self, report: Report) -> bool:
        """Whether `report` is to be sent, and what follows from it."""
        if report.stream not in self._credit:
            return False
        match report:
            case Data(stream, data):
                self._pay(stream, len(data))
            case Done(stream) | Failed(stream):
                del self._credit[stream]
        return True

    def _pay(self, stream: int, size: int) -> None:
        before = self._credit[stream]
        self._credit[stream] = after = before - size
        if (before > 0) != (after > 0):
            self._engine.hold(stream, held=after <= 0)


class Server:
    """Serves one parent on a connected stream socket."""

    def __init__(self, channel: socket.socket, engine: Engine) -> None:
        self._channel = channel
        self._engine = engine
        self._desk = Desk(engine)
        self._decoder = Decoder()
        self._open = True

    def run(self) -> None:
        """Serve until the parent closes the socket."""
        self._send(Ready())
        while self._open:
            self._receive(wait=not self._engine.busy)
            for report in self._engine.step():
                if self._desk.let_out(report):
                    self._send(report)
                if not self._open:
                    return

    def _send(self, frame: Frame) -> None:
        try:
            self._channel.sendall(encode(frame))
        except OSError:
            # The parent is gone: there is nobody to tell.
            self._open = False

    def _receive(self, *, wait: bool) -> None:
        """Take the orders that are there; with `wait` until there are some."""
        try:
            data = self._channel.recv(_READ, 0 if wait else socket.MSG_DONTWAIT)
            self._open = self._open and bool(data)
            for order in self._decoder.feed(data):
                for answer in self._desk.take(order):
                    self._send(answer)
        except BlockingIOError:
            return
        except OSError:
            self._open = False


def load(path: str, settings: str) -> Engine:
    """The engine ``module:Class``, constructed. Raises ProviderError when its package is missing, and its own."""
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ProviderError(f"the package {error.name} is not installed", 501, retry=False) from error
    engine: Engine = found(json.loads(settings))
    return engine


def main(argv: Sequence[str]) -> int:
    """``python -P -m media.speech.local FD PARENT ENGINE SETTINGS``; PARENT is the process to die with."""
    descriptor, parent, path, settings = int(argv[0]), int(argv[1]), argv[2], argv[3]
    name = path.rpartition(":")[2]
    logging.basicConfig(format=f"{name}: %(message)s", stream=sys.stderr)
    # Ctrl-C goes to the whole group; the parent ends us by closing the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return 1
    os.nice(NICENESS)
    with socket.socket(fileno=descriptor) as channel:
        try:
            engine = load(path, settings)
        except ProviderError as error:
            channel.sendall(encode(Failed.of(0, error)))
            return 1
        try:
            Server(channel, engine).run()
        except SpeechError as error:
            log.error("the engine ends: %s", error)
            return 1
    return 0
