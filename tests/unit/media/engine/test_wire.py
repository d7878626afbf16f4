"""Calls of the engine without RTP: what is fed in is heard, what is played reaches the sink."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from control.errors import MediaError
from media.engine import g711
from media.engine.arrays import Pcm
from media.engine.background import Loop
from media.engine.codecs.g722 import G722
from media.engine.engine import Engine
from media.engine.reports import (
    DigitPressed,
    Event,
    MediaStarted,
    SegmentEnded,
    SegmentStarted,
    SpeechStarted,
)
from media.engine.segment import Segment
from media.engine.stream import Codec
from media.engine.taps import STEREO, Side
from media.engine.tones import dtmf
from media.engine.voice import Detector, VoiceOptions
from media.engine.wire import RATES, Form
from tests.support import callbench
from tests.support.callbench import Bench, decode, likeness
from tests.support.farend import Stream
from tests.support.voicelike import voice

SIZES = {Form.PCM: 640, Form.PCMU: 160, Form.PCMA: 160, Form.G722: 160}
"""Bytes of 20 ms."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    with callbench.bench(6) as made:
        yield made


@dataclass
class Bot:
    """A slot without RTP, and the far end of it."""

    engine: Engine
    form: Form = Form.PCM
    got: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slot = self.engine.allocate()
        self.engine.attach(self.slot, self.form, self.got.append)
        self.rate, self.frame = RATES[self.form], RATES[self.form] // 50

    def play(self, pcm: Pcm) -> Segment:
        segment = Segment(rate=self.rate)
        segment.append(pcm)
        segment.close()
        self.engine.enqueue(self.slot, segment)
        return segment

    def feed(self, data: bytes) -> int:
        return self.engine.feeder(self.slot)(data)

    @property
    def heard(self) -> Pcm:
        return unpack(self.form, b"".join(self.got))


def pack(form: Form, pcm: Pcm) -> bytes:
    match form:
        case Form.PCM:
            return pcm.astype("<i2").tobytes()
        case Form.PCMU:
            return g711.ULAW_ENCODE[pcm.view(np.uint16)].tobytes()
        case Form.PCMA:
            return g711.ALAW_ENCODE[pcm.view(np.uint16)].tobytes()
        case Form.G722:
            coder = G722(16_000)
            return b"".join(coder.encode(frame) for frame in pcm.reshape(-1, 320))


def unpack(form: Form, data: bytes) -> Pcm:
    match form:
        case Form.PCM:
            return np.frombuffer(data, "<i2")
        case Form.PCMU:
            return g711.ULAW_DECODE[np.frombuffer(data, np.uint8)]
        case Form.PCMA:
            return g711.ALAW_DECODE[np.frombuffer(data, np.uint8)]
        case Form.G722:
            coder = G722(16_000)
            return np.concatenate([coder.decode(data[at : at + 160]) for at in range(0, len(data), 160)])


def ticks(bench: Bench, count: int) -> list[Event]:
    return [event for _ in range(count) for event in bench.engine.tick()]


@pytest.mark.parametrize("form", Form)
def test_what_is_played_reaches_the_sink_and_silence_does_not(bench: Bench, form: Form) -> None:
    bot = Bot(bench.engine, form)
    assert bench.engine.rate(bot.slot) == RATES[form]
    ticks(bench, 3)
    assert bot.got == []
    pcm = voice(bot.rate, 0.4)[: 10 * bot.frame + 50]
    segment = bot.play(pcm)
    events = ticks(bench, 20)
    assert events == [SegmentStarted(bot.slot, segment), SegmentEnded(bot.slot, segment)]
    assert [len(data) for data in bot.got] == [SIZES[form]] * 11
    whole = np.concatenate([pcm, np.zeros(bot.frame - 50, np.int16)])
    assert b"".join(bot.got) == pack(form, whole)
    assert bench.engine.stats(bot.slot).sent == 11


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("size", [1, 77, 100_000])
def test_what_is_fed_is_heard(bench: Bench, form: Form, size: int) -> None:
    bot = Bot(bench.engine, form)
    pcm = voice(bot.rate, 1.0)
    data = pack(form, pcm)
    for at in range(0, len(data), size):
        assert bot.feed(data[at : at + size]) == 0
    events, heard = list[Event](), []
    for _ in range(55):
        events += bench.engine.tick()
        heard.append(bench.engine.received(bot.slot).copy())
    assert events == [MediaStarted(bot.slot)]
    assert np.concatenate(heard).tolist() == unpack(form, data).tolist()
    assert bench.engine.stats(bot.slot).received == 50


def test_all_forms_at_once_beside_telephones(bench: Bench) -> None:
    narrow, wide = bench.call(Codec.PCMU), bench.call(Codec.G722)
    bots = [Bot(bench.engine, form) for form in Form]
    for bot in bots:
        bot.play(voice(bot.rate, 0.5))
    narrow.play(voice(8000, 0.5), 8000)
    wide.play(voice(16_000, 0.5), 16_000)
    bench.ticks(25)
    for bot in bots:
        assert b"".join(bot.got) == pack(bot.form, voice(bot.rate, 0.5))
    assert likeness(decode(Codec.PCMU, narrow.got), voice(8000, 0.5)) > 0.99
    assert likeness(decode(Codec.G722, wide.got), voice(16_000, 0.5)) > 0.99
    assert len(narrow.got) == len(wide.got) == 25


def test_faster_than_real_time_is_buffered_and_bounded(bench: Bench) -> None:
    bot = Bot(bench.engine, Form.PCMU)
    assert bot.feed(bytes(80_000)) == 0
    assert bot.feed(bytes(500)) == 500
    other = bench.engine.allocate()
    bench.engine.attach(other, Form.PCM, print, most_ms=1000)
    assert bench.engine.feeder(other)(bytes(32_001)) == 0
    assert bench.engine.feeder(other)(bytes(641)) == 642


def test_an_open_segment_sends_what_it_has(bench: Bench) -> None:
    bot, segment = Bot(bench.engine), Segment(rate=16_000)
    bench.engine.enqueue(bot.slot, segment)
    segment.append(np.full(320 + 100, 5, np.int16))
    ticks(bench, 4)
    assert len(bot.got) == 1
    segment.append(np.full(220, 5, np.int16))
    ticks(bench, 4)
    assert bot.heard.tolist() == [5] * 640


def test_a_pause_is_idle_and_goes_on_where_it_began(bench: Bench) -> None:
    bot = Bot(bench.engine)
    segment = bot.play(np.full(6400, 1000, np.int16))
    ticks(bench, 2)
    bench.engine.pause(bot.slot)
    ticks(bench, 10)
    assert len(bot.got) == 3  # the last one falls silent
    assert segment.played == 3 * 320
    bench.engine.resume(bot.slot)
    ticks(bench, 30)
    assert len(bot.got) == 20
    assert segment.played == 6400


def test_muted_time_goes_on_as_silence(bench: Bench) -> None:
    bot = Bot(bench.engine)
    bot.play(np.full(1600, 1000, np.int16))
    bench.engine.mute_out(bot.slot, muted=True)
    ticks(bench, 8)
    assert len(bot.got) == 5
    assert not bot.heard[320:].any()


def test_a_fade_is_sent(bench: Bench) -> None:
    bot = Bot(bench.engine)
    bot.play(np.full(16_000, 1000, np.int16))
    ticks(bench, 2)
    bench.engine.stop(bot.slot, fade_ms=50)
    ticks(bench, 8)
    assert len(bot.got) == 2 + 3
    assert 0 < bot.heard[2 * 320 + 400] < 1000
    assert not bot.heard[-100:].any()


def test_a_background_is_something_to_play(bench: Bench) -> None:
    bot, idle = Bot(bench.engine), Bot(bench.engine)
    bench.engine.background(bot.slot, Loop(np.full(500, 100, np.int16), 16_000))
    ticks(bench, 5)
    assert len(bot.got) == 5
    bench.engine.background(bot.slot, None)
    ticks(bench, 5)
    assert len(bot.got) == 6
    assert idle.got == []


@pytest.mark.parametrize("form", [Form.PCM, Form.PCMA])
def test_keys_go_as_tones_and_what_is_played_waits(bench: Bench, form: Form) -> None:
    bot = Bot(bench.engine, form)
    segment = bot.play(np.full(bot.frame, 1000, np.int16))
    bench.engine.press(bot.slot, "5", 100, 40)
    ticks(bench, 7)
    assert segment.played == 0
    assert b"".join(bot.got) == pack(form, dtmf("5", bot.rate, 100, 40))
    assert len(bot.got) == 7
    ticks(bench, 3)
    assert (segment.played, len(bot.got)) == (bot.frame, 8)


def test_a_slot_that_took_telephone_events_before_sends_tones() -> None:
    with callbench.bench(1) as bench:
        bench.call().release()
        bot = Bot(bench.engine)
        bench.engine.press(bot.slot, "1")
        ticks(bench, 2)
        assert len(bot.got) == 2


def test_keys_in_the_audio_are_heard(bench: Bench) -> None:
    bot = Bot(bench.engine)
    bench.engine.detect_tones(bot.slot, on=True)
    bot.feed(dtmf("7", 16_000, 100, 100).tobytes())
    assert DigitPressed(bot.slot, "7") in ticks(bench, 12)


def test_voice_is_detected_also_in_a_file_sent_at_once(bench: Bench) -> None:
    bot = Bot(bench.engine)
    bench.engine.enable_voice(bot.slot, VoiceOptions(detector=Detector.WEBRTC))
    quiet = np.zeros(16_000, np.int16)
    bot.feed(np.concatenate([quiet, voice(16_000, 1.5), quiet]).tobytes())
    started = [
        tick
        for tick in range(175)
        for event in bench.engine.tick()
        if isinstance(event, SpeechStarted) and event.slot == bot.slot
    ]
    assert 50 <= started[0] <= 80


def test_taps_mute_and_denoise(bench: Bench) -> None:
    bot = Bot(bench.engine)
    heard, both = list[Pcm](), list[Pcm]()
    bench.engine.subscribe(
        bot.slot, (Side.HEARD,), every=1, rate=16_000, sink=lambda pcm, _lost: heard.append(pcm.copy())
    )
    bench.engine.subscribe(
        bot.slot, STEREO, every=1, rate=16_000, sink=lambda pcm, _lost: both.append(pcm.copy())
    )
    pcm = voice(16_000, 0.5)
    bot.feed(pcm.tobytes())
    bot.play(pcm)
    ticks(bench, 30)
    assert np.concatenate(heard).tolist() == pcm.tolist()
    stereo = np.concatenate(both)
    assert stereo[: len(pcm), 1].tolist() == pcm.tolist()
    assert likeness(stereo[:, 0], pcm) > 0.999
    bench.engine.mute_in(bot.slot, muted=True)
    bot.feed(pcm.tobytes())
    ticks(bench, 1)
    assert not bench.engine.received(bot.slot).any()
    bench.engine.mute_in(bot.slot, muted=False)
    bench.engine.denoise(bot.slot, on=True)
    ticks(bench, 1)
    assert len(bench.engine.received(bot.slot)) == 320
    assert bench.engine.received(bot.slot).tolist() != pcm[320:640].tolist()


@pytest.mark.parametrize(("form", "most"), [(Form.PCM, 4.5), (Form.PCMU, 4.41), (Form.G722, 4.4)])
def test_the_figures_of_a_call(bench: Bench, form: Form, most: float) -> None:
    bot = Bot(bench.engine, form)
    assert bench.engine.quality(bot.slot).mos is None
    bot.feed(bytes(SIZES[form]))
    ticks(bench, 1)
    quality = bench.engine.quality(bot.slot)
    assert quality.mos is not None
    assert 4.0 < quality.mos <= most
    assert (quality.loss_fraction, quality.jitter_ms, quality.rtt_ms, quality.peer_loss_fraction) == (
        0,
        0,
        None,
        None,
    )
    assert 0 < bench.engine.ssrc(bot.slot) < 1 << 32
    before = bench.engine.ssrc(bot.slot)
    bench.engine.renew(bot.slot)
    assert bench.engine.ssrc(bot.slot) != before


def test_a_sink_that_fails_costs_nobody_else_anything(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def fail(data: bytes) -> None:
        raise RuntimeError(f"no room for {len(data)}")

    slot, bot = bench.engine.allocate(), Bot(bench.engine)
    bench.engine.attach(slot, Form.PCM, fail)
    segment = Segment(rate=16_000)
    segment.append(np.ones(3200, np.int16))
    bench.engine.enqueue(slot, segment)
    bot.play(np.ones(3200, np.int16))
    with caplog.at_level(logging.ERROR):
        ticks(bench, 5)
    assert len(bot.got) == 5
    assert [record.getMessage() for record in caplog.records] == [
        f"slot {slot}: the sink of its audio failed and is closed"
    ]
    stats = bench.engine.stats(slot)
    assert (stats.sent, stats.unsent, segment.played) == (0, 1, 320)
    assert bench.engine.feeder(slot)(bytes(640)) == 0
    ticks(bench, 1)
    assert bench.engine.stats(slot).received == 1


def test_a_sink_may_end_its_call_and_others(bench: Bench) -> None:
    slot = bench.engine.allocate()
    bot = Bot(bench.engine)

    def end(data: bytes) -> None:
        assert data
        bench.engine.release(bot.slot)
        bench.engine.release(slot)

    bench.engine.attach(slot, Form.PCM, end)
    for each in (slot, bot.slot):
        segment = Segment(rate=16_000)
        segment.append(np.ones(3200, np.int16))
        bench.engine.enqueue(each, segment)
    ticks(bench, 3)
    assert bot.got == []
    assert bench.engine.used == 0


def test_the_next_call_of_a_slot_starts_clean() -> None:
    with callbench.bench(1) as bench:
        bot = Bot(bench.engine, Form.G722)
        bot.feed(bytes(20_000))
        bot.play(np.ones(3200, np.int16))
        ticks(bench, 2)
        bench.engine.release(bot.slot)
        ticks(bench, 2)
        assert len(bot.got) == 2
        call = bench.call(Codec.PCMU)
        bench.ticks(2)
        assert len(call.got) == 2
        assert not len(call.sound)
        call.release()
        again = Bot(bench.engine, Form.PCMA)
        ticks(bench, 12)
        assert again.got == []
        assert bench.engine.stats(again.slot).received == 0
        assert bench.engine.totals().received == 2


def test_a_slot_has_one_way_for_its_audio(bench: Bench) -> None:
    engine, bot, call = bench.engine, Bot(bench.engine), bench.call()
    with pytest.raises(MediaError, match=f"slot {bot.slot} is attached to a stream of bytes"):
        engine.connect(bot.slot, Stream(20_002))
    with pytest.raises(MediaError, match=f"slot {bot.slot} has a stream already"):
        engine.attach(bot.slot, Form.PCM, print)
    with pytest.raises(MediaError, match=f"slot {call.slot} has a stream already"):
        engine.attach(call.slot, Form.PCM, print)
    with pytest.raises(MediaError, match=f"slot {call.slot} takes no bytes"):
        engine.feeder(call.slot)(b"")
    with pytest.raises(MediaError, match="slot 5 is not allocated"):
        engine.attach(5, Form.PCM, print)


def test_a_shadow_of_what_is_sent_changes_nothing(bench: Bench) -> None:
    bot = Bot(bench.engine)
    bench.engine.shadow(bot.slot, on=True)
    bot.play(np.ones(640, np.int16))
    ticks(bench, 4)
    assert len(bot.got) == 2
