"""Addresses and ports that belong to this test process alone, so that several can run side by side.

A claim is a bound UDP socket: the kernel drops it with the process, nothing stale is left behind.
"""

import atexit
import socket
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

CLAIMS = range(1, 48)
CLAIM_PORT = 10_009
FIRST_PORT = 10_240
PORTS_PER_CLAIM = 200
"""All claims end below 20000, the start of rtpengine's default range."""
PEER_PORTS = range(30_000, 32_767)
"""Ports of peers on their own addresses."""


class Address(NamedTuple):
    """A host and a port, as sockets take them."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Rotation:
    """Ports in turn, over and over, without those that are in use."""

    def __init__(self, candidates: range) -> None:
        self._count = len(candidates)
        self._turn = cycle(candidates)

    def next(self, address: str) -> int:
        """Return the next port that is free on `address`."""
        for candidate in islice(self._turn, self._count):
            if _free(Address(address, candidate)):
                return candidate
        raise RuntimeError(f"all {self._count} ports of this test process are in use on {address}")


class _Claim:
    """The part of the loopback network, and of its ports, that this process took."""

    def __init__(self) -> None:
        self.holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for number in CLAIMS:
            try:
                self.holder.bind((f"127.77.{number}.254", CLAIM_PORT))
            except OSError:
                continue
            self.number = number
            break
        else:
            raise RuntimeError(f"all {len(CLAIMS)} test networks 127.77.x.0/24 are taken: end some test runs")
        start = FIRST_PORT + number * PORTS_PER_CLAIM
        self.ports = Rotation(range(start, start + PORTS_PER_CLAIM))
        self.peer_ports = Rotation(PEER_PORTS)
        atexit.register(self.holder.close)


@cache
def _claim() -> _Claim:
    return _Claim()


def number() -> int:
    """Number of this process among those that run tests now; part of names that must be unique."""
    return _claim().number


def host(last: int) -> str:
    """A loopback address of our own: 127.77.<claim>.`last`."""
    return f"127.77.{number()}.{last}"


def port() -> int:
    """A port below the ephemeral range that is free for UDP and TCP on loopback.

    It is not given again before all others were: bind it soon.
    """
    return _claim().ports.next("127.0.0.1")


def row(count: int) -> int:
    """The first of `count` ports as `port` gives them, one after the other."""
    found: list[int] = []
    while len(found) < count:
        candidate = port()
        found = [*found, candidate] if found and candidate == found[-1] + 1 else [candidate]
    return found[0]


def peer(last: int) -> Address:
    """Give the address `host(last)` with a fresh port."""
    return Address(host(last), _claim().peer_ports.next(host(last)))


def even_port(address: str) -> int:
    """Give an even port on an address of our own that has the next one free as well, for RTP and RTCP."""
    while True:
        candidate = _claim().peer_ports.next(address)
        if candidate % 2 == 0 and _claim().peer_ports.next(address) == candidate + 1:
            return candidate


def _free(address: Address) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                # Servers may listen where connections of one before are in TIME_WAIT.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError:
                return False
    return True


def _udp_table() -> list[str]:
    return Path("/proc/self/net/udp").read_text("ascii").splitlines()


async def udp_bound(address: Address) -> bool:
    """Whether some process has bound `address` for UDP."""
    packed = socket.inet_aton(address.host)[::-1].hex().upper()
    wanted = f"{packed}:{address.port:04X}"
    table = _udp_table()
    return any(line.split()[1] == wanted for line in table[1:])
