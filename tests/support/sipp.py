"""SIPp as a peer: scenario files with placeholders, results, and the message trace when a call fails.

``@name@`` in a scenario stands for one of `BLOCKS` or for a value that the test gives.
"""

import asyncio
import csv
import re
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import ports, process
from tests.support.poll import until
from tests.support.ports import Address

SCENARIOS = Path(__file__).parents[1] / "integration" / "sipp"
PLACEHOLDER = re.compile(r"@([a-z_]+)@")
GRACE = 15.0
"""Seconds beyond its own timeout after which a SIPp that hangs is killed."""

BLOCKS = {
    # Header fields of every request of the caller; To and CSeq are the scenario's.
    "request": """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: "Caller" <sip:caller@[local_ip]:[local_port]>;tag=[pid]f[call_number]
Call-ID: [call_id]
Contact: <sip:caller@[local_ip]:[local_port]>
Max-Forwards: 70""",
    # Header fields of every reply of the callee; To is the scenario's (it gets the tag).
    "reply": """[last_Via:]
[last_Record-Route:]
[last_From:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:callee@[local_ip]:[local_port]>""",
    "empty": "Content-Length: 0\n",
    "sdp": """Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
@direction@""",
}
DEFAULTS = {
    "direction": "a=sendrecv",
    "hold_ms": "200",
    "header_pattern": "SIP/2.0",
    "invite_pattern": "INVITE sip:",
}


@dataclass(frozen=True, slots=True)
class Report:
    """How a run went."""

    code: int
    """SIPp's exit code: 0 all calls succeeded, 1 some failed."""
    counters: Mapping[str, str]
    """The last line of SIPp's statistics; cumulative columns end in ``(C)``."""
    response_ms: Sequence[float]
    """Response times (``start_rtd`` to ``rtd`` of the scenario); SIPp's clock counts whole milliseconds."""

    def count(self, name: str) -> int:
        """Return a cumulative counter, e.g. ``FailedCall``."""
        return int(self.counters[f"{name}(C)"])


class SippError(AssertionError):
    """A call of a scenario failed; the message holds SIPp's own errors and the SIP messages."""


@dataclass(frozen=True, slots=True)
class Sipp:
    """A started SIPp."""

    process: Process
    folder: Path
    timeout: float

    async def report(self) -> Report:
        """Wait for the end of all calls and return how they went.

        Calls that failed are counted; raises SippError when SIPp itself did not work.
        """
        try:
            async with asyncio.timeout(self.timeout + GRACE):
                code = await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise SippError(f"sipp hangs\n{self.trace()}") from None
        counters = _last_row(self.folder / "stat.csv")
        if not counters:
            raise SippError(f"sipp ended with {code} before it began\n{self.trace()}")
        return Report(code, counters, _response_times(self.folder))

    async def succeeded(self) -> Report:
        """Wait for the end of all calls; raises SippError when one of them failed."""
        report = await self.report()
        if report.code:
            raise SippError(f"sipp ended with {report.code}\n{self.trace()}")
        return report

    async def received(self, method: str, times: int) -> None:
        """Wait until `times` requests with `method` have come in (retransmissions count)."""

        async def enough() -> bool:
            return len(re.findall(rf"received \[\d+\] bytes :\n+{method} ", self.messages())) >= times

        try:
            await until(enough, within=self.timeout)
        except TimeoutError:
            raise SippError(f"fewer than {times} {method} requests\n{self.trace()}") from None

    def trace(self) -> str:
        """Return SIPp's errors and the last messages it saw."""
        parts = (("errors.log", 40), ("messages.log", 250), ("screen.log", 15))
        return "\n".join(f"--- {name}\n{process.tail(self.folder / name, lines)}" for name, lines in parts)

    def messages(self) -> str:
        """Return all SIP messages sent and received."""
        path = self.folder / "messages.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""


@asynccontextmanager
async def sipp(
    scenario: str,
    folder: Path,
    *,
    local: Address,
    remote: Address | None = None,
    values: Mapping[str, str] | None = None,
    user: str = "bot",
    calls: int = 1,
    options: Sequence[str] = (),
    timeout: float = 30.0,  # noqa: ASYNC109 - SIPp's own timeout
    trace: bool = True,
) -> AsyncIterator[Sipp]:
    """Start SIPp on `local` with ``SCENARIOS/scenario.xml``.

    Without `remote` it is the callee, and listens when the block starts.
    `user` is called at `remote`. Working files go to a fresh subfolder of `folder`.
    """
    work = _work_folder(folder, scenario, (values or {}))
    command = [
        *("sipp", "-sf", work / f"{scenario}.xml", "-m", str(calls), "-s", user, "-nostdin"),
        *("-i", local.host, "-p", str(local.port), "-bind_local", "-ci", local.host),
        *("-mi", local.host, "-mp", str(ports.even_port(local.host))),
        *("-timeout", f"{timeout:.0f}s", "-timeout_error", "-recv_timeout", f"{timeout * 1000:.0f}"),
        *("-trace_stat", "-stf", work / "stat.csv", "-fd", "1", "-trace_rtt", "-rtt_freq", "1"),
        *("-trace_err", "-error_file", work / "errors.log"),
        *(("-trace_msg", "-message_file", work / "messages.log") if trace else ()),
        *options,
        *([str(remote)] if remote else []),
    ]
    async with process.running(*command, log=work / "screen.log", cwd=work) as started:
        run = Sipp(started, work, timeout)
        if remote is None:
            await until(lambda: ports.udp_bound(local), within=5)
        yield run


def render(text: str, values: Mapping[str, str]) -> str:
    """Fill the placeholders of a scenario; raises KeyError for one that nobody gave."""
    known = DEFAULTS | BLOCKS | dict(values)
    while PLACEHOLDER.search(text):
        text = PLACEHOLDER.sub(lambda found: known[found[1]], text)
    return text


def _work_folder(folder: Path, scenario: str, values: Mapping[str, str]) -> Path:
    work = folder / f"sipp-{scenario}-{len(list(folder.glob('sipp-*')))}"
    work.mkdir()
    text = (SCENARIOS / f"{scenario}.xml").read_text("utf-8")
    (work / f"{scenario}.xml").write_text(render(text, values), "utf-8")
    return work


def _last_row(path: Path) -> Mapping[str, str]:
    if not path.exists():
        return {}
    with path.open(encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    return rows[-1] if rows else {}


def _response_times(folder: Path) -> list[float]:
    times: list[float] = []
    for path in folder.glob("*_rtt.csv"):
        with path.open(encoding="ascii", newline="") as file:
            times += [float(row["response_time_ms"]) for row in csv.DictReader(file, delimiter=";")]
    return times
