"""The one log stream of `sidecall up`: each line whole, named after the process it came from."""

import os
from collections.abc import Sequence
from typing import TextIO

LINE_LIMIT = 2000
"""Bytes of one line that are shown; the rest is counted, not kept."""

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != ord("\t")}
"""What a stranger's SIP message puts into a log must not reach the terminal as commands."""


class LineSplitter:
    """Cuts a byte stream into printable lines; holds at most `limit` bytes."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._line = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._add(end)
            lines.append(self._take())
        self._add(rest)
        return lines

    def close(self) -> list[str]:
        """The last line, if the stream ended without a line end."""
        return [self._take()] if self._line else []

    def _add(self, part: bytes) -> None:
        room = self._limit - len(self._line)
        self._line += part[:room]
        self._dropped += max(0, len(part) - room)

    def _take(self) -> str:
        text = self._line.removesuffix(b"\r").decode("utf-8", "replace").translate(_CONTROL)
        if self._dropped:
            text += f" ... ({self._dropped} more bytes)"
        self._line.clear()
        self._dropped = 0
        return text


class Console:
    """Writes lines as ``name | text`` to `stream`; names are coloured on a terminal.

    When the reader of `stream` is gone, `closed` becomes true and later lines are dropped.
    """

    def __init__(self, stream: TextIO, names: Sequence[str]) -> None:
        self._stream = stream
        self._width = max(map(len, names), default=0)
        colour = stream.isatty() and "NO_COLOR" not in os.environ
        self._colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names) if colour}
        self.closed = False

    def line(self, name: str, text: str) -> None:
        """Write one line of the process `name`."""
        label = f"{name:<{self._width}} |"
        if colour := self._colours.get(name):
            label = f"\x1b[{colour}m{label}\x1b[0m"
        self.block(f"{label} {text}".rstrip())

    def block(self, text: str) -> None:
        """Write `text` as it is."""
        if self.closed:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except BrokenPipeError:
            self.closed = True
