"""UDP in batches: recvmmsg(2) and sendmmsg(2) on numpy memory (Linux, IPv4)."""

import ctypes
import errno
import socket

import numpy as np
import numpy.typing as npt

from control.errors import SetupError
from media.engine.arrays import Bytes, Ints

_MMSGHDR = np.dtype(
    {
        "names": ["name", "namelen", "iov", "iovlen", "control", "controllen", "flags", "len"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "i4", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
"""struct mmsghdr of 64-bit Linux."""
_IOVEC = np.dtype([("base", "u8"), ("len", "u8")])
_SOCKADDR_IN = np.dtype([("family", "u2"), ("port", ">u2"), ("address", "u4"), ("zero", "u8")])
_VLEN = 1024
"""The kernel takes at most UIO_MAXIOV messages per call."""
_KERNEL_BUFFER = 8 << 20
_SECOND = 1_000_000_000
_SO_TIMESTAMPNS = 35
"""Socket option of Linux on 64-bit machines, which the socket module does not name."""
_STAMP = np.dtype([("cmsghdr", "u8", 2), ("seconds", "i8"), ("nanoseconds", "i8")])
"""The control message of an arrival time. It fills its memory, so the kernel leaves the length as it was."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
_libc.sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]


def open_udp(address: str, port: int, *, stamped: bool = False) -> socket.socket:
    """Bind a non-blocking IPv4 socket with large kernel buffers; port 0 takes any free one.

    A `stamped` socket notes when each datagram arrives; receive from it by a stamped `Batch` only.
    Raises SetupError when address or port cannot be had.
    """
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.bind((address, port))
    except OSError as error:
        udp.close()
        raise SetupError(
            f"RTP socket {address}:{port}/udp cannot be opened: {error.strerror}; "
            "end the process that holds the port, or change media.rtp_port"
        ) from error
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        udp.setsockopt(socket.SOL_SOCKET, option, _KERNEL_BUFFER)
    udp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, stamped)
    udp.setblocking(False)
    return udp


def packed(address: str) -> int:
    """The IPv4 address as it stands in a sockaddr_in, read as a native integer.

    Raises OSError when `address` is not dotted decimal.
    """
    return int(np.frombuffer(socket.inet_pton(socket.AF_INET, address), np.uint32)[0])


class Batch:
    """Memory of `capacity` datagrams of up to `stride` bytes (a multiple of 4), one row each.

    ``data`` uint8 (capacity, stride); ``words`` the same as big-endian uint32 (capacity, stride / 4);
    ``port`` and ``address`` of the peer of each row (`packed`); ``length`` bytes to send of each row;
    after `receive`, ``size`` bytes received in each row and ``flags`` (MSG_TRUNC: cut to the stride).
    A `stamped` batch also knows when they arrived; it is for receiving only.
    """

    def __init__(self, capacity: int, stride: int, *, stamped: bool = False) -> None:
        self.capacity, self.stride = capacity, stride
        self.data: Bytes = np.full((capacity, stride), 0, np.uint8)
        self.words: npt.NDArray[np.uint32] = self.data.view(">u4")
        name = np.full(capacity, np.zeros((), _SOCKADDR_IN), _SOCKADDR_IN)
        name["family"] = socket.AF_INET
        iovec = np.full(capacity, np.zeros((), _IOVEC), _IOVEC)
        row = np.arange(capacity, dtype=np.uint64)
        iovec["base"] = self.data.ctypes.data + row * np.uint64(stride)
        iovec["len"] = stride
        messages = np.full(capacity, np.zeros((), _MMSGHDR), _MMSGHDR)
        messages["name"] = name.ctypes.data + row * np.uint64(_SOCKADDR_IN.itemsize)
        messages["namelen"] = _SOCKADDR_IN.itemsize
        messages["iov"] = iovec.ctypes.data + row * np.uint64(_IOVEC.itemsize)
        messages["iovlen"] = 1
        self._stamps = np.full(capacity if stamped else 0, np.zeros((), _STAMP), _STAMP)
        if stamped:
            messages["control"] = self._stamps.ctypes.data + row * np.uint64(_STAMP.itemsize)
            messages["controllen"] = _STAMP.itemsize
        self.port: npt.NDArray[np.uint16] = name["port"]
        self.address: npt.NDArray[np.uint32] = name["address"]
        self.length: npt.NDArray[np.uint64] = iovec["len"]
        self._messages, self._ordered = messages, messages.copy()
        self.size: npt.NDArray[np.uint32] = messages["len"]
        self.flags: npt.NDArray[np.int32] = messages["flags"]
        self._to_send = 0

    def receive(self, descriptor: int) -> int:
        """Fill rows 0..n-1 with what waits in the socket, return n; never blocks."""
        count, base = 0, self._messages.ctypes.data
        while count < self.capacity:
            room = min(_VLEN, self.capacity - count)
            got = _libc.recvmmsg(
                descriptor, base + _MMSGHDR.itemsize * count, room, socket.MSG_DONTWAIT, None
            )
            if got <= 0:
                break
            count += got
            if got < room:
                break
        return count

    def arrival(self, count: int) -> Ints:
        """When rows 0..count-1 of a stamped batch reached the kernel: nanoseconds since the epoch."""
        stamps = self._stamps[:count]
        arrived: Ints = stamps["seconds"] * _SECOND + stamps["nanoseconds"]
        return arrived

    def select(self, rows: Ints) -> None:
        """Choose the rows, in order, that `send` sends from now on."""
        self._to_send = len(rows)
        self._ordered[: len(rows)] = self._messages[rows]

    def send(self, descriptor: int) -> list[int]:
        """Send the selected rows; return the positions in the selection that the kernel did not take.

        Never blocks: with a full socket buffer the rest is not sent.
        """
        done = 0
        unsent: list[int] = []
        base, count = self._ordered.ctypes.data, self._to_send
        while done < count:
            taken = _libc.sendmmsg(
                descriptor,
                base + _MMSGHDR.itemsize * done,
                min(_VLEN, count - done),
                socket.MSG_DONTWAIT,
            )
            if taken > 0:
                done += taken
            elif ctypes.get_errno() == errno.EAGAIN:
                unsent.extend(range(done, count))
                break
            else:
                unsent.append(done)
                done += 1
        return unsent
