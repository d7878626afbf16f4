"""Files that are whole or not there, and files that grow by whole lines. Everything here waits for the disk."""

import os
from contextlib import suppress
from pathlib import Path

MODE, FOLDER_MODE = 0o640, 0o750
TEMPORARY = ".tmp-"
"""Begins the names of files in the making."""


def append(path: Path, lines: bytes) -> None:
    """Add `lines` to `path`, all or none; made with its folder when missing. Follows no link. Raises OSError."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            lines = b"\n" + lines  # a crash of the machine has cut the last line
        try:
            _write(file, lines)
        except OSError:
            os.ftruncate(file, size)
            raise
    finally:
        os.close(file)


def put(path: Path, data: bytes) -> None:
    """Make or replace `path` with `data`; once this returns it outlives a crash of the machine. Raises OSError."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    made = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    try:
        try:
            _write(file, data)
            os.fsync(file)
        finally:
            os.close(file)
        made.replace(path)
    except OSError:
        with suppress(OSError):
            made.unlink()
        raise
    sync_folder(path.parent)


def free(path: Path) -> Path:
    """`path`, or when it is taken the first of ``name-2``, ``name-3`` ... that is not."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def sync_folder(folder: Path) -> None:
    """Let what was renamed in `folder` outlive a crash of the machine. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
