"""The records of a worker: one thread writes the dumps and call records of all its sessions."""

import importlib.metadata
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from control import config
from media.api.encoding import to_json
from media.realtime import assist
from media.records import files
from media.records.cdr import CallFacts, RecordingFile, RecordingPart, record
from media.records.complaint import Complaint
from media.records.delivery import Delivery
from media.records.dump import line
from media.records.journal import Backlog, Journal
from media.records.spool import Spool

log = logging.getLogger(__name__)

PASS = 0.7
"""Seconds between two visits of the writer to a session."""
SLICES = 8
"""Parts of a pass, so that the disk and the engine's core get the work in small pieces."""
CHUNK = 1 << 18
"""Bytes of a dump that are written at once."""
SETTLE = 2.0
"""Seconds until the recorder has surely finished the file of a call that has ended."""
RETRY = 1.0
"""Seconds from a record that cannot be written to the next try."""
MOST_UNWRITTEN = 5000
"""Records, of about 2 kB, that may wait for a full disk."""
STOP_SECONDS = 5.0
"""How long `Records.close` waits for the disk."""


class Unwritten:
    """A record on its way to the disk, and what is left to do for it."""

    def __init__(self, session: str, steps: list[Callable[[], None]]) -> None:
        self.session = session
        self._steps = steps

    def attempt(self) -> None:
        """Do what is left. Raises OSError."""
        while self._steps:
            self._steps[0]()
            self._steps.pop(0)


class Records:
    """Journals of sessions by `settings`; `recordings` is the folder of their sound, `worker` a name of this worker.

    The names of two workers that share the folder differ.
    """

    def __init__(self, settings: config.Records, recordings: Path, worker: str) -> None:
        self._settings, self._recordings, self._worker = settings, recordings, worker
        self._version = importlib.metadata.version("sidecall")
        self._backlog = Backlog()
        self._arrivals: deque[Journal] = deque()
        self._slices: list[list[Journal]] = [[] for _ in range(SLICES)]
        self._arrived = self._turn = 0
        self._settling: deque[tuple[float, CallFacts, str | None]] = deque()
        self._unwritten: deque[Unwritten] = deque()
        self._retry_at = 0.0
        self._trouble = Complaint(log)
        self._lines = self._lost_lines = self._written = self._lost = 0
        self._spool = Spool(settings.folder, worker)
        self._delivery = (
            None
            if settings.url is None
            else Delivery(self._spool, settings.url, settings.secret, settings.headers)
        )
        self._wanted = settings.cdr or settings.url is not None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    # For the sessions

    def open(self, session: str, *, dump: bool) -> Journal:
        """The journal of a session; `dump` is whether the bot lets its commands and events be kept.

        The id holds only what `media.api.server.SESSION_ID` allows: it names files.
        """
        if not session or "/" in session or "\0" in session:
            raise ValueError(f"{session!r} cannot name a file")
        journal = Journal(session, self._backlog, dump=dump and self._settings.dump)
        self._arrivals.append(journal)
        return journal

    def start(self) -> None:
        """Begin to write, and to send what was left unsent."""
        if self._delivery is not None:
            self._delivery.start()
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write everything, after the recorder's close. Waits for the disk and the receiver, but not for ever."""
        self._stop.set()
        if self._thread is None:
            self.finish()
        else:
            self._thread.join(STOP_SECONDS)
            if self._thread.is_alive():
                log.error("records in %s are not finished: the disk does not answer", self._settings.folder)
        if self._delivery is not None:
            self._delivery.close()

    def collect(self) -> list[Metric]:
        """What was done so far, for Prometheus."""
        lines = CounterMetricFamily("sidecall_dump_lines", "Lines of event dumps.", labels=["outcome"])
        lines.add_metric(["written"], self._lines)
        lines.add_metric(["dropped"], self._lost_lines + self._backlog.dropped)
        records = CounterMetricFamily("sidecall_records", "Records of calls that ended.", labels=["outcome"])
        records.add_metric(["written"], self._written)
        records.add_metric(["lost"], self._lost)
        delivery = self._delivery
        posts = CounterMetricFamily(
            "sidecall_record_posts", "Records sent; failed: put aside.", labels=["outcome"]
        )
        for outcome in ("delivered", "retried", "failed"):
            posts.add_metric([outcome], 0 if delivery is None else getattr(delivery, outcome))
        waiting = 0 if delivery is None else delivery.waiting
        return [
            lines,
            records,
            posts,
            GaugeMetricFamily("sidecall_records_waiting", "Records that are not delivered yet.", waiting),
            GaugeMetricFamily(
                "sidecall_records_unwritten", "Records that wait for the disk.", len(self._unwritten)
            ),
        ]

    # The writer

    def _run(self) -> None:
        assist()
        while not self._stop.wait(PASS / SLICES):
            self.visit()
        self.finish()

    def visit(self) -> None:
        """Do one part of a pass."""
        while self._arrivals:
            self._slices[self._arrived % SLICES].append(self._arrivals.popleft())
            self._arrived += 1
        self._slices[self._turn] = [one for one in self._slices[self._turn] if self._attend(one)]
        self._turn = (self._turn + 1) % SLICES
        self._settle(time.monotonic())
        self._write_records()

    def finish(self) -> None:
        """Write everything, also what was not closed; a record that cannot be written now is lost."""
        for _ in range(SLICES):
            for journal in (*self._arrivals, *self._slices[self._turn]):
                journal.closed = True
            self.visit()
        self._settle(float("inf"))
        self._retry_at = 0.0
        for _ in range(len(self._unwritten)):
            self._write_records()
            self._retry_at = 0.0
        for unwritten in self._unwritten:
            self._give_up(unwritten.session)
        self._unwritten.clear()

    def _attend(self, journal: Journal) -> bool:
        """Write what waits; whether there is more to come."""
        closed = journal.closed  # read first: what was added before the close is in the queue
        self._dump(journal)
        if closed and (facts := journal.facts) is not None and self._wanted:
            settled = time.monotonic() + (SETTLE if facts.recording is not None else 0.0)
            dump = self._dump_name(journal) if journal.dump else None
            self._settling.append((settled, facts, dump))
        return not closed

    def _dump(self, journal: Journal) -> None:
        chunk, lines = bytearray(), 0
        for _ in range(len(journal)):
            _, timestamp, content = journal.take()
            try:
                chunk += line(timestamp, content)
                lines += 1
            except Exception:
                # A fault in one line must not end the thread that writes them all.
                log.exception("session %s: a line of the dump was given up", journal.session)
                self._lost_lines += 1
            if len(chunk) >= CHUNK:
                self._append(journal, chunk, lines)
                chunk, lines = bytearray(), 0
        if chunk:
            self._append(journal, chunk, lines)

    def _append(self, journal: Journal, chunk: bytearray, lines: int) -> None:
        try:
            files.append(self._settings.folder / self._dump_name(journal), bytes(chunk))
            self._lines += lines
        except OSError as error:
            self._lost_lines += lines
            self._trouble.tell("session %s: the dump cannot be written: %s", journal.session, error)

    def _dump_name(self, journal: Journal) -> str:
        return f"{journal.session}.events.jsonl"

    def _settle(self, now: float) -> None:
        """Make the records of calls whose recordings are finished."""
        for _ in range(len(self._settling)):
            settled, facts, dump = self._settling.popleft()
            if settled > now:
                self._settling.append((settled, facts, dump))
                continue
            try:
                self._unwritten.append(self._record(facts, dump))
            except Exception:
                log.exception("session %s: its call has no record", facts.session_id)
                self._lost += 1
        while len(self._unwritten) > MOST_UNWRITTEN:
            self._give_up(self._unwritten.popleft().session)

    def _record(self, facts: CallFacts, dump: str | None) -> Unwritten:
        made = record(
            facts,
            recording=_measured(facts.recording, self._recordings),
            dump=dump,
            worker=self._worker,
            version=self._version,
        )
        body, steps = to_json(made).encode(), list[Callable[[], None]]()
        if self._delivery is not None:
            steps.append(partial(self._send, self._delivery, body, facts.session_id))
        if self._settings.cdr:
            steps.append(partial(self._keep, body, facts))
        return Unwritten(facts.session_id, steps)

    def _send(self, delivery: Delivery, body: bytes, session: str) -> None:
        delivery.added(self._spool.add(body, session))

    def _keep(self, body: bytes, facts: CallFacts) -> None:
        started = time.gmtime(facts.start // 1000)
        name = f"{time.strftime('%Y%m%d-%H%M%S', started)}_{facts.session_id}.json"
        files.put(files.free(self._settings.folder / time.strftime("%Y%m%d", started) / name), body)

    def _write_records(self) -> None:
        if time.monotonic() < self._retry_at:
            return
        while self._unwritten:
            unwritten = self._unwritten.popleft()
            try:
                unwritten.attempt()
                self._written += 1
            except OSError as error:
                # The next one may have more luck: its name, not the disk, can be what is wrong.
                self._unwritten.append(unwritten)
                self._retry_at = time.monotonic() + RETRY
                self._trouble.tell(
                    "session %s: the call's record cannot be written yet: %s", unwritten.session, error
                )
                return

    def _give_up(self, session: str) -> None:
        self._lost += 1
        log.error("session %s: the call's record is lost: the disk does not take it", session)


def _measured(file: RecordingFile | None, folder: Path) -> RecordingPart | None:
    """What became of a recording; None when there is no file."""
    if file is None or file.path is None:
        return None
    try:
        size = file.path.stat().st_size
    except OSError:
        return None
    path = file.path.relative_to(folder) if file.path.is_relative_to(folder) else file.path
    return RecordingPart(path=str(path), duration_ms=round(1000 * file.frames / file.rate), size=size)
