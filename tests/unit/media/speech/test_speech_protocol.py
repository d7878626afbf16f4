import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import SpeechError
from media.speech.protocol import (
    MAX_FRAME,
    Cancel,
    Chunk,
    Credit,
    Decoder,
    Done,
    Failed,
    Kind,
    Message,
    Ready,
    Synthesise,
    encode,
)
from media.speech.voice import Voice

requests = st.integers(0, 2**32 - 1)
words = st.text(max_size=50)
scales = st.floats(allow_nan=False)
voices = st.builds(Voice, words, scales, scales, scales)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Synthesise, requests, words, voices, st.integers(0, 2**32 - 1)),
    st.builds(Cancel, requests),
    st.builds(Credit, requests, st.integers(0, 2**32 - 1)),
    st.builds(Ready),
    st.builds(Chunk, requests, st.binary(max_size=50).map(lambda data: data * 2)),
    st.builds(Done, requests),
    st.builds(Failed, requests, words),
)


@given(st.lists(messages), st.data())
def test_messages_survive_any_cutting_of_the_stream(sent: list[Message], data: st.DataObject) -> None:
    stream = b"".join(encode(message) for message in sent)
    decoder = Decoder()
    received: list[Message] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        received += decoder.feed(stream[:size])
        stream = stream[size:]
    assert received == sent


@given(st.binary())
def test_garbage_is_a_speech_error_or_waits_for_more(data: bytes) -> None:
    try:
        for message in Decoder().feed(data):
            assert encode(message)
    except SpeechError as error:
        assert "speech protocol" in str(error)  # noqa: PT017


def frame(kind: int, body: bytes = b"") -> bytes:
    return (5 + len(body)).to_bytes(4, "big") + bytes([kind]) + bytes(4) + body


@pytest.mark.parametrize(
    "data",
    [
        frame(0),
        frame(99),
        frame(Kind.CHUNK, b"odd"),
        frame(Kind.CREDIT, b"123"),
        frame(Kind.FAILED, b"\xff"),
        frame(Kind.SYNTHESISE, b"short"),
        bytes([0, 0, 0, 4]) + bytes(5),
        bytes([255, 255, 255, 255]) + bytes(5),
    ],
)
def test_broken_frames_are_refused(data: bytes) -> None:
    with pytest.raises(SpeechError, match="speech protocol"):
        Decoder().feed(data)


def test_a_text_that_fits_no_frame_is_refused() -> None:
    with pytest.raises(SpeechError, match="too long to be spoken"):
        encode(Synthesise(1, "a" * MAX_FRAME, Voice("en-us"), 8000))


def test_half_surrogates_do_not_stop_anything() -> None:
    assert Decoder().feed(encode(Failed(1, "a\ud800"))) == [Failed(1, "a?")]
    said = Synthesise(1, "\udc00b", Voice("\ud800"), 8000)
    assert Decoder().feed(encode(said)) == [Synthesise(1, "?b", Voice("?"), 8000)]
