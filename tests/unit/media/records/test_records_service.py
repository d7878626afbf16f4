"""Dumps and records on the disk, with a writer that works when told to."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from control.config import Records as Settings
from media.api.commands import parse
from media.records import journal, service
from media.records.cdr import CallFacts
from media.records.service import SLICES, Records

START = 1_700_000_000_000
INVITE = parse('{"command":"invite","option":{"callee":"sip:b@c","sip":{"password":"hush"}}}')


@dataclass
class File:
    """A recording."""

    path: Path | None
    frames: int = 16000
    rate: int = 8000


class Desk:
    """The records of a worker in `folder`."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder / "records"
        self.recordings = folder / "recordings"
        self.records = Records(Settings(folder=self.folder, **settings), self.recordings, "a-0")

    def turn(self) -> None:
        """The writer visits everything."""
        for _ in range(SLICES):
            self.records.visit()

    def lines(self, session: str) -> list[dict[str, Any]]:
        text = (self.folder / f"{session}.events.jsonl").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def found(self) -> list[dict[str, Any]]:
        """The records of calls."""
        return [json.loads(path.read_text("utf-8")) for path in sorted(self.folder.glob("2*/*.json"))]

    def metric(self, name: str, **labels: str) -> float | None:
        registry = CollectorRegistry()
        registry.register(self.records)
        return registry.get_sample_value(name, labels)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def facts(session: str = "s.1", **more: Any) -> CallFacts:
    return CallFacts(session_id=session, call_type="sip", start=START, end=START + 1000, **more)


def event(number: int) -> str:
    return json.dumps({"event": "dtmf", "digit": str(number)})


class Full:
    """A disk that takes nothing while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, file: int, data: memoryview) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return self._write(file, data)


def test_commands_and_events_are_written_in_their_order(desk: Desk) -> None:
    mine = desk.records.open("s.1", dump=True)
    mine.command(INVITE, 80)
    mine.event(event(1))
    desk.turn()
    mine.unparsed(7, "the command is not JSON")
    mine.event(event(2))
    mine.close()
    desk.turn()
    lines = desk.lines("s.1")
    assert [line["type"] for line in lines] == ["command", "event", "command", "event"]
    assert [json.loads(line["content"]).get("digit") for line in lines] == [None, "1", None, "2"]
    assert "hush" not in json.dumps(lines)
    times = [line["timestamp"] for line in lines]
    assert times == sorted(times)
    assert (desk.folder / "s.1.events.jsonl").stat().st_mode & 0o777 == 0o640 & ~os.umask(os.umask(0))
    assert desk.metric("sidecall_dump_lines_total", outcome="written") == 4
    assert desk.found() == []


@pytest.mark.parametrize(("bot", "operator"), [(False, True), (True, False)])
def test_bot_and_operator_may_forbid_the_dump(tmp_path: Path, bot: bool, operator: bool) -> None:
    desk = Desk(tmp_path, dump=operator)
    mine = desk.records.open("s.1", dump=bot)
    mine.event(event(1))
    mine.command(INVITE, 80)
    mine.unparsed(1, "x")
    mine.close(facts())
    desk.turn()
    assert not (desk.folder / "s.1.events.jsonl").exists()
    assert "dumpEventFile" not in desk.found()[0]


def test_a_session_that_comes_again_goes_on_in_its_dump(desk: Desk) -> None:
    for number in range(2):
        mine = desk.records.open("s.1", dump=True)
        mine.event(event(number))
        mine.close()
        desk.turn()
    assert len(desk.lines("s.1")) == 2


@pytest.mark.parametrize("session", ["", "a/b", "../../etc/passwd", "a\0b"])
def test_no_session_leads_out_of_the_folder(desk: Desk, session: str) -> None:
    with pytest.raises(ValueError, match="cannot name a file"):
        desk.records.open(session, dump=True)


def test_a_call_has_a_record_named_by_its_start(desk: Desk) -> None:
    for _ in range(2):
        desk.records.open("s.1", dump=True).close(facts())
    desk.turn()
    names = sorted(str(path.relative_to(desk.folder)) for path in desk.folder.rglob("*.json"))
    assert names == ["20231114/20231114-221320_s.1-2.json", "20231114/20231114-221320_s.1.json"]
    first = desk.found()[0]
    assert (first["callId"], first["worker"], first["dumpEventFile"]) == ("s.1", "a-0", "s.1.events.jsonl")
    assert first["version"]
    assert desk.metric("sidecall_records_total", outcome="written") == 2


def test_the_record_waits_for_the_recording(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = File(None)
    desk.records.open("s.1", dump=False).close(facts(recording=file))
    desk.turn()
    assert desk.found() == []
    file.path = desk.recordings / "sub" / "s.1.wav"
    file.path.parent.mkdir(parents=True)
    file.path.write_bytes(bytes(44))
    desk.records.close()
    assert desk.found()[0]["recording"] == {"path": "sub/s.1.wav", "durationMs": 2000, "size": 44}


@pytest.mark.parametrize("path", [None, Path("/nowhere/s.1.wav")])
def test_a_recording_that_was_never_made_is_in_no_record(desk: Desk, path: Path | None) -> None:
    desk.records.open("s.1", dump=False).close(facts(recording=File(path)))
    desk.records.close()
    assert "recording" not in desk.found()[0]


def test_no_record_is_written_when_nobody_wants_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, cdr=False)
    desk.records.open("s.1", dump=False).close(facts())
    desk.records.close()
    assert not desk.folder.exists()
    assert desk.metric("sidecall_records_total", outcome="written") == 0


def test_what_was_not_closed_is_written_at_the_end(desk: Desk) -> None:
    mine = desk.records.open("s.1", dump=True)
    mine.event(event(1))
    desk.turn()
    mine.event(event(2))
    desk.records.open("s.2", dump=True).event(event(3))
    desk.records.close()
    assert (len(desk.lines("s.1")), len(desk.lines("s.2"))) == (2, 1)
    mine.event(event(4))
    assert desk.metric("sidecall_dump_lines_total", outcome="dropped") == 1


def test_a_full_disk_is_told_once_and_records_wait(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "RETRY", 0.0)
    disk = Full(monkeypatch)
    for number in range(3):
        mine = desk.records.open(f"s.{number}", dump=True)
        mine.event(event(1))
        mine.close(facts(f"s.{number}"))
    desk.turn()
    desk.turn()
    assert desk.metric("sidecall_dump_lines_total", outcome="dropped") == 3
    assert desk.metric("sidecall_records_unwritten") == 3
    assert len([line for line in caplog.messages if "No space left" in line]) == 1
    disk.full = False
    desk.turn()
    assert sorted(one["callId"] for one in desk.found()) == ["s.0", "s.1", "s.2"]
    assert desk.metric("sidecall_records_unwritten") == 0
    assert not list(desk.folder.rglob(".tmp-*"))


def test_records_that_never_fit_are_lost_aloud(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Full(monkeypatch)
    monkeypatch.setattr(service, "MOST_UNWRITTEN", 2)
    for number in range(3):
        desk.records.open(f"s.{number}", dump=False).close(facts(f"s.{number}"))
    desk.turn()
    assert len([line for line in caplog.messages if "is lost" in line]) == 1
    desk.records.close()
    assert len([line for line in caplog.messages if "is lost" in line]) == 3
    assert desk.metric("sidecall_records_total", outcome="lost") == 3


def test_one_bad_session_costs_no_other_anything(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    bad = desk.records.open("bad", dump=True)
    bad.event('{"token":')
    bad.event(event(1))
    bad.close(facts("bad", extra={"x": object()}))
    good = desk.records.open("good", dump=True)
    good.event(event(1))
    good.close(facts("good"))
    desk.turn()
    assert (len(desk.lines("bad")), len(desk.lines("good"))) == (1, 1)
    assert [one["callId"] for one in desk.found()] == ["good"]
    assert desk.metric("sidecall_records_total", outcome="lost") == 1
    assert desk.metric("sidecall_dump_lines_total", outcome="dropped") == 1


def test_a_disk_that_does_not_answer_costs_lines_not_memory(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SHARE", 10_000)
    monkeypatch.setattr(journal, "BACKLOG", 15_000)
    greedy, modest = (desk.records.open(name, dump=True) for name in ("greedy", "modest"))
    for _ in range(100):
        greedy.event("x" * 800)
    modest.event(event(1))
    assert len(greedy) == 11
    assert len(modest) == 1
    desk.turn()
    modest.event(event(2))
    desk.turn()
    assert len(desk.lines("modest")) == 2
    assert desk.metric("sidecall_dump_lines_total", outcome="dropped") == 89


def test_a_long_dump_is_written_in_chunks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CHUNK", 500)
    mine = desk.records.open("s.1", dump=True)
    for number in range(100):
        mine.event(event(number))
    desk.turn()
    assert [json.loads(line["content"])["digit"] for line in desk.lines("s.1")] == list(map(str, range(100)))


@pytest.fixture
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


@pytest.mark.usefixtures("_no_thread_is_left")
def test_many_sessions_at_once_need_no_more_files_than_one(desk: Desk) -> None:
    desk.records.start()
    journals = [desk.records.open(f"s.{number}", dump=True) for number in range(300)]
    most = 0
    for number in range(20):
        for mine in journals:
            mine.event(event(number))
        most = max(most, len(list(Path("/proc/self/fd").iterdir())))
    for mine in journals:
        mine.close(facts(mine.session))
    desk.records.close()
    assert all(len(desk.lines(mine.session)) == 20 for mine in journals)
    assert len(desk.found()) == 300
    assert most < 100
