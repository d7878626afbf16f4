"""How far a download is, for people: one line that changes on a terminal, a few lines elsewhere."""

from types import TracebackType
from typing import Self, TextIO


class Bar:
    """Tells on `out` how much of `label` is there; a context manager."""

    def __init__(self, out: TextIO, label: str) -> None:
        self._out = out
        self._label = label
        self._terminal = out.isatty()
        self._told: tuple[int, int | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal and self._told is not None:
            self._out.write("\n")

    def update(self, done: int, total: int | None) -> None:
        """Tell that `done` bytes of `total` are there, when that is worth a line."""
        step = self._step(done, total)
        if (step, total) == self._told:
            return
        self._told = (step, total)
        of = f" of {readable(total)} ({100 * done // total} %)" if total else ""
        line = f"{self._label}: {readable(done)}{of}"
        self._out.write(f"\r{line}\x1b[K" if self._terminal else f"{line}\n")
        self._out.flush()

    def _step(self, done: int, total: int | None) -> int:
        """What must change before it is told again: hundredths or tenths, or as many MB where the end is unknown."""
        if total:
            return (100 if self._terminal else 10) * done // total
        return done // (1_000_000 if self._terminal else 10_000_000)


def readable(size: int) -> str:
    """`size` bytes, for people."""
    if size < 1000:
        return f"{size} B"
    number = float(size)
    for unit in ("kB", "MB"):
        number /= 1000
        if number < 999.95:
            return f"{number:.1f} {unit}"
    return f"{number / 1000:.1f} GB"
