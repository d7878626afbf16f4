"""Progress, for people."""

import io

import pytest

from control.models.bar import Bar, readable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (63_201_294, "63.2 MB"),
        (999_950_000, "1.0 GB"),
        (2_340_000_000, "2.3 GB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert readable(size) == text


def test_a_terminal_shows_one_line_that_changes() -> None:
    out = Terminal()
    with Bar(out, "amy/v.onnx") as bar:
        for done in range(0, 100_001, 100):
            bar.update(done, 100_000)
    text = out.getvalue()
    assert text.count("\r") == 101
    assert text.count("\n") == 1
    assert text.endswith("\ramy/v.onnx: 100.0 kB of 100.0 kB (100 %)\x1b[K\n")


def test_elsewhere_there_are_a_few_lines() -> None:
    out = io.StringIO()
    with Bar(out, "amy") as bar:
        for done in range(0, 100_001, 100):
            bar.update(done, 100_000)
    lines = out.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[5] == "amy: 50.0 kB of 100.0 kB (50 %)"


def test_an_unknown_end() -> None:
    out, terminal = io.StringIO(), Terminal()
    for bar in (Bar(out, "amy"), Bar(terminal, "amy")):
        for done in range(0, 30_000_001, 500_000):
            bar.update(done, None)
    assert out.getvalue().splitlines() == ["amy: 0 B", "amy: 10.0 MB", "amy: 20.0 MB", "amy: 30.0 MB"]
    assert terminal.getvalue().count("\r") == 31


def test_nothing_to_tell() -> None:
    out = Terminal()
    with Bar(out, "amy"):
        pass
    assert out.getvalue() == ""
