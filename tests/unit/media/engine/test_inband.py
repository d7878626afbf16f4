"""Keys heard in the audio, as ITU-T Q.24 wants it; and speech and music that are none."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from media.engine import g711
from media.engine.arrays import Pcm
from media.engine.inband import GAP, InbandDigits
from media.engine.reports import DigitPressed, Event
from media.engine.tones import HIGH, KEYPAD, LOW, MILLIWATT, dtmf, tone
from media.speech import say
from media.speech.voice import Voice

Wave = npt.NDArray[np.float64]
RATES = st.sampled_from([8000, 16000])


class Bench:
    """Detection on some slots, all enabled, fed by hand."""

    def __init__(self, capacity: int = 1, rate: int = 8000) -> None:
        self.frame = rate // 50
        self.digits = InbandDigits(capacity, rate)
        self.frames: Pcm = np.zeros((capacity, 2, self.frame), np.int16)
        self.fresh = np.zeros(capacity, np.uint8)
        self.heard = [""] * capacity
        for slot in range(capacity):
            self.digits.enable(slot)

    def tick(self, *frames: Pcm, slot: int = 0) -> None:
        """One tick in which `slot` has `frames`."""
        self.fresh[slot] = len(frames)
        for number, frame in enumerate(frames):
            self.frames[slot, number] = frame
        self.run()

    def run(self) -> None:
        events: list[Event] = []
        self.digits.run(self.frames, self.fresh, events)
        for event in events:
            assert isinstance(event, DigitPressed)
            self.heard[event.slot] += event.digit

    def hear(self, audio: Pcm) -> str:
        """What slot 0 has heard after `audio`, frame by frame."""
        for frame in split(audio, self.frame):
            self.tick(frame)
        return self.heard[0]


def split(audio: Pcm, frame: int) -> Pcm:
    """Frames, the last one filled up."""
    return np.pad(audio, (0, -len(audio) % frame)).reshape(-1, frame)


def hear(audio: Pcm, rate: int = 8000) -> str:
    return Bench(1, rate).hear(audio)


def hear_all(rows: Pcm) -> list[str]:
    """What each row (n, samples) holds, with one slot each at 8 kHz."""
    bench = Bench(len(rows))
    bench.fresh[:] = 1
    for start in range(0, rows.shape[1] - bench.frame + 1, bench.frame):
        bench.frames[:, 0] = rows[:, start : start + bench.frame]
        bench.run()
    return bench.heard


@dataclass(frozen=True, slots=True)
class Line:
    """How keys are sent and what happens to them on the way; levels in dB, deviations relative."""

    rate: int = 8000
    level: float = -10
    """dBm0 of the low tone."""
    twist: float = 0
    low_off: float = 0
    high_off: float = 0
    snr: float = 30
    lead: int = 500
    """Samples of nothing before the first key."""
    seed: int = 0

    def wave(self, digit: str, ms: float) -> Wave:
        """A key, with hard edges."""
        row, column = divmod(KEYPAD.index(digit), 4)
        time = np.arange(round(self.rate * ms / 1000)) / self.rate
        low, high = LOW[row] * (1 + self.low_off), HIGH[column] * (1 + self.high_off)
        peak = MILLIWATT * 10 ** (self.level / 20)
        wave: Wave = np.sin(2 * np.pi * low * time + self.seed)
        wave += 10 ** (self.twist / 20) * np.sin(2 * np.pi * high * time + self.seed / 3)
        return peak * wave

    def silence(self, ms: float) -> Wave:
        return np.zeros(round(self.rate * ms / 1000))

    def audio(self, *parts: Wave) -> Pcm:
        """The parts between silences, with noise."""
        wave = np.concatenate([np.zeros(self.lead), *parts, self.silence(80)])
        power = (MILLIWATT * 10 ** (self.level / 20)) ** 2 / 2 * (1 + 10 ** (self.twist / 10))
        noise = np.random.default_rng(self.seed).normal(0, np.sqrt(power * 10 ** (-self.snr / 10)), len(wave))
        return np.clip(np.rint(wave + noise), -32768, 32767).astype(np.int16)

    def hear(self, *parts: Wave) -> str:
        return hear(self.audio(*parts), self.rate)


LINES = st.builds(
    Line,
    rate=RATES,
    level=st.floats(-25, -7),
    twist=st.floats(-8, 4),
    low_off=st.floats(-0.015, 0.015),
    high_off=st.floats(-0.015, 0.015),
    snr=st.floats(16, 60),
    lead=st.integers(0, 700),
    seed=st.integers(0, 1000),
)
"""What has to be understood; Q.24's limits, with a decibel for the luck of the noise."""
KEYS = st.sampled_from(KEYPAD)
quick = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_all_keys_of_our_own_making(rate: int) -> None:
    assert hear(dtmf(KEYPAD, rate, 60, 60), rate) == KEYPAD


@pytest.mark.parametrize("alaw", [False, True])
def test_all_keys_through_g711(alaw: bool) -> None:
    pcm = dtmf(KEYPAD * 2, 8000, 40, 40)[None]
    law = np.array([alaw])
    code = g711.encode(pcm, law, np.empty(pcm.shape, np.uint8))
    assert hear(g711.decode(code, law, np.empty_like(pcm))[0]) == KEYPAD * 2


@quick
@given(LINES, KEYS, st.floats(40, 300))
@example(Line(twist=-8, low_off=0.015, high_off=-0.015, snr=16), "D", 40)
@example(Line(twist=4, low_off=-0.015, high_off=0.015, snr=16, level=-25), "1", 40)
def test_a_key_of_40_ms_and_more_is_heard_once(line: Line, digit: str, ms: float) -> None:
    assert line.hear(line.wave(digit, ms)) == digit


@quick
@given(LINES, KEYS, st.floats(1, 23))
def test_a_key_of_23_ms_and_less_is_not_heard(line: Line, digit: str, ms: float) -> None:
    assert line.hear(line.wave(digit, ms)) == ""


@quick
@given(LINES, KEYS, st.sampled_from([-1, 1]), st.floats(0.035, 0.06), st.booleans())
def test_a_tone_3_5_percent_off_is_none(line: Line, digit: str, sign: int, off: float, low: bool) -> None:
    changed = {"low_off": sign * off} if low else {"high_off": sign * off}
    wave = Line(**{**{name: getattr(line, name) for name in Line.__slots__}, **changed})
    assert wave.hear(wave.wave(digit, 200)) == ""


@quick
@given(LINES, KEYS, st.floats(-30, -12) | st.floats(8, 30))
def test_too_much_twist_is_no_key(line: Line, digit: str, twist: float) -> None:
    bent = Line(rate=line.rate, level=-36, twist=twist, lead=line.lead, seed=line.seed)
    if twist < 0:
        bent = Line(rate=line.rate, level=-10, twist=twist, lead=line.lead, seed=line.seed)
    assert bent.hear(bent.wave(digit, 100)) == ""


@quick
@given(LINES, KEYS, KEYS, st.floats(40, 120))
@example(Line(), "5", "5", 40)
def test_pauses_of_40_ms_separate_keys(line: Line, first: str, second: str, pause: float) -> None:
    waves = (line.wave(first, 40), line.silence(pause), line.wave(second, 40))
    assert line.hear(*waves) == first + second


@quick
@given(LINES, KEYS, st.floats(1, 10), st.floats(40, 100))
def test_a_break_of_10_ms_splits_no_key(line: Line, digit: str, gap: float, ms: float) -> None:
    assert line.hear(line.wave(digit, ms), line.silence(gap), line.wave(digit, ms)) == digit


@given(KEYS, st.integers(0, 159))
@settings(max_examples=20, deadline=None)
def test_a_lost_packet_concealed_splits_no_key(digit: str, lead: int) -> None:
    line = Line(lead=lead)
    frames = split(line.audio(line.wave(digit, 200)), 160)
    frames[5] = frames[4] // 2
    assert hear(frames.reshape(-1)) == digit


def test_keys_without_a_pause_between_are_told_when_they_differ() -> None:
    line = Line()
    assert line.hear(*(line.wave(digit, 60) for digit in "12369")) == "12369"


def test_faint_tones_are_not_heard() -> None:
    line = Line(level=-45)
    assert line.hear(line.wave("5", 200)) == ""


def test_a_key_in_speech_as_loud_is_not_heard_nor_one_of_its_tones() -> None:
    assert hear(tone({770: -8.0}, 8000, 300)) == ""
    assert hear(tone({770: -8.0, 1336: -6.0, 440: -8.0}, 8000, 300)) == ""


def test_a_high_tone_with_its_harmonic_is_a_voice() -> None:
    assert hear(tone({770: -10.0, 1336: -10.0, 2672: -20.0}, 8000, 300)) == ""


def test_the_third_and_fourth_harmonic_of_a_voice_are_no_star() -> None:
    for pitch in range(300, 320, 2):
        assert hear(tone({3 * pitch: -10.0, 4 * pitch: -10.0}, 8000, 300)) == ""


def test_slots_are_apart_and_only_those_enabled_hear() -> None:
    bench = Bench(16)
    bench.digits.disable(3)
    bench.digits.disable(3)
    bench.fresh[:] = 1
    audio = np.stack([dtmf(digit, 8000, 60, 60) for digit in KEYPAD])
    for start in range(0, audio.shape[1], 160):
        bench.frames[:, 0] = audio[:, start : start + 160]
        bench.run()
    assert bench.heard == [digit if slot != 3 else "" for slot, digit in enumerate(KEYPAD)]
    for slot in range(16):
        bench.digits.disable(slot)
    bench.frames[:, 0] = 0
    bench.run()


def test_two_frames_in_a_tick_and_none_are_the_audio_in_order() -> None:
    rng = np.random.default_rng(5)
    frames = list(split(dtmf("1223#", 8000, 50, 50), 160))
    bench = Bench()
    while frames:
        for count in rng.permutation([0, 1, 2, 2]).tolist():
            bench.tick(*(frames.pop(0) for _ in range(min(count, len(frames)))))
    assert bench.heard == ["1223#"]


def test_late_packets_end_no_key_and_an_outage_does() -> None:
    frames = split(dtmf("8", 8000, 100, 0), 160)
    for missed, heard in ((GAP - 1, "8"), (GAP, "88")):
        bench = Bench()
        bench.hear(frames.reshape(-1))
        for _ in range(missed):
            bench.tick()
        # The tone goes on in phase: 20 ms are whole periods of nothing but 50 Hz, so cut where it began.
        for frame in frames:
            bench.tick(frame)
        assert bench.heard == [heard]


def test_enabling_again_forgets() -> None:
    bench = Bench()
    frames = split(dtmf("8", 8000, 100, 0), 160)
    bench.hear(frames.reshape(-1))
    bench.digits.enable(0)
    assert bench.hear(frames.reshape(-1)) == "88"


SPEECH = (
    "Ooh, no! We all know you are there; who is calling me now? "
    "Six, seven, seventy seven. Hello? Hello! Please press one, two or star. Ha ha ha ha. "
)


def spoken() -> Pcm:
    """Speech of several voices, each a row at 8 kHz."""
    voices = (
        Voice("en-us+f2", pitch=2.0),
        Voice("de+f4", speed=1.4, pitch=1.7),
        Voice("it", speed=0.8, pitch=1.2),
        Voice("en-gb+croak", speed=1.6, pitch=0.3),
        Voice("cmn+f3", pitch=1.5),
    )
    return np.stack([np.resize(say.render(SPEECH, voice, 8000), 12 * 8000) for voice in voices])


def test_speech_is_no_key() -> None:
    rows = spoken()
    law = np.zeros(len(rows), np.bool_)
    coded = g711.decode(g711.encode(rows, law, np.empty(rows.shape, np.uint8)), law, np.empty_like(rows))
    spectrum = np.fft.rfft(rows, axis=1)
    frequency = np.fft.rfftfreq(rows.shape[1], 1 / 8000)
    spectrum[:, (frequency < 300) | (frequency > 3400)] = 0
    band = np.clip(np.rint(np.fft.irfft(spectrum, rows.shape[1], axis=1)), -32768, 32767).astype(np.int16)
    assert hear_all(np.concatenate([rows, coded, band])) == [""] * 3 * len(rows)


def test_chords_are_no_keys() -> None:
    rng = np.random.default_rng(2)
    time = np.arange(4000) / 8000
    rows = np.zeros((40, 4000 * 12))
    for row in rows:
        for start in range(0, len(row), 4000):
            root = 110 * 2 ** (rng.integers(0, 30) / 12)
            for interval in rng.permutation(12)[:3]:
                for harmonic in range(1, 4):
                    pitch = root * 2 ** (interval / 12) * harmonic
                    row[start : start + 4000] += np.sin(2 * np.pi * pitch * time) / harmonic
    assert hear_all((rows * 3000).astype(np.int16)) == [""] * len(rows)
