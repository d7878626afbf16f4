import socket
import subprocess
from collections.abc import Iterable

import pytest

from control.errors import ProviderError
from media.speech.local.child import PROGRAM
from media.speech.local.engine import Engine, Parameters, Settings
from media.speech.local.frames import (
    CREDIT,
    Cancel,
    Credit,
    Data,
    Decoder,
    Done,
    Failed,
    Finish,
    Open,
    Opened,
    Ready,
    Report,
    Told,
    encode,
)
from media.speech.local.server import Desk, Server, load
from tests.support.echoengine import Echo

ECHO = "tests.support.echoengine:Echo"


class Notebook(Engine):
    """Writes down what it is called with."""

    busy = False

    def __init__(self, settings: Settings) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.refuse = False

    def open(self, stream: int, parameters: Parameters) -> None:
        self._note("open", stream)

    def data(self, stream: int, data: bytes) -> None:
        self._note("data", stream, data)

    def finish(self, stream: int) -> None:
        self._note("finish", stream)

    def cancel(self, stream: int) -> None:
        self._note("cancel", stream)

    def hold(self, stream: int, *, held: bool) -> None:
        self._note("hold", stream, held)

    def step(self) -> Iterable[Report]:
        return ()

    def _note(self, *call: object) -> None:
        self.calls.append(call)
        if self.refuse:
            raise ProviderError("no", 400, retry=False)


def test_orders_reach_the_engine_for_open_streams_only() -> None:
    engine = Notebook({})
    desk = Desk(engine)
    assert desk.take(Data(1, b"early")) == []
    assert desk.take(Open(1, {})) == [Opened(1)]
    for order in (Data(1, b"x"), Finish(1), Cancel(1), Cancel(1), Finish(1), Credit(1, 5), Done(1)):
        assert desk.take(order) == []
    assert engine.calls == [("open", 1), ("data", 1, b"x"), ("finish", 1), ("cancel", 1)]


def test_reports_of_closed_streams_stay_inside() -> None:
    desk = Desk(Notebook({}))
    assert not desk.let_out(Told(1, {}))
    desk.take(Open(1, {}))
    assert desk.let_out(Told(1, {}))
    assert desk.let_out(Done(1))
    assert not desk.let_out(Told(1, {}))
    desk.take(Open(2, {}))
    assert desk.let_out(Failed(2, "broken"))
    assert not desk.let_out(Done(2))


@pytest.mark.parametrize("order", [Data(1, b"x"), Finish(1)])
def test_what_the_engine_refuses_ends_the_stream(order: Data | Finish) -> None:
    engine = Notebook({})
    desk = Desk(engine)
    desk.take(Open(1, {}))
    engine.refuse = True
    assert desk.take(order) == [Failed(1, "no", 400, retry=False)]
    assert desk.take(order) == []


def test_a_stream_that_is_refused_never_was() -> None:
    engine = Notebook({})
    engine.refuse = True
    desk = Desk(engine)
    assert desk.take(Open(1, {})) == [Failed(1, "no", 400, retry=False)]
    assert not desk.let_out(Told(1, {}))


def test_a_stream_is_held_while_its_credit_is_used_up() -> None:
    engine = Notebook({})
    desk = Desk(engine)
    desk.take(Open(1, {}))
    desk.let_out(Data(1, bytes(CREDIT - 1)))
    assert engine.calls[1:] == []
    desk.let_out(Data(1, b"xyz"))
    desk.let_out(Data(1, b"xyz"))
    assert engine.calls[1:] == [("hold", 1, True)]
    desk.take(Credit(1, 5))
    assert engine.calls[2:] == []
    desk.take(Credit(1, 1))
    assert engine.calls[2:] == [("hold", 1, False)]


def test_a_child_serves_until_its_parent_is_gone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for frame in (Open(1, {}), Data(1, b"abc"), Finish(1), Open(2, {"fail": 1}), Data(2, b"x")):
            ours.sendall(encode(frame))
        ours.shutdown(socket.SHUT_WR)
        Server(theirs, Echo({})).run()
        theirs.close()
        received = b"".join(iter(lambda: ours.recv(4096), b""))
    frames = Decoder().feed(received)
    told = [frame for frame in frames if not isinstance(frame, Told)]
    assert told[:2] == [Ready(), Opened(1)]


def test_a_parent_that_is_gone_is_no_error() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        Server(theirs, Echo({})).run()


def test_a_missing_package_is_named() -> None:
    with pytest.raises(ProviderError, match="the package nowhere is not installed") as caught:
        load("nowhere.engine:Engine", "{}")
    assert (caught.value.code, caught.value.retry) == (501, False)


def test_an_engine_gets_its_settings() -> None:
    assert isinstance(load(ECHO, '{"some": 1}'), Echo)
    with pytest.raises(ProviderError, match="no model"):
        load(ECHO, '{"fail": 1}')


def test_a_child_whose_parent_has_died_does_not_begin() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        argv = [*PROGRAM, str(theirs.fileno()), "1", ECHO, "{}"]
        assert subprocess.run(argv, check=False, pass_fds=[theirs.fileno()]).returncode == 1
        theirs.close()
        assert ours.recv(1) == b""
