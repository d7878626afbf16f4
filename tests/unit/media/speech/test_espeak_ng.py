import math
from types import SimpleNamespace
from typing import Any

import espeakng_loader
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.errors import SpeechError
from media.speech import espeak_ng
from media.speech.espeak_ng import EspeakNg
from media.speech.voice import Samples, Voice

TEXT = "Hello, this is a test message."
ENGLISH = Voice("en-us")


@pytest.fixture(scope="module")
def espeak() -> EspeakNg:
    return EspeakNg()


def spoken(espeak: EspeakNg, text: str, voice: Voice = ENGLISH) -> Samples:
    chunks: list[Samples] = []

    def put(samples: Samples) -> bool:
        chunks.append(samples)
        return True

    espeak.say(text, voice, put)
    return np.concatenate([np.zeros(0, np.int16), *chunks])


def loudness(samples: Samples) -> float:
    return math.sqrt(float(np.mean(np.square(samples, dtype=np.float64))))


def test_text_becomes_samples(espeak: EspeakNg) -> None:
    samples = spoken(espeak, TEXT)
    assert espeak.sample_rate == 22050
    assert samples.dtype == np.int16
    assert 1.0 < samples.size / espeak.sample_rate < 4.0
    assert loudness(samples) > 500


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_text_is_silent_and_no_error(espeak: EspeakNg, text: str) -> None:
    assert spoken(espeak, text).size == 0


def test_volume_goes_from_mute_to_loud(espeak: EspeakNg) -> None:
    steps = [loudness(spoken(espeak, TEXT, Voice("en-us", volume=v))) for v in (-1, 0, 2, 5, 8, 100)]
    assert steps[:2] == [0.0, 0.0]
    assert steps == sorted(steps)
    assert len(set(steps)) == 5
    assert loudness(spoken(espeak, TEXT, Voice("en-us", volume=math.nan))) == 0


def test_speed_changes_the_length_and_has_limits(espeak: EspeakNg) -> None:
    lengths = [spoken(espeak, TEXT, Voice("en-us", speed=s)).size for s in (0.5, 1.0, 2.0)]
    assert lengths[0] > 1.5 * lengths[1]
    assert lengths[1] > 1.5 * lengths[2]
    assert espeak_ng._parameters(Voice("x", speed=1e9))[0][1] == espeak_ng.FASTEST
    assert espeak_ng._parameters(Voice("x", speed=-1e9))[0][1] == espeak_ng.SLOWEST
    assert espeak_ng._parameters(Voice("x", speed=math.nan))[0][1] == espeak_ng.SLOWEST


def test_pitch_changes_the_sound(espeak: EspeakNg) -> None:
    def crossings(pitch: float) -> int:
        return int(
            np.count_nonzero(np.diff(np.signbit(spoken(espeak, "aaaah", Voice("en-us", pitch=pitch)))))
        )

    assert crossings(0.0) != crossings(2.0)


@pytest.mark.parametrize("speaker", ["de", "en-gb", "English (America)", "en-us+f3", "EN-US", "cmn"])
def test_known_voices(espeak: EspeakNg, speaker: str) -> None:
    assert spoken(espeak, "Hallo", Voice(speaker)).size > 1000


@pytest.mark.parametrize(
    "speaker", ["xiaoyan", "", "../../../etc/passwd", "de+../de", "de+x", "de+", "de\x00", "ü", "a" * 100]
)
def test_unknown_voices_are_named_with_a_way_to_list_them(espeak: EspeakNg, speaker: str) -> None:
    with pytest.raises(SpeechError, match=r"has no voice .*media\.speech\.say --voices lists all"):
        spoken(espeak, TEXT, Voice(speaker))
    assert spoken(espeak, TEXT).size > 0


def test_a_variant_changes_the_voice(espeak: EspeakNg) -> None:
    plain, variant = (spoken(espeak, TEXT, Voice(speaker)) for speaker in ("en-us", "en-us+whisper"))
    assert loudness(variant) < 0.8 * loudness(plain)


def test_synthesis_stops_when_nobody_wants_it(espeak: EspeakNg) -> None:
    sizes: list[int] = []

    def put(samples: Samples) -> bool:
        sizes.append(samples.size)
        return len(sizes) < 2

    espeak.say("word " * 200, ENGLISH, put)
    assert len(sizes) == 2
    assert spoken(espeak, TEXT).size > 0


def test_voices_are_listed_with_their_codes(espeak: EspeakNg) -> None:
    voices = espeak.voices()
    assert ("de", "German") in voices
    assert "en-us" in dict(voices)
    assert voices == sorted(voices)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(), max_size=40))
def test_any_text_can_be_spoken(text: str) -> None:
    assert spoken(EspeakNg(), text).dtype == np.int16


class NoLibrary:
    """Answers calls as told, all others with 0."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.answers.get(name, 0)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: "/nowhere/libespeak-ng.so")
    with pytest.raises(SpeechError, match=r"/nowhere/libespeak-ng\.so cannot be loaded"):
        EspeakNg()


def test_data_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: "/nowhere")
    monkeypatch.setattr(espeak_ng, "_load", lambda: NoLibrary(espeak_Initialize=-1))
    with pytest.raises(SpeechError, match="cannot read its data in /nowhere"):
        EspeakNg()


def test_a_text_that_the_library_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    record = SimpleNamespace(languages=b"\x02en-us", name=b"English", identifier=b"gmw/en-US")
    listed = [SimpleNamespace(contents=record), None]
    library = NoLibrary(espeak_Initialize=22050, espeak_ListVoices=listed, espeak_Synth=1)
    monkeypatch.setattr(espeak_ng, "_load", lambda: library)
    with pytest.raises(SpeechError, match="cannot speak this text"):
        spoken(EspeakNg(), TEXT)
