"""The sockets one node needs: which they are, whether they are free, and who holds those that are not."""

import errno
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from control.config import Settings
from control.network import LOOPBACK


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and port that one of our processes will bind."""

    key: str
    """The setting that moves it."""
    transport: Literal["udp", "tcp"]
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.port}/{self.transport} on {self.address}"


def endpoints(settings: Settings, sip_addresses: Sequence[str]) -> tuple[Endpoint, ...]:
    """All fixed ports of a node; without SIP addresses those of ``--no-sip``."""
    found = [Endpoint("api.port", "tcp", settings.api.address, settings.api.port)]
    found += [
        Endpoint("media.rtp_port", "udp", LOOPBACK, port + above)
        for port in rtp_ports(settings)
        for above in (0, 1)
    ]
    if sip_addresses:
        found.append(Endpoint("control.port", "tcp", LOOPBACK, settings.control.port))
        found += [
            Endpoint("sip.port", transport, address, settings.sip.port)
            for address in sip_addresses
            for transport in ("udp", "tcp")
        ]
        rtpengine = settings.rtpengine
        found += [
            Endpoint("kamailio.evapi_port", "tcp", LOOPBACK, settings.kamailio.evapi_port),
            Endpoint("rtpengine.ng_port", "udp", LOOPBACK, rtpengine.ng_port),
            Endpoint("rtpengine.cli_port", "tcp", LOOPBACK, rtpengine.cli_port),
            Endpoint("rtpengine.http_port", "tcp", LOOPBACK, rtpengine.http_port),
        ]
    return tuple(found)


def rtp_ports(settings: Settings) -> range:
    """The RTP port of each media worker; the port above each is for its RTCP."""
    first = settings.media.rtp_port
    return range(first, first + 2 * settings.media.workers, 2)


def relayed_ports(settings: Settings) -> range:
    """The ports of rtpengine's media."""
    return range(settings.rtpengine.port_min, settings.rtpengine.port_max + 1)


def collisions(needed: Sequence[Endpoint], relayed: range) -> Iterator[str]:
    """A sentence for each pair of settings that ask for the same port; `relayed` is rtpengine's range."""
    pairs = {
        tuple(sorted((one.key, other.key))): one
        for one, other in combinations(needed, 2)
        if one.key != other.key and one.transport == other.transport and one.port == other.port
    }
    for (one_key, other_key), endpoint in pairs.items():
        yield f"{one_key} and {other_key} are both {endpoint.port}/{endpoint.transport}: move one of them"
    # rtpengine opens its own ng port first and then passes over it.
    inside = {
        point.key: point
        for point in needed
        if point.transport == "udp" and point.port in relayed and point.key != "rtpengine.ng_port"
    }
    for point in inside.values():
        yield (
            f"{point.key}: {point.port}/udp lies between rtpengine.port_min and port_max"
            f" ({relayed.start}-{relayed.stop - 1}): move one of them"
        )


def occupied(needed: Iterable[Endpoint]) -> Iterator[str]:
    """A sentence for each setting whose ports cannot be bound now."""
    taken: dict[tuple[str, str], list[Endpoint]] = {}
    for point in needed:
        if reason := _refusal(point):
            taken.setdefault((point.key, reason), []).append(point)
    for (key, reason), points in taken.items():
        yield f"{key}: {', '.join(map(str, points))} {reason}"


def _refusal(point: Endpoint) -> str | None:
    """Why `point` cannot be bound, and what to do; None: it can."""
    kind = socket.SOCK_DGRAM if point.transport == "udp" else socket.SOCK_STREAM
    try:
        family, kind, _, _, name = socket.getaddrinfo(point.address, point.port, type=kind)[0]
        with socket.socket(family, kind) as sock:
            if point.transport == "tcp":
                # Connections that wait out TIME_WAIT do not hold a port against a server.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(name)
    except OSError as error:
        return _explain(error, point)
    return None


def _explain(error: OSError, point: Endpoint) -> str:
    section = point.key.partition(".")[0]
    match error.errno:
        case errno.EADDRINUSE:
            return f"in use by {holder(point) or 'another process'}: stop it or set another {point.key}"
        case errno.EACCES:
            return f"open only to root below 1024: set another {point.key}"
        case errno.EADDRNOTAVAIL:
            return f"not an address of this machine: set another {section}.address"
        case _:
            return f"not to be bound ({error.strerror}): set another {section}.address"


def holder(point: Endpoint) -> str | None:
    """``name (pid N)`` of the process that has `point` open; None when we may not see it."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(point.transport, point.port)}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if not inodes.isdisjoint(_open_files(process)):
                return _main_process(process)
        except OSError:
            # Ended meanwhile, or another user's.
            continue
    return None


def _open_files(process: Path) -> Iterator[str]:
    """What the descriptors of `process` point to."""
    for link in (process / "fd").iterdir():
        try:
            yield str(link.readlink())
        except FileNotFoundError:
            # Closed meanwhile.
            continue


def _main_process(process: Path) -> str:
    """Name and pid of `process`, or of its ancestor that goes by the same name: the one to stop."""
    name = _status(process)["Name"]
    while (parent := process.with_name(_status(process)["PPid"])).exists() and _status(parent)[
        "Name"
    ] == name:
        process = parent
    return f"{name} (pid {process.name})"


def _status(process: Path) -> dict[str, str]:
    """The fields of /proc/PID/status (proc(5))."""
    lines = (process / "status").read_text("utf-8", "replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _inodes(transport: str, port: int) -> Iterator[str]:
    """Inodes of the sockets bound to `port`, listening ones only for TCP."""
    for table in (transport, f"{transport}6"):
        try:
            rows = Path("/proc/net", table).read_text("ascii").splitlines()[1:]
        except FileNotFoundError:
            continue
        for row in rows:
            fields = row.split()
            listening = transport == "udp" or fields[3] == "0A"
            if listening and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def is_bound(port: int) -> bool:
    """Whether some process has the UDP `port` open."""
    return any(True for _ in _inodes("udp", port))
