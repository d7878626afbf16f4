import json
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ProviderError, SpeechError
from media.speech.local.frames import (
    MAX_BODY,
    Cancel,
    Credit,
    Data,
    Decoder,
    Done,
    Failed,
    Finish,
    Frame,
    Kind,
    Open,
    Opened,
    Ready,
    Told,
    encode,
)

streams = st.integers(0, 2**32 - 1)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
fields = st.dictionaries(st.text(max_size=10), values, max_size=4)
frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Open, streams, fields),
    st.builds(Data, streams, st.binary(max_size=200)),
    st.builds(Finish, streams),
    st.builds(Cancel, streams),
    st.builds(Credit, streams, streams),
    st.builds(Ready, streams),
    st.builds(Opened, streams),
    st.builds(Told, streams, fields),
    st.builds(Done, streams),
    st.builds(Failed, streams, st.text(), st.integers(100, 599), st.booleans()),
)


@given(st.lists(frames, max_size=8), st.lists(st.integers(1, 60), max_size=20))
def test_frames_come_back_however_they_are_cut(given_frames: list[Frame], sizes: list[int]) -> None:
    data = b"".join(map(encode, given_frames))
    decoder, found, at = Decoder(), [], 0
    for size in [*sizes, len(data)]:
        found += decoder.feed(data[at : at + size])
        at += size
    assert found == given_frames


@given(st.binary(max_size=300))
def test_nonsense_is_frames_or_the_one_error(data: bytes) -> None:
    found: list[Frame] = []
    with suppress(SpeechError):
        found = Decoder().feed(data)
    assert len(found) * 9 <= len(data)


def test_long_data_takes_several_frames() -> None:
    data = bytes(2 * MAX_BODY + 1)
    found = Decoder().feed(encode(Data(3, data)))
    assert [len(frame.data) for frame in found if isinstance(frame, Data)] == [MAX_BODY, MAX_BODY, 1]


def test_anything_else_must_not_be_long() -> None:
    with pytest.raises(SpeechError, match="too long") as caught:
        encode(Told(1, {"text": "x" * MAX_BODY}))
    assert caught.value.code == 413


def raw(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack("!IBI", 5 + len(body) if length is None else length, kind, 1) + body


@pytest.mark.parametrize(
    "data",
    [
        raw(0, b""),
        raw(99, b""),
        raw(Kind.DONE, b"x"),
        raw(Kind.CREDIT, b"xy"),
        raw(Kind.OPEN, b"7"),
        raw(Kind.OPEN, b"\xff"),
        raw(Kind.TOLD, b"[1]"),
        raw(Kind.FAILED, b"{}"),
        raw(Kind.FAILED, json.dumps({"message": "", "code": "x", "retry": True}).encode()),
        raw(Kind.DATA, b"", 4),
        raw(Kind.DATA, b"", MAX_BODY + 6),
    ],
)
def test_broken_frames_are_refused(data: bytes) -> None:
    with pytest.raises(SpeechError, match="local engine"):
        Decoder().feed(data)


def test_errors_keep_what_they_are() -> None:
    error = ProviderError("no model", 404, retry=False)
    (frame,) = Decoder().feed(encode(Failed.of(7, error)))
    assert isinstance(frame, Failed)
    back = frame.error
    assert (str(back), back.code, back.retry, frame.stream) == ("no model", 404, False, 7)
