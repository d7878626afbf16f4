import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from control.errors import SpeechError
from media.speech.process import PAUSE_SECONDS, Server
from media.speech.protocol import (
    CREDIT_SECONDS,
    Cancel,
    Chunk,
    Credit,
    Decoder,
    Done,
    Failed,
    Message,
    Order,
    Ready,
    Synthesise,
    encode,
)
from media.speech.voice import Samples, Voice

SECOND = np.full(16000, 1000, np.int16)
VOICE = Voice("v")
LONG = "A sentence of some words that is not too short. " * 12


class Beeper:
    """Speaks each segment as one chunk of a second."""

    sample_rate = 16000

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.say_more: Callable[[Callable[[Samples], bool]], None] = lambda put: None

    def say(self, text: str, voice: Voice, put: Callable[[Samples], bool]) -> None:
        if voice.speaker == "nobody":
            raise SpeechError("there is no nobody")
        self.said.append((voice.speaker, text))
        put(SECOND)
        self.say_more(put)


class Worker:
    """The worker's end of the socket."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.decoder = Decoder()
        self.messages: list[Message] = []

    def order(self, *orders: Order) -> None:
        self.channel.sendall(b"".join(encode(order) for order in orders))

    def next(self) -> Message | None:
        """The next message, None when the process has closed the socket."""
        while not self.messages:
            data = self.channel.recv(65536)
            if not data:
                return None
            self.messages += self.decoder.feed(data)
        return self.messages.pop(0)

    def until(self, kind: type[Message]) -> list[Message]:
        """All messages up to the first of `kind`."""
        found: list[Message] = []
        while not found or not isinstance(found[-1], kind):
            message = self.next()
            assert message is not None, f"closed before a {kind.__name__}; got {found}"
            found.append(message)
        return found


@contextmanager
def serving(beeper: Beeper, *orders: Order) -> Iterator[Worker]:
    """A server in a thread that finds `orders` waiting for it."""
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    with ours, theirs:
        worker = Worker(ours)
        worker.order(*orders)
        thread = threading.Thread(target=Server(theirs, beeper).run)
        thread.start()
        try:
            assert worker.next() == Ready()
            yield worker
        finally:
            ours.close()
            thread.join(20)
        assert not thread.is_alive()


def seconds(messages: list[Message], rate: int) -> float:
    return sum(len(message.pcm) for message in messages if isinstance(message, Chunk)) / 2 / rate


def of(request: int, messages: list[Message]) -> list[Message]:
    return [message for message in messages if isinstance(message, Chunk) and message.request == request]


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_text_becomes_chunks_and_done(rate: int) -> None:
    with serving(Beeper(), Synthesise(1, "Hello", VOICE, rate)) as worker:
        messages = worker.until(Done)
    assert messages[-1] == Done(1)
    assert seconds(messages, rate) == 1.0


def test_an_empty_text_is_done_at_once() -> None:
    with serving(Beeper(), Synthesise(1, " ", VOICE, 8000)) as worker:
        assert worker.until(Done) == [Done(1)]


def test_segments_are_parted_by_a_pause() -> None:
    beeper = Beeper()
    with serving(beeper, Synthesise(1, LONG[:300], VOICE, 8000)) as worker:
        messages = worker.until(Done)
    assert len(beeper.said) == 2
    assert seconds(messages, 8000) == pytest.approx(2 + PAUSE_SECONDS, abs=0.001)


def test_requests_take_turns() -> None:
    beeper = Beeper()
    orders = [Synthesise(n, LONG[:500], Voice(f"v{n}"), 8000) for n in (1, 2)]
    with serving(beeper, *orders) as worker:
        worker.until(Done)
        worker.until(Done)
    assert [speaker for speaker, _ in beeper.said] == ["v1", "v2"] * 3


def test_a_failed_text_tells_why_and_others_go_on() -> None:
    orders = [Synthesise(1, "Hello", Voice("nobody"), 8000), Synthesise(2, "Hello", VOICE, 44100)]
    with serving(Beeper(), *orders, Synthesise(3, "Hello", VOICE, 8000)) as worker:
        messages = worker.until(Done)
    assert messages[:2] == [
        Failed(1, "there is no nobody"),
        Failed(2, "a sample rate of 44100 Hz is not offered"),
    ]
    assert messages[-1] == Done(3)


def test_a_request_waits_for_credit() -> None:
    text = LONG * 4
    with serving(Beeper(), Synthesise(1, text, VOICE, 8000), Synthesise(2, "Hello", VOICE, 8000)) as worker:
        messages = worker.until(Done)
        while seconds(of(1, messages), 8000) < CREDIT_SECONDS:
            messages += worker.until(Chunk)
        worker.order(Cancel(2), Credit(2, 1), Synthesise(3, "Hello", VOICE, 8000))
        messages += worker.until(Done)
        assert messages[-1] == Done(3)
        assert seconds(of(1, messages), 8000) < CREDIT_SECONDS + 2
        worker.order(Credit(1, CREDIT_SECONDS * 8000 * 100))
        assert worker.until(Done)[-1] == Done(1)


def test_a_cancelled_text_stops_between_chunks() -> None:
    beeper = Beeper()
    answers: list[bool] = []
    cancelled = threading.Event()

    def more(put: Callable[[Samples], bool]) -> None:
        cancelled.wait(20)
        answers.extend([put(SECOND), put(SECOND)])
        beeper.say_more = lambda put: None

    beeper.say_more = more
    with serving(beeper, Synthesise(1, LONG, VOICE, 8000)) as worker:
        assert isinstance(worker.next(), Chunk)
        worker.order(Cancel(1), Synthesise(2, "Hello", VOICE, 8000))
        cancelled.set()
        messages = worker.until(Done)
    assert answers == [False, False]
    assert messages[-1] == Done(2)
    assert [text for _, text in beeper.said][1:] == ["Hello"]


def test_the_server_ends_when_the_worker_is_gone_in_the_middle_of_a_text() -> None:
    beeper = Beeper()
    gone = threading.Event()
    answers: list[bool] = []

    def more(put: Callable[[Samples], bool]) -> None:
        gone.wait(20)
        answers.append(put(SECOND))

    beeper.say_more = more
    with serving(beeper, Synthesise(1, LONG, VOICE, 8000)) as worker:
        assert isinstance(worker.next(), Chunk)
        worker.channel.close()
        gone.set()
    assert answers == [False]


def test_nonsense_ends_the_server(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Beeper()) as worker:
        worker.channel.sendall(b"\xff" * 20)
    assert "the speech process ends: speech protocol" in caplog.text


PARENT = """
import os, subprocess, sys, time
fd = int(sys.argv[1])
subprocess.Popen([sys.executable, "-m", "media.speech", str(fd), str(os.getpid())], pass_fds=[fd])
time.sleep(60)
"""


def test_the_process_dies_with_its_parent() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    with ours:
        with theirs:
            fd = theirs.fileno()
            parent = subprocess.Popen([sys.executable, "-c", PARENT, str(fd)], pass_fds=[fd])
        worker = Worker(ours)
        try:
            assert worker.next() == Ready()
        finally:
            parent.send_signal(signal.SIGKILL)
            parent.wait(20)
        assert worker.next() is None


def test_the_process_does_not_start_without_its_parent() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fd = theirs.fileno()
        argv = [sys.executable, "-m", "media.speech", str(fd), "1"]
        assert subprocess.run(argv, pass_fds=[fd], check=False, timeout=30).returncode == 1


CANNOT_START = """
import sys
from control.errors import SpeechError
from media.speech import process
def fail():
    raise SpeechError("no voice today")
process.EspeakNg = fail
sys.exit(process.main(sys.argv[1:]))
"""


def test_the_process_tells_why_it_cannot_start() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    with ours:
        with theirs:
            fd = theirs.fileno()
            argv = [sys.executable, "-c", CANNOT_START, str(fd), str(os.getpid())]
            child = subprocess.Popen(argv, pass_fds=[fd])
        assert child.wait(30) == 1
        assert Worker(ours).next() == Failed(0, "no voice today")
