"""What is kept is whole or gone, and no more than was allowed."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.store import Entry, Memory, Store, _decode, _encode


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_entry_comes_back_also_to_another_worker(tmp_path: Path) -> None:
    entry = Entry(b"data", {"rate": 8000})
    Store(tmp_path / "deep" / "cache", 10_000).put("aa", entry)
    other = Store(tmp_path / "deep" / "cache", 10_000)
    assert other.get("aa") == entry
    other.put("aa", Entry(b"new"))
    assert other.get("aa") == Entry(b"new")
    assert names(tmp_path / "deep" / "cache") == ["aa"]
    other.remove("aa")
    other.remove("aa")
    assert other.get("aa") is None


@pytest.mark.parametrize("damage", [b"", b"SDC1", b"x" * 100])
def test_a_damaged_entry_is_removed(tmp_path: Path, damage: bytes) -> None:
    store = Store(tmp_path, 10_000)
    (tmp_path / "aa").write_bytes(damage)
    assert store.get("aa") is None
    assert names(tmp_path) == []


@given(st.binary(max_size=100), st.integers(0, 200), st.integers(1, 255))
def test_every_damage_is_noticed(data: bytes, at: int, flip: int) -> None:
    raw = bytearray(_encode(Entry(data, {"a": 1})))
    assert _decode(bytes(raw)) == Entry(data, {"a": 1})
    raw[at % len(raw)] ^= flip
    assert _decode(bytes(raw)) is None


def test_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    store = Store(tmp_path, 1000)
    for age, key in enumerate(("aa", "bb", "cc")):
        store.put(key, Entry(bytes(200)))
        os.utime(tmp_path / key, (1000 + age, 1000 + age))
    assert store.get("aa") is not None
    for key in ("dd", "ee"):
        store.put(key, Entry(bytes(200)))
    assert names(tmp_path) == ["aa", "cc", "dd", "ee"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, 1000)
    store.put("aa", Entry(bytes(251)))
    assert store.get("aa") is None


def test_unfinished_files_are_forgotten_in_time(tmp_path: Path) -> None:
    old, new = tmp_path / "old.part", tmp_path / "new.part"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    Store(tmp_path, 10_000).put("aa", Entry(b"data"))
    assert names(tmp_path) == ["aa", "new.part"]


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Store(tmp_path / "file", 10_000)
    for _ in range(2):
        store.put("aa", Entry(b"data"))
    assert store.get("aa") is None
    assert len(caplog.records) == 1
    assert "cannot be written" in caplog.text


def test_a_file_that_cannot_be_renamed_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "aa").mkdir()
    Store(tmp_path, 10_000).put("aa", Entry(b"data"))
    assert names(tmp_path) == ["aa"]


def test_several_threads_write_at_once(tmp_path: Path) -> None:
    stores = [Store(tmp_path, 4000) for _ in range(2)]

    def write(store: Store) -> None:
        for number in range(100):
            store.put(f"{number % 37:02x}", Entry(bytes(number + 1)))
            entry = store.get(f"{number % 31:02x}")
            assert entry is None or entry.data == bytes(len(entry.data))

    threads = [threading.Thread(target=write, args=(store,)) for store in stores * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(name) == 2 for name in names(tmp_path))


def test_memory_keeps_what_was_used_last() -> None:
    memory = Memory(1000)
    samples = [np.zeros(100, np.int16) for _ in range(6)]
    for key in range(5):
        memory.put(key, samples[key])
    assert memory.get(0) is samples[0]
    memory.put(0, samples[5])
    memory.put(5, samples[5])
    assert memory.get(1) is None
    assert memory.get(0) is samples[0]
    memory.put("large", np.zeros(126, np.int16))
    assert memory.get("large") is None
