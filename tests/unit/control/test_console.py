"""The log stream: whole lines, bounded, harmless to a terminal."""

import io

from hypothesis import given
from hypothesis import strategies as st

from control.console import Console, LineSplitter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class GonePipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def cut(*parts: bytes, limit: int = 2000) -> list[str]:
    splitter = LineSplitter(limit)
    return [line for part in parts for line in splitter.feed(part)] + splitter.close()


def test_lines_are_joined_across_reads() -> None:
    assert cut(b"one\ntw", b"", b"o\nthr", b"ee") == ["one", "two", "three"]


def test_nothing_is_left_after_a_line_end() -> None:
    assert cut(b"one\n") == ["one"]


def test_carriage_return_at_the_end_is_dropped() -> None:
    assert cut(b"one\r\ntwo\r\n") == ["one", "two"]


def test_long_lines_are_bounded() -> None:
    assert cut(b"x" * 7, b"x" * 8 + b"\nnext\n", limit=10) == ["xxxxxxxxxx ... (5 more bytes)", "next"]


def test_what_is_kept_is_bounded_while_no_line_ends() -> None:
    splitter = LineSplitter(10)
    for _ in range(1000):
        assert splitter.feed(b"y" * 1000) == []
    assert splitter.close() == ["yyyyyyyyyy ... (999990 more bytes)"]


def test_control_characters_are_shown_not_sent() -> None:
    assert cut(b"a\x1b[2Jb\x07\tc\xc2\x9b\xff\n") == ["a\\x1b[2Jb\\x07\tc\\x9b�"]


@given(st.binary(), st.lists(st.integers(0, 40), max_size=5))
def test_where_reads_are_cut_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    parts = []
    rest = data
    for size in cuts:
        parts.append(rest[:size])
        rest = rest[size:]
    assert cut(*parts, rest) == cut(data)


def test_names_are_padded_and_plain_without_a_terminal() -> None:
    stream = io.StringIO()
    console = Console(stream, ["control", "bot"])
    console.line("bot", "hello")
    console.line("control", "")
    console.block("done")
    assert stream.getvalue() == "bot     | hello\ncontrol |\ndone\n"


def test_names_are_coloured_on_a_terminal() -> None:
    stream = Terminal()
    Console(stream, ["bot"]).line("bot", "hello")
    assert stream.getvalue() == "\x1b[36mbot |\x1b[0m hello\n"


def test_a_reader_that_is_gone_closes_the_console() -> None:
    console = Console(GonePipe(), ["bot"])
    console.line("bot", "one")
    assert console.closed
    console.line("bot", "two")
