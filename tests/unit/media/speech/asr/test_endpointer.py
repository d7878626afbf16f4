import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.speech.asr.endpointer import Begun, Ended, Endpointer, Endpointing, Found, Spoken
from tests.support.utterances import RATE, mixed, noise, silence, spaced, tone


def found_in(pcm: bytes, how: Endpointing | None = None, size: int = 1280) -> list[Found]:
    endpointer = Endpointer(RATE, how)
    found = [item for at in range(0, len(pcm), size) for item in endpointer.feed(pcm[at : at + size])]
    return found + endpointer.end()


def times(found: list[Found]) -> list[tuple[int, int]]:
    return [(item.start, item.end) for item in found if isinstance(item, Ended)]


def audio(found: list[Found]) -> bytes:
    return b"".join(item.pcm for item in found if isinstance(item, Spoken))


def test_silence_holds_no_utterance() -> None:
    assert found_in(silence(5000)) == []


def test_an_utterance_has_padding_before_it_and_ends_with_its_last_sound() -> None:
    assert times(found_in(spaced(1000))) == [(500, 1800)]


def test_its_audio_goes_on_until_the_silence_was_long_enough() -> None:
    pcm = spaced(1000)
    assert audio(found_in(pcm)) == pcm[500 * 32 : 2300 * 32]


def test_a_pause_shorter_than_the_silence_does_not_end_it() -> None:
    pcm = silence(800) + tone(400) + silence(400) + tone(400) + silence(800)
    assert times(found_in(pcm)) == [(500, 2000)]
    assert times(found_in(pcm, Endpointing(silence=300))) == [(500, 1200), (1500, 2000)]


def test_audio_that_ends_within_an_utterance_ends_it() -> None:
    found = found_in(silence(800) + tone(500))
    assert times(found) == [(500, 1300)]
    assert audio(found) == (silence(300) + tone(500))


def test_speech_from_the_first_sample_on_is_heard() -> None:
    assert times(found_in(tone(600) + silence(800))) == [(0, 600)]


def test_a_click_is_no_utterance() -> None:
    assert found_in(silence(800) + tone(40) + silence(800)) == []


def test_what_is_too_soft_for_speech_is_none() -> None:
    assert found_in(silence(800) + tone(500, amplitude=60) + silence(800)) == []


def test_a_long_utterance_is_cut_and_goes_on_without_a_gap() -> None:
    pcm = b"".join(tone(180) + silence(100) for _ in range(12))
    found = found_in(silence(400) + pcm + silence(1000), Endpointing(longest=2000))
    assert times(found) == [(100, 2100), (2100, 3660)]
    assert audio(found) == (silence(400) + pcm + silence(1000))[100 * 32 : 4100 * 32]


def test_steady_noise_becomes_the_floor_above_which_speech_is_found() -> None:
    quiet, speech = noise(6000, 600), silence(6000) + tone(700) + silence(1500)
    found = times(found_in(mixed(speech, noise(8200, 600))))
    assert found[-1] == (5700, 6700)
    assert all(end <= 1500 for _, end in times(found_in(quiet)))


def test_noise_that_grows_is_an_utterance_only_until_it_is_known() -> None:
    found = times(found_in(silence(4000) + noise(10_000, 1500)))
    assert len(found) == 1
    assert found[0][1] <= 4000 + 3100


def test_speech_is_heard_again_when_the_noise_is_gone() -> None:
    pcm = noise(4000, 2000) + silence(1000) + tone(500, amplitude=1500) + silence(800)
    assert times(found_in(pcm))[-1] == (4700, 5500)


def test_a_constant_offset_is_silence() -> None:
    assert found_in(b"\x00\x20" * (RATE * 3)) == []


@pytest.mark.parametrize("size", [1, 2, 639, 640, 641, 1280, 100_000])
def test_the_size_of_pieces_does_not_matter(size: int) -> None:
    pcm = spaced(500, 300)
    whole, cut = found_in(pcm), found_in(pcm, size=size)
    assert times(cut) == times(whole)
    assert audio(cut) == audio(whole)


SOUNDS = st.lists(
    st.tuples(
        st.sampled_from(["silence", "tone", "noise"]), st.integers(1, 60), st.sampled_from([100, 900, 9000])
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(SOUNDS, st.integers(1, 3000), st.integers(0, 20), st.integers(5, 30), st.integers(50, 200))
def test_utterances_are_whole_in_order_and_without_overlap(
    sounds: list[tuple[str, int, int]], size: int, padding: int, quiet: int, longest: int
) -> None:
    make = {"silence": lambda ms, _: silence(ms), "tone": tone, "noise": noise}
    pcm = b"".join(make[kind](frames * 20, loud) for kind, frames, loud in sounds)
    found = found_in(pcm, Endpointing(padding * 20, quiet * 20, longest * 20), size)
    reached = 0
    while found:
        begun, spoken, ended, *found = _utterance(found)
        assert isinstance(begun, Begun)
        assert isinstance(ended, Ended)
        assert isinstance(spoken, Spoken)
        length = len(spoken.pcm) // 32
        assert reached <= begun.start == ended.start < ended.end <= begun.start + length
        assert length <= (longest + 1) * 20 + padding * 20 + 60
        assert spoken.pcm == pcm[begun.start * 32 : begun.start * 32 + len(spoken.pcm)]
        reached = begun.start + length


def _utterance(found: list[Found]) -> list[Found]:
    """`found` with the audio of the first utterance put together."""
    end = next(at for at, item in enumerate(found) if isinstance(item, Ended))
    return [found[0], Spoken(audio(found[1:end])), *found[end:]]
