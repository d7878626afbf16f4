"""Tones that tell who answered, and all that must not be taken for one."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.engine.arrays import Pcm
from media.engine.tones import dtmf, tone
from media.speech.amd.sines import Hop, Sine, Sines
from media.speech.amd.tones import Name, Sit, Tone, Tones
from tests.support.voicelike import voice

RATES = (8000, 16000)
NEAR = 12
"""ms."""


def quiet(ms: int, rate: int = 8000) -> Pcm:
    return np.zeros(rate * ms // 1000, np.int16)


def heard(*parts: Pcm, rate: int = 8000, piece: int = 40, noise: float | None = None) -> list[Tone]:
    """The tones in `parts`, with noise so many dB below them."""
    audio = np.concatenate([*parts, quiet(1000, rate)])
    if noise is not None:
        loud = audio[audio != 0].astype(np.float64)
        level = np.sqrt(np.mean(loud**2)) * 10 ** (-noise / 20)
        audio = (audio + np.random.default_rng(5).normal(0, level, len(audio))).astype(np.int16)
    tones, size = Tones(rate), rate * piece // 1000
    return [
        found for start in range(0, len(audio), size) for found in tones.feed(audio[start : start + size])
    ]


def near(found: Tone, name: Name, start: int, end: int) -> bool:
    return found.name is name and abs(found.start - start) <= NEAR and abs(found.end - end) <= NEAR


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [350, 500, 1000, 1400, 2000, 2200])
@pytest.mark.parametrize("ms", [150, 500, 2000])
def test_a_beep_has_its_times(rate: int, hz: int, ms: int) -> None:
    (beep,) = heard(quiet(500, rate), tone({hz: -15}, rate, ms), rate=rate)
    assert near(beep, Name.BEEP, 500, 500 + ms)
    assert abs(beep.frequency - hz) < 2


@pytest.mark.parametrize("hz", [440, 640, 1000, 1800])
def test_a_beep_in_noise(hz: int) -> None:
    (beep,) = heard(quiet(500), tone({hz: -15}, 8000, 400), noise=10)
    assert near(beep, Name.BEEP, 500, 900)


def test_a_beep_right_behind_speech() -> None:
    (beep,) = heard(voice(8000, 2), tone({1000: -12}, 8000, 400))
    assert near(beep, Name.BEEP, 2000, 2400)


def test_a_beep_louder_in_its_middle() -> None:
    """Edges are where it is half as loud as at most."""
    rising = np.concatenate([tone({1000: -20}, 8000, 100), tone({1000: -10}, 8000, 300)])
    (beep,) = heard(quiet(300), rising)
    assert beep.name is Name.BEEP
    assert abs(beep.end - 700) <= NEAR


def test_a_tone_in_pulses_is_no_beep() -> None:
    """As of a creaking voice: each pulse fades, the next one follows before the tone is gone."""
    time = np.arange(8 * 40) / 8000
    pulse = 8000 * np.exp(-60 * time) * np.sin(2 * np.pi * 500 * time)
    assert not heard(quiet(300), *[pulse.astype(np.int16)] * 3, tone({500: -40}, 8000, 150))


@pytest.mark.parametrize("ms", [80, 2300, 10_000])
def test_too_short_or_too_long_is_no_beep(ms: int) -> None:
    assert not heard(quiet(300), tone({1000: -12}, 8000, ms))


def test_a_faint_tone_is_no_beep() -> None:
    assert not heard(quiet(300), tone({1000: -52}, 8000, 400))


def test_a_tone_within_noise_as_loud_is_no_beep() -> None:
    """Nothing becomes quieter behind it."""
    rng = np.random.default_rng(3)
    audio = rng.normal(0, 1000, 16000)
    audio[4000:8000] += 2500 * np.sin(2 * np.pi * 1000 * np.arange(4000) / 8000)
    audio[8000:] *= 2.5
    assert not heard(audio.astype(np.int16))


@pytest.mark.parametrize("hz", [400, 425, 450])
def test_a_short_tone_like_busy_alone_is_a_beep(hz: int) -> None:
    (beep,) = heard(quiet(900), tone({hz: -12}, 8000, 400))
    assert near(beep, Name.BEEP, 900, 1300)


def cadence(hz: Sequence[float], *times: int, repeat: int = 4) -> Pcm:
    """Tones and pauses by turns."""
    sounds = [
        quiet(ms) if number % 2 else tone(dict.fromkeys(hz, -18.0), 8000, ms)
        for number, ms in enumerate(times)
    ]
    return np.concatenate(sounds * repeat)


@pytest.mark.parametrize(
    ("hz", "times"),
    [
        ((440, 480), (2000, 4000)),
        ((425,), (1000, 4000)),
        ((400,), (1000, 2000)),
        ((400, 450), (400, 200, 400, 2000)),
        ((425,), (500, 500)),
        ((425,), (480, 480)),
        ((400,), (375, 375)),
        ((425,), (250, 250)),
        ((425,), (200, 600)),
        ((480, 620), (500, 500)),
        ((480, 620), (250, 250)),
        ((425,), (6000, 100)),
        ((350, 440), (6000, 100)),
    ],
)
def test_ringing_busy_and_dial_tone_are_nothing(hz: Sequence[float], times: Sequence[int]) -> None:
    assert not heard(cadence(hz, *times))


@pytest.mark.parametrize("ms", [60, 200, 500])
def test_keys_are_nothing(ms: int) -> None:
    assert not heard(dtmf("0123456789*#ABCD", 8000, ms, ms))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("noise", [None, 15])
def test_speech_is_nothing(rate: int, noise: float | None) -> None:
    assert not heard(voice(rate, 4), rate=rate, noise=noise)


@pytest.mark.parametrize(
    ("ms", "gap", "harmonics"), [(300, 0, 1), (300, 30, 1), (200, 100, 1), (250, 250, 6)]
)
def test_a_tune_is_nothing(ms: int, gap: int, harmonics: int) -> None:
    notes = []
    time = np.arange(8 * ms) / 8000
    for step in (0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0):
        hz = 500 * 2 ** (step / 12)
        wave = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, harmonics + 1) if hz * k < 4000)
        notes += [(5000 * np.exp(-3 * time) * wave).astype(np.int16), quiet(gap)]
    assert not heard(*notes)


@pytest.mark.parametrize(("hz", "ms", "pause"), [(1100, 500, 3000), (1064, 430, 2600), (1136, 570, 3400)])
@pytest.mark.parametrize("noise", [None, 10])
def test_a_calling_fax(hz: int, ms: int, pause: int, noise: float | None) -> None:
    found = heard(quiet(700), cadence((hz,), ms, pause, repeat=3), noise=noise)
    starts = [700 + number * (ms + pause) for number in range(3)]
    assert all(near(one, Name.CNG, start, start + ms) for one, start in zip(found, starts, strict=True))


@pytest.mark.parametrize("hz", [2085, 2100, 2115])
@pytest.mark.parametrize("rate", RATES)
def test_an_answering_fax_is_known_while_its_tone_lasts(hz: int, rate: int) -> None:
    (ced,) = heard(quiet(1800, rate), tone({hz: -12}, rate, 3300), rate=rate)
    assert near(ced, Name.CED, 1800, 2600)


def test_a_modem_turns_the_phase_of_its_tone() -> None:
    """ANSam of V.8: phase reversals every 450 ms, and amplitude modulation of 15 Hz."""
    time = np.arange(3 * 8000) / 8000
    phase = np.where((time // 0.45).astype(int) % 2, np.pi, 0)
    wave = 6000 * (1 + 0.2 * np.sin(2 * np.pi * 15 * time)) * np.sin(2 * np.pi * 2100 * time + phase)
    (ced,) = heard(quiet(1000), wave.astype(np.int16))
    assert near(ced, Name.CED, 1000, 1800)


def announcement(hz: Sequence[float], ms: Sequence[int], gap: int) -> Pcm:
    sounds = [(tone({one: -20}, 8000, length), quiet(gap)) for one, length in zip(hz, ms, strict=True)]
    return np.concatenate([quiet(300), *(part for pair in sounds for part in pair), voice(8000, 2)])


LOW, HIGH, LAST = (913.8, 1370.6), (985.2, 1428.5), 1776.7


@pytest.mark.parametrize("gap", [0, 4, 30])
@pytest.mark.parametrize(
    ("hz", "ms", "kind"),
    [
        ((950, 1400, 1800), (330, 330, 330), None),
        ((950, 1400, 1800), (270, 390, 330), None),
        ((LOW[0], LOW[1], LAST), (274, 274, 380), Sit.INTERCEPT),
        ((HIGH[0], LOW[1], LAST), (380, 274, 380), Sit.VACANT),
        ((LOW[0], HIGH[1], LAST), (274, 380, 380), Sit.REORDER),
        ((HIGH[0], LOW[1], LAST), (274, 380, 380), Sit.REORDER),
        ((HIGH[0], HIGH[1], LAST), (380, 380, 380), Sit.NO_CIRCUIT),
        ((LOW[0], LOW[1], LAST), (380, 380, 380), Sit.NO_CIRCUIT),
        ((LOW[0], HIGH[1], LAST), (380, 274, 380), None),
    ],
)
def test_special_information_tones(
    hz: Sequence[float], ms: Sequence[int], kind: Sit | None, gap: int
) -> None:
    (sit,) = heard(announcement(hz, ms, gap))
    assert near(sit, Name.SIT, 300, 300 + sum(ms) + 2 * gap)
    assert sit.kind is kind


def test_special_information_tones_in_noise() -> None:
    (sit,) = heard(announcement((913.8, 1370.6, 1776.7), (274, 274, 380), 4), noise=10)
    assert (sit.name, sit.kind) == (Name.SIT, Sit.INTERCEPT)


@pytest.mark.parametrize(
    ("hz", "gap"),
    [((1800, 1400, 950), 0), ((950, 1400, 1400), 0), ((950, 1400, 950), 10), ((950, 950, 1400), 100)],
)
def test_other_rows_of_three_tones_are_nothing(hz: Sequence[float], gap: int) -> None:
    assert not heard(announcement(hz, (330, 330, 330), gap))


@given(
    st.lists(st.integers(1, 4000), min_size=1, max_size=30),
    st.sampled_from(RATES),
)
@settings(max_examples=15, deadline=None)
def test_pieces_of_any_length_are_the_same(sizes: list[int], rate: int) -> None:
    audio = np.concatenate([quiet(200, rate), tone({1000: -12}, rate, 400), quiet(600, rate)])
    tones, found, at = Tones(rate), [], 0
    for size in sizes * (len(audio) // sum(sizes) + 1):
        found += tones.feed(audio[at : at + size])
        at += size
    assert found == heard(audio, rate=rate)
    assert len(found) == 1


def hops(*frequencies: float, level: float = -10.0) -> list[Sine]:
    sines = Sines()
    found = [sines.feed(Hop(10 * number, level, hz)) for number, hz in enumerate(frequencies)]
    return [sine for sine in found if sine is not None]


def test_a_short_interruption_does_not_end_a_tone() -> None:
    (sine,) = hops(1000, 1000, 0, 0, 0, 0, 1000, 1000, *[0] * 6)
    assert (sine.start, sine.end, sine.duration) == (-5, 75, 80)


def test_a_longer_interruption_ends_a_tone() -> None:
    first, second = hops(1000, 1000, *[0] * 6, 1000, 1000, *[0] * 6)
    assert (first.end, second.start) == (15, 75)


def test_a_gliding_tone_is_many() -> None:
    found = hops(*(1000 * 1.02**number for number in range(20)))
    assert all(sine.duration <= 20 for sine in found)


def test_another_frequency_ends_a_tone_at_once() -> None:
    first, second = hops(1000, 1000, 1200, 1200, *[0] * 6)
    assert (first.frequency, second.frequency) == (1000, 1200)
