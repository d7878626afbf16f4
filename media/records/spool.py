"""Records that wait to be sent, one file each: they outlive the process and the machine. All of it waits for the disk.

``spool/WORKER/MILLISECONDS.MESSAGE_ID.SESSION.json``; what was given up lies in ``failed/`` under the same name.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from control.webhooks.sender import new_id
from media.records.files import FOLDER_MODE, TEMPORARY, put

STALE = 3600
"""Seconds after which a file in the making is what a crash has left."""


class Spool:
    """The records of one worker below `folder`. `add` belongs to one thread, the rest to another."""

    def __init__(self, folder: Path, worker: str) -> None:
        self.folder = folder / "spool" / worker
        self._failed = folder / "failed"
        self._lock: int | None = None

    def add(self, body: bytes, session: str) -> str:
        """Keep a record; its name. Raises OSError."""
        name = f"{time.time_ns() // 1_000_000:013d}.{new_id()}.{session}.json"
        put(self.folder / name, body)
        return name

    def claim(self) -> bool:
        """Take the spool for this process, until `release`; False while another one has it. Raises OSError."""
        self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def release(self) -> None:
        """Let another process have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def names(self) -> list[str]:
        """What waits, oldest first; removes what a crash has left half made. Raises OSError."""
        found = []
        for path in self.folder.iterdir():
            if path.name.startswith(TEMPORARY):
                with suppress(FileNotFoundError):
                    if path.lstat().st_mtime < time.time() - STALE:
                        path.unlink()
            elif created(path.name) is not None:
                found.append(path.name)
        return sorted(found)

    def read(self, name: str) -> bytes:
        """The record `name`. Raises OSError."""
        return (self.folder / name).read_bytes()

    def remove(self, name: str) -> None:
        """Forget a record. Raises OSError."""
        (self.folder / name).unlink(missing_ok=True)

    def give_up(self, name: str) -> None:
        """Put a record aside. Raises OSError."""
        self._failed.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        (self.folder / name).replace(self._failed / name)


def created(name: str) -> float | None:
    """When the record `name` was made, in seconds since the epoch; None when no record has such a name."""
    parts = name.split(".", 2)
    if len(parts) == 3 and parts[0].isdecimal() and parts[1].startswith("msg_") and name.endswith(".json"):
        return int(parts[0]) / 1000
    return None


def message_id(name: str) -> str:
    """The message id in the name of a record: the same for every try."""
    return name.split(".", 2)[1]
