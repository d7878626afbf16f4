from hypothesis import given
from hypothesis import strategies as st

from media.speech.asr.sphinx.endpoint import (
    FRAME_MS,
    LEAD_FRAMES,
    MAX_FRAMES,
    SILENCE_MS,
    Begun,
    Ended,
    Endpointer,
)

HANG = SILENCE_MS // FRAME_MS


def events(levels: list[float], endpointer: Endpointer | None = None) -> list[tuple[int, Begun | Ended]]:
    """What the endpointer tells, each with the frame at which it does."""
    endpointer = endpointer or Endpointer()
    told = ((at, endpointer.feed(level)) for at, level in enumerate(levels))
    return [(at, event) for at, event in told if event is not None]


def test_an_utterance_in_noise() -> None:
    levels = [200.0] * 50 + [2000.0] * 30 + [200.0] * 50
    assert events(levels) == [(52, Begun(50 - LEAD_FRAMES, 50)), (79 + HANG, Ended(80))]


def test_how_long_silence_must_last_can_be_chosen() -> None:
    levels = [200.0] * 50 + [2000.0] * 30 + [200.0] * 50
    assert events(levels, Endpointer(500))[1] == (79 + 25, Ended(80))


def test_a_pause_within_an_utterance_does_not_end_it() -> None:
    levels = [100.0] * 50 + [2000.0] * 20 + [100.0] * (HANG - 1) + [2000.0] * 20 + [100.0] * 40
    assert [event for _, event in events(levels)] == [Begun(50 - LEAD_FRAMES, 50), Ended(90 + HANG - 1)]


def test_noise_and_clicks_are_no_speech() -> None:
    assert events([800.0, 900.0] * 200) == []
    assert events(([100.0] * 20 + [5000.0] * 2) * 20) == []


def test_silence_is_nothing_loud_however_quiet_noise_is() -> None:
    assert events([0.0] * 100 + [40.0] * 50) == []


def test_noise_at_the_very_beginning_is_no_speech() -> None:
    assert events([400.0] * 100) == []


def test_speech_at_the_very_beginning_is_heard() -> None:
    found = events([3000.0] * 20 + [50.0] * 40)
    assert [event for _, event in found] == [Begun(0, 0), Ended(20)]


def test_noise_that_grows_is_speech_for_a_while_only() -> None:
    found = events([50.0] * 100 + [1500.0] * 400)
    assert [type(event) for _, event in found] == [Begun, Ended]


def test_what_belongs_to_one_utterance_does_not_belong_to_the_next() -> None:
    levels = [50.0] * 50 + [2000.0] * 10 + [50.0] * HANG + [2000.0] * 10 + [50.0] * 40
    (_, _), (ended, _), (_, begun), _ = events(levels)
    assert begun == Begun(ended + 1, 50 + 10 + HANG)


def test_an_utterance_without_end_is_cut() -> None:
    levels = [50.0] * 50 + [2000.0, 300.0] * MAX_FRAMES
    ((_, begun), (at, ended), *_) = events(levels)
    assert isinstance(begun, Begun)
    assert isinstance(ended, Ended)
    assert at + 1 - begun.start == MAX_FRAMES


def test_the_end_of_the_stream_ends_the_utterance() -> None:
    endpointer = Endpointer()
    assert endpointer.finish() is None
    events([50.0] * 50 + [2000.0] * 10 + [50.0] * 3, endpointer)
    assert endpointer.speaking
    assert endpointer.finish() == Ended(60)
    assert not endpointer.speaking


@given(st.lists(st.floats(0, 32768), max_size=400))
def test_beginnings_and_endings_alternate_and_never_overlap(levels: list[float]) -> None:
    at = 0
    for index, (frame, event) in enumerate(events(levels)):
        match event:
            case Begun(start, loud):
                assert index % 2 == 0
                assert at <= start <= loud <= frame
                begun = start
            case Ended(end):
                assert index % 2 == 1
                assert begun < end <= frame + 1
                at = frame + 1
