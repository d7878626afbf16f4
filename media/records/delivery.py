"""Sends what lies in the spool, in a thread and an event loop of its own: names, TLS and slow servers cost no call."""

import asyncio
import logging
import random
import threading
import time
from contextlib import suppress

import aiohttp

from control.tasks import Tasks
from control.webhooks.sender import Delivered, Refused, Retry, place, post
from media.realtime import assist
from media.records.complaint import Complaint
from media.records.schedule import Schedule, Ticket
from media.records.spool import Spool, created, message_id

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Records on their way at the same time."""
TIMEOUT = 10.0
"""Seconds that a receiver may take for its answer."""
CLAIM_SECONDS = 2.0
"""From one look whether the spool is free to the next."""
STOP_SECONDS = 1.0
"""How long records that are due are still sent when the worker stops."""


class Delivery:
    """Posts the records of `spool` to `url`."""

    def __init__(
        self,
        spool: Spool,
        url: str,
        secret: str | None,
        headers: dict[str, str],
        schedule: Schedule | None = None,
    ) -> None:
        self._spool, self._url, self._secret, self._headers = spool, url, secret, headers
        self._schedule = schedule or Schedule(random.SystemRandom().random)
        self._trouble = Complaint(log)
        self._tasks = Tasks("delivery of records")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event
        self._thread: threading.Thread | None = None
        self._stop_at: float | None = None
        self.delivered = 0
        self.failed = 0
        """Given up."""
        self.retried = 0
        """Tries that did not succeed."""

    @property
    def waiting(self) -> int:
        """Records that are not delivered yet."""
        return len(self._schedule)

    def start(self) -> None:
        """Begin, also with what was left by the process before."""
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(ready)), name="delivery of records", daemon=True
        )
        self._thread.start()
        ready.wait()

    def added(self, name: str) -> None:
        """There is a new record in the spool. From any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed: the next process sends what the spool holds
                self._loop.call_soon_threadsafe(self._add, name)

    def close(self) -> None:
        """Send what is due, but not for ever; the rest stays in the spool."""
        if self._loop is not None and self._thread is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop)
            self._thread.join(STOP_SECONDS + 1)
            if self._thread.is_alive():
                log.error(
                    "records in %s are left to the next start: the disk does not answer", self._spool.folder
                )

    def _stop(self) -> None:
        self._stop_at = time.monotonic() + STOP_SECONDS
        self._wake.set()

    def _add(self, name: str) -> None:
        age = time.time() - (created(name) or time.time())
        self._schedule.add(name, time.monotonic(), max(0.0, age))
        self._wake.set()

    async def _run(self, ready: threading.Event) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        assist()
        try:
            if await self._claimed():
                async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
                    await self._send_all(http)
        finally:
            await self._tasks.close()
            self._spool.release()

    async def _claimed(self) -> bool:
        """Wait until the spool is ours and read it; False when the worker stops before that."""
        while self._stop_at is None:
            try:
                if self._spool.claim():
                    for name in self._spool.names():
                        self._add(name)
                    return True
                self._trouble.tell("records in %s are sent by another process", self._spool.folder)
            except OSError as error:
                self._spool.release()
                self._trouble.tell("records cannot be sent: %s", error)
            await self._pause(CLAIM_SECONDS)
        return False

    async def _send_all(self, http: aiohttp.ClientSession) -> None:
        while not self._stopped():
            now = time.monotonic()
            while len(self._tasks) < AT_ONCE and (ticket := self._schedule.take(now)) is not None:
                self._tasks.spawn(self._send(http, ticket)).add_done_callback(lambda _: self._wake.set())
            due = self._schedule.next_due()
            await self._pause(None if due is None or len(self._tasks) >= AT_ONCE else due - now)

    def _stopped(self) -> bool:
        """Whether the worker stops and nothing is due, or no time is left."""
        now = time.monotonic()
        if self._stop_at is None or now >= self._stop_at:
            return self._stop_at is not None
        due = self._schedule.next_due()
        return not self._tasks and (due is None or due > now)

    async def _pause(self, seconds: float | None) -> None:
        """Wait until something happens, but no longer than `seconds` and the end."""
        if self._stop_at is not None:
            left = max(0.0, self._stop_at - time.monotonic())
            seconds = left if seconds is None else min(seconds, left)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    async def _send(self, http: aiohttp.ClientSession, ticket: Ticket) -> None:
        name = ticket.name
        try:
            body = self._spool.read(name)
        except FileNotFoundError:
            self._schedule.done(ticket)
            return
        except OSError as error:
            self._again(ticket, Retry(f"it cannot be read: {error.strerror}"))
            return
        outcome = await post(
            http, self._url, self._secret, body, message_id(name), within=TIMEOUT, headers=self._headers
        )
        if not isinstance(outcome, Delivered):
            self._again(ticket, outcome)
            return
        self.delivered += 1
        self._forget(name)
        self._schedule.done(ticket)

    def _forget(self, name: str) -> None:
        try:
            self._spool.remove(name)
        except OSError as error:
            log.error("record %s was delivered and will be again after a restart: %s", name, error)

    def _again(self, ticket: Ticket, outcome: Retry | Refused) -> None:
        """A try failed. A refusal is no reason to give up: receivers are mended within hours."""
        self.retried += 1
        after = outcome.after if isinstance(outcome, Retry) else None
        self._trouble.tell("%s does not take records: %s", place(self._url), outcome.reason)
        if self._schedule.failed(ticket, time.monotonic(), after):
            return
        self.failed += 1
        log.error("record %s is put aside in failed/, it was not taken: %s", ticket.name, outcome.reason)
        try:
            self._spool.give_up(ticket.name)
        except OSError as error:
            log.error("record %s cannot be put aside: %s", ticket.name, error)
