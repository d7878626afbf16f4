"""Data that may be wanted again: in a folder of limited size, which all workers of a node share, and in memory."""

import json
import logging
import os
import struct
import tempfile
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from media.speech.voice import Samples

log = logging.getLogger(__name__)

_MAGIC = b"SDC1"
_HEAD = struct.Struct("!4sII")  # magic, CRC-32 of what follows, begun with the length; bytes of the notes
_UNFINISHED = ".part"
_FORGOTTEN = 3600
"""Seconds after which an unfinished file has nobody who finishes it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Data, and what is to be known of it (JSON)."""

    data: bytes
    notes: dict[str, Any] = field(default_factory=dict)


class Store:
    """Entries by key, as files; the ones not used for longest go when they exceed `max_bytes`.

    Keys are file names: hexadecimal digits. Everything blocks and is to be called in threads. Files appear whole or
    not at all; damaged ones are removed. A folder that cannot be written costs a warning and nothing else.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._unchecked = max_bytes
        """Bytes written since the size of the folder was looked at; at first it is unknown."""
        self._warned = False

    @property
    def largest(self) -> int:
        """Bytes of the largest entry that is kept."""
        return self._max_bytes // 4

    def get(self, key: str) -> Entry | None:
        """The entry called `key`, or None."""
        path = self._folder / key
        try:
            raw = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        entry = _decode(raw)
        if entry is None:
            log.warning("the cache entry %s is damaged and was removed", path)
            self.remove(key)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep `entry`; one that is too large is not kept."""
        raw = _encode(entry)
        if len(raw) > self.largest:
            return
        try:
            self._write(key, raw)
        except OSError as error:
            if not self._warned:
                log.warning("the cache in %s cannot be written: %s", self._folder, error.strerror)
            self._warned = True

    def remove(self, key: str) -> None:
        """Forget the entry called `key`."""
        (self._folder / key).unlink(missing_ok=True)

    def _write(self, key: str, raw: bytes) -> None:
        self._folder.mkdir(0o750, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=_UNFINISHED, delete=False) as file:
            try:
                file.write(raw)
                file.flush()
                Path(file.name).rename(self._folder / key)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
        with self._lock:
            self._unchecked += len(raw)
            if self._unchecked > self._max_bytes // 16:
                self._unchecked = 0
                self._shrink()

    def _shrink(self) -> None:
        """Remove what was not used for longest, until there is room again."""
        found, size = [], 0
        with os.scandir(self._folder) as files:
            for file in files:
                try:
                    status = file.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # another worker has removed it
                if not file.name.endswith(_UNFINISHED):
                    found.append((status.st_mtime_ns, status.st_size, file.name))
                    size += status.st_size
                elif time.time() - status.st_mtime > _FORGOTTEN:
                    self.remove(file.name)
        if size <= self._max_bytes:
            return
        for _, bytes_, name in sorted(found):
            self.remove(name)
            size -= bytes_
            if size <= self._max_bytes - self._max_bytes // 16:
                return


def _encode(entry: Entry) -> bytes:
    notes = json.dumps(entry.notes).encode()
    crc = zlib.crc32(entry.data, zlib.crc32(notes, len(notes)))
    return b"".join((_HEAD.pack(_MAGIC, crc, len(notes)), notes, entry.data))


def _decode(raw: bytes) -> Entry | None:
    if len(raw) < _HEAD.size:
        return None
    magic, crc, length = _HEAD.unpack_from(raw)
    rest = memoryview(raw)[_HEAD.size :]
    if magic != _MAGIC or zlib.crc32(rest, length) != crc or length > len(rest):
        return None
    return Entry(bytes(rest[length:]), json.loads(bytes(rest[:length])))


class Memory:
    """Samples by key; the ones not used for longest go when they exceed `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._kept: OrderedDict[Hashable, Samples] = OrderedDict()

    def get(self, key: Hashable) -> Samples | None:
        """What is called `key`, or None."""
        samples = self._kept.get(key)
        if samples is not None:
            self._kept.move_to_end(key)
        return samples

    def put(self, key: Hashable, samples: Samples) -> None:
        """Keep `samples`, which nobody changes any more; what would take more than a quarter is not kept."""
        if samples.nbytes > self._max_bytes // 4 or key in self._kept:
            return
        self._kept[key] = samples
        self._size += samples.nbytes
        while self._size > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._size -= dropped.nbytes
