"""Batches of datagrams over real sockets."""

import socket
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from control.errors import SetupError
from media.engine.sockets import Batch, open_udp, packed
from tests.support.farend import HOST, FarEnd


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    with open_udp(HOST, 0) as udp:
        yield udp


def port_of(udp: socket.socket) -> int:
    port: int = udp.getsockname()[1]
    return port


def test_a_port_in_use_is_a_setup_error_that_names_it(udp: socket.socket) -> None:
    with pytest.raises(SetupError, match=rf"127\.0\.0\.1:{port_of(udp)}/udp.*in use.*media\.rtp_port"):
        open_udp(HOST, port_of(udp))


def test_an_address_that_is_not_ours_is_a_setup_error() -> None:
    with pytest.raises(SetupError, match=r"192\.0\.2\.1:0/udp"):
        open_udp("192.0.2.1", 0)


def test_packed_addresses() -> None:
    assert packed("1.2.3.4").to_bytes(4, sys.byteorder) == bytes([1, 2, 3, 4])
    with pytest.raises(OSError, match="illegal"):
        packed("::1")


def test_receiving_tells_bytes_and_sources(udp: socket.socket) -> None:
    batch = Batch(8, 64)
    with FarEnd(port_of(udp)) as one, FarEnd(port_of(udp), host="127.0.0.2") as other:
        one.send_raw(b"from one")
        other.send_raw(b"from the other")
        one.send_raw(b"")
        assert batch.receive(udp.fileno()) == 3
        assert [batch.data[row, : batch.size[row]].tobytes() for row in range(3)] == [
            b"from one",
            b"from the other",
            b"",
        ]
        assert batch.port[:3].tolist() == [one.port, other.port, one.port]
        assert batch.address[:3].tolist() == [packed(HOST), packed("127.0.0.2"), packed(HOST)]
        assert not batch.flags[:3].any()
    assert batch.receive(udp.fileno()) == 0


def test_a_stamped_socket_tells_when_datagrams_arrived() -> None:
    batch = Batch(2, 64, stamped=True)
    with open_udp(HOST, 0, stamped=True) as udp, FarEnd(port_of(udp)) as far:
        for _ in range(3):
            times = [time.time_ns()]
            for _ in range(2):
                far.send_raw(b"now")
                times.append(time.time_ns())
            assert batch.receive(udp.fileno()) == 2
            assert not batch.flags.any()
            first, second = batch.arrival(2).tolist()
            assert times[0] <= first <= times[1] <= second <= times[2]


def test_words_are_the_data_in_network_order() -> None:
    batch = Batch(2, 16)
    batch.words[1, 2] = 0x01020304
    assert batch.data[1, 8:12].tolist() == [1, 2, 3, 4]


def test_what_is_longer_than_a_row_is_cut_and_flagged(udp: socket.socket) -> None:
    batch = Batch(2, 64)
    with FarEnd(port_of(udp)) as far:
        far.send_raw(bytes(65))
        far.send_raw(bytes(64))
    assert batch.receive(udp.fileno()) == 2
    assert batch.size[:2].tolist() == [64, 64]
    assert batch.flags[:2].tolist() == [socket.MSG_TRUNC, 0]


@pytest.mark.parametrize("waiting", [3, 4, 1500])
def test_no_more_is_received_than_fits_and_the_rest_stays(udp: socket.socket, waiting: int) -> None:
    batch = Batch(1200 if waiting == 1500 else 3, 64)
    with FarEnd(port_of(udp)) as far:
        for number in range(waiting):
            far.send_raw(number.to_bytes(2, "big"))
    seen = []
    while count := batch.receive(udp.fileno()):
        seen += [int.from_bytes(batch.data[row, :2].tobytes(), "big") for row in range(count)]
    assert seen == list(range(waiting))


def test_selected_rows_are_sent_in_order_with_their_lengths(udp: socket.socket) -> None:
    batch = Batch(4, 64)
    with FarEnd(0) as far:
        batch.port[:], batch.address[:] = far.port, packed(HOST)
        batch.data[:] = np.arange(4, dtype=np.uint8)[:, None]
        batch.length[:] = [1, 2, 3, 4]
        batch.select(np.array([3, 1]))
        assert batch.send(udp.fileno()) == []
        assert [far.socket.recv(64) for _ in range(2)] == [bytes([3] * 4), bytes([1] * 2)]
        batch.select(np.array([], np.int64))
        assert batch.send(udp.fileno()) == []
        with pytest.raises(BlockingIOError):
            far.socket.recv(64)


def test_rows_that_the_kernel_refuses_are_left_out_and_reported(udp: socket.socket) -> None:
    batch = Batch(4, 64)
    batch.length[:] = 1
    with FarEnd(0) as far:
        batch.address[:] = packed(HOST)
        batch.port[:] = [0, far.port, 0, far.port]  # nobody can be sent to at port 0
        batch.select(np.arange(4))
        assert batch.send(udp.fileno()) == [0, 2]
        assert [far.socket.recv(64), far.socket.recv(64)] == [bytes(1), bytes(1)]


def test_with_a_full_socket_buffer_the_rest_is_not_sent() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        batch = Batch(2000, 64)
        batch.length[:] = 64
        batch._messages["namelen"] = 0  # connected
        batch._messages["name"] = 0
        batch.select(np.arange(2000))
        unsent = batch.send(here.fileno())
        there.setblocking(False)
        received = 0
        while received < 2000:
            try:
                there.recv(64)
            except BlockingIOError:
                break
            received += 1
        assert 0 < received < 2000
        assert unsent == list(range(received, 2000))
