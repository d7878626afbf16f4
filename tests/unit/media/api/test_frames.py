"""RFC 6455 frames, a server's view."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.api.frames import (
    Close,
    CloseCode,
    Message,
    Opcode,
    Ping,
    Pong,
    Reader,
    Violation,
    accept_key,
    close_frame,
    frame,
    unmask,
)

MASK = b"\x01\x80\xfe\x37"
MOST = 70_000


def masked(opcode: int, payload: bytes, *, first: int | None = None, mask: bytes = MASK) -> bytes:
    """A client's frame; `first` replaces its first octet."""
    plain = frame(Opcode.BINARY, payload)
    head = bytes((0x80 | opcode if first is None else first, 0x80 | plain[1]))
    return head + plain[2 : len(plain) - len(payload)] + mask + unmask(mask, payload)


def read(*data: bytes, most: int = MOST) -> list[Message]:
    reader = Reader(most)
    return [message for each in data for message in reader.feed(each)]


def violation(*data: bytes, most: int = MOST) -> Violation:
    """The one thing that `data` is."""
    (found,) = read(*data, most=most)
    assert isinstance(found, Violation)
    return found


def test_the_key_of_the_rfc() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("key", ["", "dGhl", "no base64!", "ü", "dGhlIHNhbXBsZSBub25jZQ"])
def test_what_is_no_key(key: str) -> None:
    assert accept_key(key) is None


def test_the_examples_of_the_rfc() -> None:
    """Section 5.7."""
    hello = bytes.fromhex("8185 37fa213d 7f9f4d5158")
    assert read(hello) == ["Hello"]
    assert frame(Opcode.TEXT, b"Hello") == bytes.fromhex("8105 48656c6c6f")
    assert frame(Opcode.BINARY, bytes(256))[:4] == bytes.fromhex("827E0100")
    assert frame(Opcode.BINARY, bytes(65536))[:10] == bytes.fromhex("827F0000000000010000")
    assert frame(Opcode.PING, b"Hello") == bytes.fromhex("8905 48656c6c6f")
    assert read(bytes.fromhex("8a85 37fa213d 7f9f4d5158")) == [Pong(b"Hello")]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 511, 512, 513, 640, 65_535, 65_536])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_messages_of_every_length(opcode: Opcode, size: int) -> None:
    payload = bytes(range(32, 127)) * (size // 95 + 1)
    payload = payload[:size]
    assert read(masked(opcode, payload)) == [payload if opcode is Opcode.BINARY else payload.decode()]


Frames = st.lists(
    st.one_of(
        st.binary(max_size=700),
        st.text(max_size=200),
        st.builds(Ping, st.binary(max_size=125)),
        st.builds(Pong, st.binary(max_size=125)),
    ),
    max_size=8,
)


def written(message: Message, cuts: list[int]) -> bytes:
    """`message` as a client writes it, in fragments that end at `cuts`."""
    match message:
        case Ping(payload):
            return masked(Opcode.PING, payload)
        case Pong(payload):
            return masked(Opcode.PONG, payload)
        case str():
            opcode, data = Opcode.TEXT, message.encode()
        case bytes():
            opcode, data = Opcode.BINARY, message
        case _:
            raise AssertionError(message)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in zip(places, places[1:], strict=False)]
    final = len(pieces) - 1
    return b"".join(
        masked(opcode, piece, first=(0x80 if number == final else 0) | (0 if number else opcode))
        for number, piece in enumerate(pieces)
    )


@given(Frames, st.lists(st.integers(0, 300), max_size=3), st.lists(st.integers(0, 3000), max_size=12))
def test_messages_survive_every_cut(messages: list[Message], cuts: list[int], reads: list[int]) -> None:
    data = b"".join(written(message, cuts) for message in messages)
    places = [0, *sorted(min(place, len(data)) for place in reads), len(data)]
    pieces = [data[a:b] for a, b in zip(places, places[1:], strict=False)]
    assert read(*pieces) == messages


@given(Frames)
def test_messages_survive_coming_byte_by_byte(messages: list[Message]) -> None:
    data = b"".join(written(message, []) for message in messages)
    assert read(*(data[place : place + 1] for place in range(len(data)))) == messages


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_any_bytes_are_messages_or_a_violation(pieces: list[bytes]) -> None:
    found = read(*pieces, most=200)
    for message in found:
        if isinstance(message, str | bytes):
            assert len(message) <= 200


def test_a_ping_between_fragments() -> None:
    data = masked(0, b"Hel", first=0x01) + masked(9, b"?") + masked(0, b"lo", first=0x80)
    assert read(data) == [Ping(b"?"), "Hello"]


@pytest.mark.parametrize(
    "data",
    [
        masked(2, b"x", first=0xC2),
        masked(2, b"x", first=0x83),
        frame(Opcode.BINARY, b"x"),
        masked(9, b"x", first=0x09),
        masked(9, bytes(126)),
        masked(0, b"x"),
        masked(1, b"x", first=0x01) + masked(1, b"y"),
        masked(8, b"\x03"),
        masked(8, (1005).to_bytes(2)),
        masked(8, (999).to_bytes(2)),
        masked(8, (2999).to_bytes(2)),
    ],
)
def test_what_breaks_the_protocol(data: bytes) -> None:
    found = violation(data)
    assert found.code is CloseCode.PROTOCOL_ERROR
    assert found.reason


def test_after_a_broken_frame_nothing_is_read() -> None:
    assert len(read(frame(Opcode.BINARY, b"x"), masked(1, b"Hello"), masked(8, b""))) == 1


@pytest.mark.parametrize(("opcode", "payload"), [(1, b"ok\xff"), (8, b"\x03\xe8\xff")])
def test_text_that_is_no_utf_8(opcode: int, payload: bytes) -> None:
    assert violation(masked(opcode, payload)).code is CloseCode.INVALID_TEXT


def test_text_is_judged_as_a_whole() -> None:
    euro = "€".encode()
    assert read(masked(1, euro[:1], first=0x01) + masked(0, euro[1:], first=0x80)) == ["€"]


@pytest.mark.parametrize("cut", [6, 9, 14, 200, 100_000, 199_999])
def test_what_is_too_big_is_skipped_and_the_close_is_read(cut: int) -> None:
    data = masked(2, os.urandom(200_000)) + masked(8, (1009).to_bytes(2) + b"I see")
    assert read(data[:cut], data[cut:]) == [
        Violation(CloseCode.TOO_BIG, f"a message may have {MOST} bytes at most"),
        Close(1009, "I see"),
    ]


def test_what_is_just_big_enough_and_what_is_not() -> None:
    assert read(masked(2, bytes(1000)), most=1000) == [bytes(1000)]
    assert violation(masked(2, bytes(1001)), most=1000).code is CloseCode.TOO_BIG


def test_fragments_that_are_too_big_together() -> None:
    data = masked(2, bytes(600), first=0x02) + masked(0, bytes(600), first=0x00)
    assert violation(data, most=1000).code is CloseCode.TOO_BIG


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (masked(8, b""), Close(1005)),
        (masked(8, (1000).to_bytes(2)), Close(1000)),
        (masked(8, (4999).to_bytes(2) + "Grüße".encode()), Close(4999, "Grüße")),
    ],
)
def test_closes(data: bytes, message: Close) -> None:
    assert read(data) == [message]


def test_close_frames() -> None:
    assert close_frame(1005, "unheard") == b"\x88\x00"
    assert close_frame(1000) == b"\x88\x02\x03\xe8"
    long = close_frame(1008, "xy" + "€" * 100)
    assert len(long) <= 127
    assert long[4:].decode() == "xy" + "€" * 40
    assert close_frame(1008, "\ud800")[4:] == b"?"


@given(st.binary(max_size=3000), st.binary(min_size=4, max_size=4))
def test_unmasking(payload: bytes, mask: bytes) -> None:
    expected = bytes(octet ^ mask[place % 4] for place, octet in enumerate(payload))
    assert unmask(mask, payload) == expected
