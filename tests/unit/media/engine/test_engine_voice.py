"""Voice detection: where windows are cut, what time is told, and speech in noise through the whole engine."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control.errors import MediaError
from media.engine import g711
from media.engine.arrays import FRAME, RATE, Ints, Mask, Pcm
from media.engine.engine import Engine
from media.engine.onnx import Floats
from media.engine.reports import Event, Interrupting, SilencePassed, SpeechStarted, SpeechStopped
from media.engine.voice import GAP, Detector, Voice, VoiceOptions
from tests.support import speech
from tests.support.farend import HOST, FarEnd, Stream

WINDOW, CONTEXT = 256, 32
LOUD, FAINT = 1000, 10


class Loudness:
    """In place of the network: voice where a window's last sample is loud; keeps what it is given."""

    def __init__(self, rate: int = RATE) -> None:
        self.windows: dict[int, list[Pcm]] = {}
        self.contexts: dict[int, list[Pcm]] = {}
        self.batches: list[int] = []
        self.window, self.context = WINDOW * rate // RATE, CONTEXT * rate // RATE

    def reset(self, slots: Ints | int) -> None:
        """It has no memory."""

    def run(self, slots: Ints, context: Pcm, window: Pcm) -> Floats:
        self.batches.append(len(slots))
        for slot, before, samples in zip(slots.tolist(), context.copy(), window.copy(), strict=True):
            self.windows.setdefault(slot, []).append(samples)
            self.contexts.setdefault(slot, []).append(before)
        loud: Floats = (window[:, -1] >= LOUD).astype(np.float32) * 0.6
        return loud


class Bench:
    """Detection on `capacity` slots, fed by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capacity: int = 16, rate: int = RATE) -> None:
        self.network = Loudness(rate)
        self.size = rate // 50
        monkeypatch.setattr("media.engine.voice.Silero", lambda rate, capacity: self.network)
        self.voice = Voice(capacity, rate)
        self.frames: Pcm = np.zeros((capacity, 2, self.size), np.int16)
        self.fresh = np.zeros(capacity, np.uint8)

    def tick(self, *frames: Pcm, slot: int = 0) -> list[Event]:
        """One tick in which `slot` has `frames`, and the others what they had."""
        self.fresh[slot] = len(frames)
        for number, frame in enumerate(frames):
            self.frames[slot, number] = frame
        events: list[Event] = []
        self.voice.run(self.frames, self.fresh, events)
        return events

    def ticks(self, count: int, value: int | None) -> list[Event]:
        """Frames of one value for slot 0, or none."""
        frames = () if value is None else (np.full(self.size, value, np.int16),)
        return [event for _ in range(count) for event in self.tick(*frames)]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("slot", range(8))
def test_windows_are_the_audio_whole_and_in_order(
    monkeypatch: pytest.MonkeyPatch, slot: int, rate: int
) -> None:
    bench = Bench(monkeypatch, rate=rate)
    wide = rate // RATE
    bench.voice.enable(slot, VoiceOptions())
    audio = np.arange(1, 60 * FRAME * wide + 1, dtype=np.int16)
    frames = list(audio.reshape(-1, bench.size))
    rng = np.random.default_rng(slot)
    while frames:
        for count in rng.permutation([0, 0, 1, 1, 2, 2]).tolist():
            bench.tick(*(frames.pop(0) for _ in range(min(count, len(frames)))), slot=slot)
    heard = np.concatenate(bench.network.windows[slot])
    lead = int(np.flatnonzero(heard)[0])
    assert lead < WINDOW * wide
    np.testing.assert_array_equal(heard[lead:], audio[: len(heard) - lead])
    assert len(audio) + lead - len(heard) < WINDOW * wide
    windows, contexts = bench.network.windows[slot], bench.network.contexts[slot]
    assert not contexts[0].any()
    for (window, _), context in zip(pairwise(windows), contexts[1:], strict=True):
        np.testing.assert_array_equal(context, window[-CONTEXT * wide :])


def test_every_tick_has_as_many_windows_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, 64)
    bench.fresh[:] = 1
    for slot in range(64):
        bench.voice.enable(slot, VoiceOptions())
        if slot % 20 == 0:
            bench.tick(np.zeros(FRAME, np.int16))
    bench.network.batches.clear()
    for _ in range(16):
        bench.tick(np.zeros(FRAME, np.int16))
    assert bench.network.batches == [40] * 16


def test_times_are_those_of_the_audio(bench: Bench) -> None:
    bench.voice.enable(0, VoiceOptions(speech_padding=250, silence_padding=100))
    assert bench.ticks(50, FAINT) == []
    loud = bench.ticks(50, LOUD)
    (started,) = loud
    assert isinstance(started, SpeechStarted)
    assert 250 * 8 <= started.ago < 250 * 8 + 2 * WINDOW
    (stopped,) = bench.ticks(50, FAINT)
    assert isinstance(stopped, SpeechStopped)
    assert abs(stopped.speech - 50 * FRAME) < WINDOW
    assert 100 * 8 <= stopped.silence < 100 * 8 + WINDOW


loudness = st.lists(st.tuples(st.integers(1, 30), st.sampled_from([None, FAINT, LOUD])), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 7), st.booleans(), loudness)
def test_times_are_the_same_in_both_bands(
    monkeypatch: pytest.MonkeyPatch, slot: int, economical: bool, course: list[tuple[int, int | None]]
) -> None:
    options = VoiceOptions(interrupt=True, silence_timeout=200, speech_padding=100)
    heard = []
    for rate in (8000, 16000):
        bench = Bench(monkeypatch, rate=rate)
        bench.voice.economise(on=economical)
        bench.voice.enable(slot, options)
        events = []
        for count, value in course:
            frames = () if value is None else (np.full(bench.size, value, np.int16),)
            events += [bench.tick(*frames, slot=slot) for _ in range(count)]
        heard.append(events)
    assert heard[0] == heard[1]


def test_who_speaks_long_enough_interrupts_in_the_same_tick(bench: Bench) -> None:
    bench.voice.enable(0, VoiceOptions(interrupt=True))
    bench.ticks(40, FAINT)
    ticks = [bench.ticks(1, LOUD) for _ in range(20)]
    (number,) = (number for number, events in enumerate(ticks) if Interrupting in map(type, events))
    (event,) = ticks[number]
    # Two windows, and at most one that began with noise.
    assert isinstance(event, Interrupting)
    assert 2 * WINDOW <= event.ago < 3 * WINDOW
    assert number * FRAME <= 2 * WINDOW + FRAME
    assert [type(event) for events in ticks for event in events] == [Interrupting, SpeechStarted]


def test_nobody_interrupts_unless_it_is_asked_for(bench: Bench) -> None:
    bench.voice.enable(0, VoiceOptions(speech_padding=0))
    assert [type(event) for event in bench.ticks(20, LOUD)] == [SpeechStarted]


def test_an_economical_detection_spares_the_network_noise(bench: Bench) -> None:
    noise = np.random.default_rng(10).normal(0, 100, (80, FRAME)).astype(np.int16)
    bench.voice.economise(on=True)
    bench.voice.enable(0, VoiceOptions(speech_padding=0))
    for frame in noise:
        assert bench.tick(frame) == []
    spared = 50 - len(bench.network.batches)
    assert spared >= 45
    loud = [event for frame in noise[:20] for event in bench.tick(frame * 10 | 1024)]
    assert [type(event) for event in loud] == [SpeechStarted]
    # Inside an utterance everything is judged; after it the noise is known still.
    before = len(bench.network.batches)
    after = [event for frame in noise for event in bench.tick(frame)]
    assert [type(event) for event in after] == [SpeechStopped]
    assert len(bench.network.batches) - before <= 8
    bench.voice.economise(on=False)
    before = len(bench.network.batches)
    for frame in noise[:8]:
        bench.tick(frame)
    assert len(bench.network.batches) - before == 5


def test_ago_counts_back_from_the_last_sample_that_has_arrived(bench: Bench) -> None:
    bench.voice.enable(0, VoiceOptions(speech_padding=0))
    for before in range(8):
        bench.voice.enable(0, VoiceOptions(speech_padding=0, silence_padding=32))
        bench.ticks(30 + before, FAINT)
        arrived = 0
        while True:
            arrived += FRAME
            if events := bench.ticks(1, LOUD):
                break
        (started,) = events
        assert isinstance(started, SpeechStarted)
        # The window that was voice began within one window of the first loud sample.
        assert abs(started.ago - arrived) < WINDOW


def test_time_goes_on_without_audio(bench: Bench) -> None:
    bench.voice.enable(0, VoiceOptions(silence_timeout=1000))
    passed = bench.ticks(200, None)
    assert passed == [SilencePassed(0, n * 8000) for n in (1, 2, 3, 4)]
    assert bench.network.batches == []


def test_speech_ends_where_the_audio_ends(bench: Bench) -> None:
    bench.voice.enable(0, VoiceOptions(silence_padding=200))
    bench.ticks(51, LOUD)
    assert bench.ticks(9, None) == []
    (stopped,) = bench.ticks(1, None)
    assert isinstance(stopped, SpeechStopped)
    assert stopped.silence == 10 * FRAME
    assert 51 * FRAME - WINDOW < stopped.speech <= 51 * FRAME


def test_audio_that_comes_late_is_no_silence(bench: Bench) -> None:
    bench.voice.enable(0, VoiceOptions(silence_padding=0))
    bench.ticks(20, LOUD)
    frame = np.full(FRAME, LOUD, np.int16)
    for _ in range(20):
        assert bench.ticks(GAP - 1, None) == []
        for _ in range(GAP - 1):
            assert bench.tick(frame, frame) == []


def test_after_a_gap_nothing_of_before_is_heard(bench: Bench) -> None:
    bench.voice.enable(0, VoiceOptions())
    bench.ticks(9, LOUD)
    count = len(bench.network.windows[0])
    bench.ticks(GAP, None)
    bench.ticks(9, FAINT)
    after = np.concatenate(bench.network.windows[0][count:])
    assert set(after.tolist()) <= {0, FAINT}
    assert not bench.network.contexts[0][count].any()


def test_the_threshold_follows_from_the_options(bench: Bench) -> None:
    speaks = {}
    for options in (
        VoiceOptions(),
        VoiceOptions(aggressiveness=0),
        VoiceOptions(aggressiveness=3),
        VoiceOptions(aggressiveness=3, threshold=0.59),
        VoiceOptions(aggressiveness=0, threshold=0.61),
    ):
        bench.voice.enable(0, options)
        speaks[options] = bool(bench.ticks(30, LOUD))
    assert list(speaks.values()) == [True, True, False, True, False]


def test_a_slot_that_is_turned_off_is_not_listened_to(bench: Bench) -> None:
    bench.voice.disable(0)
    for detector in Detector:
        bench.voice.enable(0, VoiceOptions(detector=detector, silence_timeout=20))
        bench.voice.disable(0)
        bench.voice.disable(0)
        assert bench.ticks(100, LOUD) == []
    assert bench.network.batches == []


def test_one_detector_takes_the_place_of_the_other(bench: Bench) -> None:
    for _ in range(2):
        bench.voice.enable(0, VoiceOptions(detector=Detector.WEBRTC))
        bench.voice.enable(1, VoiceOptions(detector=Detector.WEBRTC))
        bench.ticks(10, FAINT)
        assert 0 not in bench.network.windows
    bench.voice.enable(0, VoiceOptions())
    bench.ticks(8, FAINT)
    assert len(bench.network.windows[0]) == 5


# With the network, through sockets, jitter buffer and codec

PHRASES = (
    "Good morning, I would like to speak to somebody about my last bill.",
    "My number is four two seven nine one.",
    "Yes, please.",
    "No, I did not receive any letter from you since the beginning of March.",
)
PAUSE = 12000
"""Samples of noise around each phrase: 1.5 s."""


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(HOST, 0, 4)
    yield engine
    engine.close()


def conversation() -> tuple[Floats, list[tuple[int, int]]]:
    """Clean speech in [-1, 1], and where each phrase stands."""
    parts: list[Floats] = [np.zeros(PAUSE, np.float32)]
    places = []
    for phrase in PHRASES:
        spoken = speech.render(phrase).astype(np.float32)
        begin = sum(map(len, parts))
        places.append((begin, begin + len(spoken)))
        parts += [spoken, np.zeros(PAUSE, np.float32)]
    clean = np.concatenate(parts)
    return np.pad(clean, (0, -len(clean) % FRAME)), places


def in_noise(clean: Floats, places: list[tuple[int, int]], snr: float | None) -> bytes:
    """`clean` at -20 dBFS as mu-law, with stationary noise of telephone colour `snr` dB below the speech."""
    spoken = np.concatenate([clean[begin:end] for begin, end in places])
    audio = clean * (0.1 / np.sqrt(np.mean(spoken**2)))
    if snr is not None:
        noise = np.random.default_rng(7).normal(0, 1, len(clean) + 4)
        noise = np.convolve(noise, [0.3, 0.5, 0.6, 0.2, -0.4], "valid")
        audio = audio + noise * (0.1 * 10 ** (-snr / 20) / np.std(noise))
    pcm: Pcm = np.clip(audio * 32768, -32768, 32767).astype(np.int16)
    return g711.ULAW_ENCODE[pcm.view(np.uint16)].tobytes()


def listen(
    engine: Engine, slot: int, far: FarEnd, wire: bytes, *, loss: float = 0
) -> list[tuple[int, Event]]:
    """Send `wire`, a packet a tick; events with the number of samples sent when they came."""
    lost: Mask = np.random.default_rng(8).random(len(wire) // FRAME) < loss
    happened: list[tuple[int, Event]] = []
    for number, gone in enumerate(lost.tolist()):
        payload = wire[number * FRAME : (number + 1) * FRAME]
        if gone:
            far.sequence += 1
        else:
            far.send(payload)
        happened += [((number + 1) * FRAME, event) for event in engine.tick()]
    return happened


def spoken_parts(happened: list[tuple[int, Event]]) -> list[tuple[int, int]]:
    """Beginning and end of each piece of speech that was reported."""
    parts: list[tuple[int, int]] = []
    begin = -1
    for now, event in happened:
        match event:
            case SpeechStarted(ago=ago):
                assert begin < 0
                begin = now - ago
            case SpeechStopped(speech=length):
                assert begin >= 0
                parts.append((begin, begin + length))
                begin = -1
    assert begin < 0
    return parts


def mask(length: int, places: list[tuple[int, int]]) -> Mask:
    """Which samples lie in one of `places`."""
    inside: Mask = np.zeros(length, np.bool_)
    for begin, end in places:
        inside[begin:end] = True
    return inside


@pytest.mark.parametrize(
    ("snr", "loss", "missed", "false"),
    [(None, 0, 0.1, 0.1), (20, 0, 0.1, 0.1), (10, 0, 0.1, 0.1), (5, 0, 0.15, 0.1), (15, 0.03, 0.1, 0.1)],
)
def test_speech_in_noise_is_found_where_it_is(
    engine: Engine, snr: float | None, loss: float, missed: float, false: float
) -> None:
    clean, places = conversation()
    slot = engine.allocate()
    with FarEnd(engine.port) as far:
        engine.connect(slot, Stream(far.port))
        engine.enable_voice(slot, VoiceOptions(speech_padding=100, silence_padding=400))
        happened = listen(engine, slot, far, in_noise(clean, places, snr), loss=loss)
    found = spoken_parts(happened)
    spoken, heard = mask(len(clean), places), mask(len(clean), found)
    miss, alarm = float(np.mean(~heard[spoken])), float(np.mean(heard[~spoken]))
    print(f"{snr} dB: missed {miss:.1%} of speech, took {alarm:.1%} of the rest for it; {len(found)} parts")
    assert miss <= missed
    assert alarm <= false
    assert len(found) == len(PHRASES)


@pytest.mark.parametrize("snr", [None, 20])
def test_the_cheap_detector_finds_clear_speech(engine: Engine, snr: float | None) -> None:
    clean, places = conversation()
    slot = engine.allocate()
    options = VoiceOptions(
        detector=Detector.WEBRTC, aggressiveness=3, speech_padding=100, silence_padding=400
    )
    with FarEnd(engine.port) as far:
        engine.connect(slot, Stream(far.port))
        engine.enable_voice(slot, options)
        found = spoken_parts(listen(engine, slot, far, in_noise(clean, places, snr)))
    spoken, heard = mask(len(clean), places), mask(len(clean), found)
    print(
        f"{snr} dB: missed {np.mean(~heard[spoken]):.1%}, false {np.mean(heard[~spoken]):.1%}; {len(found)} parts"
    )
    assert len(found) == len(PHRASES)
    assert np.mean(~heard[spoken]) < 0.15


@pytest.mark.parametrize("detector", Detector)
@pytest.mark.parametrize("economical", [False, True])
def test_wide_speech_is_found_where_it_is(detector: Detector, economical: bool) -> None:
    clean, places = conversation()
    wide: Pcm = np.interp(np.arange(2 * len(clean)) / 2, np.arange(len(clean)), clean * 20000).astype(
        np.int16
    )
    voice = Voice(4, 16000)
    voice.economise(on=economical)
    voice.enable(2, VoiceOptions(detector=detector, speech_padding=100, silence_padding=400))
    frames: Pcm = np.zeros((4, 2, 320), np.int16)
    fresh = np.array([0, 0, 1, 0], np.uint8)
    happened: list[tuple[int, Event]] = []
    for number, frame in enumerate(wide.reshape(-1, 320)):
        frames[2, 0] = frame
        events: list[Event] = []
        voice.run(frames, fresh, events)
        happened += [((number + 1) * FRAME, event) for event in events]
    found = spoken_parts(happened)
    spoken, heard = mask(len(clean), places), mask(len(clean), found)
    assert len(found) == len(PHRASES)
    assert np.mean(~heard[spoken]) < 0.15
    assert np.mean(heard[~spoken]) < 0.1


def one_silence(engine: Engine, slot: int) -> bool:
    """Whether 100 ms of silence are reported as soon as they have passed, give or take a window."""
    (event,) = [event for _ in range(7) for event in engine.tick()]
    return isinstance(event, SilencePassed) and event.slot == slot and 800 <= event.silence < 800 + FRAME


def test_a_released_slot_is_not_listened_to(engine: Engine) -> None:
    with FarEnd(engine.port) as far:
        for _ in range(engine.capacity + 1):
            slot = engine.allocate()
            engine.connect(slot, Stream(far.port))
            engine.enable_voice(slot, VoiceOptions(silence_timeout=100))
            assert one_silence(engine, slot)
            engine.release(slot)
            assert [event for _ in range(10) for event in engine.tick()] == []
        again = engine.allocate()
        engine.connect(again, Stream(far.port))
        assert [event for _ in range(10) for event in engine.tick()] == []


def test_detection_can_be_turned_off_and_on(engine: Engine) -> None:
    slot = engine.allocate()
    engine.connect(slot, Stream(20002, direction="recvonly"))
    options = VoiceOptions(silence_timeout=100)
    engine.enable_voice(slot, options)
    engine.disable_voice(slot)
    assert [event for _ in range(10) for event in engine.tick()] == []
    engine.enable_voice(slot, options)
    assert one_silence(engine, slot)


def test_only_an_allocated_slot_can_be_listened_to(engine: Engine) -> None:
    with pytest.raises(MediaError, match="slot 0 is not allocated"):
        engine.enable_voice(0, VoiceOptions())
    with pytest.raises(MediaError, match="slot 0 is not allocated"):
        engine.disable_voice(0)
