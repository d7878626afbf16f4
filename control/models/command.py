"""`sidecall models`: lists, fetches, verifies and removes models of speech engines."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TextIO

from control.config import Settings
from control.errors import SetupError
from control.models.bar import Bar, readable
from control.models.config import ModelEntry
from control.models.download import download
from control.models.store import MANIFEST, State, Store

_FETCH_AGAIN = "remove it, then fetch it again"


OK = 0
FAULTY = 1


def run(action: str, names: Sequence[str], settings: Settings, out: TextIO, progress: TextIO) -> int:
    """Do `action`; returns the exit status. Raises SetupError."""
    models = Models(settings, progress)
    if action in ("fetch", "remove") and not names:
        raise SetupError(f"models {action}: name at least one model")
    match action:
        case "fetch":
            lines = models.fetch(names)
        case "remove":
            lines = models.remove(names)
        case "check":
            return _tell_faults(models.check(names), out)
        case _:
            lines = models.table(names)
    for line in lines:
        out.write(f"{line}\n")
    return OK


def _tell_faults(faults: Iterator[str], out: TextIO) -> int:
    found = False
    for fault in faults:
        found = True
        out.write(f"{fault}\n")
    if not found:
        out.write("every model that was fetched is what it should be\n")
    return FAULTY if found else OK


class Models:
    """The command, with the catalogue and the folder of `settings`; progress goes to `progress`."""

    def __init__(self, settings: Settings, progress: TextIO) -> None:
        self._entries = settings.models
        self._store = Store(settings.speech.models, settings.models)
        self._progress = progress

    def table(self, names: Sequence[str]) -> Iterator[str]:
        """A line for each of the named models, or for all, below a line of headings."""
        with self._store.written():
            names = names or self._store.names()
            if not names:
                yield (
                    f"no model is in the configuration, and none in {self._store.folder}:"
                    " docs/models.md tells how to add one"
                )
                return
            rows = [("NAME", "KIND", "SIZE", "STATE", "WHERE"), *map(self._row, names)]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for name, kind, size, state, where in rows:
            yield f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {size:>{widths[2]}}  {state:<{widths[3]}}  {where}"

    def fetch(self, names: Sequence[str]) -> Iterator[str]:
        """Fetch and install each; a line for each that is there. Raises SetupError."""
        for name in names:
            if name not in self._entries:
                raise SetupError(
                    f"models.{name} is not in the configuration: docs/models.md tells how to add it"
                )
        with self._store.locked():
            for name in names:
                yield f"{name}: {self._fetch(name, self._entries[name])} {self._store.path(name)}"

    def check(self, names: Sequence[str]) -> Iterator[str]:
        """Verify the named models, or all that were fetched: a line for each fault. Raises SetupError."""
        with self._store.written():
            for name in names or self._store.names():
                match self._store.state(name):
                    case State.MISSING if names:
                        yield f"{name}: not installed: fetch it"
                    case State.FOREIGN if names:
                        yield f"{name}: put there by hand: nobody knows what it must be"
                    case State.DAMAGED:
                        yield f"{name}: its {MANIFEST} cannot be read: fetch it again"
                    case State.OUTDATED:
                        yield f"{name}: the configuration names another version: fetch it"
                for fault in self._store.faults(name):
                    yield f"{name}: {fault}: {_FETCH_AGAIN}"

    def remove(self, names: Sequence[str]) -> Iterator[str]:
        """Remove each; a line for each that is gone. Raises SetupError."""
        with self._store.locked():
            for name in names:
                if name not in self._store.names() or self._store.state(name) is State.MISSING:
                    raise SetupError(f"{name} is not installed in {self._store.folder}")
                self._ours(name)
                self._store.take_away(name)
                yield f"{name}: removed"

    def _row(self, name: str) -> tuple[str, str, str, str, str]:
        state = self._store.state(name)
        there = state is not State.MISSING
        size = readable(self._store.size(name)) if there else "-"
        return (
            name,
            self._store.kind(name) or "-",
            size,
            state.value,
            str(self._store.path(name)) if there else "-",
        )

    def _ours(self, name: str) -> None:
        if self._store.state(name) is State.FOREIGN:
            raise SetupError(f"{self._store.path(name)} was put there by hand: move it away first")

    def _fetch(self, name: str, entry: ModelEntry) -> str:
        if self._store.state(name) is State.INSTALLED:
            return "is installed already in"
        self._ours(name)
        try:
            for file, source in entry.sources.items():
                part = self._store.part(source.sha256)
                if not part.is_whole():
                    with Bar(self._progress, f"{name}/{file}") as bar:
                        asyncio.run(download(source, part, entry.max_bytes, bar.update))
                    part.verify()
            self._store.install(name)
        except SetupError as error:
            raise SetupError(f"models.{name}: {error}") from error
        return "installed in"
