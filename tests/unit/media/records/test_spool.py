"""The spool: whole files or none, for one process at a time."""

import os
import time
from pathlib import Path

import pytest

from media.records.files import TEMPORARY, append, free, put
from media.records.spool import STALE, Spool, created, message_id


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path, "a-0")
    assert made.claim()
    return made


def test_what_was_added_is_found_by_the_next_process(spool: Spool, tmp_path: Path) -> None:
    names = [spool.add(f"{{{n}}}".encode(), f"s.{n}") for n in range(3)]
    spool.release()
    later = Spool(tmp_path, "a-0")
    assert later.claim()
    assert sorted(names) == later.names()
    assert [later.read(name) for name in names] == [b"{0}", b"{1}", b"{2}"]
    later.remove(names[0])
    later.remove(names[0])
    later.give_up(names[1])
    assert later.names() == [names[2]]
    assert (tmp_path / "failed" / names[1]).read_bytes() == b"{1}"
    later.release()


def test_a_name_tells_time_and_message(spool: Spool) -> None:
    name = spool.add(b"{}", "s.1.~x-y_z")
    made = created(name)
    assert made is not None
    assert abs(made - time.time()) < 60
    assert message_id(name).startswith("msg_")
    assert name.endswith(".s.1.~x-y_z.json")
    spool.release()


@pytest.mark.parametrize("name", [".lock", "x", "1.msg_1.json.x", "x.msg_1.s.json", "1.m.s.json", "1.msg_1"])
def test_other_files_are_left_alone(spool: Spool, name: str) -> None:
    (spool.folder / name).write_text("x")
    assert spool.names() == []
    assert (spool.folder / name).exists()
    spool.release()


def test_what_a_crash_left_half_made_is_no_record_and_is_removed_later(spool: Spool) -> None:
    old, new = (spool.folder / f"{TEMPORARY}1-0000000000001.msg_{n}.s.json" for n in range(2))
    old.write_text("{")
    new.write_text("{")
    os.utime(old, (1, time.time() - STALE - 1))
    assert spool.names() == []
    assert (old.exists(), new.exists()) == (False, True)
    spool.release()


def test_one_process_sends_at_a_time(spool: Spool, tmp_path: Path) -> None:
    assert not Spool(tmp_path, "a-0").claim()
    other = Spool(tmp_path, "a-1")
    assert other.claim()
    other.release()
    spool.release()
    spool.release()


def full(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Let the disk take `room` more bytes."""
    left = [room]
    write = os.write

    def limited(file: int, data: memoryview) -> int:
        if not left[0]:
            raise OSError(28, "No space left on device")
        written = write(file, data[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(os, "write", limited)


def test_on_a_full_disk_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sub" / "a.json"
    put(path, b"old")
    full(monkeypatch, 3)
    with pytest.raises(OSError, match="No space"):
        put(path, b"newer")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_on_a_full_disk_no_line_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sub" / "a.jsonl"
    append(path, b"one\n")
    full(monkeypatch, 3)
    with pytest.raises(OSError, match="No space"):
        append(path, b"two\nthree\n")
    assert path.read_bytes() == b"one\n"
    monkeypatch.undo()
    append(path, b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 & ~0o640 == 0


def test_after_a_line_that_a_crash_has_cut_comes_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a')
    append(path, b"{}\n")
    assert path.read_bytes() == b'{"a\n{}\n'


def test_no_link_is_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        append(link, b"x\n")
    assert not target.exists()


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    path = tmp_path / "a.b.json"
    for _ in range(3):
        put(free(path), b"{}")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.b-2.json", "a.b-3.json", "a.b.json"]
