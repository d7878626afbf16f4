from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import SpeechError
from media.speech.hub import wire

REQUEST = st.integers(0, 2**32 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
PCM = st.binary(max_size=200).map(lambda data: data[: len(data) // 2 * 2])
OPTION = st.dictionaries(TEXT, TEXT | st.integers(-9, 9), max_size=3)
OFFER = st.builds(wire.Offer, TEXT, TEXT, st.booleans(), st.tuples(TEXT), st.none() | TEXT)
NUMBER = st.integers(0, 2**31)
MESSAGES = st.one_of(
    st.builds(wire.Speak, REQUEST, OPTION, NUMBER, st.none() | TEXT, NUMBER),
    st.builds(wire.Text, REQUEST, TEXT),
    st.builds(wire.Listen, REQUEST, OPTION, NUMBER),
    st.builds(wire.Audio, REQUEST, PCM),
    st.builds(wire.Voice, REQUEST, st.booleans()),
    st.builds(wire.End, REQUEST),
    st.builds(wire.Cancel, REQUEST),
    st.builds(wire.Credit, REQUEST, NUMBER),
    st.builds(wire.Ready, st.tuples(OFFER, OFFER), TEXT, TEXT),
    st.builds(wire.Chunk, REQUEST, PCM),
    st.builds(wire.Word, REQUEST, NUMBER, NUMBER),
    st.builds(wire.Done, REQUEST, TEXT),
    st.builds(wire.Heard, REQUEST, TEXT, NUMBER, TEXT, NUMBER, NUMBER, st.booleans()),
    st.builds(wire.Trouble, REQUEST, TEXT, NUMBER),
    st.builds(wire.Failed, REQUEST, TEXT, NUMBER),
)


@given(st.lists(MESSAGES, max_size=8), st.integers(1, 64))
def test_whatever_is_sent_arrives(messages: list[wire.Message], size: int) -> None:
    stream = b"".join(map(wire.encode, messages))
    decoder = wire.Decoder()
    arrived = [m for at in range(0, len(stream), size) for m in decoder.feed(stream[at : at + size])]
    assert arrived == messages


@given(st.binary(max_size=100))
def test_nonsense_is_refused_or_waits_for_more(data: bytes) -> None:
    with suppress(SpeechError):
        assert all(wire.encode(message) for message in wire.Decoder().feed(data))


@pytest.mark.parametrize(
    "frame",
    [
        wire._frame(wire.Kind.AUDIO, 1, b"odd"),
        wire._frame(wire.Kind.VOICE, 1),
        wire._frame(wire.Kind.DONE, 1, b"{}"),
        wire._frame(wire.Kind.HEARD, 1, b"[]"),
        wire._frame(wire.Kind.READY, 0, b'{"offers": 1, "asr": "", "tts": ""}'),
        wire._frame(wire.Kind.CREDIT, 1, b"\0"),
        wire._HEAD.pack(5, 99, 1),
        wire._HEAD.pack(wire.MAX_FRAME + 1, 1, 1),
    ],
)
def test_broken_frames(frame: bytes) -> None:
    with pytest.raises(SpeechError, match="speech protocol"):
        list(wire.Decoder().feed(frame))


def test_too_long() -> None:
    with pytest.raises(SpeechError, match="too long"):
        wire.encode(wire.Text(1, "x" * wire.MAX_FRAME))


def test_options_are_not_shown() -> None:
    assert "hush" not in repr(wire.Speak(1, {"secret_key": "hush"}, 8000, "", 1))
    assert "hush" not in repr(wire.Listen(1, {"secret_key": "hush"}, 8000))
