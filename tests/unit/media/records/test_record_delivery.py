"""Records on their way to a real HTTP server that checks signatures in its own way."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from control.config import Records as Settings
from media.records import delivery, schedule
from media.records.cdr import CallFacts
from media.records.service import Records
from media.records.spool import Spool
from tests.support.poll import until

KEY = b"a key of 24 bytes, no more"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PATIENCE = 20.0
HANG = 0


class Receiver:
    """Answers as `answer` says, given the number of the request; HANG never answers."""

    def __init__(self, answer: Callable[[int], int]) -> None:
        self.answer = answer
        self.url = ""
        self.tries: list[tuple[str, str]] = []
        """Message id and call id of each request."""
        self.taken: list[tuple[str, str]] = []
        """Those that were answered with 200."""
        self._news = asyncio.Condition()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._check(request, body)
        entry = request.headers["webhook-id"], str(json.loads(body)["callId"])
        status = self.answer(len(self.tries))
        async with self._news:
            self.tries.append(entry)
            if status == 200:
                self.taken.append(entry)
            self._news.notify_all()
        if status == HANG:
            await asyncio.Event().wait()
        return web.Response(status=status, headers={"Location": "/other", "Retry-After": "0"})

    def _check(self, request: web.Request, body: bytes) -> None:
        """As standardwebhooks.com tells receivers to do."""
        timestamp = request.headers["webhook-timestamp"]
        assert abs(time.time() - int(timestamp)) < 300
        signed = b"%s.%s.%s" % (request.headers["webhook-id"].encode(), timestamp.encode(), body)
        wanted = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        versions = [part.split(",", 1) for part in request.headers["webhook-signature"].split(" ")]
        assert ["v1", wanted] in versions
        assert request.headers["X-Tenant"] == "t"

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(condition)


@asynccontextmanager
async def receiver(answer: Callable[[int], int]) -> AsyncIterator[Receiver]:
    served = Receiver(answer)
    app = web.Application()
    app.router.add_post("/calls", served.take)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/calls"
        yield served
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "FIRST", 0.01)
    monkeypatch.setattr(delivery, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(delivery, "CLAIM_SECONDS", 0.02)


def settings(folder: Path, url: str) -> Settings:
    return Settings(folder=folder, url=url, secret=SECRET, headers={"X-Tenant": "t"})


@contextmanager
def worker(folder: Path, url: str) -> Iterator[Records]:
    records = Records(settings(folder, url), folder, "a-0")
    records.start()
    try:
        yield records
    finally:
        records.close()


@asynccontextmanager
async def working(folder: Path, url: str) -> AsyncIterator[Records]:
    """A worker that is closed in a thread: the receiver must go on meanwhile."""
    records = Records(settings(folder, url), folder, "a-0")
    records.start()
    try:
        yield records
    finally:
        await asyncio.to_thread(records.close)


def call(records: Records, session: str) -> None:
    facts = CallFacts(session_id=session, call_type="sip", start=1_700_000_000_000, end=1_700_000_001_000)
    records.open(session, dump=False).close(facts)


def waiting(folder: Path) -> list[Path]:
    return sorted((folder / "spool" / "a-0").glob("[0-9]*.json"))


def kept(folder: Path) -> int:
    """Records in the folders of days."""
    return len(list(folder.glob("[0-9]*/*.json")))


async def test_records_are_delivered_and_forgotten(tmp_path: Path) -> None:
    async with receiver(lambda _: 200) as server, working(tmp_path, server.url) as records:
        for number in range(10):
            call(records, f"s.{number}")
        await server.until(lambda: len(server.taken) == 10)
    assert {session for _, session in server.taken} == {f"s.{number}" for number in range(10)}
    assert len({message for message, _ in server.tries}) == 10
    assert waiting(tmp_path) == []
    assert kept(tmp_path) == 10
    posts = {sample.labels["outcome"]: sample.value for sample in records.collect()[2].samples}
    assert posts == {"delivered": 10, "retried": 0, "failed": 0}


@pytest.mark.parametrize("trouble", [500, 503, 302, 307, 404, 429])
async def test_a_record_is_sent_again_until_it_is_taken(tmp_path: Path, trouble: int) -> None:
    async with (
        receiver(lambda number: trouble if number < 3 else 200) as server,
        working(tmp_path, server.url) as records,
    ):
        call(records, "s.1")
        await server.until(lambda: len(server.taken) == 1)
    assert len(server.tries) == 4
    assert len(set(server.tries)) == 1
    assert waiting(tmp_path) == []


async def test_a_receiver_that_hangs_holds_up_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT", 0.1)
    async with (
        receiver(lambda number: HANG if number < delivery.AT_ONCE else 200) as server,
        working(tmp_path, server.url) as records,
    ):
        for number in range(20):
            call(records, f"s.{number}")
        await server.until(lambda: len(server.taken) == 20)
    assert len(server.tries) == 20 + delivery.AT_ONCE
    assert len(set(server.taken)) == 20


async def test_what_is_not_delivered_is_sent_by_the_next_process(tmp_path: Path) -> None:
    async with receiver(lambda _: 503) as server:
        async with working(tmp_path, server.url) as records:
            call(records, "s.1")
            await server.until(lambda: len(server.tries) > 0)
        assert len(waiting(tmp_path)) == 1
        server.answer = lambda _: 200
        async with working(tmp_path, server.url):
            await server.until(lambda: len(server.taken) == 1)
    assert len(set(server.tries)) == 1
    assert waiting(tmp_path) == []


async def test_a_record_is_put_aside_when_its_time_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, "a-0")
    name = spool.add(b'{"callId":"s.1"}', "s.1")
    old = spool.folder / ("0000000000001" + name[13:])
    (spool.folder / name).rename(old)
    async with receiver(lambda _: 400) as server, working(tmp_path, server.url) as records:
        await server.until(lambda: len(server.tries) == 1)
    assert (tmp_path / "failed" / old.name).read_bytes() == b'{"callId":"s.1"}'
    assert waiting(tmp_path) == []
    assert len(server.tries) == 1
    assert f"record {old.name} is put aside in failed/, it was not taken: HTTP 400" in caplog.text
    posts = {sample.labels["outcome"]: sample.value for sample in records.collect()[2].samples}
    assert posts == {"delivered": 0, "retried": 1, "failed": 1}


async def test_two_processes_of_one_name_send_nothing_twice(tmp_path: Path) -> None:
    async with receiver(lambda _: 200) as server:
        async with working(tmp_path, server.url) as first:
            call(first, "s.1")
            await server.until(lambda: len(server.taken) == 1)
            async with working(tmp_path, server.url) as second:
                call(second, "s.2")
                call(first, "s.3")
                await server.until(lambda: len(server.taken) == 2)
            assert len(waiting(tmp_path)) == 1
        async with working(tmp_path, server.url):
            await server.until(lambda: len(server.taken) == 3)
    assert sorted(session for _, session in server.taken) == ["s.1", "s.2", "s.3"]


async def test_what_cannot_be_read_is_put_aside_and_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = tmp_path / "spool" / "a-0" / "0000000000001.msg_1.s.json"
    odd.mkdir(parents=True)
    async with receiver(lambda _: 200) as server, working(tmp_path, server.url) as records:
        call(records, "s.1")
        await server.until(lambda: len(server.taken) == 1)
    assert (tmp_path / "failed" / odd.name).is_dir()
    assert "it was not taken: it cannot be read" in caplog.text
    assert waiting(tmp_path) == []


async def test_a_record_that_was_taken_away_is_forgotten(tmp_path: Path) -> None:
    async with receiver(lambda _: 200) as server:
        async with working(tmp_path, server.url) as records:
            sender = records._delivery
            assert sender is not None
            sender.added("0000000000001.msg_1.s.json")
            call(records, "s.1")
            await server.until(lambda: len(server.taken) == 1)
        sender.added("0000000000001.msg_2.s.json")
    assert sender.waiting == 0
    assert len(server.tries) == 1


async def test_a_spool_that_cannot_be_changed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Spool, name: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Spool, "remove", fail)
    monkeypatch.setattr(Spool, "give_up", fail)
    old = Spool(tmp_path, "a-0")
    name = old.add(b'{"callId":"s.0"}', "s.0")
    (old.folder / name).rename(old.folder / ("0000000000001" + name[13:]))
    async with (
        receiver(lambda number: 200 if number else 400) as server,
        working(tmp_path, server.url) as records,
    ):
        await server.until(lambda: len(server.tries) == 1)
        call(records, "s.1")
        await server.until(lambda: len(server.taken) == 1)
    assert "was delivered and will be again after a restart: [Errno 30]" in caplog.text
    assert "cannot be put aside: [Errno 30]" in caplog.text
    assert len(server.tries) == 2


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "spool").write_text("in the way")
    with worker(tmp_path, "http://127.0.0.1:9/calls") as records:
        call(records, "s.1")
    assert "records cannot be sent" in caplog.text
    assert "the call's record is lost" in caplog.text


async def test_a_spool_that_could_not_be_read_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, faults = Spool.names, [OSError(5, "Input/output error")]

    def fail(self: Spool) -> list[str]:
        if faults:
            raise faults.pop()
        return names(self)

    monkeypatch.setattr(Spool, "names", fail)
    Spool(tmp_path, "a-0").add(b'{"callId":"s.0"}', "s.0")
    async with receiver(lambda _: 200) as server, working(tmp_path, server.url):
        await server.until(lambda: len(server.taken) == 1)
    assert faults == []


def test_records_stay_when_nobody_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with worker(tmp_path, "http://user:hush@127.0.0.1:9/calls?hush") as records:
        call(records, "s.1")
    assert len(waiting(tmp_path)) == 1
    assert "http://127.0.0.1:9/calls does not take records" in caplog.text
    assert "hush" not in caplog.text


PROCESS = """
import sys
from pathlib import Path
from control.config import Records as Settings
from media.records.cdr import CallFacts
from media.records.service import Records
folder, url, secret, count = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
settings = Settings(folder=folder, url=url, secret=secret, headers={"X-Tenant": "t"})
records = Records(settings, folder, "a-0")
records.start()
for number in range(count):
    facts = CallFacts(session_id=f"s.{number}", call_type="sip", start=1, end=2)
    records.open(f"s.{number}", dump=False).close(facts)
sys.stdin.read()
records.close()
"""


async def start(folder: Path, url: str, count: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROCESS, str(folder), url, SECRET, str(count), stdin=asyncio.subprocess.PIPE
    )  # fmt: skip


async def test_a_killed_process_loses_nothing_and_sends_nothing_twice(tmp_path: Path) -> None:
    calls, before = 40, 10

    async def settled() -> bool:
        """Everything is in the spool or taken; what was taken is forgotten."""
        return (
            len(waiting(tmp_path)) == calls - before
            and len(server.tries) == before + delivery.AT_ONCE
            and kept(tmp_path) == calls
        )

    async with receiver(lambda number: 200 if number < before else HANG) as server:
        first = await start(tmp_path, server.url, calls)
        try:
            await until(settled, PATIENCE)
        finally:
            os.kill(first.pid, signal.SIGKILL)
            await first.wait()
        half = tmp_path / "spool" / "a-0" / ".tmp-1-0000000000001.msg_0.s.json"
        half.write_text('{"callId":')
        server.answer = lambda _: 200
        second = await start(tmp_path, server.url, 0)
        try:
            await server.until(lambda: len(server.taken) == calls)
            assert second.stdin is not None
            second.stdin.close()
            await second.wait()
        finally:
            if second.returncode is None:
                second.kill()
                await second.wait()
    assert len(set(server.taken)) == len({session for _, session in server.taken}) == calls
    assert waiting(tmp_path) == []
    assert kept(tmp_path) == calls
