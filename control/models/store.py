"""The folder of models: what is installed, whether it is sound, putting in place and taking away.

Each model is a folder of its own, with a manifest that tells what was fetched and what each file must be. What is
being made lies in a hidden folder beside them and is renamed when it is complete.
"""

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from control.errors import SetupError
from control.models.archive import unpack
from control.models.config import ModelEntry
from control.models.download import Part, digest

MANIFEST = ".model.json"


class State(Enum):
    """How a model is there."""

    MISSING = "not installed"
    INSTALLED = "installed"
    OUTDATED = "outdated"
    """The configuration names other files by now."""
    DAMAGED = "damaged"
    """Its manifest cannot be read."""
    FOREIGN = "by hand"
    """Nobody fetched it: it has no manifest."""


class FileRecord(BaseModel):
    """What one file of a model must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str


class Manifest(BaseModel):
    """What was installed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    sources: dict[str, str]
    """SHA-256 of what was fetched, by name."""
    files: dict[str, FileRecord]
    """By path below the model's folder."""


class Store:
    """The models below `folder`, of which `entries` are in the configuration."""

    def __init__(self, folder: Path, entries: Mapping[str, ModelEntry]) -> None:
        self.folder = folder
        self._entries = entries
        self._parts = folder / ".parts"
        self._work = folder / ".work"

    def names(self) -> list[str]:
        """All models: those of the configuration, and what else is in the folder."""
        there = [path.name for path in _inside(self.folder) if not path.name.startswith(".")]
        return sorted({*self._entries, *there})

    def state(self, name: str) -> State:
        """How `name` is there."""
        manifest = self._manifest(name)
        if isinstance(manifest, State):
            return manifest
        entry = self._entries.get(name)
        return State.INSTALLED if entry is None or _sums(entry) == manifest.sources else State.OUTDATED

    def path(self, name: str) -> Path:
        """Where `name` is or would be."""
        return self.folder / name

    def kind(self, name: str) -> str | None:
        """Which engine takes `name`; None: nobody knows."""
        if (entry := self._entries.get(name)) is not None:
            return entry.kind
        manifest = self._manifest(name)
        return None if isinstance(manifest, State) else manifest.kind

    def size(self, name: str) -> int:
        """Bytes of all files of `name`."""
        path = self.path(name)
        files = [path] if path.is_file() else path.rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file() and file.name != MANIFEST)

    def faults(self, name: str) -> list[str]:
        """What is wrong with the files of a model that was fetched, each in one sentence."""
        manifest = self._manifest(name)
        if isinstance(manifest, State):
            return []
        found = (_fault(self.path(name) / file, record) for file, record in manifest.files.items())
        return [fault for fault in found if fault is not None]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, made if need be, against others who change it. Raises SetupError."""
        with self.written():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("a")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise SetupError(
                    f"speech.models: another `sidecall models` works in {self.folder}: wait until it is done"
                ) from error
            with self.written():
                self._tidy()
                try:
                    yield
                finally:
                    shutil.rmtree(self._work, ignore_errors=True)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Say which folder it is when the disk does not do what is asked. Raises SetupError."""
        try:
            yield
        except OSError as error:
            where = error.filename or self.folder
            raise SetupError(
                f"speech.models: {where} cannot be used ({error.strerror}): see to it, or set another folder"
            ) from error

    def part(self, sha256: str) -> Part:
        """A download that was begun, or is to be."""
        return Part(self._parts, sha256)

    def install(self, name: str) -> None:
        """Put the model `name` in place; all its parts are here and verified. Raises SetupError."""
        entry = self._entries[name]
        made = self._work / name
        made.mkdir(parents=True)
        for file, source in entry.sources.items():
            part = self.part(source.sha256)
            if entry.unpack:
                unpack(part.path, made, entry.max_bytes)
                part.drop()
            else:
                part.take(made / file)
        manifest = Manifest(kind=entry.kind, sources=_sums(entry), files=_records(made))
        (made / MANIFEST).write_text(manifest.model_dump_json(indent=1), "utf-8")
        self.take_away(name)
        made.rename(self.path(name))

    def take_away(self, name: str) -> None:
        """Remove the model `name`, if it is there: at once from its place, then from the disk."""
        path = self.path(name)
        if path.exists():
            self._work.mkdir(exist_ok=True)
            old = path.rename(self._work / f".{name}")
            shutil.rmtree(old)

    def _manifest(self, name: str) -> Manifest | State:
        """What was installed as `name`, or why nobody knows."""
        path = self.path(name)
        file = path / MANIFEST
        if not path.exists() and not path.is_symlink():
            return State.MISSING
        if path.is_symlink() or not file.is_file():
            return State.FOREIGN
        try:
            return Manifest.model_validate_json(file.read_bytes())
        except ValidationError:
            return State.DAMAGED

    def _tidy(self) -> None:
        """Remove what a run that was killed left, and parts that nobody wants any more."""
        shutil.rmtree(self._work, ignore_errors=True)
        wanted = {source.sha256 for entry in self._entries.values() for source in entry.sources.values()}
        for path in _inside(self._parts):
            if path.name.partition(".")[0] not in wanted:
                path.unlink()


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _sums(entry: ModelEntry) -> dict[str, str]:
    return {name: source.sha256 for name, source in entry.sources.items()}


def _records(folder: Path) -> dict[str, FileRecord]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): FileRecord(size=path.stat().st_size, sha256=digest(path))
        for path in files
    }


def _fault(path: Path, record: FileRecord) -> str | None:
    if not path.is_file():
        return f"{path} is missing"
    size = path.stat().st_size
    if size != record.size:
        return f"{path} has {size} bytes, not {record.size}"
    return None if digest(path) == record.sha256 else f"{path} has changed"
