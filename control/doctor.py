"""`sidecall doctor`: what this machine has, lacks, and should have."""

import ctypes
import importlib.metadata
import importlib.util
import ipaddress
import re
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from control import codecs, ports, preflight, render
from control.config import Settings
from control.errors import ConfigError, SetupError
from control.network import sip_addresses
from control.process import REAL_TIME_PRIORITY

OLDEST_PYTHON = (3, 11)
SOCKETS_PER_CALL = 4
"""rtpengine: RTP and RTCP for each of two sides."""
SPARE_FILES = 500
RECEIVE_BYTES_PER_CALL = 4096
"""Five packets of 20 ms as the kernel counts them (about 800 bytes each): 100 ms of delay."""
CAP_SYS_NICE = 23
TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""
MODULE_FOLDERS = ("lib/*/kamailio/modules", "lib/kamailio/modules", "lib64/kamailio/modules")
_LOADMODULE = re.compile(r'^\s*loadmodule\s+"([\w./-]+?)(?:\.so)?"', re.MULTILINE)


class Level(Enum):
    """How a finding counts."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    level: Level
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.level.value:<7}  {self.subject:<12}  {self.text}"


def unusable(findings: Sequence[Finding]) -> bool:
    """Whether something is missing without which no node runs."""
    return any(finding.level is Level.MISSING for finding in findings)


async def run(settings: Settings) -> list[Finding]:
    """Look at this machine for a node with `settings`."""
    return [
        python_version(sys.version_info[:3]),
        *packages(),
        await kamailio(settings),
        modules(settings),
        await rtpengine(settings),
        *sockets(settings),
        open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1], settings),
        receive_buffer(_number("net/core/rmem_max"), settings),
        ephemeral_ports(_numbers("net/ipv4/ip_local_port_range"), settings),
        real_time(_capabilities(), resource.getrlimit(resource.RLIMIT_RTPRIO)[0]),
        clock(_adjtimex()),
        *addresses(settings),
        espeak(),
        *codec_libraries(settings),
    ]


def python_version(found: tuple[int, ...]) -> Finding:
    """Python itself."""
    text = ".".join(map(str, found))
    if found[:2] < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Finding(Level.MISSING, "python", f"{text}: install Python {oldest} or later")
    return Finding(Level.OK, "python", text)


def packages() -> Iterator[Finding]:
    """The Python packages that Sidecall requires."""
    try:
        required = importlib.metadata.requires("sidecall") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding(Level.MISSING, "packages", "sidecall is not installed: run `make setup`")
        return
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line]
    lacking = [name for name in names if not _installed(name)]
    if lacking:
        yield Finding(Level.MISSING, "packages", f"{', '.join(lacking)}: run `make setup`")
    else:
        yield Finding(Level.OK, "packages", f"all {len(names)} are installed")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


async def kamailio(settings: Settings) -> Finding:
    """The kamailio program."""
    try:
        program = preflight.find_program(settings.kamailio.program)
        line = await preflight.version(program, "-v")
    except SetupError as error:
        return Finding(Level.MISSING, "kamailio", str(error))
    return Finding(Level.OK, "kamailio", f"{line.removeprefix('version: ')} at {program}")


def modules(settings: Settings, root: Path = Path("/")) -> Finding:
    """The Kamailio modules that our rendered configuration loads."""
    with tempfile.TemporaryDirectory(prefix="sidecall-") as folder:
        trial = settings.model_copy(update={"run_dir": Path(folder)})
        try:
            render.write(trial)
        except ConfigError as error:
            return Finding(Level.MISSING, "modules", str(error))
        text = (trial.run_dir / "kamailio.cfg").read_text("utf-8")
    present = {
        file.stem
        for top in ("usr", "usr/local")
        for pattern in MODULE_FOLDERS
        for file in root.glob(f"{top}/{pattern}/*.so")
    }
    return needed_modules(text, present)


def needed_modules(kamailio_cfg: str, present: set[str]) -> Finding:
    """Compare what a configuration loads with the module files that are there."""
    needed = {Path(name).name for name in _LOADMODULE.findall(kamailio_cfg)}
    if lacking := sorted(needed - present):
        text = f"{', '.join(lacking)}: run `make setup`, or install kamailio-extra-modules and its siblings"
        return Finding(Level.MISSING, "modules", text)
    return Finding(Level.OK, "modules", f"all {len(needed)} that kamailio.cfg loads are there")


async def rtpengine(settings: Settings) -> Finding:
    """The rtpengine program and its security fixes."""
    try:
        program = preflight.find_program(settings.rtpengine.program)
        line = await preflight.version(program, "--version")
    except SetupError as error:
        return Finding(Level.MISSING, "rtpengine", str(error))
    return rtpengine_version(line.removeprefix("Version:").strip())


def rtpengine_version(version: str) -> Finding:
    """Whether `version` (upstream or Debian) holds the fix of CVE-2025-53399 (media injection)."""
    debian = re.match(r"10\.5\.3\.5-1\+deb12u(\d+)", version)
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    upstream = tuple(int(part) for part in numbers[0].split(".")) if numbers else ()
    if (debian and int(debian[1]) >= 1) or upstream >= (13, 4, 1, 1):
        return Finding(Level.OK, "rtpengine", version)
    text = (
        f"{version or 'unknown version'} may lack the fix of CVE-2025-53399 (media injection):"
        " install 10.5.3.5-1+deb12u1 of Debian, or 13.4.1.1 or later"
    )
    return Finding(Level.WARNING, "rtpengine", text)


def sockets(settings: Settings) -> Iterator[Finding]:
    """The ports of a node: free, and no two settings on one."""
    try:
        needed = ports.endpoints(settings, tuple(sip_addresses(settings)))
    except ConfigError as error:
        yield Finding(Level.MISSING, "ports", str(error))
        return
    faults = [*ports.collisions(needed, ports.relayed_ports(settings)), *ports.occupied(needed)]
    yield from (Finding(Level.WARNING, "ports", fault) for fault in faults)
    if not faults:
        yield Finding(Level.OK, "ports", f"all {len(needed)} are free")


def open_files(limit: int, settings: Settings) -> Finding:
    """The open-files limit against the calls that rtpengine may relay."""
    calls = settings.rtpengine.max_sessions
    needed = calls * SOCKETS_PER_CALL + SPARE_FILES
    if limit == resource.RLIM_INFINITY or limit >= needed:
        shown = "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
        return Finding(Level.OK, "open files", f"{shown}, {needed} are needed for {calls} calls")
    text = (
        f"{limit} are enough for {max(0, limit - SPARE_FILES) // SOCKETS_PER_CALL} calls, not {calls}:"
        f" raise `ulimit -n` to {needed}, or lower rtpengine.max_sessions"
    )
    return Finding(Level.WARNING, "open files", text)


def receive_buffer(limit: int, settings: Settings) -> Finding:
    """The largest UDP receive buffer: one socket takes the audio of all calls of a worker."""
    needed = settings.media.slots * RECEIVE_BYTES_PER_CALL
    if limit >= needed:
        return Finding(Level.OK, "udp buffer", f"{limit} bytes")
    text = (
        f"net.core.rmem_max is {limit}, {settings.media.slots} calls on a worker want {needed}:"
        f" run `sysctl -w net.core.rmem_max={needed}`"
    )
    return Finding(Level.WARNING, "udp buffer", text)


def ephemeral_ports(local: Sequence[int], settings: Settings) -> Finding:
    """The kernel's ephemeral ports (first, last) must not be ours: it hands them to any program."""
    first, last = local
    relayed = ports.relayed_ports(settings)
    ours = {
        f"rtpengine.port_min-port_max {relayed.start}-{relayed.stop - 1}": relayed,
        "media.rtp_port": ports.rtp_ports(settings),
        "sip.port": range(settings.sip.port, settings.sip.port + 1),
        "rtpengine.ng_port": range(settings.rtpengine.ng_port, settings.rtpengine.ng_port + 1),
    }
    inside = [name for name, span in ours.items() if span.start <= last and span.stop > first]
    if not inside:
        return Finding(Level.OK, "port range", f"ephemeral ports {first}-{last} are none of ours")
    text = (
        f"{', '.join(inside)} lies in the kernel's ephemeral range {first}-{last}: move it,"
        " or list it in net.ipv4.ip_local_reserved_ports"
    )
    return Finding(Level.WARNING, "port range", text)


def real_time(capabilities: int, priority: int) -> Finding:
    """Whether media may ask for real-time scheduling: CAP_SYS_NICE or a priority limit that is high enough."""
    if (
        priority == resource.RLIM_INFINITY
        or priority >= REAL_TIME_PRIORITY
        or capabilities >> CAP_SYS_NICE & 1
    ):
        return Finding(Level.OK, "real time", "media may run before other work")
    text = (
        "not permitted: on a busy machine audio may stutter; set `rtprio` in limits.conf or LimitRTPRIO to 10"
    )
    return Finding(Level.WARNING, "real time", text)


def clock(state: int) -> Finding:
    """Whether the time is kept right; `state` is what adjtimex(2) returned."""
    if state != TIME_ERROR:
        return Finding(Level.OK, "clock", "synchronised")
    text = (
        "not synchronised: run chrony or systemd-timesyncd, else times in records and certificates are wrong"
    )
    return Finding(Level.WARNING, "clock", text)


def addresses(settings: Settings) -> Iterator[Finding]:
    """Where SIP listens, and whether anybody can reach it."""
    try:
        found = [ipaddress.ip_address(address) for address in sip_addresses(settings)]
    except ConfigError as error:
        yield Finding(Level.MISSING, "addresses", str(error))
        return
    listed = ", ".join(map(str, found))
    if all(address.is_loopback for address in found):
        text = f"{listed}: only this machine can call; set sip.address"
        yield Finding(Level.WARNING, "addresses", text)
    elif settings.sip.advertise is None and not any(address.is_global for address in found):
        text = f"{listed} (private): behind NAT, set sip.advertise to the public address"
        yield Finding(Level.OK, "addresses", text)
    else:
        shown = f", shown to others as {settings.sip.advertise}" if settings.sip.advertise else ""
        yield Finding(Level.OK, "addresses", f"{listed}{shown}")


def espeak() -> Finding:
    """The voice data of speech synthesis."""
    spec = importlib.util.find_spec("espeakng_loader")
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        if Path(folder, "espeak-ng-data", "phondata").is_file():
            return Finding(Level.OK, "espeak", "its voice data is there")
    return Finding(Level.MISSING, "espeak", "no voice data (package espeakng-loader): run `make setup`")


def codec_libraries(settings: Settings) -> Iterator[Finding]:
    """The libraries of the codecs that calls may have."""
    faults = list(codecs.missing(settings.calls.codecs))
    yield from (Finding(Level.MISSING, "codecs", fault) for fault in faults)
    if not faults:
        yield Finding(Level.OK, "codecs", f"{', '.join(settings.calls.codecs)} can be spoken")


def _adjtimex() -> int:
    # struct timex holds 208 bytes on 64-bit Linux; zeroed, it only asks.
    query = ctypes.create_string_buffer(256)
    adjtimex: Callable[[object], int] = ctypes.CDLL(None).adjtimex
    return adjtimex(query)


def _capabilities() -> int:
    """Our effective capabilities (capabilities(7)) as bits."""
    status = Path("/proc/self/status").read_text("ascii")
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    return int(effective[1], 16) if effective else 0


def _numbers(name: str) -> list[int]:
    return [int(word) for word in Path("/proc/sys", name).read_text("ascii").split()]


def _number(name: str) -> int:
    return _numbers(name)[0]
